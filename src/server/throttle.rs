//! Log lines that a peer can bring about at will: a few a second, and a count of the rest.

use crate::time::{Moment, Span};

const SECOND: Span = Span::from_nanos(1_000_000_000);
/// Counts the lines of the current second.
#[derive(Debug)]
pub(super) struct Throttle {
    /// Lines in a second.
    lines_max: u32,
    since: Moment,
    lines: u32,
    left_out: u64,
}

impl Throttle {
    pub(super) fn new(lines_max: u32) -> Self {
        Throttle { lines_max, since: Moment::START, lines: 0, left_out: 0 }
    }

    /// Whether one more line may be written, and how many were left out since the last that was.
    pub(super) fn take(&mut self, now: Moment) -> Option<u64> {
        if now.since(self.since) >= SECOND {
            (self.since, self.lines) = (now, 0);
        }
        if self.lines == self.lines_max {
            self.left_out += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_a_few_lines_and_the_next_counts_what_was_left_out() {
        let mut throttle = Throttle::new(5);
        let at = Moment::from_nanos(5_000_000_000);
        let taken = (0..20).filter(|_| throttle.take(at) == Some(0)).count();
        assert_eq!(taken, 5);
        assert_eq!(throttle.take(at.after(Span::from_nanos(999_999_999))), None);
        assert_eq!(throttle.take(at.after(SECOND)), Some(16));
        assert_eq!(throttle.take(at.after(SECOND)), Some(0));
    }
}
