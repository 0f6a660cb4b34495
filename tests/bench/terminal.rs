//! The progress bar, which is shown only on a terminal.

use crate::support::program::Program;
use crate::support::server::PROGRAM;
use crate::support::server::Server;
use crate::support::terminal::on_a_terminal;

#[test]
fn a_bar_shows_how_far_it_is_and_is_erased() {
    let server = Server::tcp(&[]);
    let line = format!("exec {PROGRAM} bench pair {} -c 2 --seconds 1 --json", server.options().join(" "));
    let Some(mut command) = on_a_terminal(&line) else { return };
    let printed = Program::start(&mut command).end().expect_success();
    let drawn: Vec<_> = printed.iter().filter(|line| line.contains("measuring") && line.contains('%')).collect();
    assert!(!drawn.is_empty(), "{printed:?}");
    let last = printed.last().unwrap();
    assert!(last.contains("\"pairs\":") && !last.contains("measuring"), "{printed:?}");
}
