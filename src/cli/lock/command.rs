//! The command while it runs.
//!
//! It stays in our process group, for the terminal's sake: in a group of its own it could not read from the terminal,
//! Ctrl-C and Ctrl-Z would not reach it, and a pipeline that we are part of would be torn. A supervisor that kills the
//! whole group with SIGKILL, as `timeout -k` does, also finds it there. So ending all that a command has started can't go
//! by the group: see [`Tree`].

use std::ffi::OsString;
use std::process::{Child, ExitStatus};

use rustix::process::{Pid, Signal, kill_process};

use super::signals;
use super::tree::Tree;
use crate::cli::Failure;

/// A command that was started.
#[derive(Debug)]
pub(super) struct Command {
    child: Child,
    /// None once it has ended. From then on its number may be that of any process.
    running: Option<Pid>,
}

impl Command {
    pub(super) fn start(command: &[OsString], lock: &str) -> Result<Self, Failure> {
        let started = std::process::Command::new(&command[0]).args(&command[1..]).env("OFFICER_LOCK", lock).spawn();
        match started {
            Ok(child) => Ok(Command { running: Some(Pid::from_child(&child)), child }),
            Err(error) => Err(Failure::NotStarted { command: command[0].to_string_lossy().into_owned(), error }),
        }
    }

    /// Its process, while it is ours.
    pub(super) fn process(&self) -> Option<Pid> {
        self.running
    }

    /// How it ended, if it has.
    pub(super) fn check(&mut self) -> Result<Option<ExitStatus>, Failure> {
        let status = self.child.try_wait().map_err(Failure::System)?;
        if status.is_some() {
            self.running = None;
        }
        Ok(status)
    }

    pub(super) fn pass_on(&self, signal: i32) {
        if let Some(process) = self.running
            && let Some(named) = Signal::from_named_raw(signal)
            && !signals::came_from_the_terminal_to_all(signal, process)
        {
            // It may just have ended.
            let _ = kill_process(process, named);
        }
    }

    /// Has it and all that it has started end. Returns what to look at from now on.
    pub(super) fn terminate(&self) -> Tree {
        let tree = Tree::adopt(self);
        for process in tree.processes(self) {
            let _ = kill_process(process, Signal::TERM);
        }
        tree
    }
}
