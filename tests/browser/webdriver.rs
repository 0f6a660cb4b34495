//! A browser that a test controls: Debian's chromium, by chromedriver, which speaks WebDriver (of the W3C), which is HTTP and
//! JSON.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::directory::Directory;
use crate::support::patience::PATIENCE;
use crate::support::program::Program;
use crate::support::skip::skipped;

/// Without a screen, as root, and without a word to anybody but the server.
const FLAGS: [&str; 12] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--force-device-scale-factor=1",
    // Grey edges of letters: pictures are half as large.
    "--disable-lcd-text",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.* , EXCLUDE localhost",
];
/// The key under which WebDriver has the id of an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

const ATTEMPTS_MAX: usize = 20;

/// A browser with a window. When this is dropped, also by a panic, the browser ends, and so does everything it has started.
pub(crate) struct Browser {
    driver: SocketAddr,
    /// The path of the session.
    session: String,
    /// The browser is in the same group of processes.
    _process: Program,
    /// Home and temporary files of both.
    _directory: Directory,
}

impl Browser {
    /// None: there is none on this machine.
    pub(crate) fn start() -> Option<Browser> {
        for program in ["chromedriver", "chromium"] {
            let version = Command::new(program).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output();
            match version {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    skipped(&format!("there is no {program}"));
                    return None;
                }
                version => assert!(version.unwrap().status.success(), "{program} works"),
            }
        }
        let directory = Directory::new();
        let mut command = Command::new("chromedriver");
        command.arg("--port=0");
        for variable in ["HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"] {
            command.env(variable, directory.file(""));
        }
        let (process, port) = start_driver(&mut command);
        let driver = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let profile = format!("--user-data-dir={}", directory.file("profile").display());
        let flags: Vec<&str> = FLAGS.into_iter().chain([profile.as_str()]).collect();
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": flags },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let session = call(driver, "POST", "/session", &capabilities).expect("the browser starts");
        let session = format!("/session/{}", session["sessionId"].as_str().unwrap());
        let browser = Browser { driver, session, _process: process, _directory: directory };
        let limit = PATIENCE.as_millis() * 2;
        browser.command("POST", "/timeouts", &json!({ "script": u64::try_from(limit).unwrap() }));
        Some(browser)
    }

    /// A command of the session.
    #[track_caller]
    pub(crate) fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        let result = self.try_command(method, path, body);
        result.unwrap_or_else(|error| panic!("{method} {path} {body:.300}: {}", error["message"]))
    }

    pub(crate) fn try_command(&self, method: &str, path: &str, body: &Value) -> Result<Value, Value> {
        call(self.driver, method, &format!("{}{path}", self.session), body)
    }

    #[track_caller]
    pub(crate) fn go(&self, url: &str) {
        self.command("POST", "/url", &json!({ "url": url }));
    }

    /// Executes the body of a function, and returns what that returns, or what its promise becomes.
    #[track_caller]
    pub(crate) fn script(&self, body: &str) -> Value {
        self.command("POST", "/execute/sync", &json!({ "script": body, "args": [] }))
    }

    /// A command of the protocol of Chrome's developer tools, for what WebDriver does not have.
    #[track_caller]
    pub(crate) fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.command("POST", "/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    /// What the browser has written to its console since the last time.
    #[track_caller]
    pub(crate) fn console(&self) -> Vec<String> {
        let entries = self.command("POST", "/se/log", &json!({ "type": "browser" }));
        let entries = entries.as_array().expect("a list of entries").iter();
        entries.map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }

    /// Presses and releases keys, one after the other: characters, or those of [`key`].
    #[track_caller]
    pub(crate) fn press(&self, keys: &str) {
        let press = |key: char| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() }));
        let actions: Vec<Value> = keys.chars().flat_map(press).collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": actions });
        self.command("POST", "/actions", &json!({ "actions": [keyboard] }));
    }

    /// The paths of the elements that match.
    #[track_caller]
    pub(crate) fn elements(&self, selector: &str) -> Vec<String> {
        let found = self.command("POST", "/elements", &json!({ "using": "css selector", "value": selector }));
        let found = found.as_array().expect("a list of elements").iter();
        found.map(|element| format!("/element/{}", element[ELEMENT].as_str().unwrap())).collect()
    }

    /// The path of the first element that matches.
    #[track_caller]
    pub(crate) fn element(&self, selector: &str) -> String {
        self.elements(selector).into_iter().next().unwrap_or_else(|| panic!("nothing is {selector}"))
    }

    /// Clicks in the middle of it. Fails if something else is there.
    #[track_caller]
    pub(crate) fn click(&self, selector: &str) {
        self.command("POST", &format!("{}/click", self.element(selector)), &json!({}));
    }

    /// What a screen reader calls an element, as the browser computes it.
    #[track_caller]
    pub(crate) fn label(&self, element: &str) -> String {
        self.command("GET", &format!("{element}/computedlabel"), &Value::Null).as_str().unwrap().to_owned()
    }

    /// The window's contents as a PNG.
    #[track_caller]
    pub(crate) fn screenshot(&self) -> Vec<u8> {
        let encoded = self.command("GET", "/screenshot", &Value::Null);
        STANDARD.decode(encoded.as_str().unwrap()).expect("base64")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // In order, so that it can tidy up; what is left then is killed.
        let _ = call(self.driver, "DELETE", &self.session, &Value::Null);
    }
}

/// Keys that are not characters.
pub(crate) mod key {
    pub(crate) const TAB: char = '\u{e004}';
    pub(crate) const ENTER: char = '\u{e007}';
    pub(crate) const BACKSPACE: char = '\u{e003}';
    pub(crate) const ESCAPE: char = '\u{e00c}';
}

/// Starts chromedriver, and waits until it says on which port it listens.
fn start_driver(command: &mut Command) -> (Program, u16) {
    // It exits if the port that it got on IPv4 is taken on IPv6.
    for _ in 0..ATTEMPTS_MAX {
        let process = Program::start(command);
        while let Some(line) = process.next_line() {
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                return (process, port.trim_end_matches('.').parse().expect("a port"));
            }
        }
        eprintln!("chromedriver: {:?}", process.end());
    }
    panic!("chromedriver does not start");
}

/// Sends a command to chromedriver. Fails with its error.
fn call(driver: SocketAddr, method: &str, path: &str, body: &Value) -> Result<Value, Value> {
    let body = if method == "POST" { body.to_string() } else { String::new() };
    let answer = exchange(driver, method, path, &body).map_err(|error| json!({ "message": error.to_string() }))?;
    let mut answer: Value = serde_json::from_slice(&answer).expect("chromedriver answers with JSON");
    let value = answer["value"].take();
    if value["error"].is_string() { Err(value) } else { Ok(value) }
}

/// Sends a request, and returns the body of the answer.
fn exchange(driver: SocketAddr, method: &str, path: &str, body: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(driver)?;
    // A script may take as long as a test waits.
    stream.set_read_timeout(Some(PATIENCE * 3))?;
    let length = body.len();
    let fields = format!("Host: {driver}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n");
    stream.write_all(format!("{method} {path} HTTP/1.1\r\n{fields}\r\n{body}").as_bytes())?;
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length = length.and_then(|length| length.trim().parse::<usize>().ok()).ok_or(ErrorKind::InvalidData)?;
            let mut body = bytes.split_off(end + 4);
            let read = body.len();
            body.resize(length, 0);
            stream.read_exact(&mut body[read..])?;
            return Ok(body);
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => bytes.extend_from_slice(&piece[..read]),
        }
    }
}
