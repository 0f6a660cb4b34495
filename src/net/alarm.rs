//! An alarm clock among the sockets: it wakes the poll at a time that was set before.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::time::Moment;

/// Wakes the poll, so that the poll itself can wait without a limit. A limit arms and disarms a timer of the system at
/// every wait, which a request that comes alone pays for: 2 µs of the 53 that its lock and unlock take in a virtual machine.
/// What is due next hardly ever comes earlier than what was due next before, so this one is left as it is nearly always.
#[derive(Debug)]
pub(super) struct Alarm {
    timer: OwnedFd,
    /// When it goes off, if that is still to come. It may be earlier than anything is due: then it is set again.
    at: Option<Moment>,
}

impl Alarm {
    /// One that is not set, in this poll.
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Alarm { timer, at: None })
    }

    /// Sees to it that it goes off at this time or earlier. `now` is only asked for when it has to be set.
    pub(super) fn set(&mut self, at: Moment, now: impl FnOnce() -> Moment) -> io::Result<()> {
        if self.at.is_some_and(|set| set <= at) {
            return Ok(());
        }
        // A time of 0 would switch it off.
        let left = at.since(now()).as_nanos().max(1);
        let value = Timespec {
            tv_sec: i64::try_from(left / 1_000_000_000).expect("584 years at the most"),
            tv_nsec: i64::try_from(left % 1_000_000_000).expect("less than a second"),
        };
        let once = Itimerspec { it_interval: Timespec::default(), it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        self.at = Some(at);
        Ok(())
    }

    /// The poll says that it went off. That need not be read: each time it goes off is a new edge.
    pub(super) fn went_off(&mut self) {
        self.at = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mio::{Events, Poll};

    use super::*;

    #[test]
    fn it_goes_off_at_the_earliest_time_that_was_set_and_again_when_it_is_set_again() {
        let mut poll = Poll::new().unwrap();
        let mut events = Events::with_capacity(4);
        let mut alarm = Alarm::new(poll.registry(), Token(7)).unwrap();
        for _ in 0..3 {
            alarm.set(Moment::NEVER, || Moment::START).unwrap();
            alarm.set(Moment::from_nanos(1_000_000), || Moment::START).unwrap();
            alarm.set(Moment::from_nanos(2_000_000), || panic!("it is set for an earlier time")).unwrap();
            poll.poll(&mut events, Some(Duration::from_secs(60))).unwrap();
            assert!(events.iter().any(|event| event.token() == Token(7)), "it went off");
            alarm.went_off();
        }
        alarm.set(Moment::from_nanos(5), || Moment::from_nanos(10)).unwrap();
        poll.poll(&mut events, Some(Duration::from_secs(60))).unwrap();
        assert!(!events.is_empty(), "what is past already goes off at once");
    }
}
