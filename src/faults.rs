//! Known faults, each a switch: for the project's own tests of its tests, and for nothing else.
//!
//! The simulation claims that it would find what is wrong with the server. So what may be wrong is built in on purpose,
//! one fault at a time, and is to be found. Only with the feature `faults` is there anything to switch. Without it
//! `is_on` is false when the compiler sees it, and a server has neither the switches nor what they would do.
//!
//! With the feature there are also an `assert!` and an `assert_eq!` in here, which take the place of those of std in
//! `engine`, `server`, `slots` and `wire`: they can be silenced, so that a fault is not found by the server itself.
//! Those without a message, which are for sizes and for tests, stay as they are.

macro_rules! faults {
    ($(#[doc = $text:literal] $name:ident),+ $(,)?) => {
        /// What is wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault {
            $(#[doc = $text] $name),+
        }

        #[cfg(feature = "faults")]
        impl Fault {
            /// All of them.
            pub const ALL: &[Fault] = &[$(Fault::$name),+];

            /// What is wrong, in words.
            pub fn text(self) -> &'static str {
                match self {
                    $(Fault::$name => $text.trim_ascii()),+
                }
            }
        }
    };
}

faults! {
    /// a grant is lost when the waiter's connection ends in the same turn
    GrantLost,
    /// both the timeout and the grant are answered
    BothAnswered,
    /// a stale deadline after a session's end times out who gets the slot next
    StaleDeadline,
    /// a deadline stays armed after leaving a queue
    DeadlineLeftArmed,
    /// a lock is granted to a connection that is gone
    GrantToTheGone,
    /// a reused slot gets its predecessor's event
    PredecessorsEvent,
    /// order is broken when somebody leaves from the middle of a queue
    OrderBroken,
    /// a connection is deaf after a read that the budget cut
    DeafAfterCut,
    /// an end of input behind a short read is missed
    EndMissed,
    /// a partial line is carried out at the end of input
    PartialLineAtEnd,
    /// a wait that timed out stays in the queue and does not free those behind it
    TimedOutStays,
    /// a reply is lost when the socket took nothing for a moment
    ReplyLost,
    /// a lock is granted although it is held
    GrantedTwice,
    /// whoever unlocks releases the holder
    UnlockByAnybody,
    /// unlock of a waiter releases the holder
    WaiterReleases,
    /// who locked twice must unlock twice
    HoldsCounted,
    /// reset leaves the last lock
    ResetLeavesLast,
    /// queue_max is compared without the holder
    QueueMaxWithoutHolder,
    /// one more may wait than lock_waits_max
    WaitsMaxOffByOne,
    /// the timeout of a second request takes the place of the first
    SecondTimeoutCounts,
    /// timeouts come a nanosecond late
    TimeoutLate,
    /// timeouts come before requests of the same turn
    TimeoutsFirst,
    /// deadlines of the same moment come in reverse order
    EqualDeadlinesReversed,
    /// what the budget for timeouts left over waits for an event
    ExpiryForgotten,
    /// a grant has the id of another request
    AnotherId,
    /// an unlock answers the wait as well that was answered by its grant
    CancelledToo,
    /// who waits in a crowd for a lock is not found there
    LostInTheCrowd,
    /// names that begin alike are one lock
    NamesAlike,
    /// a line may be one byte over the limit
    LineMaxOffByOne,
    /// the partial line of a connection that ended is another's
    BufferNotCleared,
    /// a connection is not served again after its output was too much
    NotResumed,
    /// the rest of a reply that was taken in part is not sent
    RestForgotten,
    /// a write that was interrupted is not tried again
    InterruptedForgotten,
    /// an active connection is closed as idle
    IdleDespiteInput,
    /// a connection that was active once is never idle
    NeverIdle,
    /// those who were told that there is no room count as there for ever
    TurnedAwayForEver,
    /// kick is answered before the locks have passed on
    KickedTooSoon,
}

/// Whether something is wrong on purpose.
#[cfg(not(feature = "faults"))]
#[inline]
pub(crate) const fn is_on(_: Fault) -> bool {
    false
}

#[cfg(feature = "faults")]
pub use self::switches::switch;
#[cfg(feature = "faults")]
pub(crate) use self::switches::{has_assertions, is_on};

#[cfg(feature = "faults")]
mod switches {
    use std::cell::Cell;

    use super::Fault;

    thread_local! {
        static ON: Cell<Option<Fault>> = const { Cell::new(None) };
        static HAS_ASSERTIONS: Cell<bool> = const { Cell::new(true) };
    }

    /// From now on this fault, or none, is on for all servers on this thread, and their assertions are off.
    pub fn switch(fault: Option<Fault>) {
        ON.set(fault);
        HAS_ASSERTIONS.set(false);
    }

    pub(crate) fn is_on(fault: Fault) -> bool {
        ON.get() == Some(fault)
    }

    pub(crate) fn has_assertions() -> bool {
        HAS_ASSERTIONS.get()
    }
}

#[cfg(feature = "faults")]
macro_rules! assert {
    ($holds:expr $(,)?) => { ::std::assert!($holds) };
    ($holds:expr, $($message:tt)+) => {{
        let holds: bool = $holds;
        if $crate::faults::has_assertions() {
            ::std::assert!(holds, $($message)+);
        }
    }};
}

#[cfg(feature = "faults")]
macro_rules! assert_eq {
    ($left:expr, $right:expr $(,)?) => { ::std::assert_eq!($left, $right) };
    ($left:expr, $right:expr, $($message:tt)+) => {
        match (&$left, &$right) {
            (left, right) => {
                if $crate::faults::has_assertions() {
                    ::std::assert_eq!(*left, *right, $($message)+);
                }
            }
        }
    };
}
