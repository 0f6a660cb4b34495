//! The same bytes in clear and within TLS, however these are cut, read and taken, give the same answers.

#![no_main]

use libfuzzer_sys::fuzz_target;
use officer_fuzz::pieces::{SLOWLY, answers};
use officer_fuzz::tls::{PEERS, Parties, Sealed};

thread_local! {
    static PARTIES: Parties = Parties::new();
}

fuzz_target!(|data: &[u8]| {
    let sealed = Sealed::of(data);
    let expected = answers(&sealed.sent, &SLOWLY, PEERS);
    let said = PARTIES.with(|parties| sealed.answers(parties));
    assert_eq!(said, expected, "{sealed:?}");
});
