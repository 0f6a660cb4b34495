//! All processes that a command has started.
//!
//! A command is often a script. When the script is ended, what it was waiting for works on, and that is what needs the
//! lock. On Linux the processes say who started them, and those that lose their parent become our children; elsewhere only
//! the command itself is known.

use std::collections::HashSet;

use rustix::process::{Pid, Signal, kill_process};

/// The processes that a command has started, and that are not set apart.
#[derive(Debug)]
pub(super) struct Tree {
    us: Pid,
    /// The command, until it has ended.
    command: Option<Pid>,
    /// The sessions in which a command and what it starts usually are: ours, and the command's own if it makes one.
    sessions: [Option<i32>; 2],
    /// Children of ours that are not the command's, as a shell that has started some can become us by `exec`; and those
    /// that the command left behind as daemons.
    apart: HashSet<Pid>,
}

impl Tree {
    /// Before the command starts. From now on, what loses its parent among its processes becomes our child, and so is not
    /// lost to us.
    pub(super) fn adopt() -> Self {
        let us = rustix::process::getpid();
        #[cfg(target_os = "linux")]
        // Without it we find less.
        let _ = rustix::process::set_child_subreaper(Some(us));
        let all = all_processes();
        let session = all.iter().find(|process| process.pid == us).map(|process| process.session);
        let apart = all.iter().filter(|process| process.parent == Some(us)).map(|process| process.pid).collect();
        Tree { us, command: None, sessions: [session, None], apart }
    }

    /// The command runs.
    pub(super) fn set_command(&mut self, command: Pid) {
        self.command = Some(command);
        // The number of a session is that of the process that made it.
        self.sessions[1] = Some(command.as_raw_nonzero().get());
    }

    /// The command, while it is ours: once it has ended its number may be that of any process.
    pub(super) fn command(&self) -> Option<Pid> {
        self.command
    }

    /// A child of ours has ended, and its number may be used again.
    pub(super) fn forget(&mut self, process: Pid) {
        self.apart.remove(&process);
        self.command = self.command.filter(|command| *command != process);
    }

    /// Sets apart what the command has left behind on purpose: a daemon is in a session of its own, and whoever started it
    /// has ended.
    pub(super) fn let_daemons_go(&mut self) {
        for process in all_processes() {
            let is_orphan = process.parent == Some(self.us) && Some(process.pid) != self.command;
            if is_orphan && !self.sessions.contains(&Some(process.session)) {
                self.apart.insert(process.pid);
            }
        }
    }

    /// Those that still run.
    pub(super) fn processes(&self) -> Vec<Pid> {
        let mut left = all_processes();
        left.retain(|process| !self.apart.contains(&process.pid));
        let mut found: Vec<Pid> = self.command.into_iter().collect();
        let mut parents = HashSet::from([self.us]);
        parents.extend(self.command);
        // A parent's number may be higher than its child's, so one pass is not enough.
        loop {
            let before = parents.len();
            for process in &left {
                if process.parent.is_some_and(|parent| parents.contains(&parent)) && parents.insert(process.pid) {
                    found.push(process.pid);
                }
            }
            if parents.len() == before {
                break;
            }
        }
        let ended: HashSet<Pid> = left.iter().filter(|process| process.has_ended).map(|process| process.pid).collect();
        found.retain(|process| !ended.contains(process));
        found
    }
}

/// Ends them at once.
pub(super) fn kill(processes: &[Pid]) {
    for process in processes {
        let _ = kill_process(*process, Signal::KILL);
    }
}

/// What the system tells about a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    pid: Pid,
    parent: Option<Pid>,
    /// 0: made outside of the container that we are in.
    session: i32,
    /// It has, and its parent has not looked yet.
    has_ended: bool,
}

/// Every process that can be seen; none if the system does not tell as Linux does.
fn all_processes() -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| Pid::from_raw(entry.ok()?.file_name().to_str()?.parse().ok()?));
    pids.filter_map(|pid| {
        // In bytes: a program may call itself anything.
        let stat = std::fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
        parse_stat(pid, &String::from_utf8_lossy(&stat))
    })
    .collect()
}

/// `4711 (name) S PARENT GROUP SESSION …`, where the name may hold anything, `)` too.
fn parse_stat(pid: Pid, stat: &str) -> Option<Process> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = Pid::from_raw(fields.next()?.parse().ok()?);
    let session = fields.nth(1)?.parse().ok()?;
    Some(Process { pid, parent, session, has_ended: matches!(state, "Z" | "X") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name_is() {
        let pid = Pid::from_raw(12).unwrap();
        let parent = Pid::from_raw(7);
        for (stat, has_ended) in
            [("12 (sleep) S 7 12 3 0", false), ("12 (a) Z 9 (b)) Z 7 12 3", true), ("12 (x\u{fffd}) X 7 1 3", true)]
        {
            assert_eq!(parse_stat(pid, stat), Some(Process { pid, parent, session: 3, has_ended }), "{stat}");
        }
        assert_eq!(parse_stat(pid, "12 (x) S 0 1 0").unwrap().parent, None);
        assert_eq!(parse_stat(pid, ""), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_among_all() {
        let us = rustix::process::getpid();
        let found = all_processes().into_iter().find(|process| process.pid == us).unwrap();
        assert_eq!(found.parent, rustix::process::getppid());
        assert!(!found.has_ended);
    }
}
