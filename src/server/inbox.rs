//! What a connection has received and nobody has executed yet.

use super::buffers::{Buffer, give_back};
use crate::wire::line::LineScanner;

/// What an inbox may have, however little is in it: room for the rest of a line, and where more comes at once, for a
/// read and a rest.
const QUIET_CAPACITY: usize = 1 << 10;
const BUSY_CAPACITY: usize = 32 << 10;

/// Bytes received, and how far they were looked at.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    pub(super) bytes: Vec<u8>,
    pub(super) scanner: LineScanner,
}

impl Inbox {
    /// Drops what was executed.
    pub(super) fn compact(&mut self) {
        let left = self.scanner.rest(&self.bytes).len();
        self.bytes.drain(..self.bytes.len() - left);
        self.scanner = self.scanner.rebased();
    }

    /// Gives back most of the memory that it had for more. `is_quiet`: nothing more is there to be read, so that it may stay
    /// as it is for long.
    pub(super) fn give_back(&mut self, is_quiet: bool) {
        give_back(&mut self.bytes, if is_quiet { QUIET_CAPACITY } else { BUSY_CAPACITY });
    }
}

impl Buffer for Inbox {
    /// Hardly any line is so long.
    const LARGE_MAX: usize = 0;

    fn clear(&mut self) {
        self.bytes.clear();
        self.scanner = LineScanner::default();
    }

    fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inbox_of_which_all_was_executed_is_known_to_be_empty() {
        // Or every connection would keep one forever.
        let mut inbox = Inbox { bytes: b"one\ntwo".to_vec(), scanner: LineScanner::default() };
        assert_eq!(inbox.scanner.next_line(&inbox.bytes, 100), Ok(Some(&b"one"[..])));
        inbox.compact();
        assert_eq!(inbox.bytes, b"two");
        inbox.bytes.push(b'\n');
        assert_eq!(inbox.scanner.next_line(&inbox.bytes, 100), Ok(Some(&b"two"[..])));
        inbox.compact();
        assert_eq!(inbox.bytes, b"");
    }

    #[test]
    fn a_buffer_that_was_fuller_gives_its_memory_back() {
        // Or clients could have any number of bytes that count against no limit.
        let mut inbox = Inbox { bytes: vec![b'x'; 1 << 20], scanner: LineScanner::default() };
        inbox.bytes.extend_from_slice(b"\nrest");
        assert!(inbox.scanner.next_line(&inbox.bytes, 2 << 20).is_ok_and(|line| line.is_some()));
        inbox.compact();
        inbox.give_back(false);
        assert_eq!((&inbox.bytes[..], inbox.capacity()), (&b"rest"[..], BUSY_CAPACITY));
        inbox.give_back(true);
        assert_eq!((&inbox.bytes[..], inbox.capacity()), (&b"rest"[..], QUIET_CAPACITY));
        inbox.bytes.resize(QUIET_CAPACITY + 1, b'x');
        let grown = inbox.capacity();
        inbox.give_back(true);
        assert_eq!(inbox.capacity(), grown, "what is in it needs it");
    }
}
