//! Reading lines: from a socket, whose reads have a time limit, or from a pipe, which a thread reads.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel, sync_channel};
use std::thread;

use super::patience::PATIENCE;

/// Reads the lines of a socket.
pub(crate) struct LineReader<S>(BufReader<S>);

impl<S: Read> LineReader<S> {
    /// The socket has a read timeout, so that no test waits forever.
    pub(crate) fn new(socket: S) -> Self {
        LineReader(BufReader::new(socket))
    }

    /// The next line, without its end. None: the connection has ended, or is lost. An end within a line is an error.
    pub(crate) fn next_line(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) => Ok(None),
            Ok(_) if line.ends_with('\n') => {
                line.pop();
                Ok(Some(line))
            }
            Ok(_) => Err(io::Error::new(ErrorKind::UnexpectedEof, format!("the end is within a line: {line:?}"))),
            Err(error) if is_end(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The next line, which must arrive.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        match self.next_line() {
            Ok(Some(line)) => line,
            result => panic!("expected a line, got {result:?}"),
        }
    }

    /// Waits until there is something to read.
    pub(crate) fn peek(&mut self) -> io::Result<&[u8]> {
        self.0.fill_buf()
    }

    pub(crate) fn socket(&self) -> &S {
        self.0.get_ref()
    }

    pub(crate) fn socket_mut(&mut self) -> &mut S {
        self.0.get_mut()
    }

    /// The socket, without what was read ahead.
    pub(crate) fn into_socket(self) -> S {
        self.0.into_inner()
    }
}

impl<S: Read> Read for LineReader<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

/// Whether an error of a socket means that the other side is gone.
pub(crate) fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted)
}

/// The lines of a pipe. The last one need not be complete.
pub(crate) fn lines_of_pipe<R: Read>(pipe: R) -> impl Iterator<Item = String> + use<R> {
    BufReader::new(pipe).lines().map(|line| line.expect("output is readable and UTF-8"))
}

/// The lines of a pipe, or what is made of them, as they arrive.
pub(crate) struct Arriving<T = String>(Receiver<T>);

impl<T: Send + 'static> Arriving<T> {
    /// Bounded, so that unread output fills the pipe, as in a real pipeline.
    pub(crate) fn of(mut lines: impl Iterator<Item = T> + Send + 'static) -> Self {
        let (sender, receiver) = sync_channel(16 << 10);
        thread::spawn(move || lines.try_for_each(|line| sender.send(line)));
        Arriving(receiver)
    }

    /// Unbounded, so that the writer never waits for the test.
    pub(crate) fn all_of(mut lines: impl Iterator<Item = T> + Send + 'static) -> Self {
        let (sender, receiver) = channel();
        thread::spawn(move || lines.try_for_each(|line| sender.send(line)));
        Arriving(receiver)
    }

    /// None: there are no more.
    #[track_caller]
    pub(crate) fn next(&self) -> Option<T> {
        match self.0.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line in {PATIENCE:?}"),
        }
    }

    pub(crate) fn rest(&self) -> Vec<T> {
        std::iter::from_fn(|| self.next()).collect()
    }
}
