//! Tokens rise across restarts, however the server ends and whatever happens to its clock and its state directory.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::start::fault;
use crate::support::client::Client;
use crate::support::directory::Directory;
use crate::support::patience::eventually;
use crate::support::server::{PROGRAM, Server, forget_options, officer, officer_after, run};
use crate::support::skip::skipped;

/// The first token after this record, which is decades ahead of the clock: what comes after it comes from the file.
const FAR: u64 = 8_000_000_000_000_000;
const FAR_RECORD: &str = "officer tokens 1\nreserved below 8000000000000000\nchecksum 76e20648cfc06ef7\n";

/// A state directory whose file is ahead of the clock.
fn far_directory() -> Directory {
    let directory = Directory::new();
    fs::write(directory.file("tokens"), FAR_RECORD).unwrap();
    directory
}

/// A server with this state directory.
fn server(state: &Path) -> Server {
    Server::start(officer(&["run", "-p", "0", "-l", "info", "--state-dir"]).arg(state))
}

/// The first and the last token of its block, as its log has them, and where they come from.
fn block(server: &Server) -> (u64, u64, String) {
    let line = server.log().wait_for("] tokens ");
    let (_, line) = line.split_once("] tokens ").unwrap();
    let (first, rest) = line.split_once(" to ").unwrap();
    let (last, source) = rest.split_once(" come from ").unwrap();
    (first.parse().unwrap(), last.parse().unwrap(), source.to_owned())
}

/// Takes and releases a lock, and returns its token.
fn token(client: &mut Client) -> u64 {
    let granted = client.ask(r#"{"command":"lock","name":"db","fence":true}"#);
    client.release("db");
    granted["token"].as_u64().unwrap_or_else(|| panic!("{granted}"))
}

fn kill(mut server: Server) {
    server.signal(Signal::KILL);
    server.wait();
}

fn state_fault(state: &Path) -> String {
    fault(officer(&["run", "-p", "0", "--state-dir"]).arg(state), 1)
}

#[test]
fn tokens_rise_although_the_server_is_killed_again_and_again() {
    for (directory, floor) in [(Directory::new(), 0), (far_directory(), FAR)] {
        let mut highest = floor;
        for round in 0..20 {
            let server = server(&directory.file(""));
            let (first, last, source) = block(&server);
            assert!(first >= highest && last == first + (1 << 32) - 1, "{first} to {last} after {highest}");
            assert_eq!(source.starts_with("the new file"), round == 0 && floor == 0, "{source}");
            let [mut ann, mut bob] = [server.connect(), server.connect()];
            // Grants that don't show their tokens use them up as well.
            ann.acquire("other");
            for token in [token(&mut ann), token(&mut bob), token(&mut ann)] {
                assert!(token > highest && (first + 1..=last).contains(&token), "{token} after {highest}");
                highest = token;
            }
            kill(server);
        }
    }
}

#[test]
fn a_server_that_is_killed_while_it_starts_harms_no_token() {
    let directory = far_directory();
    let state = directory.file("");
    let mut highest = FAR - 1;
    for round in 0..10 {
        for attempt in 0..8 {
            let mut command = officer(&["run", "-p", "0", "--state-dir"]);
            let mut child = command.arg(&state).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            // A start takes a few milliseconds. Whether it listens by then makes no difference.
            thread::sleep(Duration::from_micros(100 * (round + 10 * attempt)));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let server = server(&state);
        let token = token(&mut server.connect());
        assert!(token > highest, "{token} after {highest}");
        highest = token;
        kill(server);
    }
}

/// A server whose system calls are written to a file, or fail, or kill it. None: that is not possible here.
fn traced(directory: &Directory, what: &str) -> Option<Command> {
    let mut command = crate::traced::traced(&directory.file("trace"), &[what])?;
    command.args(["run", "-p", "0", "--state-dir"]).arg(directory.file(""));
    Some(command)
}

#[test]
fn a_block_is_on_disk_before_the_server_says_that_it_listens() {
    let directory = Directory::new();
    let Some(mut command) = traced(&directory, "trace=fsync,/^rename,write") else { return };
    drop(Server::start(&mut command));
    let mut trace = String::new();
    eventually("the trace is complete", || {
        trace = fs::read_to_string(directory.file("trace")).unwrap();
        trace.contains("exited with 0")
    });
    let mut calls = trace.lines();
    for step in ["\"officer tokens", "fsync(", "rename", "fsync(", "\"officer: listening"] {
        assert!(calls.any(|call| call.contains(step)), "no {step:?} in its place: {trace}");
    }
}

#[test]
fn a_server_that_is_killed_within_a_reservation_harms_no_token() {
    let directory = far_directory();
    let mut highest = FAR - 1;
    for (call, time) in [("fsync", 1), ("/^rename", 1), ("fsync", 2)] {
        let before = server(&directory.file(""));
        let token = token(&mut before.connect());
        assert!(token > highest, "{call} {time}");
        highest = token;
        kill(before);
        let what = format!("inject={call}:signal=KILL:when={time}");
        let Some(mut command) = traced(&directory, &what) else { return };
        let status = run(&mut command).status;
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{call} {time}: {status:?}");
    }
    assert!(token(&mut server(&directory.file("")).connect()) > highest);
}

#[test]
fn a_step_of_a_reservation_that_fails_is_an_error_at_the_start() {
    let directory = Directory::new();
    drop(server(&directory.file("")));
    let before = fs::read(directory.file("tokens")).unwrap();
    for (call, time) in [("fsync", 1), ("/^rename", 1), ("fsync", 2)] {
        let Some(mut command) = traced(&directory, &format!("inject={call}:error=EIO:when={time}")) else { return };
        let line = fault(&mut command, 1);
        let file = directory.file("tokens");
        assert!(line.starts_with(&format!("officer: can't write {file:?} (Input/output error ")), "{call}: {line}");
        assert!(!directory.file("tokens.new").exists(), "{call} {time}");
        // The name may be on disk or not, if its directory could not be written.
        assert!(time == 2 || fs::read(&file).unwrap() == before, "{call} {time}");
    }
    drop(server(&directory.file("")));
}

#[test]
fn the_file_decides_when_the_clock_is_behind_it() {
    let directory = far_directory();
    let server = server(&directory.file(""));
    let (first, _, source) = block(&server);
    assert_eq!((first, token(&mut server.connect())), (FAR, FAR));
    assert_eq!(source, format!("the file {:?}", directory.file("tokens")));
    drop(server);
    // There are no tokens above these.
    let record = "officer tokens 1\nreserved below 9007199254740992\nchecksum 9c3bbdf3c2d331c6\n";
    fs::write(directory.file("tokens"), record).unwrap();
    assert!(state_fault(&directory.file("")).starts_with("officer: no tokens below 2^53 are left; "));
    assert_eq!(fs::read_to_string(directory.file("tokens")).unwrap(), record);
}

#[test]
fn without_a_state_directory_tokens_begin_at_the_clock_and_the_log_says_what_that_means() {
    let mut highest = 0;
    for _ in 0..3 {
        let server = Server::tcp(&["-l", "info"]);
        let (first, _, source) = block(&server);
        assert!(source.contains("can repeat if it is set back") && source.contains("--state-dir"), "{source}");
        let mut ann = server.connect();
        assert_eq!(token(&mut ann), first);
        assert!(first > highest, "{first} after {highest}");
        highest = token(&mut ann);
        kill(server);
    }
}

#[test]
fn of_two_servers_with_one_state_directory_the_second_is_refused() {
    let directory = Directory::new();
    let state = directory.file("");
    let first = server(&state);
    let said = format!(
        "officer: the state directory {state:?} is in use by another server, process {}; stop it or choose another with \
         --state-dir",
        first.id()
    );
    assert_eq!(state_fault(&state), said);
    first.connect().acquire("db");
    let before = block(&first).1;
    assert_eq!(token(&mut first.connect()), before - (1 << 32) + 2);
    kill(first);
    // The refused one has used up nothing.
    assert_eq!(block(&server(&state)).0, before + 1);
}

#[test]
fn a_state_directory_that_can_not_be_used_is_an_error_at_the_start() {
    let directory = Directory::new();
    let missing = directory.file("missing");
    let said = format!("officer: there is no directory {missing:?}; create it or choose another with --state-dir");
    assert_eq!(state_fault(&missing), said);
    assert!(!missing.exists());

    let state = directory.file("state");
    fs::create_dir(&state).unwrap();
    drop(server(&state));
    let file = state.join("tokens");
    let mut record = fs::read(&file).unwrap();
    record[30] ^= 1;
    fs::write(&file, &record).unwrap();
    assert!(state_fault(&state).starts_with(&format!("officer: the file of tokens {file:?} is damaged; ")));
    assert_eq!(fs::read(&file).unwrap(), record);

    // Nobody can create files there.
    assert!(state_fault(Path::new("/proc")).starts_with("officer: can't create \"/proc/tokens.lock\" ("));
}

#[test]
fn a_start_that_can_not_write_the_next_block_is_refused_and_the_file_stays() {
    let directory = Directory::new();
    let state = directory.file("");
    drop(server(&state));
    let before = fs::read(directory.file("tokens")).unwrap();
    let args = ["run", "-p", "0", "--state-dir", state.to_str().unwrap()];
    let said = fault(&mut officer_after("ulimit -f 0;", &args), 1);
    assert!(
        said.starts_with(&format!("officer: can't write {:?} (File too large ", directory.file("tokens"))),
        "{said}"
    );
    assert_eq!(fs::read(directory.file("tokens")).unwrap(), before);
    assert!(!directory.file("tokens.new").exists());
    drop(server(&state));
}

#[test]
fn a_full_disk_is_an_error_at_the_start_and_the_file_stays() {
    let (saved, state) = (Directory::new(), Directory::new());
    drop(server(&saved.file("")));
    let record = fs::read_to_string(saved.file("tokens")).unwrap();
    // A file system for this server alone, which is unmounted with it.
    let own = |lines: &str| {
        let mut command = Command::new("unshare");
        forget_options(&mut command);
        run(command.args(["--mount", "--propagation", "private", "sh", "-c", lines]))
    };
    let place = state.file("");
    let place = place.to_str().unwrap();
    let mount = format!("mount -t tmpfs -o size=64k none '{place}'");
    let attempt = own(&mount);
    if !attempt.status.success() {
        skipped(&format!("no file system can be mounted here ({attempt:?})"));
        return;
    }
    let saved = saved.file("tokens");
    let output = own(&format!(
        "{mount} && cp '{}' '{place}' && {{ cat /dev/zero > '{place}/filler' 2> /dev/null; '{PROGRAM}' run -p 0 --state-dir '{place}'; \
         status=$?; cat '{place}/tokens'; exit $status; }}",
        saved.display()
    ));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), record);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("officer: can't write ") && said.contains("No space left"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn the_state_directory_may_be_a_relative_path() {
    let directory = Directory::new();
    fs::create_dir(directory.file("state")).unwrap();
    let mut command = officer(&["run", "-p", "0", "--state-dir", "state"]);
    drop(Server::start(command.current_dir(directory.file(""))));
    assert!(directory.file("state/tokens").exists());
}
