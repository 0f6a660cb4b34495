//! What is decided for a connection and not yet sent.

use super::buffers::{Buffer, LARGE_CAPACITY_MAX, POOLED_CAPACITY_MAX, Pool, give_back};

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

    /// For one that gets or has much at once: it goes on in memory that was used before, if there is such. Memory that is new
    /// to the process takes a page fault for each 4 KiB, which was half of the time of the longest turns.
    #[cold]
    #[inline(never)]
    pub(super) fn enlarge(self: &mut Box<Self>, pool: &mut Pool<Outbox>) {
        let Some(mut large) = pool.take_large() else { return };
        large.bytes.extend_from_slice(self.unsent());
        std::mem::swap(self, &mut large);
        pool.put(large);
    }

    /// Whether so much more is better written into a large one.
    #[inline(always)]
    pub(super) fn is_better_large_for(&self, bytes: usize) -> bool {
        let needed = self.bytes.len() + bytes;
        needed > self.bytes.capacity() && (POOLED_CAPACITY_MAX + 1..=LARGE_CAPACITY_MAX).contains(&needed)
    }

    /// Gives back most of the memory that it had for more: it may have to wait for long with what is in it.
    pub(super) fn give_back(&mut self) {
        give_back(&mut self.bytes, 2 * COMPACT_BYTES);
    }

    pub(super) fn mark_sent(&mut self, bytes: usize) {
        self.sent += bytes;
        assert!(self.sent <= self.bytes.len(), "no more is sent than there was");
        if self.sent >= COMPACT_BYTES && self.sent >= self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }
}

impl Buffer for Outbox {
    /// Of a page for operators, some watchers, and whoever is granted very much at once. 4 MiB in all.
    const LARGE_MAX: usize = 16;

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
        outbox.give_back();
        assert_eq!((outbox.unsent().len(), outbox.capacity()), (1, 2 * COMPACT_BYTES));
    }

    #[test]
    fn what_is_large_goes_on_in_memory_that_was_used_before() {
        let mut pool = Pool::default();
        let mut outbox = Box::new(Outbox { bytes: b"sent, and not sent".to_vec(), sent: 5 });
        outbox.enlarge(&mut pool);
        assert_eq!((&outbox.bytes[..], outbox.sent), (&b"sent, and not sent"[..], 5), "there is none");
        let large = Box::new(Outbox { bytes: vec![0; 100 << 10], sent: 0 });
        let memory = large.bytes.as_ptr();
        pool.put(large);
        assert!(
            !outbox.is_better_large_for(0) && !outbox.is_better_large_for(POOLED_CAPACITY_MAX - outbox.bytes.len())
        );
        assert!(outbox.is_better_large_for(POOLED_CAPACITY_MAX) && !outbox.is_better_large_for(LARGE_CAPACITY_MAX));
        outbox.enlarge(&mut pool);
        assert!(!outbox.is_better_large_for(99 << 10), "it has room");
        assert_eq!((outbox.unsent(), outbox.bytes.as_ptr()), (&b" and not sent"[..], memory));
    }
}
