//! `officer run` as a process: started and observed by a test, and stopped with it.

use std::ffi::OsStr;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use officer::client::{self, Options};
use rustix::process::{Pid, Signal, kill_process};

use super::client::{Address, Client};
use super::directory::Directory;
use super::lines::{Arriving, lines_of_pipe};
use super::patience::PATIENCE;
use super::signals::undo_ignored_signals;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_officer");

/// A running server. When this is dropped, the server gets SIGTERM and must exit with success.
pub(crate) struct Server {
    child: Child,
    address: Address,
    /// The options with which a command connects to it.
    options: Vec<String>,
    /// Its output after the first line. In a mutex so that threads can share the server.
    stdout: Mutex<Arriving>,
    log: Log,
    /// The test has already waited for its exit.
    is_over: bool,
    _directory: Option<Directory>,
}

impl Server {
    /// On a free port of 127.0.0.1.
    pub(crate) fn tcp(options: &[&str]) -> Server {
        Server::start(officer(&["run", "-p", "0"]).args(options))
    }

    /// On a UNIX socket in a directory of its own.
    pub(crate) fn unix(options: &[&str]) -> Server {
        let directory = Directory::new();
        let file = directory.file("officer.sock");
        let mut server = Server::start(officer(&["run", "-o", "UNIX", "-f"]).arg(&file).args(options));
        assert_eq!(server.address, Address::Unix(file));
        server._directory = Some(directory);
        server
    }

    /// On IPv6, if this machine has it.
    pub(crate) fn ipv6(options: &[&str]) -> Option<Server> {
        if let Err(error) = TcpListener::bind("[::1]:0") {
            eprintln!("skipped: this machine has no IPv6 ({error})");
            return None;
        }
        Some(Server::start(officer(&["run", "-h", "::1", "-p", "0"]).args(options)))
    }

    /// One of each kind.
    pub(crate) fn of_every_kind() -> impl Iterator<Item = Server> {
        [Server::tcp(&[]), Server::unix(&[])].into_iter().chain(Server::ipv6(&[]))
    }

    /// Starts the command and waits until it says that it listens.
    pub(crate) fn start(command: &mut Command) -> Server {
        let mut child = spawn(command.stderr(Stdio::piped()));
        let stderr = child.stderr.take().unwrap();
        Server::started(child, Log::of(stderr))
    }

    /// Starts the command; the caller handles its stderr.
    pub(crate) fn start_without_log(command: &mut Command) -> Server {
        Server::started(spawn(command), Log::default())
    }

    fn started(mut child: Child, log: Log) -> Server {
        let stdout = Arriving::of(lines_of_pipe(child.stdout.take().unwrap()));
        let mut server = Server {
            child,
            address: Address::Unix(PathBuf::new()),
            options: Vec::new(),
            stdout: Mutex::new(stdout),
            log,
            is_over: false,
            _directory: None,
        };
        server.address = server.next_address();
        let options: &[&str] = match &server.address {
            Address::Tcp(address) => &["-h", &address.ip().to_string(), "-p", &address.port().to_string()],
            Address::Unix(path) => &["-o", "UNIX", "-f", path.to_str().unwrap()],
        };
        server.options = options.iter().map(|option| (*option).to_owned()).collect();
        server
    }

    /// The address of the next line on its stdout. One without others is no URL.
    pub(crate) fn next_address(&mut self) -> Address {
        let line = self.stdout.get_mut().unwrap().next().expect("the server says that it listens");
        Address::of(line.strip_prefix("officer: listening on ").unwrap_or_else(|| panic!("{line:?}")))
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(&self.address).expect("the server takes connections")
    }

    /// The client library, connected to this server.
    pub(crate) fn client(&self) -> client::Client {
        self.client_options().connect().expect("the server takes connections")
    }

    pub(crate) fn client_options(&self) -> Options {
        Options::new(self.client_address())
    }

    pub(crate) fn client_address(&self) -> client::Address {
        match &self.address {
            Address::Tcp(address) => address.to_string().as_str().into(),
            Address::Unix(path) => path.clone().into(),
        }
    }

    /// The options with which a command connects to it.
    pub(crate) fn options(&self) -> Vec<&str> {
        self.options.iter().map(String::as_str).collect()
    }

    /// A command that talks to this server.
    pub(crate) fn officer(&self, command: &str, args: &[&str]) -> Command {
        officer(&[&[command], self.options().as_slice(), args].concat())
    }

    /// `officer lock`.
    pub(crate) fn lock(&self, args: &[&str], command: &[&str]) -> Command {
        self.officer("lock", &[args, &["--"], command].concat())
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// The port, as the options take it.
    pub(crate) fn port(&self) -> String {
        match self.address {
            Address::Tcp(address) => address.port().to_string(),
            Address::Unix(_) => panic!("a UNIX socket has no port"),
        }
    }

    /// The socket file.
    pub(crate) fn file(&self) -> &Path {
        match &self.address {
            Address::Unix(path) => path,
            Address::Tcp(_) => panic!("no socket file"),
        }
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Takes stderr away from the log.
    pub(crate) fn take_stderr(&mut self) -> Option<process::ChildStderr> {
        self.child.stderr.take()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its exit. Returns the status, and what was written to stdout after the first line.
    pub(crate) fn wait(&mut self) -> (ExitStatus, Vec<String>) {
        let status = wait(&mut self.child);
        self.is_over = true;
        self.log.wait_for_end();
        (status, self.stdout.get_mut().unwrap().rest())
    }

    /// Stops it, and returns all lines of its log.
    pub(crate) fn end(mut self) -> Vec<String> {
        self.signal(Signal::TERM);
        assert!(self.wait().0.success());
        self.log.lines()
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it runs").count()
    }

    /// Its resident memory, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.memory_bytes("VmRSS:")
    }

    /// The contents of a file in /proc for this process.
    pub(crate) fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.id())).unwrap()
    }

    /// Its peak memory, in bytes.
    pub(crate) fn peak_memory_bytes(&self) -> u64 {
        self.memory_bytes("VmHWM:")
    }

    fn memory_bytes(&self, which: &str) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix(which)).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
    }

    /// The processor time it has used, in hundredths of a second.
    pub(crate) fn processor_ticks(&self) -> u64 {
        let stat = self.proc("stat");
        // The name in parentheses can contain anything; the times are the 14th and 15th fields.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = self.child.kill();
            let _ = self.child.wait();
            eprintln!("the server's log:");
            self.log.lines().iter().rev().take(40).rev().for_each(|line| eprintln!("  {line:.300}"));
            return;
        }
        if !self.is_over {
            // One that has exited is still a zombie, so it can be signalled. A test may have stopped or killed it.
            self.signal(Signal::TERM);
            self.signal(Signal::CONT);
            let status = wait(&mut self.child);
            let is_killed = status.signal() == Some(Signal::KILL.as_raw());
            assert!(status.success() || is_killed, "the server exits with success, not with {status}");
        }
    }
}

/// The lines of a server's stderr, as they arrive.
#[derive(Clone, Default)]
pub(crate) struct Log {
    lines: Arc<(Mutex<Lines>, Condvar)>,
}

#[derive(Default)]
struct Lines {
    so_far: Vec<String>,
    /// More may come.
    is_open: bool,
}

impl Log {
    pub(crate) fn of(stderr: impl Read + Send + 'static) -> Log {
        let log = Log::default();
        log.lines.0.lock().unwrap().is_open = true;
        let lines = log.lines.clone();
        thread::spawn(move || {
            for line in lines_of_pipe(stderr) {
                lines.0.lock().unwrap().so_far.push(line);
                lines.1.notify_all();
            }
            lines.0.lock().unwrap().is_open = false;
            lines.1.notify_all();
        });
        log
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.0.lock().unwrap().so_far.clone()
    }

    /// How many lines contain this.
    pub(crate) fn count(&self, part: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(part)).count()
    }

    /// Waits for a line that contains this.
    pub(crate) fn wait_for(&self, part: &str) -> String {
        let find = |lines: &Lines| lines.so_far.iter().find(|line| line.contains(part)).cloned();
        let found = find(&self.wait_while(|lines| lines.is_open && find(lines).is_none()));
        found.unwrap_or_else(|| panic!("no line of the log contains {part:?}"))
    }

    fn wait_for_end(&self) {
        let is_open = self.wait_while(|lines| lines.is_open).is_open;
        assert!(!is_open, "stderr is still open");
    }

    fn wait_while(&self, is_to_wait: impl Fn(&Lines) -> bool) -> MutexGuard<'_, Lines> {
        let (lines, news) = &*self.lines;
        news.wait_timeout_while(lines.lock().unwrap(), PATIENCE, |lines| is_to_wait(lines)).unwrap().0
    }
}

/// The program with these arguments, and none of its variables in the environment.
pub(crate) fn officer(args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    forget_options(&mut command);
    command.args(args).stdin(Stdio::null());
    command
}

/// The program, started by a shell that first runs something else.
pub(crate) fn officer_after(shell: &str, args: &[&str]) -> Command {
    let mut command = Command::new("sh");
    forget_options(&mut command);
    command.arg("-c").arg(format!("{shell} exec \"$0\" \"$@\"")).arg(PROGRAM).args(args).stdin(Stdio::null());
    command
}

/// Makes a command independent of where the tests run: of what the program looks at in the environment, and of ignored
/// signals.
pub(crate) fn forget_options(command: &mut Command) {
    undo_ignored_signals();
    // A service manager may have started the tests.
    let of_a_manager = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID"];
    let of_ours =
        |name: &OsStr| name.to_string_lossy().starts_with("OFFICER_") || of_a_manager.iter().any(|it| name == *it);
    for (name, _) in env::vars_os().filter(|(name, _)| of_ours(name)) {
        command.env_remove(name);
    }
}

/// Runs a command that should exit by itself, soon.
pub(crate) fn run(command: &mut Command) -> Output {
    let mut child = spawn(command.stderr(Stdio::piped()));
    let read = |mut stream: Box<dyn Read + Send>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).map(|_| bytes).unwrap()
        })
    };
    let stdout = read(Box::new(child.stdout.take().unwrap()));
    let stderr = read(Box::new(child.stderr.take().unwrap()));
    let status = wait(&mut child);
    Output { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

pub(crate) fn spawn(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).spawn().expect("the program starts")
}

fn wait(child: &mut Child) -> ExitStatus {
    let give_up = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > give_up {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the program did not end in {PATIENCE:?}");
        }
        thread::sleep(Duration::from_millis(1));
    }
}
