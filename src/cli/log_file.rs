//! A log file that replaces stderr, so that a panic's message goes there too.

use std::fs::{self, File, Metadata, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::{fmt, io};

use rustix::fs::OFlags;
use rustix::process::{Uid, geteuid};

use super::{Failure, named};

/// Why the log file can't be used. `Display` gives one line that says what to do.
#[derive(Debug)]
pub(super) struct LogFileError {
    path: PathBuf,
    error: io::Error,
}

impl LogFileError {
    /// A file that could be written, but must not be.
    pub(super) fn refuse(path: &Path, reason: &'static str) -> LogFileError {
        LogFileError { path: path.to_owned(), error: io::Error::other(reason) }
    }
}

impl fmt::Display for LogFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the log file {:?} can't be written ({}); choose another with --log-file", self.path, self.error)
    }
}

impl From<LogFileError> for Failure {
    fn from(error: LogFileError) -> Self {
        Failure::Specific { exit_code: 1, error: Box::new(error) }
    }
}

impl std::error::Error for LogFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// Who chose the path of a log file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Choice {
    /// The person who started the server. It can be anything that can be written to.
    #[default]
    Named,
    /// Nobody: it is the default, in a directory where others may have placed something. It must be our own file, or
    /// anybody's in a directory that others can't write to.
    Usual,
}

/// Where the log goes.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    choice: Choice,
    /// Opened, but not yet stderr.
    file: Option<File>,
}

impl LogFile {
    /// Opens or creates it, and writes at its end. A new file is not readable by everybody: at debug it has all names.
    pub(super) fn open(path: &Path, choice: Choice) -> Result<LogFile, LogFileError> {
        let path = path.to_owned();
        match open(&path, choice) {
            Ok(file) => Ok(LogFile { path, choice, file: Some(file) }),
            Err(error) => Err(LogFileError { path, error }),
        }
    }

    /// From here on stderr is this file.
    pub(super) fn take_stderr(&mut self) -> Result<(), LogFileError> {
        let Some(file) = self.file.take() else { return Ok(()) };
        rustix::stdio::dup2_stderr(file).map_err(|error| LogFileError { path: self.path.clone(), error: error.into() })
    }

    /// Writes to what the path leads to now: when a log is moved away, the next lines belong in a new file. If that fails, the
    /// log goes on where it was.
    pub(super) fn reopen(&mut self) {
        let reopened = LogFile::open(&self.path, self.choice).and_then(|mut log_file| log_file.take_stderr());
        match reopened {
            Ok(()) => log::info!("the log file was reopened"),
            Err(LogFileError { path, error }) => {
                log::error!("the log file {path:?} can't be reopened ({error}); the log goes on in the old one");
            }
        }
    }
}

fn open(path: &Path, choice: Choice) -> io::Result<File> {
    // A FIFO that nobody reads must not block the start or a line of the log, and a terminal must not become ours.
    let mut flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    if choice == Choice::Usual {
        if path.is_symlink() {
            return Err(io::Error::other("it is a symbolic link"));
        }
        // A link that is put there just now.
        flags |= OFlags::NOFOLLOW;
    }
    let flags = i32::try_from(flags.bits()).expect("flags of open are an int");
    let file = OpenOptions::new().append(true).create(true).mode(0o640).custom_flags(flags).open(path)?;
    let is_ours = |there: &Metadata| {
        let is_by_us = is_user(there, &[geteuid()]) || path.parent().is_some_and(is_kept_from_others);
        there.is_file() && is_by_us && named::is_only_name(there)
    };
    if choice == Choice::Usual && !named::at(path, &file).as_ref().is_some_and(is_ours) {
        return Err(io::Error::other("it is not a file of this user, or has another name as well"));
    }
    Ok(file)
}

/// Whether only this user and root can put files into a directory. Then a file that belongs to somebody else
/// was made for the log all the same: a log rotation can be set up to give the new file to another user.
fn is_kept_from_others(directory: &Path) -> bool {
    fs::metadata(directory).is_ok_and(|found| is_user(&found, &[geteuid(), Uid::ROOT]) && found.mode() & 0o022 == 0)
}

fn is_user(found: &Metadata, users: &[Uid]) -> bool {
    users.iter().any(|user| user.as_raw() == found.uid())
}
