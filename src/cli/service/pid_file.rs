//! The pid file. The number in it is for people and scripts; a lock on the file says whether the server runs. The server holds
//! it as long as it lives, and the system frees it however the server ends. The system also knows whose lock it is, so
//! nobody is misled when another process gets the same number.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, process, thread};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{F_RDLCK, F_UNLCK, F_WRLCK, flock};
use rustix::fs::{FlockOperation, OFlags, fcntl_lock};
use rustix::io::Errno;
use rustix::process::Pid;

use super::ServiceError;
use super::info::{self, Info};
use super::search::{self, Search};
use crate::cli::named;
use crate::net::Reload;

/// Our own pid file, locked. It is removed when this is dropped.
#[derive(Debug)]
pub(super) struct PidFile {
    path: PathBuf,
    // A lock of the process: closing any other descriptor of the file would free it, so it is opened only here. A lock of the
    // open file (flock) would not tell which process holds it.
    file: File,
    /// What `officer status` tells, once the server listens, and the file that it is in.
    info: Option<(Info, Option<File>)>,
    /// Its directory, kept for the lock on it.
    _directory: Option<File>,
}

/// How often to look again when it is not clear whose the file is: for a second. Such moments pass quickly.
pub(super) const ATTEMPTS: u32 = 200;
pub(super) const PAUSE: Duration = Duration::from_millis(5);

/// How often to try to get a lock that only protects from cleaners of old files, who have theirs for a moment.
const CLEANER_ATTEMPTS: u32 = 20;

/// What a pid file says of a server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    /// There is no file, and no server that had it among the processes that can be seen.
    Absent(Search),
    /// There is a file, but its server is gone.
    Stale,
    /// A server runs. Its process has no number here if it can't be seen, as from another container.
    Running(Option<Pid>),
    /// A server runs, and its file was removed.
    Removed(Pid),
}

/// Looks without touching anything.
pub(super) fn look(path: &Path) -> Result<State, ServiceError> {
    let failed = |error| ServiceError::PidFile { path: path.to_owned(), error };
    let file = match options().open(path) {
        Ok(file) => Some(file),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    if let Some(file) = &file
        && let Some(holder) = holder(file).map_err(failed)?
    {
        return Ok(State::Running(holder));
    }
    let search = Search::of(path);
    Ok(match search.owner {
        Some(pid) => State::Removed(pid),
        None if file.is_some() => State::Stale,
        None => State::Absent(search),
    })
}

/// Whether this process has its pid file there, or had until the file was removed.
pub(super) fn is_held_by(path: &Path, pid: Pid) -> Result<bool, ServiceError> {
    let failed = |error| ServiceError::PidFile { path: path.to_owned(), error };
    match options().open(path) {
        Ok(file) if holder(&file).map_err(failed)? == Some(Some(pid)) => Ok(true),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(search::has_removed(pid, path)),
    }
}

/// The server that holds the lock on a file. Its process has no number if it can't be seen.
fn holder(file: &File) -> io::Result<Option<Option<Pid>>> {
    // Asked for a read lock, which only write locks conflict with, as a server has one. Whoever may read the file can get a
    // read lock, so those say nothing.
    conflicting(file, F_RDLCK)
}

/// A process that has any lock on the file, even a read lock.
pub(super) fn anybody(path: &Path) -> Option<Pid> {
    let file = options().open(path).ok()?;
    conflicting(&file, F_WRLCK).ok()??
}

/// The lock that stands in the way of one of this kind: of a process, if it can be seen.
fn conflicting(file: &File, wanted: i32) -> io::Result<Option<Option<Pid>>> {
    let kind = |kind: i32| i16::try_from(kind).expect("kinds of locks are small numbers");
    let mut lock = flock { l_type: kind(wanted), l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 };
    fcntl(file, FcntlArg::F_GETLK(&mut lock))?;
    // A lock that belongs to an open file and to no process has the number -1, and one from another machine may have any
    // below 0. To kill(2) these stand for groups of processes, or for all processes.
    Ok((lock.l_type != kind(F_UNLCK)).then(|| Pid::from_raw(lock.l_pid.max(0))))
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
        let (mut directory, mut running) = (None, None);
        for _ in 0..ATTEMPTS {
            if let Some(pid) = Search::of(path).owner {
                running = Some(pid);
                thread::sleep(PAUSE);
                continue;
            }
            running = None;
            // Before the file is there, so that no cleaner finds it.
            if directory.is_none() {
                directory = lock_directory(path);
            }
            let file = options().write(true).create(true).truncate(false).mode(0o644).open(path).map_err(failed)?;
            match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => (),
                Err(Errno::AGAIN | Errno::ACCESS) => match holder(&file) {
                    Ok(Some(pid)) => return Err(ServiceError::Running { pid, path: path.to_owned() }),
                    // It has ended just now, or somebody has a read lock.
                    _ => {
                        thread::sleep(PAUSE);
                        continue;
                    }
                },
                Err(error) => return Err(failed(error.into())),
            }
            lock_for_cleaners(&file);
            // Whoever held it may have removed it since we opened it; then the lock is on a file that nobody finds.
            let Some(there) = named::at(path, &file) else { continue };
            if !named::is_only_name(&there) {
                return Err(failed(io::Error::other("it has another name, and may be somebody's file")));
            }
            // What a server that was killed left. Whoever has the lock on the pid file may write it.
            let _ = fs::remove_file(info::path(path));
            let mut pid_file = PidFile { path: path.to_owned(), file, info: None, _directory: directory };
            let stale = pid_file.write().map_err(failed)?;
            return Ok((pid_file, stale));
        }
        Err(match running {
            Some(pid) => ServiceError::Running { pid: Some(pid), path: path.to_owned() },
            None => ServiceError::Busy { pid: anybody(path), path: path.to_owned() },
        })
    }

    /// Writes down where the server listens, for `officer status`.
    pub(super) fn announce(&mut self, addresses: &[String]) {
        self.info = Some((Info::own(addresses), None));
        self.write_info();
    }

    /// Writes down how a reload goes, for `officer reload`.
    pub(super) fn note(&mut self, reload: Reload<'_>) {
        let Some((info, _)) = &mut self.info else { return };
        match reload {
            Reload::Begins => info.reloads_begun += 1,
            Reload::Over(error) => {
                info.reloads = info.reloads_begun;
                info.refused = error.map(ToString::to_string);
            }
        }
        self.write_info();
    }

    fn write_info(&mut self) {
        let Some((info, file)) = &mut self.info else { return };
        match info.write(&self.path) {
            Ok(written) => *file = Some(written),
            Err(error) => log::warn!("{:?} can't be written: {error}", info::path(&self.path)),
        }
    }

    /// Whether a path leads to it.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        named::leads_to(path, &self.file)
    }

    fn write(&mut self) -> io::Result<Option<String>> {
        let mut old = String::new();
        // A number is short; what is not text is not a number.
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
        let info = info::path(&self.path);
        let file = self.info.as_ref().and_then(|(_, file)| file.as_ref());
        if file.is_some_and(|file| named::at(&info, file).is_some()) {
            let _ = fs::remove_file(info);
        }
        // Still locked: whoever opens it meanwhile finds out that it is no longer there.
        if named::at(&self.path, &self.file).is_some()
            && let Err(error) = fs::remove_file(&self.path)
        {
            log::warn!("the pid file {:?} could not be removed: {error}", self.path);
        }
    }
}

/// Keeps cleaners of old files (systemd-tmpfiles and the like) out of the directory of a pid file: they skip a directory that
/// is locked. Not out of one that others use as well.
fn lock_directory(path: &Path) -> Option<File> {
    let directory = path.parent()?;
    let is_shared = [super::SYSTEM_DIRECTORY, "/run"].iter().any(|system| directory == Path::new(system))
        || env::var_os("XDG_RUNTIME_DIR").is_some_and(|runtime| directory == Path::new(&runtime));
    if is_shared || !super::is_private(directory) {
        return None;
    }
    let directory = File::open(directory).ok()?;
    lock_for_cleaners(&directory);
    Some(directory)
}

/// Newer ones skip files that are locked, too. Without the lock the server is none the worse until then.
fn lock_for_cleaners(file: impl AsFd) {
    for _ in 0..CLEANER_ATTEMPTS {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Err(Errno::WOULDBLOCK) => thread::sleep(PAUSE),
            _ => return,
        }
    }
}

/// Never a link, which somebody may have put there, and nothing that opening waits for.
pub(super) fn options() -> OpenOptions {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).expect("flags of open are an int");
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags);
    options
}
