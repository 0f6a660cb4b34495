//! `officer ping`.

use crate::support::program::run;
use crate::support::server::Server;

#[test]
fn a_server_that_is_alive_says_so_and_how_fast() {
    for server in [Server::tcp(&[]), Server::unix(&[])] {
        let lines = run(&mut server.officer("ping", &[])).expect_success();
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        let (address, time) = line.split_once(" is alive: it answered in ").unwrap();
        let options = server.options();
        assert!(address.ends_with(options[3]), "{line}");
        assert!(time.strip_suffix(" ms").unwrap().parse::<f64>().unwrap() > 0.0, "{line}");
    }
}
