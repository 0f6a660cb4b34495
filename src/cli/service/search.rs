//! Servers in the background, found among the processes: a pid file can be removed while its server runs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::{env, fmt, process};

use rustix::process::Pid;

use super::start::DAEMON;

/// What the processes say about a pid file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Search {
    /// The server whose pid file this was.
    pub(super) owner: Option<Pid>,
    /// Servers of other pid files.
    pub(super) others: Vec<(Pid, PathBuf)>,
    /// Servers of other users, whose pid files can't be seen.
    pub(super) hidden: Vec<Pid>,
    /// Not all processes can be seen.
    pub(super) is_incomplete: bool,
}

impl Search {
    /// Looks for the server that had this path as its pid file, which another file may have taken since.
    pub(super) fn of(path: &Path) -> Search {
        let path = canonical(path);
        let mut search = Search::default();
        let Ok(processes) = fs::read_dir("/proc") else {
            return Search { is_incomplete: true, ..search };
        };
        // A system can be told to hide the processes of other users.
        search.is_incomplete = File::open("/proc/1/cmdline").is_err();
        for process in processes.flatten() {
            let Some(pid) = process.file_name().to_str().and_then(|name| Pid::from_raw(name.parse().ok()?)) else {
                continue;
            };
            let Some(program) = program_of_daemon(pid) else { continue };
            match pid_file_of(pid) {
                Ok(Some(PidFileOf::Removed(removed))) if removed == path => search.owner = Some(pid),
                Ok(Some(PidFileOf::There(other) | PidFileOf::Removed(other))) if other != path => {
                    search.others.push((pid, other));
                }
                // Its file is still there, or it starts or ends just now, or it is not a server.
                Ok(_) => {}
                Err(_) if is_ours(&program) && !is_gone(pid) => search.hidden.push(pid),
                Err(_) => {}
            }
        }
        search
    }

    /// Whether a server with this pid file would have been found. Only the user and root can make one where nobody else
    /// may write.
    pub(super) fn is_conclusive(&self, path: &Path) -> bool {
        path.parent().is_some_and(super::is_private) || (self.hidden.is_empty() && !self.is_incomplete)
    }
}

/// Whether this process had its pid file there and it was removed.
pub(super) fn has_removed(pid: Pid, path: &Path) -> bool {
    matches!(pid_file_of(pid), Ok(Some(PidFileOf::Removed(removed))) if removed == canonical(path))
}

/// What to tell a person about servers that are not the one asked about.
impl fmt::Display for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((pid, other)) = self.others.first() {
            write!(f, "; process {pid} is a server with the pid file {other:?}, see --pid-dir")?;
        }
        if let Some(pid) = self.hidden.first() {
            write!(f, "; process {pid} is a server of another user, who can ask about it")?;
        }
        Ok(())
    }
}

enum PidFileOf {
    There(PathBuf),
    Removed(PathBuf),
}

/// The program of a process that was started as a server in the background; none if it was not. Its arguments are for
/// everybody to read.
fn program_of_daemon(pid: Pid) -> Option<PathBuf> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut arguments = line.split(|byte| *byte == 0);
    let program = String::from_utf8_lossy(arguments.next()?).into_owned();
    let is_daemon = arguments.next()? == DAEMON.as_bytes() && pid.as_raw_pid().unsigned_abs() != process::id();
    is_daemon.then(|| PathBuf::from(program))
}

/// The pid file that it has open. An error: its files can't be seen.
fn pid_file_of(pid: Pid) -> std::io::Result<Option<PidFileOf>> {
    let files = fs::read_dir(format!("/proc/{pid}/fd"))?.flatten();
    for link in files.filter_map(|file| fs::read_link(file.path()).ok()) {
        if link.file_name().is_some_and(|name| name == super::PID_FILE) {
            return Ok(Some(PidFileOf::There(link)));
        }
        let removed = link.to_str().and_then(|link| link.strip_suffix(" (deleted)")).map(PathBuf::from);
        if let Some(removed) = removed.filter(|path| path.file_name().is_some_and(|name| name == super::PID_FILE)) {
            return Ok(Some(PidFileOf::Removed(removed)));
        }
    }
    Ok(None)
}

fn is_ours(program: &Path) -> bool {
    let own = env::current_exe().ok();
    let name = program.file_name();
    name.is_some() && (name == own.as_deref().and_then(Path::file_name) || name == Some("officer".as_ref()))
}

fn is_gone(pid: Pid) -> bool {
    !Path::new(&format!("/proc/{pid}")).exists()
}

/// As the system names it, with links in its directory resolved.
fn canonical(path: &Path) -> PathBuf {
    let directory = path.parent().and_then(|directory| fs::canonicalize(directory).ok());
    directory.map_or_else(|| path.to_owned(), |directory| directory.join(super::PID_FILE))
}
