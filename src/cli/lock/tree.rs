//! All processes that a command has started.
//!
//! A command is often a script. If only the script were ended, what it was waiting for would go on without the lock, and
//! that is what does the work. On Linux the processes say who started them; elsewhere only the command itself is known.

use std::collections::HashSet;

use rustix::process::{Pid, Signal, kill_process};

use super::command::Command;

/// The processes of a command that is being ended.
#[derive(Debug)]
pub(super) struct Tree {
    /// Children of ours that are none of the command's: a shell that has started some can become us by `exec`.
    strangers: HashSet<Pid>,
}

impl Tree {
    /// From now on, whatever loses its parent among these becomes our child, and so is not lost to us. What a command has
    /// sent into the background by itself before, as daemons do, is not found.
    pub(super) fn adopt(command: &Command) -> Self {
        let us = rustix::process::getpid();
        let is_stranger = |process: &Process| process.parent == Some(us) && Some(process.pid) != command.process();
        let strangers = all_processes().into_iter().filter(is_stranger).map(|process| process.pid).collect();
        #[cfg(target_os = "linux")]
        // Without it we find less.
        let _ = rustix::process::set_child_subreaper(Some(us));
        Tree { strangers }
    }

    /// Those that still run.
    pub(super) fn processes(&self, command: &Command) -> Vec<Pid> {
        let us = rustix::process::getpid();
        let mut left = all_processes();
        left.retain(|process| !self.strangers.contains(&process.pid));
        let mut found: Vec<Pid> = command.process().into_iter().collect();
        let mut parents = HashSet::from([us]);
        parents.extend(command.process());
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

/// `4711 (name) S 1 …`, where the name may hold anything, `)` too.
fn parse_stat(pid: Pid, stat: &str) -> Option<Process> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = Pid::from_raw(fields.next()?.parse().ok()?);
    Some(Process { pid, parent, has_ended: matches!(state, "Z" | "X") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name_is() {
        let pid = Pid::from_raw(12).unwrap();
        let parent = Pid::from_raw(7);
        for (stat, has_ended) in
            [("12 (sleep) S 7 12 3 0", false), ("12 (a) Z 9 (b)) Z 7 12", true), ("12 (x\u{fffd}) X 7 1", true)]
        {
            assert_eq!(parse_stat(pid, stat), Some(Process { pid, parent, has_ended }), "{stat}");
        }
        assert_eq!(parse_stat(pid, "12 (x) S 0 1").unwrap().parent, None);
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
