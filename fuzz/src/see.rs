//! Steps for two runs that differ only in what a user may not see, from the bytes of an input.

use crate::leak::Step;

/// An input that is longer than this takes too long.
const STEPS_MAX: usize = 200;

/// The steps, until the bytes are used up. A digit stands for itself, any other byte for its value, all modulo the number of
/// choices.
pub fn steps(data: &[u8]) -> Vec<Step> {
    let mut left = data.iter();
    let mut steps = Vec::new();
    while steps.len() < STEPS_MAX && !left.as_slice().is_empty() {
        let mut draw = |below: u64| {
            let byte = left.next().copied().unwrap_or(b'0');
            u64::from(if byte.is_ascii_digit() { byte - b'0' } else { byte }) % below
        };
        steps.push(Step::draw(steps.len(), &mut draw));
    }
    steps
}
