//! Servers that are started for a measurement, each in a process of its own.

use std::env;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::bench::script::Protocol;
use crate::bench::{BenchError, process, tied};
use crate::console::Failure;

/// How long a server may take until it listens.
const PATIENCE: Duration = Duration::from_secs(10);
/// Descriptors that a server or the load generator needs besides its connections.
pub(super) const DESCRIPTORS_RESERVED: u64 = 200;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Officer,
    Echo,
    /// With this many locks.
    Ring(usize),
    Redis,
    Memcached,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Officer => "officer",
            Kind::Echo | Kind::Ring(_) => "floor",
            Kind::Redis => "redis",
            Kind::Memcached => "memcached",
        }
    }

    pub(super) fn protocol(self) -> Protocol {
        match self {
            Kind::Officer => Protocol::Officer,
            Kind::Echo | Kind::Ring(_) => Protocol::Floor,
            Kind::Redis => Protocol::Redis,
            Kind::Memcached => Protocol::Memcached,
        }
    }

    /// The version it reports. None: it is not installed.
    pub(super) fn version(self) -> Option<String> {
        let program = match self {
            Kind::Redis => "redis-server",
            Kind::Memcached => "memcached",
            _ => return Some(format!("officer {}", env!("CARGO_PKG_VERSION"))),
        };
        let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // Redis prints more than that.
        Some(text.lines().next()?.split(" sha=").next()?.to_owned())
    }

    /// Starts it on a CPU, on a free port of 127.0.0.1.
    pub(super) fn start(self, cpu: Option<usize>, descriptors: u64) -> Result<Server, Failure> {
        // It inherits our CPU. The load generator sets its own again.
        if let Some(cpu) = cpu {
            process::pin(cpu).map_err(|error| BenchError::Pin { cpu, error })?;
        }
        match self {
            Kind::Officer => start_ours(&["run".into()]),
            Kind::Echo => start_ours(&["bench", "floor", "echo"].map(OsString::from)),
            Kind::Ring(locks) => {
                let locks = locks.to_string();
                start_ours(&["bench", "floor", "ring", "--locks", &locks].map(OsString::from))
            }
            Kind::Redis | Kind::Memcached => {
                self.start_other(descriptors.saturating_sub(DESCRIPTORS_RESERVED).max(100))
            }
        }
    }

    fn start_other(self, connections: u64) -> Result<Server, Failure> {
        // Neither can pick a free port and report it.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let port = free.map_err(Failure::System)?.port();
        let (port_text, connections) = (port.to_string(), connections.to_string());
        let mut command = if self == Kind::Redis {
            let mut command = tied::command("redis-server")?;
            command.args(["--port", &port_text, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
            command.args(["--maxclients", &connections]);
            command
        } else {
            let mut command = tied::command("memcached")?;
            // One thread, like the others.
            command.args(["-p", &port_text, "-l", "127.0.0.1", "-U", "0", "-t", "1", "-c", &connections]);
            if rustix::process::getuid().is_root() {
                command.args(["-u", "root"]);
            }
            command
        };
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut server = Server { child: child.map_err(Failure::System)?, port };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let give_up = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            let has_ended = server.child.try_wait().map_err(Failure::System)?.is_some();
            if has_ended || Instant::now() > give_up {
                return Err(BenchError::Worker(format!("{} does not start", self.name())).into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }
}

/// A running server. It is stopped when this is dropped.
pub(super) struct Server {
    child: Child,
    pub(super) port: u16,
}

impl Server {
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This program again. Variables in the environment that are for another server, or for its clients, don't apply to it.
pub(super) fn officer() -> Result<Command, Failure> {
    let mut command = tied::officer()?;
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OFFICER_")) {
        command.env_remove(name);
    }
    Ok(command)
}

fn start_ours(args: &[OsString]) -> Result<Server, Failure> {
    let mut command = officer()?;
    command.args(args).args(["-h", "127.0.0.1", "-p", "0"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(Failure::System)?;
    let mut line = String::new();
    let stdout = child.stdout.take().expect("it is piped");
    let mut server = Server { child, port: 0 };
    BufReader::new(stdout).read_line(&mut line).map_err(Failure::System)?;
    let port = line.trim_end().rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    server.port = port.ok_or_else(|| BenchError::Worker("officer does not start".to_owned()))?;
    Ok(server)
}
