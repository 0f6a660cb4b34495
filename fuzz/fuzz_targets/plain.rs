//! Lines that the shortcut for plain ones takes are what the general parser reads. Nothing else is looked at, so that
//! many are tried: `request` has the slower and complete comparison.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use officer_fuzz::grammar::mutated;
use officer_fuzz::request::check_shortcut;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        check_shortcut(text);
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut random = fastrand::Rng::with_seed(seed.into());
    if random.u8(0..8) == 0 {
        return fuzzer_mutate(data, size, max_size);
    }
    let lines = mutated(&data[..size], &mut random);
    let length = lines.len().min(max_size);
    data[..length].copy_from_slice(&lines[..length]);
    length
});
