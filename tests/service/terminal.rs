//! A server in the foreground of a terminal that is closed.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::client::{Address, Client};
use crate::support::directory::Directory;
use crate::support::patience::eventually;
use crate::support::server::PROGRAM;
use crate::support::terminal::on_a_terminal;

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
fn server_on_a_terminal(directory: &Directory, options: &str) -> Option<(Child, Guard, Client)> {
    let place = directory.file("");
    let place = place.to_str().unwrap();
    let line = format!("cd {place}; echo $$ > pid; exec {PROGRAM} run -o UNIX -f {place}/socket {options}");
    let script = on_a_terminal(&line)?.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
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
    let Some((terminal, _server, mut ann)) = server_on_a_terminal(&directory, "") else { return };
    ann.acquire("db");
    close(terminal);
    ann.expect_end();
    eventually("its file is gone", || !directory.file("socket").exists());
}

#[test]
fn with_a_log_file_it_keeps_running() {
    let directory = Directory::new();
    let Some((terminal, server, mut ann)) = server_on_a_terminal(&directory, "-l info --log-file log") else { return };
    ann.acquire("db");
    close(terminal);
    let log = || fs::read_to_string(directory.file("log")).unwrap_or_default();
    eventually("it has noticed", || log().contains("reopened"));
    ann.expect_nothing_before_now();
    kill_process(server.0, Signal::TERM).unwrap();
    ann.expect_end();
    eventually("its file is gone", || !directory.file("socket").exists());
}

#[test]
fn with_users_it_reads_them_and_keeps_running() {
    let directory = Directory::new();
    let users = directory.file("users.toml");
    fs::write(&users, "[anonymous]\nlocks = [\"db\"]\n").unwrap();
    let options = format!("--users {} 2>{}", users.display(), directory.file("log").display());
    let Some((terminal, server, mut ann)) = server_on_a_terminal(&directory, &options) else { return };
    ann.acquire("db");
    close(terminal);
    let log = || fs::read_to_string(directory.file("log")).unwrap_or_default();
    eventually("it has noticed", || log().contains("reloaded: 0 users"));
    ann.expect_nothing_before_now();
    kill_process(server.0, Signal::TERM).unwrap();
    ann.expect_end();
}
