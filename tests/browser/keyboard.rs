//! The keyboard alone: what it reaches, in which order, where the focus is and whether that is seen.

use serde_json::{Value, json};

use crate::page::Page;
use crate::scene::Scene;
use crate::support::client::Client;
use crate::webdriver::key;

/// More than there are stops.
const TABS_MAX: usize = 200;

/// The focused element is seen to be focused.
const FOCUS: &str = "
    if (document.activeElement === document.body) return [];
    const style = getComputedStyle(document.activeElement);
    const isSeen = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1;
    return isSeen ? [] : [document.activeElement.outerHTML.slice(0, 200)];
";
const IN_ORDER: &str = "
    const [before, now] = [window.stopBefore, document.activeElement];
    window.stopBefore = now;
    // Between the last and the first of them are the controls of the browser.
    if (now === document.body) window.stopBefore = null;
    if (!before?.isConnected || now === document.body || before === now) return [];
    const isAfter = before.compareDocumentPosition(now) & Node.DOCUMENT_POSITION_FOLLOWING;
    return isAfter ? [] : [`${now.outerHTML.slice(0, 100)} comes after ${before.outerHTML.slice(0, 100)}`];
";

#[test]
fn the_keyboard_reaches_everything_and_the_focus_stays() {
    let scene = Scene::start();
    let Some(page) = Page::open(scene.http) else { return };
    page.wait("rows().length > 20");
    tab_until(&page, "it.matches('#filter')");
    tab_until(&page, "it.closest('tr')?.dataset.name === 'player:4922'");
    // Rows come, go and change places around it, and it changes its own.
    let mut other = scene.connect("other");
    for n in 0..40 {
        other.acquire(&format!("a:{n}"));
    }
    page.wait_for_row("a:39", "true");
    other.ask(json!({"command": "reset"}));
    page.wait_for_no_row("a:39");
    other.queue_for("player:4922");
    page.wait("rows()[2].dataset.name === 'player:4922'");
    expect_focus(&page, "it.closest('tr')?.dataset.name === 'player:4922'");
    press(&page, '/');
    expect_focus(&page, "it.matches('#filter')");
    tab_until(&page, "it.closest('tr')?.dataset.name === 'auction:house'");
    press(&page, key::ENTER);
    page.wait("text('#lock-name') === 'auction:house' && shown(document.querySelector('#queue'))");
    tab_until(&page, "it.matches('#holders .kick')");
    // Waiters come and go as well.
    page.wait("text('#queue').includes('crafting-9')");
    let mut waiter = scene.connect("latest");
    waiter.queue_for("auction:house");
    page.wait("text('#queue').includes('latest')");
    expect_focus(&page, "it.matches('#holders .kick')");
    for answer in [key::ESCAPE, key::ENTER] {
        press(&page, key::ENTER);
        page.wait("isAsking()");
        // An Enter too many does no harm.
        expect_focus(&page, "it.matches('#question-no')");
        press(&page, answer);
        page.wait("!isAsking()");
        expect_focus(&page, "it.matches('#holders .kick')");
    }
    press(&page, key::ESCAPE);
    page.wait("!shown(document.querySelector('#lock'))");
    expect_focus(&page, "it.closest('tr')?.dataset.name === 'auction:house'");
    // By now the dialog has done everything that it does when it closes.
    page.wait_for_answers(1);
    press(&page, '/');
    expect_focus(&page, "it.matches('#filter')");
    page.browser.press("a/b");
    page.wait("document.querySelector('#filter').value === 'a/b'");
}

#[test]
fn the_keyboard_alone_ends_a_hold() {
    let scene = Scene::start();
    let Some(page) = Page::open(scene.http) else { return };
    let [mut ann, mut bob]: [Client; 2] = ["ann", "bob"].map(|name| scene.connect(name));
    ann.acquire("vault");
    bob.queue_for("vault");
    page.wait_for_row("vault", "true");
    press(&page, '/');
    page.browser.press("vault");
    page.wait("rows().length === 1");
    tab_until(&page, "it.closest('tr')?.dataset.name === 'vault'");
    press(&page, key::ENTER);
    page.wait("text('#lock-name') === 'vault'");
    tab_until(&page, "it.matches('#holders .revoke')");
    press(&page, key::ENTER);
    page.wait("isAsking()");
    tab_until(&page, "it.matches('#question-yes')");
    // Tab does not leave the question.
    for _ in 0..4 {
        press(&page, key::TAB);
        expect_focus(&page, "it === document.body || it.closest('#question')");
    }
    tab_until(&page, "it.matches('#question-yes')");
    press(&page, key::ENTER);
    bob.expect_acquired("vault");
    assert!(ann.my_locks().is_empty());
    page.wait("!isAsking() && text('#holders').includes('bob') && !text('#holders').includes('ann')");
    // What had the focus is gone with the hold.
    expect_focus(&page, "it.closest('#lock')");
}

/// Presses Tab until the focus is where it has to be. Everything on the way is in the order of the document, and is seen to
/// have the focus.
#[track_caller]
fn tab_until(page: &Page, is_there: &str) {
    page.browser.script("window.stopBefore = null");
    for _ in 0..TABS_MAX {
        press(page, key::TAB);
        page.expect_nothing_wrong("the focus is not seen", FOCUS);
        page.expect_nothing_wrong("the order", IN_ORDER);
        if is_focused(page, is_there) {
            return;
        }
    }
    panic!("Tab does not lead to {is_there}");
}

#[track_caller]
fn expect_focus(page: &Page, is_there: &str) {
    let focused = page.value("document.activeElement.outerHTML.slice(0, 200)");
    assert!(is_focused(page, is_there), "the focus is on {focused}, not where {is_there}");
}

fn is_focused(page: &Page, is_there: &str) -> bool {
    page.value(&format!("((it) => Boolean({is_there}))(document.activeElement)")) == Value::Bool(true)
}

#[track_caller]
fn press(page: &Page, key: char) {
    page.browser.press(&key.to_string());
}
