//! The pid file. The number in it is for people and scripts; that a server runs is said by a lock on the file, which the
//! server holds as long as it lives and the system frees however it ends. The system also knows whose lock it is, so that
//! a number which some other process has got since misleads nobody.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{process, thread};

use rustix::fs::{FlockOperation, OFlags, fcntl_lock};
use rustix::io::Errno;
use rustix::process::{Flock, FlockType, Pid, fcntl_getlk};

use super::ServiceError;
use crate::cli::named;

/// Our own pid file, locked. It is removed when this is dropped.
#[derive(Debug)]
pub(super) struct PidFile {
    path: PathBuf,
    // A lock of the process: closing any other descriptor of the file would free it, so it is opened only here. It must not
    // be one of the open file (flock), which says nothing of the process that holds it.
    file: File,
}

/// How often to look again when it can't be told whose the file is: a second. Those who come and go do so for moments.
pub(super) const ATTEMPTS: u32 = 200;
pub(super) const PAUSE: Duration = Duration::from_millis(5);

/// What a pid file says of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// There is no file.
    Absent,
    /// There is a file, but the server of it is gone.
    Stale,
    /// A server runs. Its process has no number here if it can't be seen, as from another container.
    Running(Option<Pid>),
}

/// Looks without touching anything.
pub(super) fn look(path: &Path) -> Result<State, ServiceError> {
    let failed = |error| ServiceError::PidFile { path: path.to_owned(), error };
    let file = match options().open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(State::Absent),
        Err(error) => return Err(failed(error)),
    };
    who_holds(&file).map_err(failed)
}

/// A file that is there, and perhaps locked.
fn who_holds(file: &File) -> io::Result<State> {
    // Asked for a lock that only locks for writing stand against, as a server has one. Those for reading are to be had by
    // all who may read the file, and say nothing.
    let lock = fcntl_getlk(file, &Flock::from(FlockType::ReadLock))?;
    // A lock that is of an open file and of no process has the number -1, and one from another machine may have any below
    // 0. To kill(2) these stand for groups of processes, or for all that there are.
    Ok(lock.map_or(State::Stale, |lock| State::Running(lock.pid.filter(|pid| pid.as_raw_pid() > 0))))
}

/// A process that has a lock on the file, and be it one for reading.
pub(super) fn anybody(path: &Path) -> Option<Pid> {
    let file = options().open(path).ok()?;
    let lock = fcntl_getlk(file, &Flock::from(FlockType::WriteLock)).ok()??;
    lock.pid.filter(|pid| pid.as_raw_pid() > 0)
}

impl PidFile {
    /// Locks it for this process and writes its number. Returns as well what a server that did not clean up left in it.
    pub(super) fn take(path: &Path) -> Result<(PidFile, Option<String>), ServiceError> {
        let failed = |error: io::Error| match path.parent() {
            Some(directory) if error.kind() == ErrorKind::NotFound => {
                ServiceError::DirectoryMissing { path: directory.to_owned() }
            }
            _ => ServiceError::PidFile { path: path.to_owned(), error },
        };
        for _ in 0..ATTEMPTS {
            let file = options().write(true).create(true).truncate(false).mode(0o644).open(path).map_err(failed)?;
            match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => (),
                Err(Errno::AGAIN | Errno::ACCESS) => match who_holds(&file) {
                    Ok(State::Running(pid)) => return Err(ServiceError::Running { pid, path: path.to_owned() }),
                    // It has ended just now, or somebody reads.
                    _ => {
                        thread::sleep(PAUSE);
                        continue;
                    }
                },
                Err(error) => return Err(failed(error.into())),
            }
            // Whoever held it may have removed it since we opened it; then the lock is on a file that nobody finds.
            let Some(there) = named::at(path, &file) else { continue };
            if !named::is_only_name(&there) {
                return Err(failed(io::Error::other("it has another name, and may be somebody's file")));
            }
            let mut pid_file = PidFile { path: path.to_owned(), file };
            let stale = pid_file.write().map_err(failed)?;
            return Ok((pid_file, stale));
        }
        Err(ServiceError::Busy { pid: anybody(path), path: path.to_owned() })
    }

    /// Whether a path leads to it.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        named::leads_to(path, &self.file)
    }

    fn write(&mut self) -> io::Result<Option<String>> {
        let mut old = String::new();
        // A number is short; what is no text is no number.
        let _ = (&self.file).take(32).read_to_string(&mut old);
        self.file.set_len(0)?;
        self.file.rewind()?;
        // One write, so that nobody reads half a number.
        self.file.write_all(format!("{}\n", process::id()).as_bytes())?;
        Ok(Some(old.trim().to_owned()).filter(|old| !old.is_empty()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Still locked: whoever opens it meanwhile finds out that it is no longer there.
        if named::at(&self.path, &self.file).is_some()
            && let Err(error) = fs::remove_file(&self.path)
        {
            log::warn!("the pid file {:?} stays behind: {error}", self.path);
        }
    }
}

/// Never a link, which somebody may have put there, and nothing that opening waits for.
fn options() -> OpenOptions {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).expect("flags of open are an int");
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags);
    options
}
