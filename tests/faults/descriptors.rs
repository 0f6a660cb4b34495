//! Descriptors that run out while clients churn, and come back.

use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::clients::{Churn, Peer, churn};
use crate::history::{History, nanos, now};
use crate::support::client::Client;
use crate::support::patience::eventually;
use crate::support::server::{Server, officer_after};
use crate::{assert_well, tcp_address};

#[test]
fn while_descriptors_run_out_and_come_back_no_lock_is_held_twice_and_nobody_starves() {
    let options = ["run", "-p", "0", "--connections-max", "1000", "-l", "info"];
    let server = Server::start(&mut officer_after("ulimit -n 60 &&", &options));
    let address = tcp_address(&server);
    let history = History::default();
    let until = now() + nanos(Duration::from_secs(4));
    let descriptors = server.descriptors();
    let mut shortages = 0;
    thread::scope(|scope| {
        for seed in 1..=12 {
            let history = &history;
            scope.spawn(move || churn(seed, Churn::WILD, until, |number| Peer::connect(address, number, history)));
        }
        while now() < until {
            // More than there are descriptors for: the last of them, and later ones, wait for the first to leave.
            let mut crowd: Vec<Client> = (0..80).map(|_| server.connect()).collect();
            eventually("there are none left", || server.descriptors() >= 60);
            shortages += 1;
            crowd.drain(..60);
            crowd.iter_mut().for_each(|client| assert!(client.my_locks().is_empty()));
        }
    });
    let figures = assert_well(history.take());
    println!("{figures}; {shortages} times without descriptors");
    assert!(figures.grants > 50 && shortages > 1, "{figures}");
    server.log().wait_for("cannot accept more connections");
    eventually("all are back", || server.descriptors() == descriptors);
    assert_eq!(server.connect().locks(), json!({}));
}
