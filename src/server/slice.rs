//! How long the parts of a turn may take.

use crate::time::{Moment, Span};

/// What each part of a turn may take, beside the steps that the limits allow. These take half of it at most, but on a machine
/// whose memory is slow for a while they have taken ten times as long.
const SLICE: Span = Span::from_nanos(1_000_000);
/// Short steps from one look at the clock to the next: it costs a tenth of one.
const SHORT_STEPS: u32 = 4;

/// The time of one part of a turn, from when it is made.
pub(super) struct Slice<'a> {
    clock: &'a dyn Fn() -> Moment,
    end: Moment,
    short_steps: u32,
}

impl<'a> Slice<'a> {
    pub(super) fn new(clock: &'a dyn Fn() -> Moment) -> Self {
        Slice { clock, end: clock().after(SLICE), short_steps: 0 }
    }

    /// After each step: whether the rest has to wait for the next turn.
    pub(super) fn is_over(&self) -> bool {
        (self.clock)() >= self.end
    }

    /// The same after a step that takes less than a microsecond.
    pub(super) fn is_over_after_short_step(&mut self) -> bool {
        self.short_steps += 1;
        self.short_steps.is_multiple_of(SHORT_STEPS) && self.is_over()
    }
}
