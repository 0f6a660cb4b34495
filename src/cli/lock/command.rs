//! The command while it runs, and what is left of it.
//!
//! It stays in our process group, for the terminal's sake: in a group of its own it could not read from the terminal,
//! Ctrl-C and Ctrl-Z would not reach it, and a pipeline that we are part of would be torn. A supervisor that kills the
//! whole group with SIGKILL, as `timeout -k` does, also finds it there. So ending all that a command has started can't go
//! by the group: see [`Tree`].

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, kill_process};

use super::tree::Tree;
use super::{Granted, inherited, signals};
use crate::console::Failure;
use crate::console::access::SECRET;

/// A command that was started.
#[derive(Debug)]
pub(super) struct Command {
    status: Option<ExitStatus>,
    tree: Tree,
}

impl Command {
    pub(super) fn start(command: &[OsString], granted: &Granted) -> Result<Self, Failure> {
        // Before it starts: whatever it leaves behind, however early, becomes our child.
        let mut tree = Tree::adopt();
        let started = match spawn(&command[0], &command[1..], granted) {
            // Not every system's `execvp` has a shell run a script without `#!`. Shells do.
            Err(error) if error.raw_os_error() == Some(Errno::NOEXEC.raw_os_error()) => {
                let script = ["-c".into(), r#"exec "$0" "$@""#.into()];
                spawn("/bin/sh".as_ref(), &[&script, command].concat(), granted)
            }
            started => started,
        };
        let process = started.map_err(|error| not_started(&command[0], error))?;
        tree.set_command(process);
        Ok(Command { status: None, tree })
    }

    /// How it ended, if it has. Also lets go of the processes that it left behind and that have ended since.
    pub(super) fn check(&mut self) -> Result<Option<ExitStatus>, Failure> {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((process, status))) => {
                    if self.tree.command() == Some(process) {
                        self.status = Some(ExitStatus::from_raw(status.as_raw()));
                    }
                    self.tree.forget(process);
                }
                Err(Errno::INTR) => {}
                Ok(None) => return Ok(self.status),
                Err(Errno::CHILD) if self.status.is_some() => return Ok(self.status),
                Err(error) => return Err(Failure::System(error.into())),
            }
        }
    }

    /// Passes a signal on to the command, or to what is left of it once it has ended.
    pub(super) fn pass_on(&mut self, signal: i32) {
        let Some(named) = Signal::from_named_raw(signal) else { return };
        let processes = self.tree.command().map_or_else(|| self.left(), |command| vec![command]);
        for process in processes {
            if !signals::came_from_the_terminal_to_all(signal, process) {
                // It may just have ended.
                let _ = kill_process(process, named);
            }
        }
    }

    /// The processes that run on, without those that it left behind as daemons.
    pub(super) fn left(&mut self) -> Vec<Pid> {
        self.tree.let_daemons_go();
        self.processes()
    }

    /// Sends SIGTERM to it and to all that it has started, but for daemons. From now on a process that becomes a daemon
    /// stays among [`Command::processes`].
    pub(super) fn terminate(&mut self) {
        for process in self.left() {
            let _ = kill_process(process, Signal::TERM);
        }
    }

    /// The processes that run on.
    pub(super) fn processes(&self) -> Vec<Pid> {
        self.tree.processes()
    }
}

fn spawn(program: &OsStr, args: &[OsString], granted: &Granted) -> io::Result<Pid> {
    let mut command = std::process::Command::new(program);
    // The command is not to be who we are to the server.
    command.args(args).env("OFFICER_LOCK", granted.names.join("\n")).env_remove(SECRET);
    match granted.token {
        Some(token) => command.env("OFFICER_TOKEN", token.to_string()),
        // It would be that of another lock, of an officer around this one.
        None => command.env_remove("OFFICER_TOKEN"),
    };
    inherited::hand_down(&mut command);
    command.spawn().map(|child| Pid::from_child(&child))
}

/// Why a command was not started. The system says "not found" of a file that is there, too, if what runs it is not.
fn not_started(command: &OsStr, error: io::Error) -> Failure {
    let file = (error.kind() == io::ErrorKind::NotFound).then(|| find(command)).flatten();
    let command = command.to_string_lossy().into_owned();
    match file {
        Some(file) => Failure::NoInterpreter { command, interpreter: interpreter(&file) },
        None => Failure::NotStarted { command, error },
    }
}

/// The file that the system runs for a command.
fn find(command: &OsStr) -> Option<PathBuf> {
    let command = Path::new(command);
    if command.as_os_str().as_bytes().contains(&b'/') {
        return command.is_file().then(|| command.to_owned());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(command)).find(|file| file.is_file())
}

/// What a script's first line says that it is run by.
fn interpreter(script: &Path) -> Option<String> {
    /// Linux reads no more of the line.
    const LINE_BYTES_MAX: u64 = 256;
    let mut line = Vec::new();
    BufReader::new(File::open(script).ok()?.take(LINE_BYTES_MAX)).read_until(b'\n', &mut line).ok()?;
    let line = line.strip_suffix(b"\n").unwrap_or(&line).strip_prefix(b"#!")?;
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let interpreter = line.split(blank).find(|word| !word.is_empty())?;
    Some(OsString::from_vec(interpreter.to_vec()).to_string_lossy().into_owned())
}
