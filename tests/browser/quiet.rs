//! What a page costs the server.

use std::time::Instant;

use serde_json::json;

use crate::page::{Page, serve};

/// Requests of a page that is looked at, with a lock that is open, for each second: three, and a part of a round.
const REQUESTS_PER_SECOND_MAX: f64 = 3.5;

#[test]
fn a_page_asks_seldom_and_a_hidden_one_not_at_all() {
    let (server, http) = serve(&[]);
    let Some(page) = Page::open(http) else { return };
    let mut ann = server.connect();
    ann.acquire("boss");
    page.open_lock("boss");
    // From one answer to another, so that it does not matter when the first one came.
    page.wait_for_answers(1);
    let answers = || page.value("seen.answers.length").as_f64().unwrap();
    let (begun, before) = (Instant::now(), answers());
    page.wait_for_answers(20);
    let rate = (answers() - before) / begun.elapsed().as_secs_f64();
    eprintln!("{rate:.2} requests a second");
    assert!(rate <= REQUESTS_PER_SECOND_MAX, "{rate} requests a second");

    // Another tab hides it, and asks ten times.
    let first = page.browser.command("GET", "/window", &json!(null));
    let second = page.browser.command("POST", "/window/new", &json!({ "type": "tab" }))["handle"].take();
    page.browser.command("POST", "/window", &json!({ "handle": second }));
    page.browser.go(&format!("http://{http}/"));
    let script = "return new Promise((resolve) => {
        const ask = () => (performance.getEntriesByType('resource').length > 20 ? resolve(true) : setTimeout(ask, 50));
        ask();
    });";
    page.browser.script(script);
    ann.acquire("zone");
    page.browser.command("DELETE", "/window", &json!(null));
    page.browser.command("POST", "/window", &json!({ "handle": first }));
    page.wait("seen.hidden.length === 2");
    let asked = page.value("seen.answers.filter((time) => time > seen.hidden[0] && time < seen.hidden[1]).length");
    assert_eq!(asked, 0, "requests of a page that nobody sees");
    page.wait_for_row("zone", "true");
}
