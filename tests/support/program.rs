//! The program with some arguments, in a process of its own.

use std::io::{BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::lines::Arriving;
use super::patience::eventually;
use super::server::{PROGRAM, forget_options};

/// A running process. If this is dropped before `end`, the process is killed, with everything it has started.
pub(crate) struct Program {
    child: Child,
    stdout: Arriving,
    stderr: Arriving,
    is_over: bool,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) status: ExitStatus,
    /// What no test has read yet.
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: Vec<String>,
}

impl End {
    /// The exit status as a shell shows it.
    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap())
    }

    /// Checks that it ended with this status, after one line on stderr.
    #[track_caller]
    pub(crate) fn expect_failure(&self, code: i32, said: &str) {
        assert_eq!(self.code(), code, "{self:?}");
        assert!(self.stdout.is_empty(), "{self:?}");
        let [line] = self.stderr.as_slice() else { panic!("not one line: {self:?}") };
        assert!(line.starts_with("officer: ") && line.contains(said), "{said:?} is not in {line:?}");
    }

    /// Checks that it succeeded, with nothing on stderr. Returns what it printed.
    #[track_caller]
    pub(crate) fn expect_success(self) -> Vec<String> {
        assert!(self.status.success() && self.stderr.is_empty(), "{self:?}");
        self.stdout
    }
}

/// A line for the shell, in which `officer` is the program.
pub(crate) fn shell(line: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("officer() {{ {PROGRAM} \"$@\"; }}; {line}")]);
    forget_options(&mut command);
    command
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Program {
        Program::start_with_stderr(command, Stdio::piped())
    }

    /// With a stderr that may be the test's own.
    pub(crate) fn start_with_stderr(command: &mut Command, stderr: Stdio) -> Program {
        // In a group of its own, so that it is not in the foreground of the terminal that the tests may run in.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().expect("the program starts");
        let stdout = printed(child.stdout.take().unwrap());
        let stderr = child.stderr.take().map_or_else(|| printed(std::io::empty()), printed);
        Program { child, stdout, stderr, is_over: false }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it prints.
    #[track_caller]
    pub(crate) fn line(&self) -> String {
        self.next_line().expect("a line on stdout")
    }

    /// None: it prints no more.
    #[track_caller]
    pub(crate) fn next_line(&self) -> Option<String> {
        self.stdout.next()
    }

    /// The next line on stderr.
    #[track_caller]
    pub(crate) fn said(&self) -> String {
        self.stderr.next().expect("a line on stderr")
    }

    /// Types something.
    pub(crate) fn input(&mut self, text: &str) {
        self.child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn take_input(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Signals also what it has started, as a terminal does.
    pub(crate) fn signal_all(&self, signal: Signal) {
        kill_process_group(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it exits by itself.
    #[track_caller]
    pub(crate) fn end(mut self) -> End {
        let mut status = None;
        eventually("the program ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        self.is_over = true;
        let status = status.expect("the program ended");
        End { status, stdout: self.stdout.rest(), stderr: self.stderr.rest() }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if !self.is_over {
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// Runs a command that exits by itself.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> End {
    let mut program = Program::start(command);
    drop(program.take_input());
    program.end()
}

/// What a program prints, without empty lines.
fn printed(stream: impl Read + Send + 'static) -> Arriving {
    let mut bytes = BufReader::new(stream).bytes().map_while(Result::ok).peekable();
    let lines = std::iter::from_fn(move || {
        bytes.peek()?;
        // A line that is overwritten ends with a carriage return.
        let line = bytes.by_ref().take_while(|byte| !matches!(byte, b'\n' | b'\r')).collect();
        Some(String::from_utf8(line).unwrap())
    });
    Arriving::of(lines.filter(|line| !line.is_empty()))
}

/// Whether there is such a process that has not exited.
pub(crate) fn is_alive(id: &str) -> bool {
    let process = Pid::from_raw(id.trim().parse().unwrap()).unwrap();
    if rustix::process::test_kill_process(process).is_err() {
        return false;
    }
    // One that has exited may still be a zombie.
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", id.trim())).unwrap_or_default();
    !stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.starts_with(['Z', 'X']))
}
