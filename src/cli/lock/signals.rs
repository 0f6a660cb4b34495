//! Signals that are sent to us, and dying of one.

use std::fs;
use std::io;
use std::sync::mpsc::Sender;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, getpgid, getpgrp};
use signal_hook::consts::{SIGALRM, SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};

use super::Event;
pub(super) use crate::console::exit::{die_of, exit_code};
use crate::console::signals;

/// What ends a program that does not care, and can be asked for by anybody.
const PASSED_ON: [i32; 7] = [SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGTERM];

/// From now on signals are events.
pub(super) fn listen(events: Sender<Event>) -> io::Result<()> {
    let ignored = ignored(&fs::read_to_string("/proc/self/status").unwrap_or_default());
    // A command starts with the defaults for what we listen to. What `nohup`, or the `&` of a script, has had ignored is
    // to stay so for the command, thus we do not listen to that.
    let wanted = PASSED_ON.into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
    // The end of a command can't be told where SIGCHLD is ignored.
    signals::listen(wanted.chain([SIGCHLD]), events, Event::Signal)
}

/// The signals that are ignored, a bit for each, from Linux's `status` of a process. Elsewhere none are known.
fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Whether it only says that something happened to a child.
pub(crate) fn is_of_a_child(signal: i32) -> bool {
    signal == SIGCHLD
}

/// Whether the command has got this signal already, because a terminal sends it to the whole process group in its
/// foreground. Programs take a second Ctrl-C for impatience, and end without cleaning up. (A `kill -INT` of officer alone
/// looks just the same, and is lost on the command as long as it is in the foreground; TERM is not.)
pub(crate) fn came_from_the_terminal_to_all(signal: i32, command: Pid) -> bool {
    let terminal_sends = matches!(signal, SIGINT | SIGQUIT);
    terminal_sends && is_in_foreground() && getpgid(Some(command)) == Ok(getpgrp())
}

/// Whether we are what a person at the terminal talks to.
pub(crate) fn is_in_foreground() -> bool {
    // A serial line without a carrier must not be waited for.
    let terminal = rustix::fs::open("/dev/tty", OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty());
    terminal.is_ok_and(|terminal| rustix::termios::tcgetpgrp(terminal) == Ok(getpgrp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_status() {
        let status = "Name:\tx\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000440\n";
        assert_eq!(ignored(status), 1 << (SIGHUP - 1) | 1 << 12);
        assert_eq!(ignored(""), 0);
    }
}
