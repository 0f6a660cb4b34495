//! Users without privileges: what they may do, and what not.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Signal, kill_process};

use crate::background::{Background, End, address_of, connect};
use crate::support::patience::eventually;
use crate::support::server::{PROGRAM, officer};

/// The uid of nobody.
const NOBODY: u32 = 65_534;

/// The command as another user, if we can become one and it can get at the program.
pub(crate) fn as_nobody(mut command: Command) -> Option<Command> {
    let as_nobody = |command: &mut Command| _ = command.uid(NOBODY).gid(NOBODY).current_dir("/");
    let mut attempt = Command::new(PROGRAM);
    attempt.arg("--version").stdout(std::process::Stdio::null());
    as_nobody(&mut attempt);
    if let Err(error) = attempt.status() {
        eprintln!("skipped: another user can't run the program from here ({error})");
        return None;
    }
    as_nobody(&mut command);
    Some(command)
}

#[test]
fn another_users_server_is_detected_and_not_stopped() {
    let background = Background::new();
    let mut ann = connect(&background.start(&[]));
    let Some(mut stop) = as_nobody(background.officer("stop", &[])) else { return };
    End::of(&mut stop).expect_failure(4, &format!("no permission to signal process {}", background.pid()));
    ann.expect_nothing_before_now();
    let mut status = as_nobody(background.officer("status", &[])).unwrap();
    assert!(End::of(&mut status).expect_success().contains("running as process"));
}

#[test]
fn an_unwritable_directory_is_reported() {
    let background = Background::new();
    let Some(mut start) = as_nobody(background.officer("start", &["-p", "0"])) else { return };
    End::of(&mut start).expect_failure(4, "--pid-dir");
    // Nor can the status be read where the directory can't.
    fs::set_permissions(background.file(""), Permissions::from_mode(0o700)).unwrap();
    End::of(&mut as_nobody(background.officer("status", &[])).unwrap()).expect_failure(4, "Permission denied");
}

#[test]
fn a_log_of_somebody_else_is_not_written() {
    let background = Background::new();
    let log_file = background.file("officer.log");
    fs::write(&log_file, "").unwrap();
    if let Err(error) = std::os::unix::fs::chown(&log_file, Some(NOBODY), None) {
        eprintln!("skipped: no file can be given to another user ({error})");
        return;
    }
    // Anybody could have put it there.
    for mode in [0o1777, 0o775, 0o757] {
        fs::set_permissions(background.file(""), Permissions::from_mode(mode)).unwrap();
        background.run("start", &["-l", "debug", "-p", "0"]).expect_failure(1, "it is not a file of this user");
        assert_eq!(fs::read_to_string(&log_file).unwrap(), "");
    }
    background.start(&["-l", "debug", "--log-file", log_file.to_str().unwrap()]);
    background.run("stop", &[]).expect_success();
    assert!(background.log().contains("told to end"));
}

#[test]
fn a_log_that_root_has_created_for_the_user_is_written() {
    let background = Background::new();
    let log_file = background.file("officer.log");
    let mut ann = connect(&background.start(&["-l", "debug"]));
    // As logrotate does with "create 0640 nobody".
    fs::rename(&log_file, background.file("officer.log.1")).unwrap();
    fs::write(&log_file, "").unwrap();
    if let Err(error) = std::os::unix::fs::chown(&log_file, Some(NOBODY), None) {
        eprintln!("skipped: no file can be given to another user ({error})");
        return;
    }
    kill_process(background.pid(), Signal::HUP).unwrap();
    eventually("it is reopened", || background.log().contains("reopened"));
    ann.acquire("db");
    assert!(background.log().contains("\"db\""));
    // The next server continues in it.
    background.run("restart", &["-l", "debug", "-p", "0"]).expect_success();
    background.run("stop", &[]).expect_success();
    assert_eq!(background.log().matches("told to end").count(), 2);
}

#[test]
fn a_log_in_a_directory_of_somebody_else_is_not_written_unless_it_is_ours() {
    let background = Background::new();
    let [log_file, directory] = ["officer.log", ""].map(|name| background.file(name));
    fs::write(&log_file, "").unwrap();
    // Neither is the server's user, which is root here.
    for path in [&log_file, &directory] {
        if let Err(error) = std::os::unix::fs::chown(path, Some(NOBODY), None) {
            eprintln!("skipped: no file can be given to another user ({error})");
            return;
        }
    }
    background.run("start", &["-l", "debug", "-p", "0"]).expect_failure(1, "it is not a file of this user");
    fs::remove_file(&log_file).unwrap();
    background.start(&["-l", "debug"]);
}

#[test]
fn without_privileges_the_files_are_in_the_user_s_own_directory() {
    let background = Background::new();
    fs::set_permissions(background.file(""), Permissions::from_mode(0o777)).unwrap();
    let command = |name: &str, args: &[&str]| {
        let mut command = officer(&[&[name], args].concat());
        command.env("TMPDIR", background.file("")).env_remove("XDG_RUNTIME_DIR");
        as_nobody(command)
    };
    let directory = background.file(&format!("officer-{NOBODY}"));
    let Some(mut start) = command("start", &["-p", "0"]) else { return };
    let address = address_of(&End::of(&mut start).expect_success());
    connect(&address).acquire("db");
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(directory.join("officer.pid").exists() && directory.join("officer.log").exists());
    End::of(&mut command("status", &[]).unwrap()).expect_success();
    End::of(&mut command("stop", &[]).unwrap()).expect_success();
    assert_eq!(End::of(&mut command("status", &[]).unwrap()).code, 3);

    // A directory that somebody else could have filled is not the user's own.
    fs::set_permissions(&directory, Permissions::from_mode(0o777)).unwrap();
    End::of(&mut command("start", &["-p", "0"]).unwrap()).expect_failure(1, "is not a directory of yours");
    fs::remove_dir_all(&directory).unwrap();
    std::os::unix::fs::symlink(background.file(""), &directory).unwrap();
    End::of(&mut command("start", &["-p", "0"]).unwrap()).expect_failure(1, "is not a directory of yours");

    // The one of the system is preferred.
    let runtime = background.file("runtime");
    fs::create_dir(&runtime).unwrap();
    fs::set_permissions(&runtime, Permissions::from_mode(0o777)).unwrap();
    let with_runtime = |name: &str, args: &[&str]| {
        let mut command = command(name, args).unwrap();
        command.env("XDG_RUNTIME_DIR", &runtime);
        End::of(&mut command)
    };
    with_runtime("start", &["-p", "0"]).expect_success();
    assert!(runtime.join("officer.pid").exists());
    with_runtime("stop", &[]).expect_success();
}
