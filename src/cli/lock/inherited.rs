//! What a command inherits, and a plain `spawn` would not give it; and that it does not outlive us.
//!
//! A command that `nohup`, `env` or `flock` starts ignores the signals that their caller ignored. Rust's runtime ignores
//! SIGPIPE before `main`, and resets it for commands, so what the caller wanted has to be found out before that. SIGCHLD
//! needs the same care, because we listen to it.
#![expect(unsafe_code, reason = "there is no safe way to run before main, or between fork and exec; see each SAFETY")]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::libc::{self, SIG_IGN, SIGCHLD, SIGPIPE, c_int};

/// A signal, and whether our caller had it ignored.
static SIGNALS: [(c_int, AtomicBool); 2] = [(SIGPIPE, AtomicBool::new(false)), (SIGCHLD, AtomicBool::new(false))];

// SAFETY: the loader calls what is in this section, once, before `main` and while there is one thread. The function has
// the C calling convention, needs neither arguments nor Rust's runtime, and does not panic.
#[used]
#[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
#[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
static LOOK_BEFORE_MAIN: extern "C" fn() = look;

extern "C" fn look() {
    for (signal, is_ignored) in &SIGNALS {
        // SAFETY: with no new action the call only writes the present one, into memory of its type, for which zeros are a
        // value.
        let is_so = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            libc::sigaction(*signal, std::ptr::null(), &raw mut action) == 0 && action.sa_sigaction == SIG_IGN
        };
        is_ignored.store(is_so, Ordering::Relaxed);
    }
}

/// Has the command ignore what our caller had ignored, and on Linux get SIGTERM when we are gone: after a SIGKILL, or out
/// of memory, there is nobody left to end it, and the lock is free.
pub(super) fn hand_down(command: &mut Command) {
    #[cfg(target_os = "linux")]
    let us = rustix::process::getpid();
    let before_exec = move || -> io::Result<()> {
        for (signal, is_ignored) in &SIGNALS {
            if is_ignored.load(Ordering::Relaxed) {
                // SAFETY: it sets no handler, and may be called between fork and exec.
                let before = unsafe { libc::signal(*signal, SIG_IGN) };
                debug_assert!(before != libc::SIG_ERR);
            }
        }
        #[cfg(target_os = "linux")]
        {
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
            // We may have gone before that.
            if rustix::process::getppid() != Some(us) {
                return Err(io::ErrorKind::NotFound.into());
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec it makes system calls only: it takes no lock and allocates nothing.
    unsafe { command.pre_exec(before_exec) };
}
