//! A terminal, which `script` of util-linux makes.

use std::process::{Command, Stdio};

use super::skip::skipped;

/// Runs a line of the shell on a terminal of its own, where there is a `script` that can.
pub(crate) fn on_a_terminal(line: &str) -> Option<Command> {
    let version = Command::new("script").arg("--version").stdout(Stdio::piped()).stderr(Stdio::null()).output();
    if !version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("util-linux")) {
        skipped("this machine has no script of util-linux");
        return None;
    }
    let mut command = Command::new("script");
    command.args(["-qec", line, "/dev/null"]).env("TERM", "xterm").env("SHELL", "/bin/sh");
    Some(command)
}
