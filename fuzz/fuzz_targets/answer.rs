//! The client survives whatever a server sends, and reads nothing that is not there.

#![no_main]

use libfuzzer_sys::fuzz_target;
use officer_fuzz::answer::{check_answer, check_peer};

fuzz_target!(|data: &[u8]| {
    for line in data.split(|&byte| byte == b'\n') {
        check_answer(line);
        check_peer(line);
    }
});
