//! Where tokens come from: blocks of them, each reserved before any of it is given out, from a source that never goes back.
//!
//! The next block is reserved when half of the present one is used up. That takes as long as a disk or a network takes, so
//! a thread of its own does it, and the loop continues. If it fails, it is tried again until the present block is
//! used up too; then the server ends rather than give a token twice.

mod clock;
mod error;
mod file;
mod record;

use std::fmt;
use std::path::Path;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use mio::Waker;

pub use self::error::TokensError;

use self::clock::{Clock, ClockSource};
use self::file::FileSource;
use super::RunError;
use crate::engine::TokenBlock;
use crate::time::Moment;

/// The length of a block. There are two million of them: enough for a start every twenty minutes for decades.
const BLOCK_LEN: u64 = 1 << 32;

/// With fewer tokens than this at the end of a turn the server ends: the next turn might need more.
pub(super) const LEFT_MIN: u64 = 1 << 20;

/// When to try again what has failed.
const RETRY: Duration = Duration::from_secs(5);

/// Where blocks come from. It never goes back: not within a process, and not from one to the next.
pub(super) trait TokenSource: Send + fmt::Debug {
    /// Reserves the next block, which is above all that were reserved before by anybody. Returns when that is certain,
    /// whatever crashes from then on, and may take long.
    ///
    /// # Errors
    /// Nothing of the block was given out, and it can be tried again.
    fn reserve(&mut self) -> Result<TokenBlock, TokensError>;

    /// For the log: where its tokens come from, and what that means. It continues "tokens ... come".
    fn describe(&self) -> String;
}

/// The source of a server with this state directory, or without one.
pub(super) fn source(state_dir: Option<&Path>) -> Result<Box<dyn TokenSource>, TokensError> {
    let clock = Clock::new(Box::new(SystemTime::now));
    Ok(match state_dir {
        Some(directory) => Box::new(FileSource::open(directory, clock, BLOCK_LEN)?),
        None => Box::new(ClockSource::new(clock, BLOCK_LEN)),
    })
}

/// Fails if a state directory can't be used, as far as that can be told while another server uses it.
#[cfg(feature = "cli")]
pub(super) fn check(state_dir: &Path) -> Result<(), TokensError> {
    FileSource::check(state_dir)
}

/// Reserves blocks while the server runs.
#[derive(Debug)]
pub(super) struct Tokens {
    source: Arc<Mutex<Box<dyn TokenSource>>>,
    /// Wakes the loop when a reservation has come to an end.
    waker: Arc<Waker>,
    reservation: Reservation,
    /// Why the last one failed, until one succeeds.
    error: Option<TokensError>,
    left_min: u64,
    /// Where the tokens come from, and what that means.
    source_line: String,
}

#[derive(Debug)]
enum Reservation {
    /// None is wanted, or only just.
    Idle,
    /// A thread reserves a block.
    Running(Receiver<Result<TokenBlock, TokensError>>),
    /// The last one failed.
    RetryAt(Moment),
}

impl Tokens {
    /// Reserves the first block, and waits until that is done. With fewer than `left_min` tokens the server is to end.
    pub(super) fn begin(
        mut source: Box<dyn TokenSource>,
        waker: Waker,
        left_min: u64,
    ) -> Result<(Tokens, TokenBlock), TokensError> {
        let block = source.reserve()?;
        let source_line = format!("tokens {} to {} come {}", block.first(), block.end() - 1, source.describe());
        let (source, waker) = (Arc::new(Mutex::new(source)), Arc::new(waker));
        Ok((Tokens { source, waker, reservation: Reservation::Idle, error: None, left_min, source_line }, block))
    }

    /// Says where tokens come from, and what that means.
    pub(super) fn log_source(&self) {
        log::info!("{}", self.source_line);
    }

    /// When to try again what has failed.
    pub(super) fn due(&self) -> Option<Moment> {
        match self.reservation {
            Reservation::RetryAt(at) => Some(at),
            Reservation::Idle | Reservation::Running(_) => None,
        }
    }

    /// To be called at the end of each turn in which the server wants a block. It has `left` tokens. Returns a block when one
    /// is reserved.
    ///
    /// # Errors
    /// [`RunError::OutOfTokens`]: the next turn might need more than are left.
    pub(super) fn renew(&mut self, left: u64, now: Moment) -> Result<Option<TokenBlock>, RunError> {
        let block = self.reserved(now);
        match self.reservation {
            Reservation::Idle if block.is_none() => self.start(now),
            Reservation::RetryAt(at) if at <= now => self.start(now),
            _ => {}
        }
        if block.is_none() && left < self.left_min {
            return Err(RunError::OutOfTokens(self.error.take()));
        }
        Ok(block)
    }

    /// The block of a reservation that has come to an end.
    fn reserved(&mut self, now: Moment) -> Option<TokenBlock> {
        let Reservation::Running(result) = &self.reservation else { return None };
        match result.try_recv() {
            Ok(Ok(block)) => {
                self.reservation = Reservation::Idle;
                if self.error.take().is_some() {
                    log::info!("tokens can be reserved again");
                }
                Some(block)
            }
            Ok(Err(error)) => {
                self.fail(error, now);
                None
            }
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => panic!("the thread that reserves tokens has panicked"),
        }
    }

    fn start(&mut self, now: Moment) {
        let (sender, receiver) = sync_channel(1);
        let (source, waker) = (Arc::clone(&self.source), Arc::clone(&self.waker));
        let reserve = move || {
            let result = source.lock().expect("one thread at a time, and none has panicked").reserve();
            // Nobody is there to take it if the server has ended meanwhile.
            let _ = sender.send(result);
            let _ = waker.wake();
        };
        self.reservation = Reservation::Running(receiver);
        if let Err(error) = thread::Builder::new().name("tokens".to_owned()).spawn(reserve) {
            self.fail(TokensError::Thread(error), now);
        }
    }

    fn fail(&mut self, error: TokensError, now: Moment) {
        self.reservation = Reservation::RetryAt(now.after(RETRY.into()));
        // Once, however often it is tried.
        if self.error.replace(error).is_none()
            && let Some(error) = &self.error
        {
            log::error!(
                "no more tokens can be reserved: {error}; trying again every {RETRY:?}, and stopping when they are used up"
            );
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io;
    use std::sync::mpsc::{Sender, channel};

    use mio::{Events, Poll, Token};

    use super::*;

    pub(in crate::net) type Reserved = Result<TokenBlock, TokensError>;

    /// Reserves what it is told to, when it is told to, and says that it was asked.
    #[derive(Debug)]
    pub(in crate::net) struct Told {
        reserved: Receiver<Reserved>,
        asked: Sender<()>,
    }

    impl Told {
        pub(in crate::net) fn new() -> (Told, Sender<Reserved>, Receiver<()>) {
            let ((teller, reserved), (asked, asks)) = (channel(), channel());
            (Told { reserved, asked }, teller, asks)
        }
    }

    impl TokenSource for Told {
        fn reserve(&mut self) -> Reserved {
            let _ = self.asked.send(());
            // The test is over if nobody tells it anything.
            self.reserved.recv().unwrap_or(Err(TokensError::Exhausted))
        }

        fn describe(&self) -> String {
            "from a test".to_owned()
        }
    }

    pub(in crate::net) fn full() -> TokensError {
        TokensError::File { path: "tokens".into(), step: "write", error: io::ErrorKind::StorageFull.into() }
    }

    /// A loop without sockets.
    struct Loop {
        poll: Poll,
        source: Sender<Reserved>,
        tokens: Tokens,
    }

    const LEFT_MIN: u64 = 10;

    impl Loop {
        fn new() -> Loop {
            let poll = Poll::new().unwrap();
            let waker = Waker::new(poll.registry(), Token(7)).unwrap();
            let (told, source, _) = Told::new();
            source.send(Ok(TokenBlock::new(1, 101))).unwrap();
            let (tokens, first) = Tokens::begin(Box::new(told), waker, LEFT_MIN).unwrap();
            assert_eq!(first, TokenBlock::new(1, 101));
            Loop { poll, source, tokens }
        }

        fn renew(&mut self, left: u64, now: Moment) -> Option<TokenBlock> {
            self.tokens.renew(left, now).unwrap()
        }

        /// A reservation comes to an end, and wakes the loop.
        fn finish(&mut self, result: Reserved) {
            self.source.send(result).unwrap();
            let mut events = Events::with_capacity(4);
            self.poll.poll(&mut events, Some(Duration::from_secs(60))).unwrap();
            assert!(events.iter().any(|event| event.token() == Token(7)), "the loop was woken");
        }
    }

    fn seconds(seconds: u64) -> Moment {
        Moment::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn a_block_is_reserved_while_the_loop_goes_on() {
        let mut it = Loop::new();
        for left in [50, 49, 48] {
            assert_eq!(it.renew(left, Moment::START), None);
            assert_eq!(it.tokens.due(), None);
        }
        it.finish(Ok(TokenBlock::new(101, 201)));
        assert_eq!(it.renew(47, Moment::START), Some(TokenBlock::new(101, 201)));
        // The next time one is wanted.
        assert_eq!(it.renew(50, Moment::START), None);
        it.finish(Ok(TokenBlock::new(201, 301)));
        // In time, just so.
        assert_eq!(it.renew(LEFT_MIN - 1, Moment::START), Some(TokenBlock::new(201, 301)));
    }

    #[test]
    fn a_reservation_that_fails_is_tried_again_after_a_while() {
        let mut it = Loop::new();
        for round in 0..3 {
            let start = seconds(10 * round);
            assert_eq!(it.renew(50, start), None);
            it.finish(Err(full()));
            assert_eq!(it.renew(49, start), None);
            assert_eq!(it.tokens.due(), Some(start.after(RETRY.into())));
            // Nothing is tried before: what the source is told comes to the next attempt.
            assert_eq!(it.renew(48, seconds(10 * round + 4)), None);
            assert_eq!(it.tokens.due(), Some(start.after(RETRY.into())));
        }
        assert_eq!(it.renew(48, seconds(25)), None);
        assert_eq!(it.tokens.due(), None);
        it.finish(Ok(TokenBlock::new(101, 201)));
        assert_eq!(it.renew(47, seconds(25)), Some(TokenBlock::new(101, 201)));
        assert_eq!(it.tokens.due(), None);
    }

    #[test]
    fn when_the_block_is_used_up_the_server_ends() {
        let mut it = Loop::new();
        assert_eq!(it.renew(50, Moment::START), None);
        it.finish(Err(full()));
        assert_eq!(it.renew(LEFT_MIN, Moment::START), None);
        let ended = it.tokens.renew(LEFT_MIN - 1, Moment::START);
        assert!(matches!(ended, Err(RunError::OutOfTokens(Some(TokensError::File { .. })))), "{ended:?}");

        // The disk hangs.
        let mut it = Loop::new();
        assert_eq!(it.renew(LEFT_MIN, Moment::START), None);
        let ended = it.tokens.renew(LEFT_MIN - 1, Moment::START);
        assert!(matches!(ended, Err(RunError::OutOfTokens(None))), "{ended:?}");
        // So that the thread ends.
        it.finish(Ok(TokenBlock::new(101, 201)));
    }
}
