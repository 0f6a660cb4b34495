//! Signals that are for the server: they wake the poll, and say what they ask for.

use std::io::{self, ErrorKind, Read};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mio::event::Source;
use mio::net::UnixStream;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGXFSZ};

/// Once it exists, the signals no longer end the process.
#[derive(Debug)]
pub(super) struct Signals {
    /// A byte for each signal, written by its handler after it has set the flag.
    wake: UnixStream,
    end: Arc<AtomicBool>,
    hangup: Arc<AtomicBool>,
}

/// What was asked for since the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// SIGTERM or SIGINT.
    pub(super) end: bool,
    /// SIGHUP.
    pub(super) hangup: bool,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        let (receiver, sender) = StdUnixStream::pair()?;
        receiver.set_nonblocking(true)?;
        let signals = Signals { wake: UnixStream::from_std(receiver), end: Arc::default(), hangup: Arc::default() };
        for (signal, flag) in [(SIGTERM, &signals.end), (SIGINT, &signals.end), (SIGHUP, &signals.hangup)] {
            // The handlers of one signal run in the order of their registration.
            signal_hook::flag::register(signal, flag.clone())?;
            signal_hook::low_level::pipe::register(signal, sender.try_clone()?)?;
        }
        // What asks for nothing here must not cost the locks. The first comes with the error of a write that a limit on the size
        // of files forbids, which costs a line of the log. The others tell many a server to open its log again, and by default
        // end a process.
        for signal in [SIGXFSZ, SIGUSR1, SIGUSR2] {
            signal_hook::flag::register(signal, Arc::default())?;
        }
        Ok(signals)
    }

    /// What a poll watches.
    pub(super) fn source(&mut self) -> &mut dyn Source {
        &mut self.wake
    }

    /// To be called when the poll has announced some.
    pub(super) fn take(&mut self) -> Asked {
        // Read to the end, as the poll announces only new bytes; and before the flags are checked, so that a flag that is set
        // later comes with another byte.
        let mut bytes = [0; 64];
        loop {
            match self.wake.read(&mut bytes) {
                Ok(1..) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => break,
            }
        }
        let take = |flag: &AtomicBool| flag.swap(false, Ordering::SeqCst);
        Asked { end: take(&self.end), hangup: take(&self.hangup) }
    }
}
