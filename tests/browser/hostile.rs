//! Names that are markup, scripts, terminal escapes, or turn the direction of text, in every field that clients choose.

use serde_json::{Value, json};

use crate::page::{Page, serve};
use crate::support::client::Client;

const NAMES: [&str; 10] = [
    "<img src=x onerror=\"window.isHacked=1\">",
    "\"><script>window.isHacked=1</script>",
    "' autofocus onfocus='window.isHacked=1",
    "</textarea></title></script><svg/onload=window.isHacked=1>",
    "javascript:window.isHacked=1",
    "${window.isHacked=1}{{constructor.constructor('window.isHacked=1')()}}",
    "&lt;b&gt; &#x3C;img src=x onerror=window.isHacked=1&#x3E;",
    "\u{1b}[2J\u{1b}]0;x\u{7}\r\n\t",
    "\u{202e}gnp.1:ssob\u{2066}\u{feff}\u{200b}",
    "__proto__",
];

#[test]
fn hostile_names_are_text_in_every_field() {
    let (server, http) = serve(&["--metrics-prefix", "<img src=x onerror=window.isHacked=1>"]);
    let Some(page) = Page::open(http) else { return };
    let clients: Vec<[Client; 2]> = NAMES.map(|name| [0, 1].map(|_| on(server.connect(), name))).into();
    let shown = json!(NAMES);
    page.wait(&format!("{shown}.every((name) => cells(name))"));
    // Those that people can read are there as they are written.
    let legible = json!(&NAMES[..7]);
    page.wait(&format!("{legible}.every((name) => text('#locks').includes(name))"));
    page.wait(&format!("{legible}.every((name) => text('#hottest').includes(name))"));
    for name in NAMES {
        page.open_lock(name);
        if name.is_ascii() && !name.contains('\u{1b}') {
            let name = json!(name);
            page.wait(&format!("['#lock', '#holders', '#queue'].every((it) => text(it).includes({name}))"));
        }
        let question = page.ask("#holders .revoke");
        assert!(!question.contains(['\u{1b}', '\u{202e}']) && !question.trim().is_empty(), "{question:?}");
        page.answer("#question-no");
        close(&page);
    }
    page.filter(NAMES[0]);
    page.wait("rows().length === 1");
    page.wait_for_answers(4);
    // Neither a script, nor an element that is not the page's own.
    assert_eq!(page.value("window.isHacked ?? null"), Value::Null);
    assert_eq!(page.value("all('img, body script, iframe, object, body style, b:not(:empty) img').length"), 0);
    assert_eq!(page.value("({}).holders ?? null"), Value::Null);
    // What the browser refused to load, if markup had become an element.
    let console = page.browser.console();
    assert_eq!(console, Vec::<String>::new());
    drop(clients);
}

/// Closes the lock that is open.
fn close(page: &Page) {
    page.browser.press(&crate::webdriver::key::ESCAPE.to_string());
    page.wait("!shown(document.querySelector('#lock'))");
}

/// A client, lock, owner and label with this name; it holds the lock, or waits for it.
fn on(mut client: Client, name: &str) -> Client {
    assert_eq!(client.ask(json!({"command": "hello", "client": name}))["result"], "hello");
    let owner: String = name.chars().take(60).collect();
    client.send(json!({"command": "lock", "name": name, "owner": owner, "label": name}));
    client.ask(json!({"command": "ping"}));
    client
}

#[test]
fn long_names_break_nothing_and_can_be_read() {
    let (server, http) = serve(&[]);
    let Some(page) = Page::open(http) else { return };
    let mut ann = server.connect();
    let names = ["x".repeat(1024), "界".repeat(341), "a b ".repeat(256).trim().to_owned(), "ﷺ".repeat(300)];
    for name in &names {
        ann.acquire(name);
    }
    page.wait(&format!("{}.every((name) => cells(name))", json!(names)));
    for width in [320, 1280] {
        page.resize(width, 800);
        page.expect_nothing_wrong(&format!("{width} px"), include_str!("layout.js"));
    }
    for name in &names {
        page.open_lock(name);
        page.expect_nothing_wrong("with a lock that is open", include_str!("layout.js"));
        close(&page);
    }
}
