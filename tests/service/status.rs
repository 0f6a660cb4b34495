//! `officer status` tells what is known, and nothing that is not; so do `start` and `stop`.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::background::{Background, End, address_of, connect};
use crate::others::as_nobody;
use crate::support::client::Address;
use crate::support::directory::Directory;
use crate::support::server::Server;
use crate::support::skip::skipped;

/// Removes the pid file of a server that runs, as a cleaner of old files does that knows no locks.
fn remove_pid_file(background: &Background) -> rustix::process::Pid {
    let pid = background.pid();
    fs::remove_file(background.pid_file()).unwrap();
    pid
}

#[test]
fn it_tells_since_when_which_version_runs_where() {
    let background = Background::new();
    let Address::Tcp(address) = background.start(&[]) else { panic!("TCP") };
    let (pid, pid_file) = (background.pid(), background.pid_file());
    let printed = background.run("status", &[]).expect_success();
    let rest = printed.strip_prefix(&format!("officer: running as process {pid} since 20")).expect(&printed);
    let (since, rest) = rest.split_once(": ").unwrap();
    assert!(since.ends_with('Z') && since.contains('T'), "{printed}");
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(rest, format!("version {version}, listening on {address} (pid file {pid_file:?})\n"));

    // Whoever may see the pid file is told so too.
    if let Some(mut status) = as_nobody(background.officer("status", &[])) {
        assert_eq!(End::of(&mut status).expect_success(), printed);
    }
    // Of another process it says nothing, and it goes with the server.
    let info = background.file("officer.info");
    fs::write(&info, fs::read_to_string(&info).unwrap().replace(&pid.to_string(), "1")).unwrap();
    let printed = background.run("status", &[]).expect_success();
    assert_eq!(printed, format!("officer: running as process {pid} (pid file {pid_file:?})\n"));
    background.run("restart", &["-p", "0"]).expect_success();
    assert!(background.run("status", &[]).expect_success().contains("listening on 127.0.0.1:"));
    background.kill();
    background.run("stop", &[]).expect_success();
    assert!(!info.exists() && !pid_file.exists());
}

#[test]
fn a_server_whose_pid_file_was_removed_is_found() {
    for replacement in [None, Some("of somebody else")] {
        let background = Background::new();
        let mut ann = connect(&background.start(&[]));
        ann.acquire("db");
        let pid = remove_pid_file(&background);
        if let Some(text) = replacement {
            fs::write(background.pid_file(), text).unwrap();
        }
        let said = format!("officer: running as process {pid} since ");
        let printed = background.run("status", &[]).expect_success();
        assert!(printed.starts_with(&said) && printed.ends_with("was removed\n"), "{printed}");
        background.run("start", &["-p", "0"]).expect_failure(1, &format!("already running, as process {pid}"));
        ann.expect_nothing_before_now();
        assert_eq!(background.run("stop", &[]).expect_success(), format!("officer: process {pid} has ended\n"));
        ann.expect_end();
        assert_eq!(background.servers(), []);
    }
}

#[test]
fn a_restart_ends_a_server_whose_pid_file_was_removed() {
    let background = Background::new();
    let mut ann = connect(&background.start(&[]));
    let pid = remove_pid_file(&background);
    let printed = background.run("restart", &["-p", "0"]).expect_success();
    assert!(printed.starts_with(&format!("officer: process {pid} has ended\n")), "{printed}");
    ann.expect_end();
    connect(&address_of(&printed)).acquire("db");
    assert_eq!(background.servers(), [background.pid()]);
}

#[test]
fn whoever_can_not_see_the_server_is_not_told_that_there_is_none() {
    let background = Background::new();
    let mut ann = connect(&background.start(&[]));
    remove_pid_file(&background);
    for command in ["status", "stop"] {
        let Some(mut command) = as_nobody(background.officer(command, &[])) else { return };
        End::of(&mut command).expect_failure(4, "not all processes that could be its server can be seen");
    }
    ann.expect_nothing_before_now();
    // In a directory of one's own nobody else has one.
    let own = background.file("own");
    fs::create_dir(&own).unwrap();
    std::os::unix::fs::chown(&own, Some(65_534), Some(65_534)).unwrap();
    fs::set_permissions(&own, Permissions::from_mode(0o755)).unwrap();
    let mut status = as_nobody(crate::support::server::officer(&["status", "-d", own.to_str().unwrap()])).unwrap();
    let end = End::of(&mut status);
    assert_eq!((end.code, end.stderr.as_str()), (3, ""), "{end:?}");
    assert!(end.stdout.contains("is a server of another user"), "{end:?}");
}

#[test]
fn a_cleaner_of_old_files_leaves_those_of_a_server_alone() {
    let place = Background::new();
    let officer = |command: &str, directory: &str, args: &[&str]| {
        let directory = place.file(directory).display().to_string();
        End::of(&mut crate::support::server::officer(&[&[command, "-d", &directory], args].concat()))
    };
    for directory in ["live", "gone"] {
        fs::create_dir(place.file(directory)).unwrap();
        fs::set_permissions(place.file(directory), Permissions::from_mode(0o700)).unwrap();
    }
    // One that is gone, to see that it cleans.
    fs::write(place.file("gone/officer.pid"), "1\n").unwrap();
    let socket = place.file("live/officer.sock").display().to_string();
    let mut ann = connect(&address_of(&officer("start", "live", &["-o", "UNIX", "-f", &socket]).expect_success()));
    ann.acquire("db");

    // To this configuration everything there is old.
    let configuration = Directory::new();
    let file = configuration.file("clean.conf");
    fs::write(&file, format!("d {} - - - 0\n", place.file("").display())).unwrap();
    match Command::new("systemd-tmpfiles").arg("--clean").arg(&file).output() {
        Err(error) => skipped(&format!("there is no systemd-tmpfiles here ({error})")),
        Ok(output) => assert!(!place.file("gone/officer.pid").exists(), "{output:?}"),
    }
    for file in ["officer.pid", "officer.info", "officer.log", "officer.sock"] {
        assert!(place.file("live").join(file).exists(), "{file}");
    }
    // Others can have their socket there meanwhile.
    let second = place.file("live/second.sock").display().to_string();
    let server = Server::start(&mut crate::support::server::officer(&["run", "-o", "UNIX", "-f", &second]));
    server.connect().acquire("db");
    assert_eq!(officer("status", "live", &[]).code, 0);
    officer("stop", "live", &[]).expect_success();
    ann.expect_end();
}
