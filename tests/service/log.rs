//! The log in a file: reopened on SIGHUP, and a log that can't be written does not stop the server.

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};

use rustix::process::{Signal, kill_process};
use serde_json::json;

use crate::background::{Background, connect};
use crate::support::client::Client;
use crate::support::directory::Directory;
use crate::support::patience::eventually;
use crate::support::server::{Log, PROGRAM, Server, officer, officer_after};
use crate::support::skip::skipped;

/// Takes and releases a lock, which is logged at debug.
fn use_lock(client: &mut Client, name: &str) {
    client.acquire(name);
    client.release(name);
}

fn contains(path: &std::path::Path, part: &str) -> bool {
    fs::read(path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(part))
}

#[test]
fn the_log_goes_to_the_file_and_to_a_new_one_after_sighup() {
    let directory = Directory::new();
    let (file, moved) = (directory.file("log"), directory.file("log.1"));
    fs::write(&file, "what was there\n").unwrap();
    let server = Server::start(officer(&["run", "-p", "0", "-l", "debug", "--log-file"]).arg(&file));
    let mut ann = server.connect();
    use_lock(&mut ann, "first");
    fs::rename(&file, &moved).unwrap();
    use_lock(&mut ann, "second");
    server.signal(Signal::HUP);
    eventually("there is a new file", || contains(&file, "reopened"));
    use_lock(&mut ann, "third");
    drop(ann);
    assert_eq!(server.end(), Vec::<String>::new(), "stderr has nothing");
    let [old, new] = [moved, file].map(|path| fs::read_to_string(path).unwrap());
    assert!(old.starts_with("what was there\n"), "{old}");
    let is_in = |log: &str| ["first", "second", "third"].map(|name| log.contains(&format!("\"{name}\"")));
    assert_eq!((is_in(&old), is_in(&new)), ([true, true, false], [false, false, true]));
    assert!(new.contains("told to end"));
}

#[test]
fn the_log_of_a_server_in_the_background_is_reopened_too() {
    let background = Background::new();
    let mut ann = connect(&background.start(&["-l", "debug"]));
    let moved = background.file("moved");
    fs::rename(background.file("officer.log"), &moved).unwrap();
    kill_process(background.pid(), Signal::HUP).unwrap();
    eventually("there is a new file", || contains(&background.file("officer.log"), "reopened"));
    use_lock(&mut ann, "db");
    assert!(background.log().contains("\"db\"") && !contains(&moved, "\"db\""));
}

#[test]
fn a_log_file_at_the_file_size_limit_does_not_stop_the_server() {
    let directory = Directory::new();
    let file = directory.file("log");
    // Blocks of 512 or 1,024 bytes, depending on the shell.
    let args = ["run", "-p", "0", "-l", "debug", "--log-file", file.to_str().unwrap()];
    let server = Server::start(&mut officer_after("ulimit -f 1;", &args));
    let mut ann = server.connect();
    ann.acquire("held");
    (0..50).for_each(|_| use_lock(&mut ann, "db"));
    assert!([512, 1024].contains(&fs::metadata(&file).unwrap().len()), "the limit was reached");
    assert_eq!(ann.locks(), json!({"held": [ann.name()]}));
}

#[test]
fn a_log_that_cannot_be_reopened_continues_in_the_old_file() {
    let background = Background::new();
    fs::create_dir(background.file("logs")).unwrap();
    let (file, moved) = (background.file("logs/log"), background.file("moved"));
    let mut ann = connect(&background.start(&["-l", "debug", "--log-file", file.to_str().unwrap()]));
    ann.acquire("held");
    fs::rename(&file, &moved).unwrap();
    fs::remove_dir(background.file("logs")).unwrap();
    for times in 1..=3 {
        kill_process(background.pid(), Signal::HUP).unwrap();
        let count = || fs::read_to_string(&moved).unwrap().matches("can't be reopened").count();
        eventually("it says so", || count() == times);
        use_lock(&mut ann, "db");
    }
    assert!(contains(&moved, "\"db\""));
    assert_eq!(ann.locks(), json!({"held": [ann.name()]}));
    // The directory exists again.
    fs::create_dir(background.file("logs")).unwrap();
    kill_process(background.pid(), Signal::HUP).unwrap();
    eventually("it is reopened", || contains(&file, "reopened"));
}

#[test]
fn without_a_log_file_and_a_terminal_sighup_is_ignored() {
    let server = Server::tcp(&["-l", "info"]);
    let mut ann = server.connect();
    ann.acquire("db");
    server.signal(Signal::HUP);
    server.log().wait_for("SIGHUP has no effect: there is no file to read or open again");
    assert_eq!(ann.locks(), json!({"db": [ann.name()]}));
}

#[test]
fn a_device_that_is_always_full_does_not_stop_the_server() {
    let server = Server::tcp(&["-l", "debug", "--log-file", "/dev/full"]);
    let mut ann = server.connect();
    (0..100).for_each(|_| use_lock(&mut ann, "db"));
    server.signal(Signal::HUP);
    (0..100).for_each(|_| use_lock(&mut ann, "db"));
    ann.cut();
    use_lock(&mut server.connect(), "db");
    assert_eq!(server.end(), Vec::<String>::new());
}

#[test]
fn a_full_file_system_does_not_stop_the_server_and_the_log_continues_when_there_is_room() {
    // A file system for this server alone, which is unmounted with it.
    let directory = Directory::new();
    let own = ["--mount", "--propagation", "private"];
    let mount = "mount -t tmpfs -o size=64k none";
    let place = directory.file("");
    let place = place.to_str().unwrap();
    let attempt = Command::new("unshare").args(own).args(["sh", "-c", &format!("{mount} '{place}'")]).output();
    if !attempt.as_ref().is_ok_and(|output| output.status.success()) {
        skipped(&format!("no file system can be mounted here ({attempt:?})"));
        return;
    }
    let mut command = Command::new("unshare");
    let start = format!("{mount} '{place}' && exec '{PROGRAM}' run -p 0 -l debug --log-file '{place}/log'");
    let server = Server::start(command.args(own).args(["sh", "-c", &start]).stdin(Stdio::null()));
    let log = format!("/proc/{}/root{place}/log", server.id());
    let mut ann = server.connect();
    let full = 64 << 10;
    eventually("it is full", || {
        use_lock(&mut ann, "before");
        fs::metadata(&log).unwrap().len() == full
    });
    ann.acquire("held");
    (0..100).for_each(|_| use_lock(&mut server.connect(), "while it is full"));
    server.signal(Signal::HUP);
    assert_eq!(ann.locks(), json!({"held": [ann.name()]}));
    assert_eq!(fs::metadata(&log).unwrap().len(), full);

    fs::File::options().write(true).open(&log).unwrap().set_len(0).unwrap();
    use_lock(&mut ann, "after");
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.contains("\"after\"") && !text.contains("while it is full"), "{text}");
    // The cut line does not become the start of another, and the number of missing lines is logged.
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(""));
    let said = lines.next().unwrap();
    let lost = said
        .strip_prefix("officer: ")
        .and_then(|said| said.strip_suffix(" lines of the log could not be written here"));
    assert!(lost.is_some_and(|lost| lost.parse::<u32>().unwrap() > 200), "{text}");
    assert!(lines.all(|line| line.starts_with('[')), "{text}");
}

#[test]
fn a_pipe_that_nobody_reads_does_not_stop_the_server() {
    let mut command = officer(&["run", "-p", "0", "-l", "debug"]);
    let mut server = Server::start_without_log(command.stderr(Stdio::piped()));
    // It stays open.
    let stderr = server.take_stderr().unwrap();
    let mut ann = server.connect();
    // Many times what fits into a pipe.
    (0..3000).for_each(|_| use_lock(&mut ann, &"x".repeat(100)));
    use_lock(&mut server.connect(), "db");

    // Somebody reads again: the loss is reported, and the log continues.
    let log = Log::of(stderr);
    eventually("the number of missing lines is logged", || {
        use_lock(&mut ann, "late");
        log.count("lines of the log could not be written here") > 0
    });
    use_lock(&mut ann, "last");
    log.wait_for("\"last\"");
    let is_whole = |line: &String| line.starts_with('[') || line.starts_with("officer: ");
    assert_eq!(log.lines().iter().find(|line| !is_whole(line)), None);
}

#[test]
fn a_named_pipe_can_be_the_log() {
    let directory = Directory::new();
    let file = directory.file("pipe");
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    // Nobody reads yet.
    let mut start = officer(&["run", "-p", "0", "--log-file"]);
    let output = crate::support::server::run(start.arg(&file));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let reader = fs::File::options().read(true).write(true).open(&file).unwrap();
    let server = Server::start(officer(&["run", "-p", "0", "-l", "debug", "--log-file"]).arg(&file));
    let mut ann = server.connect();
    (0..3000).for_each(|_| use_lock(&mut ann, &"x".repeat(100)));
    let mut some = [0; 4096];
    (&reader).read_exact(&mut some).unwrap();
    assert!(String::from_utf8_lossy(&some).contains("xxx"));
}

#[test]
fn a_closed_stderr_does_not_interfere_with_the_file() {
    let directory = Directory::new();
    let file = directory.file("log");
    let args = ["run", "-p", "0", "-l", "debug", "--log-file", file.to_str().unwrap()];
    let server = Server::start_without_log(&mut officer_after("exec 2>&-;", &args));
    use_lock(&mut server.connect(), "db");
    assert!(contains(&file, "\"db\""));
    server.signal(Signal::HUP);
    eventually("it is reopened", || contains(&file, "reopened"));
}
