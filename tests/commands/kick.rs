//! `officer kick`.

use crate::support::program::{Program, run};
use crate::support::server::Server;
use crate::support::server::officer;
use crate::wait_for_count;

#[test]
fn the_lock_of_who_is_kicked_passes_on() {
    for server in [Server::tcp(&[]), Server::unix(&[])] {
        let stuck = server.client();
        let guard = stuck.lock("x").unwrap();
        let waiter = Program::start(&mut server.lock(&["x"], &["echo", "ran"]));
        wait_for_count(&server.client(), "x", 2);
        let name = stuck.connection_name();
        let lines = run(&mut server.officer("kick", &[&name])).expect_success();
        assert_eq!(lines, [format!("{name} was kicked: its locks have passed on, and it has left all queues")]);
        assert_eq!(waiter.end().expect_success(), ["ran"]);
        assert!(guard.release().is_err());
    }
}

#[test]
fn who_is_not_there_can_not_be_kicked() {
    let server = Server::tcp(&[]);
    for name in ["127.0.0.1:1", "unix:1", "boss\n", ""] {
        run(&mut server.officer("kick", &[name])).expect_failure(1, "'officer connections' lists those");
    }
    run(&mut officer(&["kick"])).expect_failure(2, "<CONNECTION>");
}

#[test]
fn a_server_without_users_says_that_it_has_none_to_kick() {
    let server = Server::tcp(&[]);
    let line = format!(
        "the server at {} refuses: this server has no users; it gets them from a file, with --users (not_allowed)",
        server.client_address()
    );
    let end = run(&mut server.officer("kick", &["--all-of", "game"]));
    end.expect_failure(77, &line);
    assert!(end.stderr[0].ends_with(&line), "nothing that would not help is advised: {end:?}");
}
