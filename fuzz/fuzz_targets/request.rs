//! Bytes in any pieces become the same lines, and each line becomes the request or the error that the protocol defines.

#![no_main]

use libfuzzer_sys::fuzz_target;
use officer::wire::line::is_blank;
use officer::wire::request::parse;
use officer_fuzz::framing::{Arrival, scanned_in_pieces, scanned_whole, split};
use officer_fuzz::json::{Json, assert_serde_agrees};
use officer_fuzz::request::{by_the_protocol, by_the_server, by_the_strict_protocol, by_the_strict_server};

fuzz_target!(|data: &[u8]| {
    let arrival = Arrival::of(data);
    let expected = split(&arrival);
    let whole = scanned_whole(&arrival);
    let in_pieces = scanned_in_pieces(&arrival);
    assert_eq!(whole, expected, "{arrival:?}");
    assert_eq!(in_pieces, expected, "{arrival:?}");
    for (line, again) in whole.0.iter().zip(&in_pieces.0) {
        assert_eq!(parse(line), parse(again), "the same line is read the same way");
        check(line);
    }
});

fn check(line: &[u8]) {
    let shown = line.escape_ascii();
    let value = Json::read(line);
    assert_serde_agrees(line, value.as_ref());
    let has_only_space = line.iter().all(|byte| b" \t\r".contains(byte));
    assert_eq!(is_blank(line), has_only_space, "{shown}");
    assert_eq!(by_the_server(line), by_the_protocol(value.as_ref()), "{shown}");
    if let Some(expected) = by_the_strict_protocol(value.as_ref()) {
        assert_eq!(by_the_strict_server(line), expected, "on a strict connection: {shown}");
    }
}
