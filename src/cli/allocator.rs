//! The system's allocator, told what a server needs of it.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
use libc::{M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, mallopt};

/// Large pieces that are free go back to the system each time. glibc gives them back at first, but once it has seen one
/// freed it keeps what is no larger: what a million locks took would stay for ever.
///
/// Called while there is no other thread, as `mallopt(3)` wants it. What was set by GLIBC_TUNABLES is replaced.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "C functions are; this one takes two numbers, and no memory of ours is touched by it")]
pub(super) fn return_what_is_free() {
    // A piece of so much is by itself, whatever is in use beside it: half of what glibc begins with, so that the longest
    // lines are among them. And so much that is free at the end of the others is kept, as in the beginning.
    for (parameter, bytes) in [(M_MMAP_THRESHOLD, 64 << 10), (M_TRIM_THRESHOLD, 128 << 10)] {
        // SAFETY: any parameter and any number will do; what glibc does not know it refuses.
        let is_set = unsafe { mallopt(parameter, bytes) } == 1;
        debug_assert!(is_set, "glibc knows {parameter}");
    }
}

/// Other allocators are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn return_what_is_free() {}
