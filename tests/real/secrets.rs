//! Secrets: guessed as fast as the server allows, and looked for wherever they could be read.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::json;

use crate::support::directory::Directory;
use crate::support::patience::PATIENCE;
use crate::support::program::{Program, run};
use crate::support::server::{Server, officer};
use crate::support::users::{hello, table, write};

/// As `officer secret` makes them, so that each is long enough to be found by chance nowhere.
const SECRET: &str = "5f1d0c5b3a8e4d7f90b1c2d3e4f5a6b7c8d9eaf0b1c2d3e4f5061728394a5b6c";
const WRONG: &str = "a-secret-that-nobody-has";
const UNKNOWN: &str = "a-name-that-nobody-has";

struct Fixture {
    server: Server,
    directory: Directory,
}

impl Fixture {
    fn new(level: &str) -> Fixture {
        let directory = Directory::new();
        let users = directory.file("users.toml");
        let ops = table("ops", "of ops", "admin = true");
        write(&users, &(table("game", SECRET, "locks = [\"\"]") + &ops));
        let server = Server::start(officer(&["run", "-p", "0", "-l", level, "--users"]).arg(&users));
        Fixture { server, directory }
    }

    /// Nothing that is secret, nor what a client may have mistaken for something else.
    #[track_caller]
    fn expect_no_secret(&self, place: &str, text: &str) {
        let digest = fs::read_to_string(self.directory.file("users.toml")).unwrap();
        let digest = digest.split('"').nth(1).unwrap();
        for secret in [SECRET, WRONG, UNKNOWN, digest] {
            assert!(!text.contains(secret), "{secret} is in {place}");
        }
    }
}

#[test]
fn whoever_guesses_fills_no_log_and_disturbs_nobody() {
    const GUESSERS: usize = 8;
    const TIME: Duration = Duration::from_secs(2);
    let fixture = Fixture::new("error");
    let server = &fixture.server;
    let mut game = server.connect();
    assert_eq!(game.ask(hello("game", SECRET))["user"], "game");
    let begun = Instant::now();
    let guesses = AtomicU64::new(0);
    let mut times = Vec::new();
    thread::scope(|scope| {
        for number in 0..GUESSERS {
            let guesses = &guesses;
            scope.spawn(move || {
                while begun.elapsed() < TIME {
                    let mut guesser = server.connect();
                    let (user, secret) = [("game", WRONG), (UNKNOWN, SECRET), (UNKNOWN, WRONG)][number % 3];
                    assert_eq!(guesser.ask(hello(user, secret))["reason"], "auth_failed");
                    guesser.expect_end();
                    guesses.fetch_add(1, Relaxed);
                }
            });
        }
        while begun.elapsed() < TIME {
            let asked = Instant::now();
            game.acquire("db");
            game.release("db");
            times.push(asked.elapsed());
        }
    });
    let mut guesses = guesses.into_inner();
    let failures = || server.log().lines().into_iter().filter(|line| line.contains("authentication failed"));
    let in_all = || failures().map(|line| 1 + left_out(&line)).sum::<u64>();
    // One of the next second tells how many were left out. These few are in the log themselves.
    while in_all() != guesses {
        assert!(begun.elapsed() < PATIENCE, "{} of {guesses} guesses are in the log, or counted", in_all());
        assert_eq!(server.connect().ask(hello("game", WRONG))["reason"], "auth_failed");
        guesses += 1;
        thread::sleep(Duration::from_millis(200));
    }
    let (lines, seconds) = (failures().count(), begun.elapsed().as_secs() + 2);
    times.sort_unstable();
    let p99 = times[times.len() * 99 / 100];
    println!("{guesses} guesses, {lines} lines; {} pairs beside them, p99 {p99:?}", times.len());
    assert!(lines as u64 <= 10 * seconds, "{lines} lines in {seconds} s");
    assert!(guesses > 50 && times.len() > 50, "{guesses} guesses, {} pairs", times.len());
    assert!(p99 < Duration::from_millis(500), "{p99:?}");
    fixture.expect_no_secret("the log", &server.log().lines().join("\n"));
}

/// How many lines before it a line of the log says were left out.
fn left_out(line: &str) -> u64 {
    let count = line.split_once("(and ").and_then(|(_, rest)| rest.split_once(" more "));
    count.map_or(0, |(count, _)| count.parse().unwrap())
}

#[test]
fn secrets_are_in_no_log_and_no_answer() {
    let fixture = Fixture::new("trace");
    let server = &fixture.server;
    let mut answers = String::new();
    let mut game = server.connect();
    writeln!(answers, "{}", game.ask(hello("game", SECRET))).unwrap();
    for line in [
        // To say it again changes nothing. Others are refused.
        hello("game", SECRET).to_string(),
        json!({"command": "hello", "user": "game", "secret": SECRET, "session": {"grace": 30}, "id": 1}).to_string(),
        // Mistakes of all kinds.
        json!({"command": "hello", "secret": SECRET}).to_string(),
        json!({"command": "hello", "user": SECRET}).to_string(),
        json!({"command": "hello", "user": "game", "secret": [SECRET]}).to_string(),
        json!({"command": "hello", "user": "game", "secret": SECRET, "max_idle": "long"}).to_string(),
        json!({"command": "helo", "user": "game", "secret": SECRET}).to_string(),
        format!("{{\"command\":\"hello\",\"user\":\"game\",\"secret\":\"{SECRET}\""),
        json!({"command": "locks"}).to_string(),
        json!({"command": "connections", "all": true, "detail": true}).to_string(),
        json!({"command": "stats"}).to_string(),
    ] {
        let mut reply = game.ask(&line);
        // That of a session is an answer to whoever has it.
        reply["session"]["secret"].take();
        writeln!(answers, "{reply}").unwrap();
    }
    for (user, secret) in [("game", WRONG), (UNKNOWN, SECRET), (UNKNOWN, WRONG)] {
        let mut guesser = server.connect();
        writeln!(answers, "{}", guesser.ask(hello(user, secret))).unwrap();
    }
    let mut ops = server.connect();
    for line in [
        hello("ops", "of ops"),
        json!({"command": "connections", "all": true, "detail": true}),
        json!({"command": "locks", "detail": true}),
        json!({"command": "stats"}),
    ] {
        writeln!(answers, "{}", ops.ask(line)).unwrap();
    }
    fixture.expect_no_secret("an answer", &answers);
    drop((game, ops));
    server.log().wait_for(" ended: ");
    let log = server.log().lines().join("\n");
    assert!(log.contains("\"locks\""), "it has transcripts: {log}");
    fixture.expect_no_secret("the log", &log);
}

#[test]
#[cfg(target_os = "linux")]
fn secrets_are_in_no_process_list_and_no_environment_of_a_command() {
    let fixture = Fixture::new("trace");
    let server = &fixture.server;
    let file = fixture.directory.file("secret");
    write(&file, &format!("{SECRET}\n"));
    let of_process = |id: u32, what: &str| {
        let bytes = fs::read(format!("/proc/{id}/{what}")).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    for in_file in [true, false] {
        let mut options = vec!["--user", "game"];
        if in_file {
            options.extend(["--secret-file", file.to_str().unwrap()]);
        }
        let script = "echo $$; tr '\\0' '\\n' < /proc/self/environ; echo that is all; read line";
        let mut command = server.lock(&[&options[..], &["-v", "db"]].concat(), &["sh", "-c", script]);
        if !in_file {
            command.env("OFFICER_SECRET", SECRET);
        }
        let mut program = Program::start(&mut command);
        let child: u32 = program.line().parse().unwrap();
        let environment: Vec<String> =
            std::iter::from_fn(|| Some(program.line()).filter(|line| line != "that is all")).collect();
        assert!(environment.iter().any(|line| line == "OFFICER_LOCK=db"), "{environment:?}");
        fixture.expect_no_secret("the environment of the command", &environment.join("\n"));
        assert!(!environment.iter().any(|line| line.starts_with("OFFICER_SECRET")), "{environment:?}");
        for (who, id) in [("the server", server.id()), ("officer lock", program.id()), ("the command", child)] {
            fixture.expect_no_secret(&format!("the command line of {who}"), &of_process(id, "cmdline"));
            // Whoever gives `officer lock` the variable has it in that process; for those who don't want that there are files.
            if who != "officer lock" || in_file {
                fixture.expect_no_secret(&format!("the environment of {who}"), &of_process(id, "environ"));
            }
        }
        program.input("\n");
        let end = program.end();
        assert!(end.status.success(), "{end:?}");
        fixture.expect_no_secret("what it says", &format!("{end:?}"));
    }
    // What is refused is not repeated.
    for user in ["game", UNKNOWN] {
        let mut command = server.lock(&["--user", user, "db"], &["true"]);
        let end = run(command.env("OFFICER_SECRET", WRONG));
        assert!(!end.status.success());
        assert!(!format!("{end:?}").contains(WRONG), "{end:?}");
    }
    fixture.expect_no_secret("the log", &server.log().lines().join("\n"));
}
