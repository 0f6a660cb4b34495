//! Tokens that begin at the clock: 4 per microsecond since 2020, which is more than a server can give out. So they rise
//! from one start to the next, unless the clock is set back in between.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{TokenSource, TokensError};
use crate::engine::{TOKEN_END, TokenBlock};

/// 2020-01-01 00:00:00 UTC, after the beginning of 1970.
const YEAR_2020: Duration = Duration::from_secs(1_577_836_800);

/// Tokens that pass in a microsecond.
const MICROSECOND_TOKENS: u128 = 4;

/// Tells the time. Outside of tests that is the system's clock.
pub(super) type Now = Box<dyn Fn() -> SystemTime + Send>;

/// A clock that counts in tokens.
pub(super) struct Clock(Now);

impl Clock {
    pub(super) fn new(now: Now) -> Self {
        Clock(now)
    }

    /// The token that it stands at. None: the time has none, as it is before 2020 or decades ahead.
    fn token(&self) -> Option<u64> {
        let since_1970 = (self.0)().duration_since(UNIX_EPOCH).ok()?;
        let token = since_1970.checked_sub(YEAR_2020)?.as_micros() * MICROSECOND_TOKENS;
        u64::try_from(token).ok().filter(|token| (1..TOKEN_END).contains(token))
    }

    /// The next block of this length, where all tokens below `reserved` were reserved before: it begins there, or at the
    /// clock if that is ahead. So a clock that was set back does no harm, and neither does an old copy of a file.
    pub(super) fn next_block(&self, reserved: Option<u64>, len: u64) -> Result<TokenBlock, TokensError> {
        let first = reserved.max(self.token()).ok_or(TokensError::ClockOutOfRange)?;
        let end = first.checked_add(len).filter(|end| *end <= TOKEN_END).ok_or(TokensError::Exhausted)?;
        Ok(TokenBlock::new(first, end))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.token()).finish()
    }
}

/// The source of a server that keeps nothing on disk.
#[derive(Debug)]
pub(super) struct ClockSource {
    clock: Clock,
    block_len: u64,
    /// The end of the last block.
    reserved: Option<u64>,
}

impl ClockSource {
    pub(super) fn new(clock: Clock, block_len: u64) -> Self {
        ClockSource { clock, block_len, reserved: None }
    }
}

impl TokenSource for ClockSource {
    fn reserve(&mut self) -> Result<TokenBlock, TokensError> {
        let block = self.clock.next_block(self.reserved, self.block_len)?;
        self.reserved = Some(block.end());
        Ok(block)
    }

    fn describe(&self) -> String {
        "from the clock, and can repeat if it is set back before a restart; --state-dir keeps them in a file".to_owned()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// A clock that a test sets, in microseconds since 1970.
    #[derive(Clone, Default)]
    pub(in crate::net::tokens) struct SetClock(Arc<AtomicU64>);

    impl SetClock {
        pub(in crate::net::tokens) fn set(&self, since_2020: Duration) {
            self.set_since_1970(YEAR_2020 + since_2020);
        }

        pub(in crate::net::tokens) fn set_since_1970(&self, time: Duration) {
            self.0.store(u64::try_from(time.as_micros()).unwrap(), Ordering::SeqCst);
        }

        pub(in crate::net::tokens) fn clock(&self) -> Clock {
            let micros = self.0.clone();
            Clock::new(Box::new(move || UNIX_EPOCH + Duration::from_micros(micros.load(Ordering::SeqCst))))
        }
    }

    fn at(since_2020: Duration) -> SetClock {
        let clock = SetClock::default();
        clock.set(since_2020);
        clock
    }

    const YEAR: Duration = Duration::from_secs(31_556_952);

    #[test]
    fn tokens_begin_at_four_per_microsecond_since_2020() {
        let mut source = ClockSource::new(at(Duration::from_secs(1)).clock(), 1000);
        assert_eq!(source.reserve().unwrap(), TokenBlock::new(4_000_000, 4_001_000));
        // There is room for decades.
        ClockSource::new(at(70 * YEAR).clock(), 1 << 32).reserve().unwrap();
    }

    #[test]
    fn the_next_block_is_above_the_last_whatever_the_clock_does() {
        let clock = at(Duration::from_micros(1000));
        let mut source = ClockSource::new(clock.clock(), 100);
        assert_eq!(source.reserve().unwrap(), TokenBlock::new(4000, 4100));
        assert_eq!(source.reserve().unwrap(), TokenBlock::new(4100, 4200));
        clock.set(Duration::from_micros(5));
        assert_eq!(source.reserve().unwrap(), TokenBlock::new(4200, 4300));
        clock.set_since_1970(Duration::ZERO);
        assert_eq!(source.reserve().unwrap(), TokenBlock::new(4300, 4400));
        clock.set(Duration::from_micros(2000));
        assert_eq!(source.reserve().unwrap(), TokenBlock::new(8000, 8100));
    }

    #[test]
    fn a_clock_that_has_no_tokens_is_an_error_at_the_start() {
        for time in [Duration::ZERO, YEAR_2020 - Duration::from_micros(1), YEAR_2020, YEAR_2020 + 72 * YEAR] {
            let clock = SetClock::default();
            clock.set_since_1970(time);
            let reserved = ClockSource::new(clock.clock(), 1 << 32).reserve();
            assert!(matches!(reserved, Err(TokensError::ClockOutOfRange)), "{time:?}: {reserved:?}");
        }
        let before_1970 = Clock::new(Box::new(|| UNIX_EPOCH - Duration::from_secs(1)));
        assert!(matches!(ClockSource::new(before_1970, 1).reserve(), Err(TokensError::ClockOutOfRange)));
    }

    #[test]
    fn there_are_no_tokens_from_two_to_the_53_on() {
        let clock = at(Duration::from_secs(1)).clock();
        assert_eq!(clock.next_block(Some(TOKEN_END - 5), 5).unwrap(), TokenBlock::new(TOKEN_END - 5, TOKEN_END));
        for (reserved, len) in [(TOKEN_END - 5, 6), (TOKEN_END, 1), (1, u64::MAX)] {
            let block = clock.next_block(Some(reserved), len);
            assert!(matches!(block, Err(TokensError::Exhausted)), "{block:?}");
        }
    }
}
