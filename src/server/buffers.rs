//! Buffers on loan: a connection has one only while it has a partial line or unsent output.

/// What a pool lends.
pub(super) trait Buffer: Default {
    /// How many large ones are kept.
    const LARGE_MAX: usize;

    /// Forgets the content, keeps the memory.
    fn clear(&mut self);

    /// The memory that it keeps, in bytes.
    fn capacity(&self) -> usize;
}

/// Keeps returned buffers for the next borrower: at most [`POOLED_MAX`], and apart from them a few large ones.
#[derive(Debug)]
pub(super) struct Pool<B> {
    // Boxed, as a connection keeps it: handing one over moves a pointer.
    free: Vec<Box<B>>,
    large: Vec<Box<B>>,
}

/// As many as connections may need one within a turn, at 16 KiB: 16 MiB at the most.
const POOLED_MAX: usize = 1024;
pub(super) const POOLED_CAPACITY_MAX: usize = 16 << 10;
/// What a large buffer has at least, and at most: one that has grown beyond that is not kept.
pub(super) const LARGE_CAPACITY_MIN: usize = 64 << 10;
pub(super) const LARGE_CAPACITY_MAX: usize = 256 << 10;

impl<B> Default for Pool<B> {
    fn default() -> Self {
        Pool { free: Vec::new(), large: Vec::new() }
    }
}

impl<B: Buffer> Pool<B> {
    /// An empty buffer; the one returned last, as it may still be in the cache.
    pub(super) fn take(&mut self) -> Box<B> {
        self.free.pop().unwrap_or_default()
    }

    /// A large one, if one was returned.
    pub(super) fn take_large(&mut self) -> Option<Box<B>> {
        self.large.pop()
    }

    /// Takes a buffer back.
    pub(super) fn put(&mut self, mut buffer: Box<B>) {
        let (kept, most) = match buffer.capacity() {
            ..=POOLED_CAPACITY_MAX => (&mut self.free, POOLED_MAX),
            LARGE_CAPACITY_MIN..=LARGE_CAPACITY_MAX => (&mut self.large, B::LARGE_MAX),
            _ => return,
        };
        if kept.len() < most {
            buffer.clear();
            kept.push(buffer);
        }
    }
}

/// Whether a buffer with this capacity has outgrown the others, and is not large.
#[inline(always)]
pub(super) fn becomes_large(capacity: usize) -> bool {
    (POOLED_CAPACITY_MAX + 1..LARGE_CAPACITY_MIN).contains(&capacity)
}

/// Gives back the memory of a buffer that was once much fuller. The limit on the content of all buffers together should limit
/// their memory too, but a buffer that never becomes empty would keep its capacity forever.
pub(super) fn give_back(bytes: &mut Vec<u8>, capacity: usize) {
    // A buffer that has grown has twice its content at most.
    if bytes.capacity() > capacity.max(2 * bytes.len()) {
        bytes.shrink_to(capacity);
    }
}

#[cfg(test)]
mod tests {
    use super::super::inbox::Inbox;
    use super::super::outbox::Outbox;
    use super::*;

    impl Buffer for Vec<u8> {
        const LARGE_MAX: usize = 3;

        fn clear(&mut self) {
            Vec::clear(self);
        }

        fn capacity(&self) -> usize {
            Vec::capacity(self)
        }
    }

    #[test]
    fn a_pool_keeps_few_and_small_buffers_and_lends_them_empty() {
        let mut pool: Pool<Vec<u8>> = Pool::default();
        let mut buffer = pool.take();
        buffer.extend_from_slice(b"secret");
        let memory = buffer.as_ptr();
        pool.put(buffer);
        let again = pool.take();
        assert!(again.is_empty());
        assert_eq!(again.as_ptr(), memory, "the memory is used again");
        pool.put(Box::new(Vec::with_capacity(POOLED_CAPACITY_MAX + 1)));
        pool.put(Box::new(Vec::with_capacity(LARGE_CAPACITY_MIN - 1)));
        pool.put(Box::new(Vec::with_capacity(LARGE_CAPACITY_MAX + 1)));
        assert_eq!(
            (pool.free.len(), pool.take_large()),
            (0, None),
            "neither is a small one, or of the size of large ones"
        );
        (0..POOLED_MAX + 5).for_each(|_| pool.put(Box::default()));
        (0..8).for_each(|_| pool.put(Box::new(Vec::with_capacity(LARGE_CAPACITY_MIN))));
        assert_eq!((pool.free.len(), pool.large.len()), (POOLED_MAX, 3));
        assert_eq!(pool.take_large().map(|large| (large.len(), large.capacity())), Some((0, LARGE_CAPACITY_MIN)));
        assert_eq!(pool.take().capacity(), 0, "who needs little gets no large one");
    }

    #[test]
    fn a_buffer_that_has_grown_is_known_by_its_memory() {
        // Or the pool would keep it forever.
        let (mut inbox, mut outbox) = (Inbox::default(), Outbox::default());
        inbox.bytes.reserve(1 << 20);
        outbox.bytes.reserve(1 << 20);
        assert!(inbox.capacity() >= 1 << 20 && outbox.capacity() >= 1 << 20);
    }
}
