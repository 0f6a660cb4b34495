//! Holders are kicked and holds revoked, after a question.

use serde_json::json;

use crate::page::{Page, serve};

#[test]
fn who_is_kicked_is_disconnected_and_only_after_yes() {
    let (server, http) = serve(&[]);
    let Some(page) = Page::open(http) else { return };
    let [mut ann, mut bob] = [server.connect(), server.connect()];
    ann.acquire("boss");
    bob.queue_for("boss");
    page.open_lock("boss");
    let question = page.ask("#holders .kick");
    assert!(question.contains(&ann.tcp_name()), "it is said who is meant: {question}");
    page.answer("#question-no");
    page.wait_for_answers(4);
    assert_eq!(ann.my_locks(), ["boss"]);
    bob.expect_nothing_before_now();
    page.ask("#holders .kick");
    page.answer("#question-yes");
    ann.expect_end();
    bob.expect_acquired("boss");
    page.wait(&format!("text('#holders').includes({})", json!(bob.tcp_name())));
}

#[test]
fn a_hold_that_is_revoked_passes_on_and_its_client_stays() {
    let (server, http) = serve(&[]);
    let Some(page) = Page::open(http) else { return };
    let [mut ann, mut bob] = [server.connect(), server.connect()];
    ann.acquire("boss");
    ann.acquire("other");
    bob.queue_for("boss");
    page.open_lock("boss");
    let question = page.ask("#holders .revoke");
    assert!(question.contains("boss") && question.contains(&ann.tcp_name()), "{question}");
    page.answer("#question-no");
    page.wait_for_answers(4);
    assert_eq!(ann.my_locks().len(), 2);
    bob.expect_nothing_before_now();
    page.ask("#holders .revoke");
    page.answer("#question-yes");
    bob.expect_acquired("boss");
    assert_eq!(ann.my_locks(), ["other"]);
}

#[test]
fn the_answer_counts_for_the_hold_that_the_question_was_about() {
    let (server, http) = serve(&[]);
    let Some(page) = Page::open(http) else { return };
    let [mut ann, mut bob] = [server.connect(), server.connect()];
    ann.acquire("boss");
    bob.queue_for("boss");
    page.open_lock("boss");
    page.ask("#holders .revoke");
    // Meanwhile the lock passes on, and comes to the same client again.
    ann.release("boss");
    bob.expect_acquired("boss");
    bob.release("boss");
    ann.acquire("boss");
    page.wait_for_answers(4);
    page.answer("#question-yes");
    page.wait("text('#message').trim() !== ''");
    assert_eq!(ann.my_locks(), ["boss"]);
    // Nor is somebody kicked who is no longer on the lock.
    page.ask("#holders .kick");
    ann.release("boss");
    bob.acquire("boss");
    page.wait(&format!("text('#holders').includes({})", json!(bob.tcp_name())));
    page.answer("#question-yes");
    page.wait("/not kicked/.test(text('#message'))");
    assert_eq!(ann.my_locks().len(), 0);
    assert_eq!(bob.my_locks(), ["boss"]);
}

#[test]
fn a_waiter_is_kicked_from_the_queue() {
    let (server, http) = serve(&[]);
    let Some(page) = Page::open(http) else { return };
    let [mut ann, mut bob, mut carl] = [server.connect(), server.connect(), server.connect()];
    ann.acquire("boss");
    bob.queue_for("boss");
    carl.queue_for("boss");
    page.open_lock("boss");
    page.wait("document.querySelector('#queue .kick')");
    let question = page.ask("#queue .kick");
    assert!(question.contains(&bob.tcp_name()), "{question}");
    page.answer("#question-yes");
    bob.expect_end();
    page.wait(&format!("!text('#queue').includes({})", json!(bob.tcp_name())));
    carl.expect_nothing_before_now();
    assert_eq!(ann.my_locks(), ["boss"]);
}
