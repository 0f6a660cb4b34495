//! What is counted: pairs in the engine alone, in the server over a socket made of memory, and in the server as a process.
//! All use of the library's API is here.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use officer::engine::{ConnectionKey, Context, Engine, EngineLimits, Replies, TOKEN_END, TokenBlock};
use officer::server::{Limits, Readiness, Server, Socket};
use officer::time::Moment;
use officer::wire::Id;
use officer::wire::peer::Peer;
use officer::wire::reply::Reply;
use officer::wire::request::{Command, parse};
use rustix::process::{Pid, Signal, kill_process};

use crate::callgrind;
use crate::forms::Form;

const PEER: Peer = Peer::V4 { ip: [10, 0, 0, 1], port: 40_000 };

/// A server that has not answered by then never does, however slow callgrind is.
const PATIENCE: Duration = Duration::from_secs(60);

/// Encodes replies one after the other, as an outbox does.
#[derive(Default)]
struct Encoded(Vec<u8>);

impl Replies for Encoded {
    fn push(&mut self, _: ConnectionKey, reply: &Reply<'_>) {
        reply.encode(&mut self.0);
    }
}

/// Tokens as those of a real server, which have 16 digits.
fn tokens() -> TokenBlock {
    TokenBlock::new(1_800_000_000_000_000, TOKEN_END)
}

/// Requests that are parsed already, executed and answered.
pub(crate) fn engine(form: &Form, batch: usize, batches: usize) {
    let Limits { connection_locks_max, lock_waits_max, reply_bytes_max, .. } = Limits::default();
    let mut engine = Engine::new(
        EngineLimits {
            session_locks_max: connection_locks_max,
            lock_waits_max,
            closing_locks_max: 100_000,
            turn_grants_max: 1000,
            turn_walk_max: 50_000,
            reply_bytes_max,
        },
        tokens(),
    );
    let session = engine.connect(ConnectionKey::from_bits(1), PEER);
    let lines = form.lines(batch);
    let requests: Vec<_> = lines.lines().map(|line| parse(line.as_bytes()).expect("a request")).collect();
    let mut replies = Encoded::default();
    for _ in 0..batches {
        replies.0.clear();
        for request in &requests {
            let Command::Locks(operation) = &request.command else { panic!("not a request for the engine") };
            let (id, owner) = (request.id.as_ref().map(Id::as_ref), request.owner.as_ref().map(Id::as_ref));
            let (id, owner) = (id.as_ref(), owner.as_ref());
            let context = Context { session, id, owner, is_verbatim: false, now: Moment::START };
            engine.request(operation, &context, &mut replies);
        }
    }
    form.assert_granted(&replies.0, batch);
}

/// A socket that costs as little as one can: the tests' own takes notes of each call and copies byte by byte.
struct MemorySocket {
    input: Vec<u8>,
    read: usize,
    output: Vec<u8>,
}

impl Read for MemorySocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let unread = &self.input[self.read..];
        if unread.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let bytes = buffer.len().min(unread.len());
        buffer[..bytes].copy_from_slice(&unread[..bytes]);
        self.read += bytes;
        Ok(bytes)
    }
}

impl Write for MemorySocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket for MemorySocket {
    fn close_write(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Each batch arrives at once, and has a turn to itself.
pub(crate) fn server(form: &Form, batch: usize, batches: usize) {
    let mut server = Server::new(Limits::default(), tokens());
    let socket = MemorySocket { input: form.lines(batch).into_bytes(), read: 0, output: Vec::new() };
    let key = server.accept(socket, PEER, Moment::START).expect("there is room");
    for number in 0..batches {
        let socket = server.socket_mut(key).expect("the connection is open");
        socket.output.clear();
        socket.read = 0;
        server.ready(key, Readiness { is_readable: true, ..Readiness::default() });
        // Some time passes from turn to turn.
        let now = Moment::from_nanos(number as u64 * 1000);
        server.polled(now, true);
        server.turn(now);
    }
    form.assert_granted(&server.socket_mut(key).expect("the connection is open").output, batch);
}

/// A client sends each batch in one write once it has all replies to the one before. What counts is the server's process.
pub(crate) fn process(form: &Form, batch: usize, batches: usize, profile: &Path) {
    let (server, socket) = Process::start(profile);
    let mut client = BufReader::new(socket);
    let requests = form.lines(batch).into_bytes();
    let mut replies = Vec::new();
    for _ in 0..batches {
        client.get_mut().write_all(&requests).expect("the server reads");
        replies.clear();
        for _ in 0..form.lines.len() * batch {
            client.read_until(b'\n', &mut replies).expect("the server answers");
        }
    }
    form.assert_granted(&replies, batch);
    server.stop();
}

/// `officer run` under callgrind.
struct Process(Child);

impl Process {
    /// A server on a port that the system chose, and a client's connection to it.
    fn start(profile: &Path) -> (Process, TcpStream) {
        let mut command = callgrind::command(Path::new(env!("CARGO_BIN_EXE_officer")), profile);
        let child = command.args(["run", "--port", "0"]).stdout(Stdio::piped()).spawn().expect("valgrind starts");
        let mut server = Process(child);
        let mut line = String::new();
        let stdout = server.0.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the server says where it listens");
        let address = line.trim_end().rsplit(' ').next().expect("the last word is the address");
        let socket = TcpStream::connect(address).expect("the server accepts");
        socket.set_nodelay(true).expect("a TCP socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a TCP socket");
        (server, socket)
    }

    /// Ends the server in order, so that its counts are written.
    fn stop(mut self) {
        kill_process(Pid::from_child(&self.0), Signal::TERM).expect("the server is running");
        let status = self.0.wait().expect("it is a child");
        assert!(status.success(), "the server failed: {status}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
