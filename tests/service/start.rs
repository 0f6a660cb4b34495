//! `officer start` and `restart`: a server in the background, or one line that says why not.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use rustix::process::{Signal, kill_process};
use serde_json::json;

use crate::background::{Background, End, address_of, connect};
use crate::support::client::{Address, Client};
use crate::support::patience::eventually;
use crate::support::server::{PROGRAM, forget_options, officer_after};
use crate::support::skip::skipped;

#[test]
fn it_listens_when_start_returns_and_is_gone_when_stop_returns() {
    let background = Background::new();
    assert_eq!(background.status(), 3);
    let printed = background.run("start", &["-p", "0"]).expect_success();
    let address = address_of(&printed);
    let log_file = background.file("officer.log");
    let second = format!("officer: process {}, log in {}", background.pid(), log_file.display());
    assert_eq!(printed.lines().nth(1), Some(second.as_str()), "{printed}");
    let mut ann = connect(&address);
    ann.acquire("db");
    assert_eq!(background.status(), 0);

    let pid = background.pid();
    assert_eq!(background.run("stop", &[]).expect_success(), format!("officer: process {pid} has ended\n"));
    ann.expect_end();
    assert!(Client::connect(&address).is_err(), "nobody listens");
    assert_eq!(background.status(), 3);
    assert!(!background.pid_file().exists());
    let said = format!("officer: no server is running: there is no pid file {:?}", background.pid_file());
    let printed = background.run("stop", &[]).expect_success();
    assert!(printed.starts_with(&said), "{printed}");
}

#[test]
fn the_server_inherits_nothing_from_whoever_started_it() {
    let background = Background::new();
    background.start(&[]);
    let pid = background.pid();
    let link = |name: &str| fs::read_link(format!("/proc/{pid}/{name}")).unwrap();
    let log_file = background.file("officer.log");
    assert_eq!(
        [link("cwd"), link("fd/0"), link("fd/1")].map(|path| path.display().to_string()),
        ["/", "/dev/null", "/dev/null"]
    );
    assert_eq!(link("fd/2"), log_file);
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    // It has its own group and session, and no terminal.
    assert_eq!(fields[2..5], [pid.to_string(), pid.to_string(), "0".to_owned()]);
    assert_eq!(fs::metadata(log_file).unwrap().permissions().mode() & 0o007, 0, "not for everybody");
}

#[test]
fn the_server_does_not_keep_an_inherited_pipe_open() {
    let background = Background::new();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let directory = background.file("");
    let args = ["start", "-p", "0", "--pid-dir", directory.to_str().unwrap()];
    // As stdin the pipe would not be inherited; under any other number it is.
    let mut start = officer_after("exec 9<&0 <&-;", &args);
    address_of(&End::of(start.stdin(writer)).expect_success());
    drop(start);
    let descriptors = fs::read_dir(format!("/proc/{}/fd", background.pid())).unwrap().flatten();
    let is_pipe = |link: PathBuf| link.to_str().is_some_and(|link| link.starts_with("pipe:"));
    let pipes = descriptors.filter(|entry| fs::read_link(entry.path()).is_ok_and(is_pipe));
    // Checked first: a read that blocks would block forever.
    assert_eq!(pipes.count(), 0);
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    assert_eq!(background.status(), 0);
}

#[test]
fn every_option_of_run_is_accepted_also_after_the_separator_and_paths_are_relative_to_the_shell() {
    for line in [
        &[
            "-o",
            "UNIX",
            "-f",
            "own.sock",
            "--socket-mode",
            "0666",
            "-l",
            "debug",
            "--log-file",
            "own.log",
            "--state-dir",
            "own",
            "-s",
        ][..],
        &[
            "--",
            "-o",
            "UNIX",
            "-f",
            "own.sock",
            "--socket-mode",
            "0666",
            "-l",
            "debug",
            "--log-file",
            "own.log",
            "--state-dir",
            "own",
            "-s",
        ],
        &[
            "-o",
            "UNIX",
            "-f",
            "own.sock",
            "--",
            "--socket-mode",
            "0666",
            "-l",
            "debug",
            "--log-file",
            "own.log",
            "--state-dir",
            "own",
            "-s",
        ],
    ] {
        let background = Background::new();
        fs::create_dir(background.file("own")).unwrap();
        let mut command = background.officer("start", line);
        let address = address_of(&End::of(command.current_dir(background.file(""))).expect_success());
        let file = background.file("own.sock");
        assert_eq!(address, Address::Unix(file.clone()));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o666);
        connect(&address).acquire("db");
        background.run("stop", &[]).expect_success();
        assert!(!file.exists());
        let log = fs::read_to_string(background.file("own.log")).unwrap();
        assert!(log.contains("\"db\"") && log.contains("told to end"), "{log}");
        assert!(!background.file("officer.log").exists());
        assert!(background.file("own/tokens").exists());
    }
}

#[test]
fn options_come_from_the_environment_too() {
    let background = Background::new();
    let mut command = crate::support::server::officer(&["start"]);
    command.env("OFFICER_PID_DIR", background.file("")).env("OFFICER_PORT", "0").env("OFFICER_LOG_LEVEL", "info");
    let address = address_of(&End::of(&mut command).expect_success());
    connect(&address).acquire("db");
    assert_eq!(background.status(), 0);
}

#[test]
fn a_second_start_is_refused_while_one_runs() {
    let background = Background::new();
    let address = background.start(&[]);
    let mut ann = connect(&address);
    ann.acquire("db");
    let said = format!("already running, as process {}", background.pid());
    background.run("start", &["-p", "0"]).expect_failure(1, &said);
    assert_eq!(connect(&address).locks(), json!({"db": [ann.name()]}));
    assert_eq!(background.status(), 0);
}

#[test]
fn of_many_simultaneous_starts_one_succeeds() {
    for _ in 0..10 {
        let background = Background::new();
        let ends: Vec<End> = thread::scope(|scope| {
            let starters: Vec<_> = (0..4).map(|_| scope.spawn(|| background.run("start", &["-p", "0"]))).collect();
            starters.into_iter().map(|starter| starter.join().unwrap()).collect()
        });
        let (started, refused): (Vec<_>, Vec<_>) = ends.into_iter().partition(|end| end.code == 0);
        assert_eq!(started.len(), 1, "{started:?} {refused:?}");
        refused.iter().for_each(|end| end.expect_failure(1, "already running"));
        connect(&address_of(&started[0].stdout)).acquire("db");
    }
}

#[test]
fn many_simultaneous_restarts_leave_one_server_the_one_in_the_pid_file() {
    let background = Background::new();
    for _ in 0..5 {
        thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    let end = background.run("restart", &["-p", "0"]);
                    // One that has only just begun may be ended by the next.
                    let reasons = ["already running", "ended before it listened (signal: 15 (SIGTERM))"];
                    let has_reason = reasons.iter().any(|reason| end.stderr.contains(reason));
                    assert!(end.code == 0 || has_reason, "{end:?}");
                });
            }
        });
        assert_eq!(background.status(), 0);
        assert_eq!(background.servers(), [background.pid()]);
    }
}

#[test]
fn a_failed_start_is_one_line_and_leaves_nothing() {
    let background = Background::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    background.run("start", &["-p", &port]).expect_failure(1, &format!("127.0.0.1:{port} is in use"));
    background.run("start", &["-p", "loud"]).expect_failure(2, "see 'officer start --help'");
    background.run("start", &["-p", "0", "--log-file", "/proc/no/log"]).expect_failure(1, "--log-file");
    assert_eq!(background.status(), 3);

    let start = |directory: &str| {
        let directory = background.file(directory);
        End::of(crate::support::server::officer(&["start", "-p", "0", "-d"]).arg(directory))
    };
    start("missing").expect_failure(1, "there is no directory");
    fs::write(background.file("file"), "precious").unwrap();
    start("file").expect_failure(1, "--pid-dir");
    assert_eq!(fs::read_to_string(background.file("file")).unwrap(), "precious");
    fs::create_dir_all(background.file("full/officer.pid")).unwrap();
    start("full").expect_failure(1, "--pid-dir");
    // A link could have been put there by somebody else.
    fs::create_dir(background.file("link")).unwrap();
    symlink(background.file("file"), background.file("link/officer.pid")).unwrap();
    start("link").expect_failure(1, "--pid-dir");
    assert_eq!(fs::read_to_string(background.file("file")).unwrap(), "precious");
}

#[test]
fn a_file_linked_into_the_directory_is_left_alone() {
    let background = Background::new();
    let precious = background.file("precious");
    fs::write(&precious, "precious").unwrap();
    let log_file = background.file("officer.log");
    let expect_refusal = |said: &str| {
        let end = background.run("start", &["-l", "debug", "-p", "0"]);
        end.expect_failure(1, said);
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
        assert_eq!(background.servers(), []);
    };
    fs::hard_link(&precious, background.pid_file()).unwrap();
    expect_refusal("it has another name");
    background.run("stop", &[]).expect_failure(1, "it has another name");
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    fs::remove_file(background.pid_file()).unwrap();

    fs::hard_link(&precious, &log_file).unwrap();
    expect_refusal("or has another name as well); choose another with --log-file");
    fs::remove_file(&log_file).unwrap();
    symlink(&precious, &log_file).unwrap();
    expect_refusal("(it is a symbolic link); choose another with --log-file");
    assert!(!background.pid_file().exists());

    // An explicitly named file is used, and the default one is appended to.
    background.start(&["-l", "debug", "--log-file", log_file.to_str().unwrap()]);
    background.run("stop", &[]).expect_success();
    assert!(fs::read_to_string(&precious).unwrap().contains("told to end"));
    fs::remove_file(&log_file).unwrap();
    fs::write(&log_file, "of the last one\n").unwrap();
    background.start(&["-l", "debug"]);
    background.run("stop", &[]).expect_success();
    assert!(background.log().starts_with("of the last one\n") && background.log().contains("told to end"));
}

#[test]
fn a_file_that_the_server_uses_otherwise_cannot_be_its_log() {
    let background = Background::new();
    symlink(background.pid_file(), background.file("link")).unwrap();
    for (log_file, said) in [
        ("/dev/stdout", "it would end with 'officer start'"),
        ("/dev/stderr", "it would end with 'officer start'"),
        ("/proc/self/fd/2", "it would end with 'officer start'"),
        (background.pid_file().to_str().unwrap(), "it is the pid file"),
        (background.file("link").to_str().unwrap(), "it is the pid file"),
    ] {
        background.run("start", &["-p", "0", "--log-file", log_file]).expect_failure(1, said);
        assert_eq!(background.status(), 3, "{log_file}");
    }
    background.start(&["--log-file", "/dev/null"]);
    assert_eq!(background.status(), 0);
}

#[test]
fn a_link_in_the_place_of_the_log_is_not_followed_at_sighup() {
    let background = Background::new();
    let mut ann = connect(&background.start(&["-l", "debug"]));
    let (precious, moved) = (background.file("precious"), background.file("moved"));
    fs::write(&precious, "precious").unwrap();
    fs::rename(background.file("officer.log"), &moved).unwrap();
    symlink(&precious, background.file("officer.log")).unwrap();
    kill_process(background.pid(), Signal::HUP).unwrap();
    let log = || fs::read_to_string(&moved).unwrap();
    eventually("it says so", || log().contains("can't be reopened (it is a symbolic link)"));
    ann.acquire("db");
    assert!(log().contains("\"db\""));
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
}

#[test]
fn opening_the_server_to_other_machines_warns_on_stderr_and_in_the_log() {
    let background = Background::new();
    let end = background.run("start", &["-h", "0.0.0.0", "-p", "0", "--open"]);
    assert_eq!(end.code, 0, "{end:?}");
    assert!(end.stderr.contains("can take locks"), "{end:?}");
    // 'officer start' returns when the log has become stderr, and may be faster.
    eventually("the log says so", || background.log().contains("can take locks"));
}

#[test]
fn a_restart_ends_the_old_server_and_starts_one_with_the_new_options() {
    let background = Background::new();
    let mut ann = connect(&background.start(&[]));
    ann.acquire("db");
    let old = background.pid();
    background.run("restart", &["-p", "loud"]).expect_failure(2, "see 'officer restart --help'");
    ann.expect_nothing_before_now();

    let file = background.file("new.sock");
    let printed = background.run("restart", &["--", "-o", "UNIX", "-f", file.to_str().unwrap()]).expect_success();
    assert!(printed.starts_with(&format!("officer: process {old} has ended\n")), "{printed}");
    assert_eq!(address_of(&printed), Address::Unix(file.clone()));
    ann.expect_end();
    assert_ne!(background.pid(), old);
    assert_eq!(connect(&Address::Unix(file)).locks(), json!({}));

    background.run("stop", &[]).expect_success();
    let printed = background.run("restart", &["-p", "0", "--stop-timeout", "5"]).expect_success();
    assert!(printed.starts_with("officer: no server is running: there is no pid file "), "{printed}");
    connect(&address_of(&printed)).acquire("db");
}

#[test]
fn for_root_the_files_are_in_var_run_and_var_log() {
    // Directories for this test alone, which are unmounted with it.
    let alone = ["--mount", "--propagation", "private", "sh", "-c"];
    let mount = "mount -t tmpfs none /var/run && mount -t tmpfs none /var/log";
    let attempt = Command::new("unshare").args(alone).arg(mount).output();
    if !attempt.as_ref().is_ok_and(|output| output.status.success()) {
        skipped(&format!("nothing can be mounted here ({attempt:?})"));
        return;
    }
    let mut command = Command::new("unshare");
    forget_options(&mut command);
    let lines = format!(
        "{mount} || exit; '{PROGRAM}' start -p 0; cat /var/run/officer.pid; ls /var/log; '{PROGRAM}' status; \
         '{PROGRAM}' stop; [ ! -e /var/run/officer.pid ]"
    );
    let printed = End::of(command.args(alone).arg(lines)).expect_success();
    let lines: Vec<&str> = printed.lines().collect();
    let [listening, process, pid, log, runs, ended] = lines[..] else { panic!("{printed}") };
    assert!(listening.starts_with("officer: listening on 127.0.0.1:"), "{printed}");
    assert_eq!(process, format!("officer: process {pid}, log in /var/log/officer.log"));
    assert_eq!(log, "officer.log");
    assert!(runs.starts_with(&format!("officer: running as process {pid} since ")), "{printed}");
    assert_eq!(ended, format!("officer: process {pid} has ended"));
}
