//! Sends as many lines back as it has received.

use memchr::memchr_iter;

use super::serve::{Answers, Floor};

pub(super) struct Echo;

impl Floor for Echo {
    fn connect(&mut self, _: usize) {}

    fn disconnect(&mut self, _: usize, _: &mut Answers) {}

    fn hear(&mut self, from: usize, bytes: &[u8], answers: &mut Answers) {
        answers.push(from, memchr_iter(b'\n', bytes).count());
    }
}
