//! Exiting like a process killed by a signal.

use std::process::ExitCode;

use rustix::process::getpid;

/// The exit status that a shell shows for a process killed by a signal.
pub(crate) fn exit_code(signal: i32) -> ExitCode {
    ExitCode::from(128 + (signal & 0x7f) as u8)
}

/// Ends this process by a signal, as if it did not catch it. Then a shell sees that it was Ctrl-C, and ends the script
/// or loop around it; a supervisor sees that its SIGTERM worked. Returns only if that fails.
pub(crate) fn die_of(signal: i32) -> ExitCode {
    // A signal without a handler does nothing to the first process of a container.
    if !getpid().is_init() {
        let _ = signal_hook::low_level::emulate_default_handler(signal);
    }
    exit_code(signal)
}
