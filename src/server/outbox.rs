//! What is decided for a connection and not yet sent.

use super::buffers::{Buffer, give_back};

/// Bytes to be sent. Invariant: `sent <= bytes.len()`.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) bytes: Vec<u8>,
    sent: usize,
}

/// Sent bytes at the front of an outbox are moved out from this many on, once they are half of it.
const COMPACT_BYTES: usize = 16 << 10;

impl Outbox {
    #[inline]
    pub(super) fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    pub(super) fn mark_sent(&mut self, bytes: usize) {
        self.sent += bytes;
        assert!(self.sent <= self.bytes.len(), "no more is sent than there was");
        if self.sent >= COMPACT_BYTES && self.sent >= self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
            give_back(&mut self.bytes, 2 * COMPACT_BYTES);
        }
    }
}

impl Buffer for Outbox {
    fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
    }

    fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_moved_out_when_it_is_much_and_half_of_all() {
        let mut outbox = Outbox { bytes: vec![0; 100], sent: 0 };
        outbox.mark_sent(60);
        assert_eq!((outbox.bytes.len(), outbox.unsent().len()), (100, 40), "little is not worth it");
        let mut outbox = Outbox { bytes: vec![0; 1 << 20], sent: 0 };
        outbox.mark_sent(COMPACT_BYTES);
        assert_eq!(outbox.bytes.len(), 1 << 20, "nor is a move of much for little");
        outbox.mark_sent((1 << 19) - COMPACT_BYTES);
        assert_eq!((outbox.bytes.len(), outbox.unsent().len()), (1 << 19, 1 << 19));
    }

    #[test]
    fn a_buffer_that_was_fuller_gives_its_memory_back() {
        let mut outbox = Outbox { bytes: vec![0; 1 << 20], sent: 0 };
        outbox.mark_sent((1 << 20) - 1);
        assert_eq!((outbox.unsent().len(), outbox.capacity()), (1, 2 * COMPACT_BYTES));
    }
}
