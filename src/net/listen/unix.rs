//! UNIX sockets: a file with its mode before anyone can connect, which never takes a live server's place.

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use mio::net::UnixListener;
use socket2::{Domain, SockAddr, Type};

use super::{BACKLOG, BindError, Kind, Listener, Scheme};

/// How long to wait for another server that is looking at the same socket file.
pub(super) const DIRECTORY_LOCK_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn bind(path: &Path, mode: u32) -> Result<Listener, BindError> {
    let address = address_of(path)?;
    let _lock = lock_directory(path)?;
    remove_stale(path, &address)?;

    let failed = |step| move |error| BindError::path(path, step, error);
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed("create"))?;
    socket.set_nonblocking(true).map_err(failed("create"))?;
    socket.bind(&address).map_err(failed("create"))?;
    let file = SocketFile::of(path).map_err(failed("look at"))?;
    // Whatever mode the file had until here, nobody got in: before listen() the kernel refuses every connection.
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed("set the mode of"))?;
    socket.listen(BACKLOG).map_err(failed("listen on"))?;
    let listener = UnixListener::from_std(socket.into());
    Ok(Listener {
        scheme: Scheme::Plain,
        kind: Kind::Unix { _file: Some(file), address: path.display().to_string(), listener, accepted: 0 },
    })
}

#[cfg(feature = "cli")]
pub(super) fn check(path: &Path, old: Option<&[String]>) -> Result<(), BindError> {
    let address = address_of(path)?;
    let directory = directory_of(path)?;
    rustix::fs::access(directory, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)
        .map_err(|error| BindError::path(path, "create", error.into()))?;
    // Not asked if it is known, for that takes a connection.
    if old.is_some_and(|old| old.contains(&path.display().to_string())) {
        return Ok(());
    }
    match is_stale(path, &address) {
        Err(BindError::PathInUse { .. }) if old.is_none() => Ok(()),
        checked => checked.map(|_| ()),
    }
}

fn address_of(path: &Path) -> Result<SockAddr, BindError> {
    // An empty path and one that starts with a zero byte would bind elsewhere than in the file system.
    if path.as_os_str().is_empty() || path.as_os_str().as_bytes().contains(&0) {
        return Err(BindError::PathNoFile { path: path.to_owned() });
    }
    SockAddr::unix(path).map_err(|_| BindError::PathTooLong { path: path.to_owned() })
}

fn directory_of(path: &Path) -> Result<&Path, BindError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => return Err(BindError::NotASocket { path: path.to_owned() }),
    };
    match fs::metadata(directory) {
        Ok(metadata) if metadata.is_dir() => Ok(directory),
        // Where we can't look, bind() says why.
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(directory),
        _ => Err(BindError::DirectoryMissing { directory: directory.to_owned() }),
    }
}

/// Keeps other servers from looking at the file while we do: between bind() and listen() it looks stale to them, and
/// what one of two finds stale may already be the other's new file. The lock ends with the `File` that is returned.
///
/// A directory that we may not read, or a file system without such locks, does without.
pub(super) fn lock_directory(path: &Path) -> Result<Option<Lock>, BindError> {
    let directory = directory_of(path)?;
    // Known to be a directory: opening a FIFO would wait for a writer.
    let Ok(file) = File::open(directory) else { return Ok(None) };
    let give_up = Instant::now() + DIRECTORY_LOCK_TIMEOUT;
    loop {
        match try_lock(&file) {
            Ok(turn) => return Ok(Some(Lock { _directory: file, _turn: turn })),
            Err(TryLockError::Error(_)) => return Ok(None),
            Err(TryLockError::WouldBlock) if Instant::now() >= give_up => {
                return Err(BindError::DirectoryBusy { directory: directory.to_owned() });
            }
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// The right to look at the socket files of a directory, until it is dropped.
pub(super) struct Lock {
    _directory: File,
    _turn: Option<socket2::Socket>,
}

/// Takes the lock on a directory for this server alone. A server in the background has a shared one on the directory of its
/// pid file for as long as it lives, to keep cleaners of old files out. Beside that one, servers that bind share the lock as
/// well, and take turns by a name that only one of them can have.
fn try_lock(directory: &File) -> Result<Option<socket2::Socket>, TryLockError> {
    match directory.try_lock() {
        Err(TryLockError::WouldBlock) => (),
        locked => return locked.map(|()| None),
    }
    directory.try_lock_shared()?;
    let turn = turn(directory);
    if turn.is_err() {
        directory.unlock().map_err(TryLockError::Error)?;
    }
    turn
}

#[cfg(target_os = "linux")]
fn turn(directory: &File) -> Result<Option<socket2::Socket>, TryLockError> {
    let found = directory.metadata().map_err(TryLockError::Error)?;
    // The first byte says that it is not in the file system.
    let name =
        SockAddr::unix(format!("\0officer binds in {}:{}", found.dev(), found.ino())).map_err(TryLockError::Error)?;
    let turn = socket2::Socket::new(Domain::UNIX, Type::STREAM, None).map_err(TryLockError::Error)?;
    match turn.bind(&name) {
        Ok(()) => Ok(Some(turn)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(TryLockError::WouldBlock),
        Err(error) => Err(TryLockError::Error(error)),
    }
}

#[cfg(not(target_os = "linux"))]
fn turn(_: &File) -> Result<Option<socket2::Socket>, TryLockError> {
    Ok(None)
}

/// Makes way for a new socket file, if what is there is one whose server is gone.
fn remove_stale(path: &Path, address: &SockAddr) -> Result<(), BindError> {
    if !is_stale(path, address)? {
        return Ok(());
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(BindError::path(path, "replace the stale file", error))
        }
        _ => Ok(()),
    }
}

/// Whether a socket file is there whose server is gone. False: there is nothing.
fn is_stale(path: &Path, address: &SockAddr) -> Result<bool, BindError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => (),
        Ok(_) => return Err(BindError::NotASocket { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(BindError::path(path, "look at", error)),
    }
    let probe = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)
        .and_then(|probe| probe.set_nonblocking(true).map(|()| probe))
        .map_err(|error| BindError::path(path, "look at", error))?;
    // Only a refusal says that nobody listens. A server with a full backlog would block, one that does not let us in
    // denies permission, and one of another type of socket says so: all alive.
    match probe.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(BindError::path(path, "see whether a server uses", error))
        }
        _ => Err(BindError::PathInUse { path: path.to_owned() }),
    }
}

/// Our socket file, removed at the end unless another has taken its place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<SocketFile> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(SocketFile { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = |now: fs::Metadata| now.dev() == self.device && now.ino() == self.inode;
        if fs::symlink_metadata(&self.path).is_ok_and(is_ours)
            && let Err(error) = fs::remove_file(&self.path)
        {
            log::warn!("the socket file {:?} stays behind: {error}", self.path);
        }
    }
}
