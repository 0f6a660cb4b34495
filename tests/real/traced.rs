//! The program with system calls that are written down, or that fail.

use std::path::Path;
use std::process::Command;

use crate::support::server::{PROGRAM, forget_options};
use crate::support::skip::skipped;

/// The program, which takes its arguments, with each of `what` as `strace -e` has it. None: that is not possible here.
pub(crate) fn traced(file: &Path, what: &[&str]) -> Option<Command> {
    let what: Vec<&str> = what.iter().flat_map(|what| ["-e", what]).collect();
    let mut command = Command::new("strace");
    forget_options(&mut command);
    // The server is the child, and the tracer is not.
    command.args(["-D", "-f", "-q"]).args(&what).arg("-o").arg(file);
    let attempt = Command::new("strace").args(["-o", "/dev/null"]).args(&what).arg("true").output();
    if !attempt.as_ref().is_ok_and(|output| output.status.success()) {
        skipped(&format!("system calls can't be traced here ({attempt:?})"));
        return None;
    }
    command.arg(PROGRAM);
    Some(command)
}
