//! Who may see the page, and do what, on a server with users.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::json;

use crate::page::{Page, serve};
use crate::support::directory::Directory;
use crate::support::patience::PATIENCE;
use crate::support::server::Server;
use crate::support::users::{hello, table, write};

/// A server with an admin and a user.
fn serve_users(directory: &Directory) -> (Server, SocketAddr) {
    let file = directory.file("users.toml");
    let game = table("game", "game's secret", "locks = [\"boss:\"]");
    write(&file, &(table("ops", "open sesame", "admin = true\nlocks = [\"\"]") + &game));
    serve(&["--users", file.to_str().unwrap()])
}

/// Opens the page with name and secret in the address, and then without: the browser knows them from then on, as it does when
/// somebody has typed them.
fn open(page: &Page, http: SocketAddr, user: &str, secret: &str) {
    let secret = secret.replace(' ', "%20").replace('\'', "%27");
    for address in [format!("http://{user}:{secret}@{http}/"), format!("http://{http}/")] {
        page.browser.go(&address);
        page.wait("state() === 'live'");
    }
}

#[test]
fn the_page_asks_who_it_is_for() {
    let directory = Directory::new();
    let (_server, http) = serve_users(&directory);
    let mut stream = TcpStream::connect(http).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("\r\nWWW-Authenticate: Basic "), "{answer}");
}

#[test]
fn an_admin_sees_everything_and_kicks() {
    let directory = Directory::new();
    let (server, http) = serve_users(&directory);
    let Some(page) = Page::new() else { return };
    open(&page, http, "ops", "open sesame");
    let mut ann = server.connect();
    assert_eq!(ann.ask(hello("game", "game's secret"))["result"], "hello");
    ann.acquire("boss:1");
    page.open_lock("boss:1");
    page.ask("#holders .kick");
    page.answer("#question-yes");
    ann.expect_end();
    page.wait_for_no_row("boss:1");
}

#[test]
fn a_user_sees_its_locks_and_is_told_what_it_may_not() {
    let directory = Directory::new();
    let (server, http) = serve_users(&directory);
    let Some(page) = Page::new() else { return };
    open(&page, http, "game", "game's secret");
    let [mut ann, mut ops] = [server.connect(), server.connect()];
    assert_eq!(ann.ask(hello("game", "game's secret"))["result"], "hello");
    assert_eq!(ops.ask(hello("ops", "open sesame"))["result"], "hello");
    ops.acquire("secret:1");
    ann.acquire("boss:1");
    page.wait_for_row("boss:1", "true");
    page.wait("/admin/.test(document.body.innerText)");
    page.wait_for_answers(3);
    assert_eq!(page.value("rows().map((row) => row.dataset.name)"), json!(["boss:1"]));
    // It can't kick, so it isn't offered that.
    page.open_lock("boss:1");
    page.wait("all('#holders .kick').length === 1 && all('#holders .revoke').length === 1");
    assert_eq!(page.value("all('#lock .kick, #lock .revoke').filter((it) => shown(it) && !it.disabled).length"), 0);
    assert_eq!(ann.my_locks(), ["boss:1"]);
    page.wait("state() === 'live'");
}

#[test]
fn who_is_nobody_sees_what_is_open_to_all() {
    let directory = Directory::new();
    let file = directory.file("users.toml");
    let anonymous = "[anonymous]\nfrom = [\"loopback\"]\nlocks = [\"boss:\"]\n";
    write(&file, &(table("ops", "open sesame", "admin = true\nlocks = [\"\"]") + anonymous));
    let (server, http) = serve(&["--users", file.to_str().unwrap()]);
    let Some(page) = Page::open(http) else { return };
    let [mut ann, mut ops] = [server.connect(), server.connect()];
    assert_eq!(ops.ask(hello("ops", "open sesame"))["result"], "hello");
    ops.acquire("secret:1");
    ann.acquire("boss:1");
    page.wait_for_row("boss:1", "true");
    page.wait("shown(document.querySelector('#sign-in'))");
    page.wait_for_answers(3);
    assert_eq!(page.value("rows().map((row) => row.dataset.name)"), json!(["boss:1"]));
}
