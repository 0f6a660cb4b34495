//! Nothing overlaps, is cut off, or has to be scrolled to sideways, from 320 to 2,000 pixels; controls have names.

use serde_json::Value;

use crate::page::{Page, serve};
use crate::scene::Scene;
use crate::webdriver::key;

pub(crate) const WIDTHS: [u32; 5] = [320, 480, 768, 1280, 2000];
const LAYOUT: &str = include_str!("layout.js");

#[test]
fn everything_fits_from_320_to_2000_pixels() {
    let scene = Scene::start();
    let Some(page) = Page::open(scene.http) else { return };
    page.wait("rows().length > 20 && text('#hottest').includes('auction:house')");
    for width in WIDTHS {
        page.resize(width, 800);
        page.wait(&format!("innerWidth === {width}"));
        page.expect_nothing_wrong(&format!("{width} px"), LAYOUT);
        page.open_lock("auction:house");
        page.wait("text('#queue').includes('crafting-9')");
        page.expect_nothing_wrong(&format!("{width} px, with a lock"), LAYOUT);
        page.ask("#holders .kick");
        page.expect_nothing_wrong(&format!("{width} px, with a question"), LAYOUT);
        page.answer("#question-no");
        page.browser.press(&key::ESCAPE.to_string());
        page.wait("!shown(document.querySelector('#lock'))");
    }
}

#[test]
fn an_empty_server_fits_and_says_that_it_is_empty() {
    let (_server, http) = serve(&[]);
    let Some(page) = Page::open(http) else { return };
    page.wait("/no locks?\\b|no lock is|nobody/i.test(document.body.innerText)");
    for width in WIDTHS {
        page.resize(width, 800);
        page.wait(&format!("innerWidth === {width}"));
        page.expect_nothing_wrong(&format!("{width} px"), LAYOUT);
    }
}

#[test]
fn controls_have_names_and_the_page_has_a_language_and_one_heading() {
    let scene = Scene::start();
    let Some(page) = Page::open(scene.http) else { return };
    assert_eq!(page.value("document.documentElement.lang"), "en");
    assert_eq!(page.value("all('h1').length"), 1);
    assert_eq!(page.value("all('main, [role=main]').length"), 1);
    assert_eq!(page.value("document.title.trim() !== ''"), true);
    assert_eq!(page.value("all('meta[name=viewport]').length"), 1);
    page.expect_nothing_wrong(
        "ids",
        "return all('[id]').map((it) => it.id).filter((id, index, ids) => ids.indexOf(id) !== index);",
    );
    page.expect_nothing_wrong(
        "tables without a heading for each column",
        "return all('table').filter((it) => shown(it) && !it.querySelector('th')).map((it) => it.id);",
    );
    expect_names(&page, "main");
    page.open_lock("auction:house");
    page.wait("text('#queue').includes('crafting-9')");
    expect_names(&page, "#lock");
    page.ask("#holders .kick");
    expect_names(&page, "#question");
}

/// Checks that the browser finds a name for each control in there.
#[track_caller]
fn expect_names(page: &Page, parent: &str) {
    let selector = "button, input, select, textarea, a[href], summary, [tabindex], [role=img], dialog";
    let selector = format!(":is({parent}) :is({selector}), dialog:is({parent})");
    let controls = page.browser.elements(&selector);
    let is_shown =
        |element: &&String| page.browser.command("GET", &format!("{element}/displayed"), &Value::Null) == true;
    let names: Vec<String> = controls.iter().filter(is_shown).map(|element| page.browser.label(element)).collect();
    assert!(names.len() > 2 && !names.iter().any(|name| name.trim().is_empty()), "{names:?}");
}
