//! Pid files that are stale or wrong: what counts is who holds the lock.

use std::fs;

#[cfg(target_os = "linux")]
use nix::{
    fcntl::{FcntlArg, fcntl},
    libc::{F_RDLCK, F_WRLCK, flock},
};

use crate::background::{Background, Bystander, address_of, connect};

#[test]
fn a_killed_server_is_noticed_and_replaced() {
    let background = Background::new();
    background.start(&[]);
    let killed = background.pid();
    background.kill();
    assert_eq!(background.status(), 1);
    let end = background.run("start", &["-p", "0"]);
    assert_eq!(end.code, 0, "{end:?}");
    let said = format!("officer: the server before this one, process {killed}, ended without cleaning up\n");
    assert_eq!(end.stderr, said);
    assert_eq!(background.status(), 0);
    assert_ne!(background.pid(), killed);
}

#[test]
fn stop_removes_the_file_of_a_killed_server() {
    let background = Background::new();
    background.start(&[]);
    background.kill();
    let printed = background.run("stop", &[]).expect_success();
    assert!(printed.contains("did not clean up"), "{printed}");
    assert_eq!(background.status(), 3);
}

#[test]
fn a_process_with_the_number_of_a_dead_server_is_left_alone() {
    let background = Background::new();
    let mut bystander = Bystander::new();
    background.start(&[]);
    background.kill();
    fs::write(background.pid_file(), format!("{}\n", bystander.id())).unwrap();
    assert_eq!(background.status(), 1);
    background.run("stop", &[]).expect_success();
    bystander.expect_alive();

    fs::write(background.pid_file(), format!("{}\n", bystander.id())).unwrap();
    let end = background.run("restart", &["-p", "0"]);
    assert_eq!(end.code, 0, "{end:?}");
    bystander.expect_alive();
}

#[test]
fn whatever_the_file_contains_the_server_is_found() {
    let background = Background::new();
    let mut bystander = Bystander::new();
    for text in [&format!("{}\n", bystander.id()), "", "rubbish", "-1\n", "1\n"] {
        let mut ann = connect(&background.start(&[]));
        let pid = background.pid();
        fs::write(background.pid_file(), text).unwrap();
        assert_eq!(background.status(), 0, "{text:?}");
        let said = format!("already running, as process {pid}");
        background.run("start", &["-p", "0"]).expect_failure(1, &said);
        assert_eq!(background.run("stop", &[]).expect_success(), format!("officer: process {pid} has ended\n"));
        ann.expect_end();
        bystander.expect_alive();
        assert_eq!(background.status(), 3);
    }
}

/// Locks a whole file until it is closed: for this process, or for none.
#[cfg(target_os = "linux")]
fn lock(file: &fs::File, kind: i32, is_of_process: bool) {
    let whole = flock { l_type: kind.try_into().unwrap(), l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 };
    fcntl(file, if is_of_process { FcntlArg::F_SETLK(&whole) } else { FcntlArg::F_OFD_SETLK(&whole) }).unwrap();
}

#[test]
#[cfg(target_os = "linux")]
fn a_lock_without_a_process_ends_no_process() {
    let background = Background::new();
    // Its number is -1.
    fs::write(background.pid_file(), "").unwrap();
    let file = fs::File::options().write(true).open(background.pid_file()).unwrap();
    lock(&file, F_WRLCK, false);

    // Checked first: if this fails, the test ends no processes.
    let printed = background.run("status", &[]).expect_success();
    let pid_file = background.pid_file();
    let running = format!("officer: running, but its process can't be seen from here (pid file {pid_file:?})\n");
    assert_eq!(printed, running);
    background.run("stop", &[]).expect_failure(1, "its process can't be seen from here");
    background.run("start", &["-p", "0"]).expect_failure(1, "already running (pid file");
}

#[test]
#[cfg(target_os = "linux")]
fn a_lock_that_whoever_may_read_can_have_makes_nobody_a_server() {
    let holder = format!("process {} has a lock on it", std::process::id());
    for (is_of_process, holder) in [(true, holder.as_str()), (false, "somebody has a lock on it")] {
        let background = Background::new();
        // As left by a killed server, readable by all.
        fs::write(background.pid_file(), "1\n").unwrap();
        let file = fs::File::open(background.pid_file()).unwrap();
        lock(&file, F_RDLCK, is_of_process);

        // Checked first: if this fails, the test does not end this process.
        assert_eq!(background.status(), 1);
        background.run("stop", &[]).expect_failure(1, holder);
        background.run("start", &["-p", "0"]).expect_failure(1, holder);
        assert_eq!(background.servers(), []);

        drop(file);
        connect(&address_of(&background.run("start", &["-p", "0"]).stdout)).acquire("db");
        assert_eq!(background.status(), 0);
    }
}

#[test]
fn a_file_with_rubbish_and_no_lock_is_stale() {
    let background = Background::new();
    fs::write(background.pid_file(), [0, 255, 10].repeat(1000)).unwrap();
    assert_eq!(background.status(), 1);
    let end = background.run("start", &["-p", "0"]);
    assert_eq!(end.code, 0, "{end:?}");
    background.pid();
    assert_eq!(background.status(), 0);
}

#[test]
fn another_file_in_its_place_survives_the_server() {
    let background = Background::new();
    let mut ann = connect(&background.start(&[]));
    let pid = background.pid();
    fs::remove_file(background.pid_file()).unwrap();
    fs::write(background.pid_file(), "of somebody else").unwrap();
    assert_eq!(background.status(), 0, "it is running all the same");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    ann.expect_end();
    crate::support::patience::eventually("it is gone", || {
        rustix::process::test_kill_process(pid).is_err() || is_zombie(pid)
    });
    assert_eq!(fs::read_to_string(background.pid_file()).unwrap(), "of somebody else");
}

/// They stay zombies where nobody reaps processes without a parent.
fn is_zombie(pid: rustix::process::Pid) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}
