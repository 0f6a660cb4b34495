//! What changes is seen without loading the page again.

use serde_json::json;

use crate::page::{Page, serve};
use crate::support::client::lock;
use crate::webdriver::key;

/// A number that no time shows while a test runs.
const MANY: usize = 347;

#[test]
fn locks_and_waiters_come_and_go_without_reloading() {
    let (server, http) = serve(&[]);
    let Some(page) = Page::open(http) else { return };
    page.browser.script("window.isTheSame = true");
    page.wait("rows().length === 0");
    let mut ann = server.connect();
    ann.acquire("boss:x");
    let holder = json!(ann.tcp_name());
    page.wait_for_row("boss:x", &format!("cells.some((cell) => cell.includes({holder}))"));
    let mut bob = server.connect();
    for owner in 0..MANY {
        bob.send(json!({"command": "lock", "name": "boss:x", "owner": owner}));
    }
    let waiters = format!(r"cells.some((cell) => /\b{MANY}\b/.test(cell))");
    page.wait_for_row("boss:x", &waiters);
    // Times go on.
    let before = page.value("cells('boss:x')");
    page.wait_for_row("boss:x", &format!("JSON.stringify(cells) !== JSON.stringify({before})"));
    ann.release("boss:x");
    page.wait_for_row("boss:x", &format!("!cells.some((cell) => cell.includes({holder}))"));
    drop((ann, bob));
    page.wait_for_no_row("boss:x");
    assert_eq!(page.value("window.isTheSame"), true, "the page was loaded again");
}

#[test]
fn the_hottest_locks_and_the_figures_appear() {
    let (server, http) = serve(&[]);
    let Some(page) = Page::open(http) else { return };
    let [mut ann, mut bob] = [server.connect(), server.connect()];
    ann.acquire("auction:9");
    bob.queue_for("auction:9");
    page.wait("text('#hottest').includes('auction:9')");
    page.wait("['#waits', '#holds', '#grants'].every((it) => text(it) !== '')");
    let drawn = "['#waits tbody', '#holds tbody', '#grants svg'].map((it) => document.querySelector(it).innerHTML)";
    let before = page.value(drawn);
    ann.release("auction:9");
    bob.expect_acquired("auction:9");
    bob.release("auction:9");
    page.wait(&format!("{drawn}.every((now, index) => now !== {before}[index])"));
    // A line of grants needs two moments.
    page.wait("all('#grants path.line').some((it) => it.getTotalLength() > 0)");
}

#[test]
fn the_filter_keeps_what_it_is_asked_for() {
    let (server, http) = serve(&[]);
    let Some(page) = Page::open(http) else { return };
    let mut ann = server.connect();
    for name in ["boss:1", "boss:2", "player:7", "zone"] {
        ann.acquire(name);
    }
    page.wait("rows().length === 4");
    page.filter("boss:");
    page.wait("rows().map((row) => row.dataset.name).sort().join() === 'boss:1,boss:2'");
    // Also those that come meanwhile.
    ann.acquire("player:8");
    ann.acquire("boss:3");
    page.wait("rows().map((row) => row.dataset.name).sort().join() === 'boss:1,boss:2,boss:3'");
    page.filter("nothing like it");
    page.wait("rows().length === 0");
    page.browser.press(&key::BACKSPACE.to_string().repeat(20));
    page.wait("document.querySelector('#filter').value === '' && rows().length === 6");
}

#[test]
fn of_more_holders_than_the_server_lists_the_page_shows_the_number() {
    let (server, http) = serve(&[]);
    let Some(page) = Page::open(http) else { return };
    let mut ann = server.connect();
    for owner in 0..1_200 {
        ann.send(json!({"command": "lock", "name": "arena", "mode": "shared", "owner": owner}));
        assert_eq!(ann.receive()["result"], "acquired");
    }
    page.wait_for_row("arena", "cells.join(' ').includes('+ 1,199') && cells.join(' ').includes('shared by 1,200')");
    page.open_lock("arena");
    page.wait("document.querySelector('#holders-note').textContent === 'and 1,125 more'");
}

#[test]
fn a_lock_shows_its_queue_in_order() {
    let (server, http) = serve(&[]);
    let Some(page) = Page::open(http) else { return };
    let mut holder = server.connect();
    holder.acquire("dungeon");
    let mut waiters: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for waiter in &mut waiters {
        waiter.queue_for("dungeon");
    }
    // One with a priority gets ahead.
    let mut first = server.connect();
    first.send(json!({"command": "lock", "name": "dungeon", "priority": 3, "client": "ignored"}));
    first.expect_nothing_before_now();
    page.open_lock("dungeon");
    let mut order = vec![first.tcp_name()];
    order.extend(waiters.iter().map(|waiter| waiter.tcp_name()));
    expect_queue(&page, &holder.tcp_name(), &order);
    // While it is open, the lock passes on, and one gives up.
    drop(holder);
    first.expect_acquired("dungeon");
    expect_queue(&page, &order[0], &order[1..]);
    drop(waiters.remove(1));
    order.remove(2);
    expect_queue(&page, &order[0], &order[1..]);
    let mut late = server.connect();
    late.send(lock("dungeon"));
    order.push(late.tcp_name());
    expect_queue(&page, &order[0], &order[1..]);
}

/// Waits until these hold the lock that is open, and wait for it, in this order.
#[track_caller]
fn expect_queue(page: &Page, holder: &str, waiters: &[String]) {
    let names = r"(selector) => text(selector).match(/127\.0\.0\.1:\d{1,5}/g)?.join() ?? ''";
    let (holder, waiters) = (json!(holder), json!(waiters.join(",")));
    page.wait(&format!("({names})('#holders') === {holder} && ({names})('#queue') === {waiters}"));
}
