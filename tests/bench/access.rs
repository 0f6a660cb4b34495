//! Over TLS, and as a user.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::certificates::{Authority, Valid};
use crate::support::client::Address;
use crate::support::directory::Directory;
use crate::support::patience::eventually;
use crate::support::program::run;
use crate::support::server::{Server, officer};
use crate::{bench, expect_latency, number, stand_in};

const SECRET: &str = "from a file";

/// The digest is that of the secret. Nobody else may do anything.
const USERS: &str = "\
[users.game]
secret_sha256 = [\"552b49dcb23b4558021df8fda10272de45986bce69dd80283fc0b2a2fa57c209\"]
locks = [\"\"]
";

/// A server with a port for TLS, and a port and a file for clients in clear.
struct Fixture {
    server: Server,
    plain_port: String,
    file: String,
    ca: String,
    secret: String,
    other_ca: String,
    _directory: Directory,
}

impl Fixture {
    fn new(has_users: bool) -> Self {
        let directory = Directory::new();
        let authority = Authority::new(&directory, "authority");
        let other_ca = Authority::new(&directory, "other").pem();
        let identity = authority.issue("server", &["ip:127.0.0.1"], Valid::Now);
        let [users, secret] = [("users.toml", USERS), ("secret", SECRET)].map(|(name, text)| {
            fs::write(directory.file(name), text).unwrap();
            directory.file(name).to_str().unwrap().to_owned()
        });
        let file = directory.file("officer.sock").to_str().unwrap().to_owned();
        let mut command = officer(&["run", "--listen", "tls://127.0.0.1:0", "--listen", "tcp://127.0.0.1:0"]);
        command.args(["--listen", &format!("unix:{file}")]);
        command.arg("--tls-cert").arg(identity.cert).arg("--tls-key").arg(identity.key);
        if has_users {
            command.args(["--users", &users]);
        }
        let mut server = Server::start(&mut command);
        let Address::Tcp(plain) = server.next_address() else { panic!("no port") };
        let [ca, other_ca] = [authority.pem(), other_ca].map(|path| path.to_str().unwrap().to_owned());
        Fixture { server, plain_port: plain.port().to_string(), file, ca, secret, other_ca, _directory: directory }
    }

    fn tls(&self) -> Vec<&str> {
        [self.server.options(), vec!["--tls", "--tls-ca", &self.ca]].concat()
    }

    fn user(&self) -> [&str; 4] {
        ["--user", "game", "--secret-file", &self.secret]
    }
}

/// Every workload, small.
const WORKLOADS: [&[&str]; 10] = [
    &["pair", "-c", "5", "--pairs", "200"],
    &["pair", "-c", "2", "--in-flight", "16", "--pairs", "2000"],
    &["pair", "-c", "1", "--in-flight", "5000", "--pairs", "20000"],
    &["pair", "-c", "3", "--processes", "2", "--pairs", "200"],
    &["bundle", "-c", "3", "--pairs", "200", "--locks", "4"],
    &["handoff", "-c", "6", "--pairs", "200"],
    &["connect", "-c", "4", "--pairs", "100"],
    &["connect", "-c", "4", "--processes", "2", "--pairs", "100"],
    &["hold", "-c", "20", "--processes", "2", "--seconds", "0.1"],
    &["storm", "-c", "10", "--seconds", "0.1"],
];

fn expect_all_right(figures: &Value, args: &[&str], is_encrypted: bool) {
    assert_eq!(figures["tls"], is_encrypted, "{figures}");
    match args[0] {
        "hold" => assert!(number(figures, "/connections_per_second") > 0.0, "{figures}"),
        "storm" => assert_eq!(figures["grants"], 50, "{figures}"),
        _ => {
            assert_eq!(figures["pairs"].to_string(), args[args.len() - 1 - 2 * usize::from(args[0] == "bundle")]);
            assert_eq!([&figures["wrong_answers"], &figures["lost_connections"]], [0, 0], "{figures}");
            expect_latency(figures, "latency_us");
        }
    }
}

#[test]
fn every_workload_speaks_tls_and_has_a_user() {
    let fixture = Fixture::new(true);
    for args in WORKLOADS {
        let figures = bench(&[args, &fixture.tls(), &fixture.user()].concat());
        expect_all_right(&figures, args, true);
        for plain in [["-p", &fixture.plain_port], ["-f", &fixture.file]] {
            let figures = bench(&[args, &plain, &fixture.user()].concat());
            expect_all_right(&figures, args, false);
        }
    }
}

#[test]
fn users_and_tls_can_be_in_the_environment() {
    let fixture = Fixture::new(true);
    for args in [&["pair", "--processes", "2", "--pairs", "100"][..], &["hold", "-c", "4", "--seconds", "0.1"]] {
        let mut command = officer(&[&["bench"], args, &fixture.server.options(), &["--json"]].concat());
        command.env("OFFICER_TLS", "1").env("OFFICER_TLS_CA", &fixture.ca);
        command.env("OFFICER_USER", "game").env("OFFICER_SECRET", SECRET);
        let printed = run(&mut command).expect_success();
        assert_eq!(serde_json::from_str::<Value>(&printed[0]).unwrap()["tls"], true, "{printed:?}");
    }
    // The table has servers of its own, which have neither.
    let table =
        ["table", "--only", "pair-1", "--server-cpu", "0", "--load-cpu", "0", "--rounds", "1", "--seconds", "0.1"];
    let mut command = officer(&[&["bench"], &table[..]].concat());
    run(command.env("OFFICER_TLS", "1").env("OFFICER_USER", "game")).expect_success();
}

#[test]
fn each_pair_of_connect_has_a_connection_of_its_own() {
    let server = Server::tcp(&[]);
    for (processes, ends) in [("1", 31), ("3", 33)] {
        let before = server.client().stats().unwrap();
        let args = ["-c", "4", "--pairs", "30", "--processes", processes];
        let figures = bench(&[&["connect"], server.options().as_slice(), &args].concat());
        assert_eq!(figures["pairs"], 30, "{figures}");
        assert!(figures.get("handshakes").is_none(), "{figures}");
        let client = server.client();
        let ended =
            || client.stats().unwrap().disconnects.values().sum::<u64>() - before.disconnects.values().sum::<u64>();
        // Each process makes one more first. The client that asked before has ended too.
        eventually("all are closed", || ended() == ends + 1);
        assert_eq!(client.stats().unwrap().requests["lock"] - before.requests["lock"], 30);
    }
    let (port, _) = stand_in::start(|line| stand_in::grant(line).map(|line| line.replace("released", "lost")));
    let output = run(&mut officer(&["bench", "connect", "-p", &port, "-c", "3", "--pairs", "30", "--json"]));
    assert_eq!(output.code(), 1, "{output:?}");
    let figures: Value = serde_json::from_str(&output.stdout[0]).unwrap();
    assert_eq!([&figures["pairs"], &figures["wrong_answers"]], [0, 3], "{figures}");
    let (port, _) = stand_in::start(|_| None);
    let output = run(&mut officer(&["bench", "connect", "-p", &port, "-c", "3", "--pairs", "30", "--json"]));
    let figures: Value = serde_json::from_str(&output.stdout[0]).unwrap();
    assert_eq!([&figures["pairs"], &figures["lost_connections"]], [0, 3], "{figures}");
}

#[test]
fn connections_resume_tls_sessions_unless_they_are_not_to() {
    let fixture = Fixture::new(false);
    let args = ["connect", "-c", "4", "--pairs", "100"];
    for processes in ["1", "2"] {
        let figures = bench(&[&args[..], &["--processes", processes], &fixture.tls()].concat());
        let [full, resumed] = ["full", "resumed"].map(|kind| number(&figures, &format!("/handshakes/{kind}")));
        // The first ones have nothing to resume.
        assert!((1.0..=10.0).contains(&full) && full + resumed == 100.0, "{figures}");
        let figures = bench(&[&args[..], &["--processes", processes, "--full-handshake"], &fixture.tls()].concat());
        assert_eq!([&figures["handshakes"]["full"], &figures["handshakes"]["resumed"]], [100, 0], "{figures}");
    }
}

#[test]
fn what_is_refused_is_one_line() {
    let fixture = Fixture::new(true);
    let tls = fixture.tls();
    let [_, _, _, port] = tls[..4] else { panic!("{tls:?}") };
    let other_ca = ["-p", port, "--tls", "--tls-ca", &fixture.other_ca];
    let plain = ["-p", &fixture.plain_port];
    let unknown = ["--user", "nobody", "--secret-file", &fixture.secret];
    let issuer =
        "no connection to 127.0.0.1:PORT: the server's certificate has an issuer that is not trusted; check --tls";
    for (workload, options, code, said) in [
        ("pair", &other_ca[..], 69, issuer),
        ("connect", &other_ca, 69, issuer),
        ("hold", &other_ca, 1, issuer),
        ("pair", &[&tls[..], &["--tls-server-name", "db1"]].concat(), 69, "not valid for name \"db1\""),
        ("pair", &[&plain[..], &["--tls", "--tls-ca", &fixture.ca]].concat(), 69, "does not speak TLS on this port"),
        ("pair", &[&tls[..], &unknown].concat(), 69, "refuses: there is no such user"),
        ("connect", &[&plain[..], &unknown].concat(), 69, "refuses: there is no such user"),
        ("storm", &[&tls[..], &unknown].concat(), 1, "refuses: there is no such user"),
        ("pair", &["--user", "game"], 2, "there is no secret for the user \"game\""),
        ("pair", &["--tls-ca", "x"], 2, "--tls-ca is for TLS; add --tls"),
        ("pair", &["-f", "/nowhere", "--tls", "--tls-ca", &fixture.ca], 69, "TLS is for TCP, not for UNIX sockets"),
        ("pair", &[&["--protocol", "redis"], &fixture.user()[..]].concat(), 2, "--protocol redis has no users"),
        ("hold", &[&["--protocol", "memcached"], &fixture.user()[..]].concat(), 2, "--protocol memcached has no users"),
        ("bundle", &[&["--protocol", "floor"], &tls[..]].concat(), 2, "the floor does not encrypt"),
        ("connect", &["--full-handshake"], 2, "--full-handshake is for TLS; add --tls"),
    ] {
        let command: &mut Command = &mut officer(&[&["bench", workload], options].concat());
        run(command).expect_failure(code, &said.replace("PORT", port));
    }
    // In the middle of it.
    for (options, said) in [(tls, "not_authenticated"), (vec!["-p", port], "this port speaks TLS")] {
        let end = run(&mut officer(&[&["bench", "pair", "-c", "2"], options.as_slice()].concat()));
        assert!(end.code() == 1 && end.stderr.len() == 1 && end.stderr[0].contains(said), "{end:?}");
    }
}
