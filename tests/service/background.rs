//! Servers in the background, each with its own pid directory.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::client::{Address, Client};
use crate::support::directory::Directory;
use crate::support::patience::eventually;
use crate::support::server::{PROGRAM, officer, run};

/// A pid directory. When this is dropped, a server that still runs is stopped.
pub(crate) struct Background {
    directory: Directory,
}

/// How a command ended.
#[derive(Debug, PartialEq)]
pub(crate) struct End {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl End {
    pub(crate) fn of(command: &mut Command) -> End {
        let output = run(command);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code().expect("no signal ended it");
        End { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Checks that it failed with this status and one line that contains this.
    #[track_caller]
    pub(crate) fn expect_failure(&self, code: i32, said: &str) {
        assert_eq!((self.code, self.stdout.as_str(), self.stderr.lines().count()), (code, "", 1), "{self:?}");
        assert!(self.stderr.starts_with("officer: ") && self.stderr.contains(said), "{said:?} is not in {self:?}");
    }

    /// Checks that it succeeded without a warning. Returns what it printed.
    #[track_caller]
    pub(crate) fn expect_success(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""), "{self:?}");
        self.stdout
    }
}

impl Background {
    pub(crate) fn new() -> Background {
        Background { directory: Directory::new() }
    }

    /// A command with this pid directory.
    pub(crate) fn officer(&self, command: &str, args: &[&str]) -> Command {
        let mut command = officer(&[command]);
        command.arg("--pid-dir").arg(self.file("")).args(args);
        command
    }

    pub(crate) fn run(&self, command: &str, args: &[&str]) -> End {
        End::of(&mut self.officer(command, args))
    }

    /// Starts a server on a free port. Returns its address.
    #[track_caller]
    pub(crate) fn start(&self, args: &[&str]) -> Address {
        address_of(&self.run("start", &[&["-p", "0"], args].concat()).expect_success())
    }

    /// The exit status of `officer status`.
    #[track_caller]
    pub(crate) fn status(&self) -> i32 {
        let end = self.run("status", &[]);
        assert_eq!((end.stderr.as_str(), end.stdout.lines().count()), ("", 1), "{end:?}");
        end.code
    }

    /// The running servers of this directory, whatever its pid file says.
    pub(crate) fn servers(&self) -> Vec<Pid> {
        let directory = self.file("");
        let directory = directory.to_str().unwrap();
        let is_ours = |process: &fs::DirEntry| {
            // None if it has exited.
            let runs_program = fs::read_link(process.path().join("exe")).is_ok_and(|exe| exe.to_str() == Some(PROGRAM));
            let arguments = fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
            runs_program && arguments.contains("\0daemon\0") && arguments.contains(directory)
        };
        let processes = fs::read_dir("/proc").unwrap().flatten().filter(is_ours);
        processes.filter_map(|process| Pid::from_raw(process.file_name().to_str()?.parse().ok()?)).collect()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.file(name)
    }

    pub(crate) fn pid_file(&self) -> PathBuf {
        self.file("officer.pid")
    }

    /// The number in the pid file.
    pub(crate) fn pid(&self) -> Pid {
        let text = fs::read_to_string(self.pid_file()).unwrap();
        let number = text.strip_suffix('\n').and_then(|number| number.parse().ok());
        number.and_then(Pid::from_raw).unwrap_or_else(|| panic!("no number: {text:?}"))
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.file("officer.log")).unwrap()
    }

    /// Kills the server without giving it a chance to clean up.
    pub(crate) fn kill(&self) {
        let pid = self.pid();
        kill_process(pid, Signal::KILL).unwrap();
        eventually("its lock is free", || self.status() != 0);
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.run("stop", &["--stop-timeout", "5"]);
        // If that failed, what is left is at least ours.
        for pid in self.servers() {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// The address in what `officer start` prints.
#[track_caller]
pub(crate) fn address_of(printed: &str) -> Address {
    let line = printed.lines().find_map(|line| line.strip_prefix("officer: listening on "));
    let address = line.unwrap_or_else(|| panic!("{printed:?}"));
    Address::of(address)
}

pub(crate) fn connect(address: &Address) -> Client {
    Client::connect(address).expect("the server takes connections")
}

/// Stops a server, so that it can't react. A signal that is sent before it has stopped may count as delivered.
pub(crate) fn suspend(pid: Pid) {
    kill_process(pid, Signal::STOP).unwrap();
    let stat = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    eventually("it is stopped", || stat().contains(") T "));
}

/// Some other process, which nobody else may end.
pub(crate) struct Bystander(Child);

impl Bystander {
    pub(crate) fn new() -> Bystander {
        // Its input never arrives.
        Bystander(Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap())
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Checks that it has not been ended.
    #[track_caller]
    pub(crate) fn expect_alive(&mut self) {
        assert_eq!(self.0.try_wait().unwrap(), None);
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
