//! One of several processes that make the load together.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// Which worker a process is, and of how many: `0/4` is the first of four.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Worker {
    pub(super) number: usize,
    pub(super) of: usize,
}

impl Worker {
    /// Its part of some numbers.
    pub(super) fn part(self, numbers: Range<usize>) -> Range<usize> {
        let len = numbers.len();
        let at = |number: usize| numbers.start + len / self.of * number + (len % self.of) * number / self.of;
        at(self.number)..at(self.number + 1)
    }
}

impl FromStr for Worker {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, of) = text.split_once('/').ok_or("not a worker, such as 0/4")?;
        match (number.parse(), of.parse()) {
            (Ok(number), Ok(of)) if number < of => Ok(Worker { number, of }),
            _ => Err("not a worker, such as 0/4"),
        }
    }
}

impl fmt::Display for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}
