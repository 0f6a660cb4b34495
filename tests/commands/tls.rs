//! The options of every command for TLS and users.

use std::fs;
use std::process::Command;

use crate::support::certificates::{Authority, Valid};
use crate::support::directory::Directory;
use crate::support::program::run;
use crate::support::server::{Server, officer};

struct Fixture {
    server: Server,
    ca: String,
    directory: Directory,
}

impl Fixture {
    fn new() -> Self {
        let directory = Directory::new();
        let authority = Authority::new(&directory, "authority");
        let identity = authority.issue("server", &["ip:127.0.0.1"], Valid::Now);
        let mut command = officer(&["run", "--listen", "tls://127.0.0.1:0"]);
        let server = Server::start(command.arg("--tls-cert").arg(identity.cert).arg("--tls-key").arg(identity.key));
        let ca = authority.pem().to_str().unwrap().to_owned();
        Fixture { server, ca, directory }
    }

    fn officer(&self, command: &str, args: &[&str]) -> Command {
        self.server.officer(command, &[&["--tls", "--tls-ca", &self.ca], args].concat())
    }
}

#[test]
fn commands_reach_a_server_over_tls_by_flags_or_by_the_environment() {
    let fixture = Fixture::new();
    let line = run(&mut fixture.officer("ping", &[])).expect_success().join("\n");
    assert!(line.contains(" is alive: "), "{line}");
    let mut command = fixture.server.officer("ping", &[]);
    let line = run(command.env("OFFICER_TLS", "1").env("OFFICER_TLS_CA", &fixture.ca)).expect_success().join("\n");
    assert!(line.contains(" is alive: "), "{line}");
    let mut list = vec!["/bin/sh".to_owned(), "-c".to_owned()];
    list.push(format!("{} locks \"$@\" --tls --tls-ca {}", crate::support::server::PROGRAM, fixture.ca));
    list.push("sh".to_owned());
    list.extend(fixture.server.options().into_iter().map(str::to_owned));
    let list: Vec<&str> = list.iter().map(String::as_str).collect();
    let mut lock = fixture.officer("lock", &[&["db", "--"], list.as_slice()].concat());
    let lines = run(&mut lock).expect_success();
    assert!(lines.iter().any(|line| line.starts_with("db ")), "{lines:?}");
}

#[test]
fn the_secret_of_a_user_is_not_handed_down_to_the_command() {
    let fixture = Fixture::new();
    let file = fixture.directory.file("secret");
    fs::write(&file, "from a file\n").unwrap();
    for options in [&["--user", "game"][..], &["--user", "game", "--secret-file", file.to_str().unwrap()]] {
        let script = "echo ${OFFICER_SECRET-none} $OFFICER_LOCK";
        let mut lock = fixture.officer("lock", &[options, &["db", "--", "sh", "-c", script]].concat());
        assert_eq!(run(lock.env("OFFICER_SECRET", "from the environment")).expect_success(), ["none db"]);
    }
}

#[test]
fn options_that_miss_others_are_refused() {
    let fixture = Fixture::new();
    for (options, said) in [
        (&["--tls-ca", "x"][..], "--tls-ca is for TLS; add --tls"),
        (&["--tls-server-name", "x"], "--tls-server-name is for TLS; add --tls"),
        (&["--user", "game"], "there is no secret for the user \"game\"; set OFFICER_SECRET"),
        (&["--user", "game", "--secret-file", "/absent"], "cannot read the secret in /absent"),
        (&["--secret-file", "/absent"], "--user"),
        (&["--tls-cert", "/absent"], "--tls-key"),
    ] {
        let output = fixture.server.officer("ping", options).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{options:?}: {error}");
        assert!(error.contains(said) && error.trim_end().lines().count() == 1, "{options:?}: {error}");
    }
}
