//! A server in the foreground of a terminal that is closed. `script` of util-linux creates the terminal.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::client::{Address, Client};
use crate::support::directory::Directory;
use crate::support::patience::eventually;
use crate::support::server::PROGRAM;
use crate::support::skip::skipped;

/// A server that is killed with its test, which may have closed its terminal.
struct Guard(Pid);

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = kill_process(self.0, Signal::KILL);
        }
    }
}

/// Runs a server on a terminal of its own, where `script` is available.
fn on_a_terminal(directory: &Directory, options: &str) -> Option<(Child, Guard, Client)> {
    let version = Command::new("script").arg("--version").stdout(Stdio::piped()).stderr(Stdio::null()).output();
    if !version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("util-linux")) {
        skipped("this machine has no script of util-linux");
        return None;
    }
    let place = directory.file("");
    let place = place.to_str().unwrap();
    let line = format!("cd {place}; echo $$ > pid; exec {PROGRAM} run -o UNIX -f {place}/socket {options}");
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).env("SHELL", "/bin/sh").stdin(Stdio::null()).stdout(Stdio::null());
    let script = command.spawn().unwrap();
    let address = Address::Unix(directory.file("socket"));
    eventually("it listens", || Client::connect(&address).is_ok());
    Some((script, Guard(pid(&directory.file("pid"))), Client::connect(&address).unwrap()))
}

fn close(mut terminal: Child) {
    terminal.kill().unwrap();
    terminal.wait().unwrap();
}

fn pid(file: &Path) -> Pid {
    Pid::from_raw(fs::read_to_string(file).unwrap().trim().parse().unwrap()).unwrap()
}

#[test]
fn the_server_exits_with_success_when_its_terminal_is_closed() {
    let directory = Directory::new();
    let Some((terminal, _server, mut ann)) = on_a_terminal(&directory, "") else { return };
    ann.acquire("db");
    close(terminal);
    ann.expect_end();
    eventually("its file is gone", || !directory.file("socket").exists());
}

#[test]
fn with_a_log_file_it_keeps_running() {
    let directory = Directory::new();
    let Some((terminal, server, mut ann)) = on_a_terminal(&directory, "-l info --log-file log") else { return };
    ann.acquire("db");
    close(terminal);
    let log = || fs::read_to_string(directory.file("log")).unwrap_or_default();
    eventually("it has noticed", || log().contains("reopened"));
    ann.expect_nothing_before_now();
    kill_process(server.0, Signal::TERM).unwrap();
    ann.expect_end();
    eventually("its file is gone", || !directory.file("socket").exists());
}
