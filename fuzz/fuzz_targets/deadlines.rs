//! Deadlines fire as from a sorted map, whatever is armed, moved and cancelled.

#![no_main]

use libfuzzer_sys::fuzz_target;
use officer_fuzz::deadlines::Both;

fuzz_target!(|script: &[u8]| Both::default().execute(script));
