//! What a user may not see leaves no trace in what it is told.

#![no_main]

use libfuzzer_sys::fuzz_target;
use officer_fuzz::leak::compare;
use officer_fuzz::see::steps;

fuzz_target!(|data: &[u8]| {
    if let Err(difference) = compare(&steps(data)) {
        panic!("{difference}");
    }
});
