//! A small client that speaks lines and never waits forever.

use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};
use serde_json::{Value, json};

use super::lines::LineReader;
use super::patience::PATIENCE;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Address {
    /// As a server announces it: as a URL, or without a scheme.
    pub(crate) fn of(announced: &str) -> Address {
        let bare = ["tcp://", "tls://", "http://", "https://", "unix:"]
            .iter()
            .find_map(|scheme| announced.strip_prefix(scheme));
        let bare = bare.unwrap_or(announced);
        bare.parse().map_or_else(|_| Address::Unix(bare.into()), Address::Tcp)
    }

    pub(crate) fn tcp(&self) -> SocketAddr {
        match self {
            Address::Tcp(address) => *address,
            Address::Unix(path) => panic!("{path:?} is a socket file"),
        }
    }
}

/// One connection.
pub(crate) struct Client {
    lines: LineReader<Stream>,
}

pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// What the system knows of a connection over TCP.
    fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Stream::Tcp(stream) => Some(stream),
            Stream::Tls(stream) => Some(stream.get_ref()),
            Stream::Unix(_) => None,
        }
    }
}

impl Client {
    pub(crate) fn connect(address: &Address) -> io::Result<Client> {
        let stream = match address {
            Address::Tcp(address) => Stream::Tcp(TcpStream::connect(address)?),
            Address::Unix(path) => Stream::Unix(UnixStream::connect(path)?),
        };
        let client = Client { lines: LineReader::new(stream) };
        client.set_patience(PATIENCE);
        Ok(client)
    }

    /// Shakes hands, with a server that has a certificate for `localhost`.
    pub(crate) fn over_tls(address: &Address, config: &Arc<ClientConfig>) -> io::Result<Client> {
        let tcp = TcpStream::connect(address.tcp())?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        let session = ClientConnection::new(Arc::clone(config), "localhost".try_into().unwrap()).unwrap();
        let mut stream = StreamOwned::new(session, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        let client = Client { lines: LineReader::new(Stream::Tls(Box::new(stream))) };
        client.set_patience(PATIENCE);
        Ok(client)
    }

    /// Whether its TLS session is an earlier one.
    pub(crate) fn is_resumed(&self) -> bool {
        match self.lines.socket() {
            Stream::Tls(stream) => stream.conn.handshake_kind() == Some(HandshakeKind::Resumed),
            Stream::Tcp(_) | Stream::Unix(_) => panic!("it has no TLS session"),
        }
    }

    fn set_patience(&self, time: Duration) {
        match (self.lines.socket(), self.lines.socket().tcp()) {
            (Stream::Unix(stream), _) => {
                stream.set_read_timeout(Some(time)).and(stream.set_write_timeout(Some(PATIENCE)))
            }
            (_, tcp) => {
                let tcp = tcp.expect("it is no UNIX socket");
                tcp.set_read_timeout(Some(time)).and(tcp.set_write_timeout(Some(PATIENCE)))
            }
        }
        .unwrap();
    }

    /// The name by which the server has to know a TCP connection.
    pub(crate) fn tcp_name(&self) -> String {
        let tcp = self.lines.socket().tcp().expect("only the server knows the names of UNIX connections");
        tcp.local_addr().unwrap().to_string()
    }

    /// The name by which the server knows it.
    pub(crate) fn name(&mut self) -> String {
        if self.lines.socket().tcp().is_some() {
            return self.tcp_name();
        }
        // A lock that nobody else asks for: no two clients have the same address in memory at the same time.
        let own = format!("who am I: {self:p}");
        self.acquire(&own);
        let name = self.locks()[&own][0].as_str().unwrap().to_owned();
        self.release(&own);
        name
    }

    /// Sends one request.
    pub(crate) fn send(&mut self, request: impl Display) {
        self.write(format!("{request}\n").as_bytes());
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.try_write(bytes).expect("the server takes what is sent");
    }

    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.lines.socket_mut().write_all(bytes).and_then(|()| self.lines.socket_mut().flush())
    }

    /// For a thread that writes while this one reads.
    pub(crate) fn writer(&self) -> impl Write + Send + use<> {
        match self.lines.socket() {
            Stream::Tcp(stream) => stream.try_clone().map(Stream::Tcp),
            Stream::Unix(stream) => stream.try_clone().map(Stream::Unix),
            Stream::Tls(_) => panic!("it can't be shared"),
        }
        .unwrap()
    }

    /// The next line, without its end.
    pub(crate) fn receive_line(&mut self) -> String {
        self.lines.line()
    }

    pub(crate) fn receive(&mut self) -> Value {
        let line = self.receive_line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// Sends one request and receives one reply.
    pub(crate) fn ask(&mut self, request: impl Display) -> Value {
        self.send(request);
        self.receive()
    }

    /// The next reply, or nothing if the connection ends instead.
    pub(crate) fn receive_or_end(&mut self) -> Option<Value> {
        match self.lines.next_line() {
            Ok(line) => line.map(|line| serde_json::from_str(&line).unwrap()),
            // A server that gives up on a connection may have sent a part of a line.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => None,
            Err(error) => panic!("neither a reply nor the end: {error}"),
        }
    }

    /// Reads on until the connection ends, and returns what came before.
    pub(crate) fn receive_until_end(&mut self) -> Vec<Value> {
        std::iter::from_fn(|| self.receive_or_end()).collect()
    }

    /// Expects no further line, and that the server closes its side.
    pub(crate) fn expect_end(&mut self) {
        assert_eq!(self.lines.next_line().unwrap(), None);
    }

    /// Whether it is still open, and has received nothing, after this time.
    pub(crate) fn is_silent_for(&mut self, time: Duration) -> bool {
        self.set_patience(time);
        let result = self.lines.peek().map(<[u8]>::len);
        self.set_patience(PATIENCE);
        result.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    }

    /// Waits until there is something to read, and leaves most of it in the socket buffer.
    pub(crate) fn wait_for_output(&mut self) {
        assert!(!self.lines.peek().unwrap().is_empty());
    }

    /// Reads up to this many bytes of what is there, and drops them.
    pub(crate) fn read_some(&mut self, bytes: usize) -> usize {
        self.lines.read(&mut vec![0; bytes]).unwrap()
    }

    /// Lines go out at once, also while earlier ones are on their way.
    pub(crate) fn send_without_delay(&self) {
        if let Some(stream) = self.lines.socket().tcp() {
            stream.set_nodelay(true).unwrap();
        }
    }

    /// Closes the writing side.
    pub(crate) fn close_write(&self) {
        match self.lines.socket() {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
            Stream::Tls(_) => panic!("it would have to be announced"),
        }
        .unwrap();
    }

    /// Disconnects without an orderly end: the server gets an error instead of an end of input, where the system
    /// supports that.
    pub(crate) fn cut(self) {
        if let Some(stream) = self.lines.socket().tcp() {
            socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }

    pub(crate) fn acquire(&mut self, name: &str) {
        assert_eq!(self.ask(lock(name)), json!({"name": name, "result": "acquired"}));
    }

    pub(crate) fn release(&mut self, name: &str) {
        assert_eq!(self.ask(unlock(name)), json!({"name": name, "result": "released"}));
    }

    /// Asks for a lock that somebody holds. Returns once the server has put it into the queue.
    pub(crate) fn queue_for(&mut self, name: &str) {
        self.send(lock(name));
        assert!(self.my_locks().contains(&name.into()), "{name:?} is waited for");
    }

    pub(crate) fn expect_acquired(&mut self, name: &str) {
        assert_eq!(self.receive(), json!({"name": name, "result": "acquired"}));
    }

    /// Everything sent so far has been executed, without a reply.
    pub(crate) fn expect_nothing_before_now(&mut self) {
        self.my_locks();
    }

    pub(crate) fn my_locks(&mut self) -> Vec<Value> {
        let reply = self.ask(r#"{"command":"my_locks"}"#);
        assert_eq!(reply["result"], "my_locks", "{reply}");
        reply["value"].as_array().unwrap().clone()
    }

    pub(crate) fn locks(&mut self) -> Value {
        let mut reply = self.ask(r#"{"command":"locks"}"#);
        assert_eq!(reply["result"], "locks", "{reply}");
        reply["value"].take()
    }

    pub(crate) fn connections(&mut self) -> Value {
        let mut reply = self.ask(r#"{"command":"connections"}"#);
        assert_eq!(reply["result"], "connections", "{reply}");
        reply["value"].take()
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let result = match self {
                Stream::Tcp(stream) => stream.read(buffer),
                Stream::Unix(stream) => stream.read(buffer),
                Stream::Tls(stream) => stream.read(buffer),
            };
            // A read with a timeout is interrupted by whatever stops and continues the process.
            if !result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Interrupted) {
                return result;
            }
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Tcp(_) | Stream::Unix(_) => Ok(()),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}

pub(crate) fn lock(name: &str) -> Value {
    json!({"command": "lock", "name": name})
}

pub(crate) fn unlock(name: &str) -> Value {
    json!({"command": "unlock", "name": name})
}
