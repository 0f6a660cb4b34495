//! Ending as a process does that died of a signal.

use std::process::ExitCode;

/// What a shell shows for a process that died of a signal.
pub(crate) fn exit_code(signal: i32) -> ExitCode {
    ExitCode::from(128 + (signal & 0x7f) as u8)
}

/// Ends this process by a signal, as if it did not listen to it. A shell sees then that it was Ctrl-C, and ends the script
/// or loop that we are in; a supervisor sees that its SIGTERM did what it should. Returns only if that fails.
pub(crate) fn die_of(signal: i32) -> ExitCode {
    let _ = signal_hook::low_level::emulate_default_handler(signal);
    exit_code(signal)
}
