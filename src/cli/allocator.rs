//! The system's allocator, configured for a server.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
use libc::{M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, mallopt};

/// Returns large free blocks to the system each time. By default glibc returns them at first, but once it has seen one
/// freed it keeps blocks up to that size: the memory of a million locks would stay forever.
///
/// Called while there is no other thread, as `mallopt(3)` requires. Overrides GLIBC_TUNABLES.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "a C function; it takes two numbers, and does not touch our memory")]
pub(super) fn return_what_is_free() {
    // Blocks of this size are mapped separately: half of the initial value of glibc, so that the longest lines are
    // among them. This much free memory at the end of the heap is kept, which is the initial value.
    for (parameter, bytes) in [(M_MMAP_THRESHOLD, 64 << 10), (M_TRIM_THRESHOLD, 128 << 10)] {
        // SAFETY: any parameter and any number are valid; glibc refuses those that it does not know.
        let is_set = unsafe { mallopt(parameter, bytes) } == 1;
        debug_assert!(is_set, "glibc knows {parameter}");
    }
}

/// Other allocators are not configured.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn return_what_is_free() {}
