//! How long the parts of a turn may take.

use crate::time::{Moment, Span};

/// What each part of a turn may take, beside the steps that the limits allow. These take half of it at most, but on a machine
/// whose memory is slow for a while they have taken ten times as long.
const SLICE: Span = Span::from_nanos(1_000_000);
/// Steps from one look at the clock to the next.
const STEPS: u32 = 4;

/// The time of one part of a turn. It begins with the first step, so a part that has nothing to do costs no look at the clock.
pub(super) struct Slice<'a> {
    clock: &'a dyn Fn() -> Moment,
    /// None: nothing was done yet.
    end: Option<Moment>,
    steps: u32,
}

impl<'a> Slice<'a> {
    pub(super) fn new(clock: &'a dyn Fn() -> Moment) -> Self {
        Slice { clock, end: None, steps: 0 }
    }

    /// After each step: whether the rest has to wait for the next turn.
    pub(super) fn is_over(&mut self) -> bool {
        self.steps += 1;
        match self.end {
            None => {
                self.end = Some((self.clock)().after(SLICE));
                false
            }
            Some(end) => self.steps.is_multiple_of(STEPS) && (self.clock)() >= end,
        }
    }
}
