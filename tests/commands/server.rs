//! `officer run` in a process of its own.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, process};

use officer::client::{Address, Client};
use rustix::process::Signal;

use crate::eventually;
use crate::program::{Program, officer};

/// A server that runs.
pub(crate) struct Server {
    program: Program,
    address: Address,
    /// The options of a command that is to find it.
    options: Vec<String>,
    _directory: Option<Directory>,
}

impl Server {
    /// On a free port of 127.0.0.1.
    pub(crate) fn tcp() -> Server {
        Server::tcp_with(&[])
    }

    pub(crate) fn tcp_with(options: &[&str]) -> Server {
        let (program, address) = start(&[&["run", "-p", "0"], options].concat());
        let (host, port) = address.rsplit_once(':').unwrap();
        let options = ["-h", host, "-p", port].map(str::to_owned).to_vec();
        Server { program, address: address.as_str().into(), options, _directory: None }
    }

    /// On a UNIX socket in a directory of its own.
    pub(crate) fn unix() -> Server {
        let directory = Directory::new();
        let file = directory.file("officer.sock");
        let file = file.to_str().unwrap();
        let (program, address) = start(&["run", "-o", "UNIX", "-f", file]);
        assert_eq!(address, file);
        let options = ["-o", "UNIX", "-f", file].map(str::to_owned).to_vec();
        Server { program, address: PathBuf::from(file).into(), options, _directory: Some(directory) }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address.clone()).unwrap()
    }

    pub(crate) fn client_address(&self) -> Address {
        self.address.clone()
    }

    /// The options with which a command finds it.
    pub(crate) fn options(&self) -> Vec<&str> {
        self.options.iter().map(String::as_str).collect()
    }

    /// A command that asks this server.
    pub(crate) fn officer(&self, command: &str, args: &[&str]) -> process::Command {
        officer(&[&[command], self.options().as_slice(), args].concat())
    }

    /// `officer lock`.
    pub(crate) fn lock(&self, args: &[&str], command: &[&str]) -> process::Command {
        self.officer("lock", &[args, &["--"], command].concat())
    }

    /// Its process.
    #[allow(dead_code, reason = "tests/bench, which shares this file, asks for it")]
    pub(crate) fn id(&self) -> u32 {
        self.program.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.program.signal(signal);
    }
}

fn start(args: &[&str]) -> (Program, String) {
    let program = Program::start(&mut officer(args));
    let line = program.line();
    let address = line.strip_prefix("officer: listening on ").unwrap_or_else(|| panic!("{line:?}"));
    let address = address.to_owned();
    (program, address)
}

/// How many hold and wait for a lock. For tests that count: an observer that takes part in nothing.
pub(crate) fn count_on(client: &Client, name: &str) -> usize {
    client.locks().unwrap().get(name).map_or(0, Vec::len)
}

/// Waits until so many hold and wait for a lock.
#[track_caller]
pub(crate) fn wait_for_count(client: &Client, name: &str, count: usize) {
    eventually(&format!("{count} are on {name:?}"), || count_on(client, name) == count);
}

/// A directory of its own for each test that needs one.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Directory {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        // Short: a socket's path has room for about 100 bytes.
        let name = format!("officer-commands-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Directory(path)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
