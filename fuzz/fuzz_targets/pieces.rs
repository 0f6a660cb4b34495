//! The same bytes cut into different pieces, read and taken in different ways, give the same answers.

#![no_main]

use libfuzzer_sys::fuzz_target;
use officer_fuzz::pieces::{ON_TCP, ON_UNIX, SLOWLY, Sent, answers};

fuzz_target!(|data: &[u8]| {
    let sent = Sent::of(data);
    for peers in [ON_TCP, ON_UNIX] {
        let expected = answers(&sent, &SLOWLY, peers);
        for way in sent.ways() {
            let said = answers(&sent, &way, peers);
            assert_eq!(said, expected, "{way:?} of {:?}, with an end: {}", sent.bytes.escape_ascii(), sent.has_end);
        }
    }
});
