//! The page of a server in a browser, and what tests ask of it.

use std::net::SocketAddr;
use std::thread;

use serde_json::{Value, json};

use crate::support::patience::PATIENCE;
use crate::support::server::{Server, officer};
use crate::webdriver::Browser;

/// Starts a server for the protocol and for HTTP. Returns where the latter is. Silent clients stay.
pub(crate) fn serve(options: &[&str]) -> (Server, SocketAddr) {
    let list = "tcp://127.0.0.1:0,http://127.0.0.1:0";
    let mut server = Server::start(officer(&["run", "--max-idle", "0", "--listen", list]).args(options));
    let http = server.next_address().tcp();
    (server, http)
}

/// A page that is open. When this is dropped, nothing may have gone wrong in it.
pub(crate) struct Page {
    pub(crate) browser: Browser,
}

impl Page {
    /// Opens the page, and waits until it shows what the server says. None: there is no browser.
    #[track_caller]
    pub(crate) fn open(http: SocketAddr) -> Option<Page> {
        let page = Page::new()?;
        page.browser.go(&format!("http://{http}/"));
        page.wait("state() === 'live'");
        Some(page)
    }

    /// An empty one.
    pub(crate) fn new() -> Option<Page> {
        let browser = Browser::start()?;
        browser.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": include_str!("page.js") }));
        let page = Page { browser };
        page.resize(1280, 800);
        Some(page)
    }

    /// The value of an expression in JavaScript, with the functions of `page.js`.
    #[track_caller]
    pub(crate) fn value(&self, expression: &str) -> Value {
        self.browser.script(&format!("{NAMES} return ({expression});"))
    }

    /// Waits until an expression is true, and returns its value.
    #[track_caller]
    pub(crate) fn wait(&self, expression: &str) -> Value {
        let milliseconds = PATIENCE.as_millis();
        let body = format!("{NAMES} return until({milliseconds}, () => ({expression}));");
        let value = self.browser.script(&body);
        assert!(!value.is_null(), "still not so after {PATIENCE:?}: {expression}");
        value
    }

    /// Waits until the table has a row for this lock that fits: `cells` are its texts.
    #[track_caller]
    pub(crate) fn wait_for_row(&self, name: &str, fits: &str) {
        self.wait(&format!("((cells) => cells && ({fits}))(cells({}))", json!(name)));
    }

    /// Waits until the table does not have this lock.
    #[track_caller]
    pub(crate) fn wait_for_no_row(&self, name: &str) {
        self.wait(&format!("!cells({})", json!(name)));
    }

    /// Opens a lock that is in the table.
    #[track_caller]
    pub(crate) fn open_lock(&self, name: &str) {
        self.wait_for_row(name, "true");
        let button = json!(row_button(name));
        let written = self.value(&format!("text({button})"));
        self.browser.click(button.as_str().unwrap());
        self.wait(&format!("shown(document.querySelector('#lock')) && text('#lock-name') === {written}"));
    }

    /// Clicks on what leads to the question, and returns the question.
    #[track_caller]
    pub(crate) fn ask(&self, selector: &str) -> String {
        self.browser.click(selector);
        self.wait("isAsking() && text('#question')").as_str().unwrap().to_owned()
    }

    /// Answers the question.
    #[track_caller]
    pub(crate) fn answer(&self, selector: &str) {
        self.browser.click(selector);
        self.wait("!isAsking()");
    }

    /// Replaces what is in the field of the filter.
    #[track_caller]
    pub(crate) fn filter(&self, text: &str) {
        let field = self.browser.element("#filter");
        self.browser.command("POST", &format!("{field}/clear"), &json!({}));
        self.browser.command("POST", &format!("{field}/value"), &json!({ "text": text }));
    }

    /// Makes what the page has for itself this large, in CSS pixels.
    #[track_caller]
    pub(crate) fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.browser.devtools("Emulation.setDeviceMetricsOverride", &size);
    }

    /// `dark` or `light`.
    #[track_caller]
    pub(crate) fn prefer(&self, scheme: &str) {
        let features = json!({ "features": [
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ] });
        self.browser.devtools("Emulation.setEmulatedMedia", &features);
        self.wait(&format!("matchMedia('(prefers-color-scheme: {scheme})').matches"));
    }

    /// Waits for as many further answers to the page's requests.
    #[track_caller]
    pub(crate) fn wait_for_answers(&self, count: usize) {
        let so_far = self.value("seen.answers.length").as_u64().unwrap();
        self.wait(&format!("seen.answers.length >= {so_far} + {count}"));
    }

    /// Executes the body of a function that returns a list of what is wrong, and checks that this is empty.
    #[track_caller]
    pub(crate) fn expect_nothing_wrong(&self, what: &str, body: &str) {
        let found = self.browser.script(&format!("{NAMES} {body}"));
        assert!(found == json!([]), "{what}: {found:#}");
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        if thread::panicking() {
            let script = "return [document.body.innerText.slice(0, 3000), testing.seen.errors]";
            let shown = self.browser.try_command("POST", "/execute/sync", &json!({ "script": script, "args": [] }));
            eprintln!("the page: {shown:#?}");
            return;
        }
        let errors = self.value("seen.errors");
        assert_eq!(errors, json!([]), "errors in the page");
    }
}

/// The selector of the button that opens a lock.
pub(crate) fn row_button(name: &str) -> String {
    format!("#locks tr[data-name={}] button", css_string(name))
}

/// A string as CSS writes it: everything but letters and digits by its number.
fn css_string(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_string() } else { format!("\\{:x} ", u32::from(c)) })
        .collect();
    format!("\"{escaped}\"")
}

/// Makes the functions of `page.js` known.
const NAMES: &str = "const { shown, all, rows, cells, text, state, isAsking, seen, until } = testing;";
