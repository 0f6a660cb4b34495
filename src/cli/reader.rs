//! Whether anybody still reads what a command prints: one that waits for something to print would not notice by itself.

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Whether the other end of a pipe or socket is closed.
pub(super) fn is_gone(out: &impl AsFd) -> bool {
    // Errors and the end of the reader are reported without being asked for.
    let mut fds = [PollFd::new(out, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut fds, Some(&at_once)), Ok(1..)) && fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}
