//! `officer start`, `stop`, `restart`, `reload` and `status`: a server in the background, known by its pid file.

mod error;
mod info;
mod pid_file;
pub(super) mod reload;
pub(super) mod restart;
mod search;
pub(super) mod start;
pub(super) mod status;
pub(super) mod stop;

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use clap::Args;
use rustix::process::geteuid;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};

pub(super) use self::error::ServiceError;

/// The name of a pid file, in its directory.
const PID_FILE: &str = "officer.pid";

/// Where the pid files of a system's services are.
const SYSTEM_DIRECTORY: &str = "/var/run";

#[derive(Args, Debug)]
#[command(next_help_heading = "Background")]
pub(super) struct PidOptions {
    /// Directory of the pid file, officer.pid; each server needs one of its own [default: /var/run for root, for others
    /// $XDG_RUNTIME_DIR, or a directory in /tmp]
    #[arg(short = 'd', long, value_name = "DIRECTORY", env = "OFFICER_PID_DIR", hide_env_values = true)]
    pid_dir: Option<PathBuf>,
}

impl PidOptions {
    /// The directory, as an absolute path. That of a user in /tmp is created where it is missing.
    fn directory(&self) -> Result<PathBuf, ServiceError> {
        match &self.pid_dir {
            Some(directory) => std::path::absolute(directory)
                .map_err(|error| ServiceError::Directory { path: directory.clone(), error }),
            None => default_directory(),
        }
    }

    fn pid_file(&self) -> Result<PathBuf, ServiceError> {
        Ok(self.directory()?.join(PID_FILE))
    }
}

fn default_directory() -> Result<PathBuf, ServiceError> {
    if geteuid().is_root() {
        return Ok(PathBuf::from(SYSTEM_DIRECTORY));
    }
    match env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        Some(directory) if directory.is_absolute() => Ok(directory),
        _ => private_directory(&env::temp_dir().join(format!("officer-{}", geteuid().as_raw()))),
    }
}

/// A directory in a place where everybody may create one: it has to be ours, and nobody else may write to it.
fn private_directory(path: &Path) -> Result<PathBuf, ServiceError> {
    let failed = |error| ServiceError::Directory { path: path.to_owned(), error };
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => (),
    }
    fs::symlink_metadata(path).map_err(failed)?;
    if is_private(path) && !path.is_symlink() {
        Ok(path.to_owned())
    } else {
        Err(ServiceError::DirectoryOfOthers { path: path.to_owned() })
    }
}

/// Whether a directory is this user's, and nobody else (but root) may write to it.
fn is_private(path: &Path) -> bool {
    let is_ours = |found: fs::Metadata| found.uid() == geteuid().as_raw() && found.mode() & 0o022 == 0;
    fs::metadata(path).is_ok_and(|found| found.is_dir() && is_ours(found))
}

/// The log beside the pid file, or where a system's logs are.
fn default_log_file(pid_directory: &Path) -> PathBuf {
    // The first is a link to the second on many systems, and both are empty after a boot.
    let is_system = pid_directory == Path::new(SYSTEM_DIRECTORY) || pid_directory == Path::new("/run");
    if is_system { Path::new("/var/log") } else { pid_directory }.join("officer.log")
}
