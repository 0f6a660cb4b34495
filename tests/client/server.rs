//! The released server.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use officer::client::{Client, Options};
use rustix::process::{Pid, Signal, kill_process};

/// A server of one test. It is killed with the test.
pub(crate) struct Server {
    child: Child,
    /// Where it listens, as it says.
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        Server::with(&["-p", "0"])
    }

    /// On a socket file of its own.
    pub(crate) fn on_unix_socket(flags: &[&str]) -> Self {
        let path = socket_path();
        let path = path.to_str().expect("a path in UTF-8");
        Server::with(&[&["-o", "UNIX", "-f", path], flags].concat())
    }

    pub(crate) fn with(flags: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_officer"))
            .arg("run")
            .args(flags)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let address = line.trim_end().strip_prefix("officer: listening on ").expect("an address").to_owned();
        Server { child, address }
    }

    pub(crate) fn options(&self) -> Options {
        Options::new(self.address.as_str())
    }

    pub(crate) fn connect(&self) -> Client {
        self.options().connect().expect("a connection")
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.parse::<SocketAddr>().expect("a TCP address").port()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("our own process");
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("our own process");
        self.child.wait().expect("our own process");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if self.address.contains('/') {
            let _ = std::fs::remove_file(&self.address);
        }
    }
}

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A path that no other test uses.
pub(crate) fn socket_path() -> PathBuf {
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("officer-client-{}-{count}.sock", std::process::id()))
}

/// An address of this machine that no other test listens on: there a port stays free while its server is down.
pub(crate) fn own_host() -> Ipv4Addr {
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high, low, u8::try_from(count % 200).expect("a small number") + 2)
}
