//! `officer lock`, when the network fails without a word.

use std::io::Write;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::support::lines::LineReader;
use crate::support::patience::PATIENCE;
use crate::support::program::{Program, is_alive};
use crate::support::server::officer;

/// Does not care about SIGTERM, and says which process it is.
const STUBBORN: &str = "trap '' TERM; echo $$; while :; do sleep 0.01; done";

#[test]
fn a_command_is_killed_before_the_server_gives_its_lock_to_the_next() {
    const SILENT_AFTER: u64 = 4;
    // A server that gives the lock, and of which nothing is heard after that.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let program = Program::start(&mut officer(&["lock", "-p", &port, "x", "--", "sh", "-c", STUBBORN]));
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut lines = LineReader::new(stream);
    for (command, answer) in [
        ("hello", format!(r#"{{"result":"hello","connection":"me","limits":{{"silent_after":{SILENT_AFTER}}}}}"#)),
        ("lock", r#"{"result":"acquired","id":1,"name":"x"}"#.to_owned()),
    ] {
        let line = lines.line();
        assert!(line.contains(&format!(r#""command":"{command}""#)), "{line}");
        writeln!(lines.socket_mut(), "{answer}").unwrap();
    }
    let heard_at = Instant::now();
    let command = program.line();
    // Keep-alives come here, but their answers do not get back. Then the connection ends, with officer.
    while lines.next_line().unwrap().is_some() {}
    program.end().expect_failure(73, "the server does not answer keep-alives");
    let took = heard_at.elapsed();
    assert!(!is_alive(&command));
    assert!(took < Duration::from_secs(SILENT_AFTER), "{took:?}");
    // It had the time to end by itself that there is.
    assert!(took > Duration::from_secs(SILENT_AFTER / 2), "{took:?}");
}
