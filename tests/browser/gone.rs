//! The server goes away and comes back.

use rustix::process::Signal;

use crate::page::Page;
use crate::support::address::own_host;
use crate::support::server::{Server, officer};

#[test]
fn a_server_that_is_gone_is_noticed_and_so_is_its_return() {
    let address = own_host();
    let start = |ports: [u16; 2]| {
        let list = format!("tcp://{address}:{},http://{address}:{}", ports[0], ports[1]);
        let mut server = Server::start(officer(&["run", "--listen"]).arg(list));
        let http = server.next_address().tcp();
        (server, http)
    };
    let (server, http) = start([0, 0]);
    let ports = [server.address().tcp().port(), http.port()];
    let Some(page) = Page::open(http) else { return };
    page.browser.script("window.isTheSame = true");
    let mut ann = server.connect();
    ann.acquire("boss");
    page.wait_for_row("boss", "true");
    // One that is stopped keeps its connections, and says nothing.
    let before = page.value("text('#status')");
    server.signal(Signal::STOP);
    page.wait(&format!("state() === 'stale' && text('#status') !== {before}"));
    server.signal(Signal::CONT);
    page.wait("state() === 'live'");
    server.end();
    page.wait("state() === 'gone'");
    // It says so in words, and what was there can still be read.
    page.wait(&format!("text('#status').trim() !== '' && text('#status') !== {before}"));
    page.wait_for_row("boss", "true");
    let (server, again) = start(ports);
    assert_eq!(again, http);
    page.wait("state() === 'live'");
    page.wait_for_no_row("boss");
    let mut bob = server.connect();
    bob.acquire("zone");
    page.wait_for_row("zone", "true");
    assert_eq!(page.value("window.isTheSame"), true, "the page was loaded again");
}
