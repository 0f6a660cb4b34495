//! Whatever comes by HTTP, and in whatever pieces: the same answers, and never more than one for a request.

#![no_main]

use libfuzzer_sys::fuzz_target;
use officer_fuzz::http::Sent;

fuzz_target!(|data: &[u8]| {
    let sent = Sent::of(data);
    let expected = sent.at_once();
    let answers = expected.lines.iter().filter(|line| line.starts_with("HTTP/1.1 ")).count();
    assert!(answers <= sent.answers_max(), "{expected:?} to {:?}", sent.bytes.escape_ascii());
    for outcome in sent.in_pieces() {
        assert_eq!(outcome, expected, "to {:?}", sent.bytes.escape_ascii());
    }
});
