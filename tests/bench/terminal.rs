//! The progress bar, which is shown only on a terminal. `script` of util-linux makes one.

use std::process::{Command, Stdio};

use crate::support::program::Program;
use crate::support::server::PROGRAM;
use crate::support::server::Server;
use crate::support::skip::skipped;

#[test]
fn a_bar_shows_how_far_it_is_and_is_erased() {
    let version = Command::new("script").arg("--version").stdout(Stdio::piped()).stderr(Stdio::null()).output();
    if !version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("util-linux")) {
        skipped("this machine has no script of util-linux");
        return;
    }
    let server = Server::tcp(&[]);
    let line = format!("exec {PROGRAM} bench pair {} -c 2 --seconds 1 --json", server.options().join(" "));
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm").env("SHELL", "/bin/sh");
    let printed = Program::start(&mut command).end().expect_success();
    let drawn: Vec<_> = printed.iter().filter(|line| line.contains("measuring") && line.contains('%')).collect();
    assert!(!drawn.is_empty(), "{printed:?}");
    let last = printed.last().unwrap();
    assert!(last.contains("\"pairs\":") && !last.contains("measuring"), "{printed:?}");
}
