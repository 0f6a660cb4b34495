//! What `officer status` tells about a server, beyond its process: a file beside the pid file, which the server writes once
//! it listens. The pid file itself has nothing but the number, for the scripts that read it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{fmt, process};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::pid_file;
use crate::console::utc::Utc;

/// More than it ever has.
const BYTES_MAX: u64 = 64 << 10;

/// A server in the background.
#[derive(Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) struct Info {
    pub(super) process: u32,
    pub(super) version: String,
    /// As [`Net::addresses`](crate::net::Net::addresses) has them.
    pub(super) addresses: Vec<String>,
    /// In seconds of the UNIX time.
    pub(super) started: u64,
    /// How many reloads have begun. What is changed before this is read will be read by the next one.
    #[serde(default)]
    pub(super) reloads_begun: u64,
    /// How many are over: one less while one goes on.
    #[serde(default)]
    pub(super) reloads: u64,
    /// Why the last one was refused, if it was.
    #[serde(default)]
    pub(super) refused: Option<String>,
}

impl Info {
    /// That of this process.
    pub(super) fn own(addresses: &[String]) -> Info {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let (process, addresses) = (process::id(), addresses.to_vec());
        Info { process, version, addresses, started, reloads_begun: 0, reloads: 0, refused: None }
    }

    /// That of this process, if a file beside its pid file has it.
    pub(super) fn of(pid: rustix::process::Pid, pid_file: &Path) -> Option<Info> {
        let mut bytes = Vec::new();
        pid_file::options().open(path(pid_file)).ok()?.take(BYTES_MAX).read_to_end(&mut bytes).ok()?;
        let info: Info = serde_json::from_slice(&bytes).ok()?;
        (i32::try_from(info.process) == Ok(pid.as_raw_pid())).then_some(info)
    }

    /// Its addresses without their schemes.
    pub(super) fn bare_addresses(&self) -> Vec<String> {
        let bare = |address: &String| {
            let bare = ["tcp://", "tls://", "http://", "https://", "unix:"]
                .iter()
                .find_map(|scheme| address.strip_prefix(scheme));
            bare.unwrap_or(address).to_owned()
        };
        self.addresses.iter().map(bare).collect()
    }

    /// Writes it beside the pid file, whole or not at all, in the place of what a server before left. The file has to stay
    /// open: it is locked for as long.
    pub(super) fn write(&self, pid_file: &Path) -> io::Result<File> {
        let (path, new) = (path(pid_file), pid_file.with_extension("info.new"));
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => (),
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&new)?;
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        file.write_all(&line)?;
        // What cleans up old files leaves those alone that are locked.
        let _ = flock(&file, FlockOperation::NonBlockingLockShared);
        fs::rename(&new, &path)?;
        Ok(file)
    }
}

/// The file beside this pid file.
pub(super) fn path(pid_file: &Path) -> PathBuf {
    pid_file.with_extension("info")
}

/// When it started, what it is and where it listens.
impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (addresses, version) = (self.addresses.join(", "), self.version.escape_debug());
        write!(f, "since {}: version {version}, listening on {}", Utc(self.started), addresses.escape_debug())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_stands_in_the_file_what_is_told_is_one_line() {
        let info = Info { version: "0.1\n".to_owned(), ..Info::own(&["/tmp/a\x1b[2J".to_owned()]) };
        let line = info.to_string();
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
}
