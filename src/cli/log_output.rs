//! stderr as the destination of the log: it never blocks the server for long, and one line stays one line.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What a pipe with room takes without blocking (`PIPE_BUF` of Linux; other systems have less only on paper).
const PIECE_BYTES: usize = 4096;

/// How long to wait for a reader. A reader may be late now and then; a reader that is stuck must not stop the server.
const PATIENCE: Duration = Duration::from_millis(200);

/// After a wait without success, lines that can't be written at once are dropped for this long: the server spends at most a
/// hundredth of its time on such a reader.
const IMPATIENCE: Duration = Duration::from_secs(20);

/// stderr, for the logger, which writes a line at a time. Lines that can't be written are dropped and counted.
#[derive(Debug, Default)]
pub(super) struct LogOutput {
    lines_lost: u64,
    /// A part of a line was written, but not its end.
    is_within_line: bool,
    impatient_until: Option<Instant>,
}

impl Write for LogOutput {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if !self.write_line(line) {
            self.lines_lost += 1;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl LogOutput {
    fn write_line(&mut self, line: &[u8]) -> bool {
        let end = if self.is_within_line { "\n" } else { "" };
        if self.lines_lost > 0 {
            let told = format!("{end}officer: {} lines of the log could not be written here\n", self.lines_lost);
            if !self.write_pieces(told.as_bytes()) {
                return false;
            }
            self.lines_lost = 0;
        } else if !self.write_pieces(end.as_bytes()) {
            return false;
        }
        self.write_pieces(line)
    }

    fn write_pieces(&mut self, bytes: &[u8]) -> bool {
        for piece in bytes.chunks(PIECE_BYTES) {
            let mut rest = piece;
            while !rest.is_empty() {
                if !self.has_room() {
                    return false;
                }
                match io::stderr().write(rest) {
                    Ok(0) => return false,
                    Ok(count) => {
                        self.is_within_line = rest[count - 1] != b'\n';
                        rest = &rest[count..];
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => return false,
                }
            }
        }
        true
    }

    /// Whether a piece can be written without waiting for long. A file always has room; if its disk is full, the write fails.
    fn has_room(&mut self) -> bool {
        if is_writable(Duration::ZERO) {
            return true;
        }
        let now = Instant::now();
        if self.impatient_until.is_some_and(|until| now < until) {
            return false;
        }
        if is_writable(PATIENCE) {
            return true;
        }
        self.impatient_until = Some(now + PATIENCE + IMPATIENCE);
        false
    }
}

fn is_writable(timeout: Duration) -> bool {
    let stderr = io::stderr();
    let mut fds = [PollFd::new(&stderr, PollFlags::OUT)];
    let timeout = Timespec { tv_sec: 0, tv_nsec: timeout.subsec_nanos().into() };
    // An error will come from the write as well, with a better description. A signal cuts the wait short.
    !matches!(poll(&mut fds, Some(&timeout)), Ok(0) | Err(rustix::io::Errno::INTR))
}
