//! Buffers on loan: a connection has one only while it has a partial line or unsent output.

/// What a pool lends.
pub(super) trait Buffer: Default {
    /// Forgets the content, keeps the memory.
    fn clear(&mut self);

    /// The memory that it keeps, in bytes.
    fn capacity(&self) -> usize;
}

/// Keeps returned buffers for the next borrower: at most [`POOLED_MAX`], and none that has grown large.
#[derive(Debug)]
pub(super) struct Pool<B> {
    // Boxed, as a connection keeps it: handing one over moves a pointer.
    free: Vec<Box<B>>,
}

/// As many as connections may need one within a turn, at 16 KiB: 16 MiB at the most.
const POOLED_MAX: usize = 1024;
const POOLED_CAPACITY_MAX: usize = 16 << 10;

impl<B> Default for Pool<B> {
    fn default() -> Self {
        Pool { free: Vec::new() }
    }
}

impl<B: Buffer> Pool<B> {
    /// An empty buffer; the one returned last, as it may still be in the cache.
    pub(super) fn take(&mut self) -> Box<B> {
        self.free.pop().unwrap_or_default()
    }

    /// Takes a buffer back.
    pub(super) fn put(&mut self, mut buffer: Box<B>) {
        if self.free.len() < POOLED_MAX && buffer.capacity() <= POOLED_CAPACITY_MAX {
            buffer.clear();
            self.free.push(buffer);
        }
    }
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
        assert_eq!(pool.free.len(), 0, "a large one is not kept");
        (0..POOLED_MAX + 5).for_each(|_| pool.put(Box::default()));
        assert_eq!(pool.free.len(), POOLED_MAX);
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
