//! A server that sends what the test tells it to.

use std::io::{self, ErrorKind, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use officer::client::{Client, Error, Options};
use serde_json::Value;

use super::support::lines::LineReader;
use super::support::patience::PATIENCE;
use super::{Task, task};

/// Of a server that can do everything.
pub(crate) const HELLO: &str = r#"{"result":"hello","id":0,"connection":"me","limits":{"max_idle":0},"features":["owner","fence","mode","slots","lease","renew","names","any","priority","deadlock","min_hold","lost_delay","label","token","revoke","one_lock","my_locks_page","notices","progress","hint","transfer","session","watch","stats","users","strict"]}"#;

/// Of the session that it begins.
pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";

pub(crate) struct Fake {
    listener: TcpListener,
}

impl Fake {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a listener");
        Fake { listener }
    }

    pub(crate) fn address(&self) -> String {
        self.listener.local_addr().expect("an address").to_string()
    }

    pub(crate) fn options(&self) -> Options {
        Options::new(self.address())
    }

    /// A client with its connection.
    pub(crate) fn connect(&self) -> (Client, Peer) {
        self.connect_with(self.options())
    }

    pub(crate) fn connect_with(&self, options: Options) -> (Client, Peer) {
        let client = task(move || options.connect());
        let peer = self.welcome();
        (client.end().expect("a connection"), peer)
    }

    /// A client with a session.
    pub(crate) fn connect_session(&self, options: Options) -> (Client, Peer) {
        let client = task(move || options.connect());
        let peer = self.welcome_session();
        (client.end().expect("a connection"), peer)
    }

    /// The result of connecting to a server that answers the hello with this.
    pub(crate) fn connect_to(&self, answer: &str) -> Result<Client, Error> {
        let client = self.connecting();
        let _peer = self.greet(answer);
        client.end()
    }

    pub(crate) fn connecting(&self) -> Task<Result<Client, Error>> {
        let options = self.options();
        task(move || options.connect())
    }

    /// A client of a server with these features only.
    pub(crate) fn connect_with_features(&self, features: &[&str]) -> (Client, Peer) {
        let client = self.connecting();
        let peer = self.greet(&format!(r#"{{"result":"hello","connection":"me","features":{features:?}}}"#));
        (client.end().expect("a connection"), peer)
    }

    /// Accepts a connection and answers the hello.
    pub(crate) fn welcome(&self) -> Peer {
        self.greet(HELLO)
    }

    /// Accepts a connection and begins a session for it, which has executed one line then.
    pub(crate) fn welcome_session(&self) -> Peer {
        let mut peer = self.welcome();
        let hello = peer.request();
        assert!(hello["command"] == "hello" && hello["session"].is_object(), "{hello}");
        peer.say(&format!(
            r#"{{"result":"hello","session":{{"secret":"{SECRET}","grace":{}}}}}"#,
            hello["session"]["grace"]
        ));
        peer
    }

    /// Accepts a connection that resumes the session, and says what that has. `lists` are the keys after `resumed`.
    pub(crate) fn resume(&self, lists: &str) -> Peer {
        let mut peer = self.welcome();
        let hello = peer.request();
        assert_eq!((&hello["command"], &hello["resume"]), (&"hello".into(), &SECRET.into()));
        peer.say(&format!(
            r#"{{"result":"hello","resumed":true,"session":{{"secret":"{SECRET}","grace":30}},{lists}}}"#
        ));
        peer
    }

    fn greet(&self, answer: &str) -> Peer {
        let mut peer = self.accept();
        assert_eq!(peer.request()["command"], "hello");
        peer.say(answer);
        peer
    }

    pub(crate) fn accept(&self) -> Peer {
        let start = Instant::now();
        loop {
            if let Some(peer) = self.try_accept() {
                return peer;
            }
            assert!(start.elapsed() < PATIENCE, "nobody connects");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// A connection that has already been made.
    pub(crate) fn try_accept(&self) -> Option<Peer> {
        match self.listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).expect("a socket");
                stream.set_nodelay(true).expect("a socket");
                stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
                Some(Peer { lines: LineReader::new(stream) })
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }
}

/// A client, as its server sees it.
pub(crate) struct Peer {
    lines: LineReader<TcpStream>,
}

impl Peer {
    /// The next line, or none at the end of the connection.
    pub(crate) fn line(&mut self) -> Option<Value> {
        let line = self.lines.next_line().unwrap_or_else(|error| panic!("not a request: {error}"));
        line.map(|line| serde_json::from_str(&line).expect("a request"))
    }

    /// The next request that is not a keep-alive.
    pub(crate) fn request(&mut self) -> Value {
        self.request_that(|request| request["command"] != "keep_alive")
    }

    /// The next request, which may be a keep-alive of the program.
    pub(crate) fn request_of_any_kind(&mut self) -> Value {
        self.request_that(|request| request["id"] != 0)
    }

    fn request_that(&mut self, is_meant: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let request = self.line().expect("the client has closed the connection");
            if is_meant(&request) {
                return request;
            }
            assert!(start.elapsed() < PATIENCE, "nothing but keep-alives");
        }
    }

    /// Reads a request, and sends this answer with its id.
    pub(crate) fn answer(&mut self, command: &str, answer: &str) -> Value {
        let request = self.request();
        assert_eq!(request["command"], command);
        self.answer_to(&request, answer);
        request
    }

    pub(crate) fn answer_to(&mut self, request: &Value, answer: &str) {
        let answer = answer.strip_prefix('{').expect("an object");
        self.say(&format!(r#"{{"id":{},{answer}"#, request["id"]));
    }

    pub(crate) fn say(&mut self, line: &str) {
        self.write(format!("{line}\n").as_bytes()).expect("the client listens");
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.lines.socket_mut().write_all(bytes)
    }

    pub(crate) fn close(self) {
        let _ = self.lines.socket().shutdown(Shutdown::Both);
    }
}
