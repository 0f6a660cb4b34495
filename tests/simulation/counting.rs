//! The system's allocator, with a count of the memory that the server has.

#![allow(unsafe_code, reason = "an allocator can't be written without; all of it is the system's, unchanged")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Counting;

thread_local! {
    static IS_COUNTED: Cell<bool> = const { Cell::new(false) };
    /// May wrap. Differences are right.
    static LIVE_BYTES: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to `System` as it came. Counting touches two `Cell`s of the thread that need neither
// allocation nor a destructor, so it can't come back here.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn count(added: usize, freed: usize) {
    if IS_COUNTED.get() {
        LIVE_BYTES.set(LIVE_BYTES.get().wrapping_add(added).wrapping_sub(freed));
    }
}

/// What `work` returns, and by how much it changed the live memory, as a number that may have wrapped.
pub(crate) fn live<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE_BYTES.get();
    IS_COUNTED.set(true);
    let _stop = Restore(false);
    let result = work();
    (result, LIVE_BYTES.get().wrapping_sub(before))
}

/// The same for a socket, which is called by the server.
pub(crate) fn set_aside(is_aside: bool) {
    IS_COUNTED.set(!is_aside);
}

/// Nothing is counted until this is dropped: what the harness keeps is not the server's.
pub(crate) fn pause() -> impl Drop {
    Restore(IS_COUNTED.replace(false))
}

struct Restore(bool);

impl Drop for Restore {
    fn drop(&mut self) {
        IS_COUNTED.set(self.0);
    }
}
