//! Where clients come in: TCP and UNIX sockets, made so that each accepted connection is ready for use.

use std::fmt;
use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, ToSocketAddrs};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use socket2::{Domain, SockAddr, SockRef, TcpKeepalive, Type};

use crate::wire::peer::Peer;

/// Clients that the system keeps for us between two turns; after a restart of the network they all come at once. The
/// system lowers it to its own limit.
const BACKLOG: i32 = 4096;

/// How long to wait for another server that is looking at the same socket file.
const DIRECTORY_LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// What to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// TCP, on the first address of the host that this machine has.
    Tcp {
        /// A name or an address; an IPv6 address may stand in brackets.
        host: String,
        /// The port; 0 takes a free one.
        port: u16,
    },
    /// A UNIX socket.
    Unix {
        /// The socket file.
        path: PathBuf,
        /// Its permissions, such as `0o600`. Who may write to the file may connect.
        mode: u32,
    },
}

/// How soon a TCP connection is found dead whose peer went without a word, so that what it holds becomes free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    /// Silence before the system asks whether the peer is still there; whole seconds.
    pub keepalive_idle: Duration,
    /// Time between two such questions; whole seconds.
    pub keepalive_interval: Duration,
    /// Questions without an answer after which the connection is dead.
    pub keepalive_probes: u32,
    /// How long data may stay unacknowledged, on systems that have such a limit (Linux, Android). While data is on its
    /// way no keep-alive is sent, so without it a peer that died just then is found after a quarter of an hour. Zero
    /// leaves it to the system.
    pub user_timeout: Duration,
}

impl Default for TcpOptions {
    fn default() -> Self {
        TcpOptions {
            keepalive_idle: Duration::from_secs(15),
            keepalive_interval: Duration::from_secs(5),
            keepalive_probes: 3,
            user_timeout: Duration::from_secs(30),
        }
    }
}

impl TcpOptions {
    fn apply(&self, socket: &SockRef<'_>) -> io::Result<()> {
        // Replies are written once per turn, already gathered: Nagle would only add the peer's delayed acknowledgement.
        socket.set_tcp_nodelay(true)?;
        let keepalive = TcpKeepalive::new().with_time(self.keepalive_idle).with_interval(self.keepalive_interval);
        socket.set_tcp_keepalive(&keepalive.with_retries(self.keepalive_probes))?;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            // The system takes milliseconds as an int and refuses what does not fit.
            let longest = Duration::from_millis(i32::MAX as u64);
            socket.set_tcp_user_timeout(Some(self.user_timeout.min(longest)))?;
        }
        Ok(())
    }
}

/// Bound, listening and nonblocking. A socket file goes when the listener does.
#[derive(Debug)]
pub struct Listener {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Tcp {
        listener: TcpListener,
        address: SocketAddr,
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        options: TcpOptions,
    },
    Unix {
        // In front of the listener, so that it is dropped first: while the listener lives, no successor takes the file
        // for a stale one and the file's inode number is given to no other.
        file: SocketFile,
        listener: UnixListener,
        accepted: u64,
    },
}

impl Listener {
    /// Binds and listens. Blocks while a name is resolved, and for a few seconds if another server is about to use the
    /// same directory for its socket file.
    ///
    /// # Errors
    /// [`BindError`] says what is in the way, and what to do about it.
    pub fn bind(listen: &Listen, tcp: &TcpOptions) -> Result<Listener, BindError> {
        match listen {
            Listen::Tcp { host, port } => bind_tcp(host, *port, tcp),
            Listen::Unix { path, mode } => bind_unix(path, *mode),
        }
    }

    /// Accepts a connection, nonblocking as well.
    ///
    /// # Errors
    /// `WouldBlock` when there is none; otherwise what the system says, which may concern only this one connection.
    pub fn accept(&mut self) -> io::Result<(Socket, Peer)> {
        match &mut self.kind {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Kind::Tcp { listener, .. } => {
                let (stream, address) = listener.accept()?;
                Ok((Socket::Tcp(stream), Peer::from(address)))
            }
            #[cfg(not(any(target_os = "linux", target_os = "android")))]
            Kind::Tcp { listener, options, .. } => {
                let (stream, address) = listener.accept()?;
                // Some systems refuse options on a connection that the peer has reset. Its first read will say so.
                if let Err(error) = options.apply(&SockRef::from(&stream)) {
                    log::debug!("{address}: socket options: {error}");
                }
                Ok((Socket::Tcp(stream), Peer::from(address)))
            }
            Kind::Unix { listener, accepted, .. } => {
                let (stream, _) = listener.accept()?;
                *accepted += 1;
                Ok((Socket::Unix(stream), Peer::Unix(*accepted)))
            }
        }
    }

    /// Where clients reach it: `127.0.0.1:11500`, `[::1]:11500` or the socket's path.
    pub fn address(&self) -> String {
        match &self.kind {
            Kind::Tcp { address, .. } => address.to_string(),
            Kind::Unix { file, .. } => file.path.display().to_string(),
        }
    }

    /// Whether only this machine can reach it.
    pub fn is_loopback(&self) -> bool {
        match &self.kind {
            Kind::Tcp { address, .. } => address.ip().to_canonical().is_loopback(),
            Kind::Unix { .. } => true,
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match &mut self.kind {
            Kind::Tcp { listener, .. } => listener,
            Kind::Unix { listener, .. } => listener,
        }
    }
}

impl Source for Listener {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.source().register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.source().reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.source().deregister(registry)
    }
}

/// An accepted connection.
#[derive(Debug)]
pub enum Socket {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a UNIX socket.
    Unix(UnixStream),
}

impl Socket {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Socket::Tcp(stream) => stream,
            Socket::Unix(stream) => stream,
        }
    }
}

impl crate::server::Socket for Socket {
    fn close_write(&mut self) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Socket::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.read(buffer),
            Socket::Unix(stream) => stream.read(buffer),
        }
    }

    fn read_vectored(&mut self, buffers: &mut [io::IoSliceMut<'_>]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.read_vectored(buffers),
            Socket::Unix(stream) => stream.read_vectored(buffers),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.write(bytes),
            Socket::Unix(stream) => stream.write(bytes),
        }
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.write_vectored(slices),
            Socket::Unix(stream) => stream.write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.flush(),
            Socket::Unix(stream) => stream.flush(),
        }
    }
}

impl Source for Socket {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.source().register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.source().reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.source().deregister(registry)
    }
}

fn bind_tcp(host: &str, port: u16, options: &TcpOptions) -> Result<Listener, BindError> {
    let mut first_error = None;
    for address in resolve(host, port)? {
        match listen_tcp(address, options) {
            Ok(listener) => return Ok(listener),
            // Only an address that this machine does not have is passed over. Were one that is in use passed over too,
            // a second server on `localhost` would take ::1, and each of the two would give away the same locks.
            Err(error) if is_elsewhere(&error) => _ = first_error.get_or_insert((address, error)),
            Err(error) => return Err(BindError::tcp(address, error)),
        }
    }
    let (address, error) = first_error.expect("resolve returns an address or an error");
    Err(BindError::tcp(address, error))
}

/// IPv4 first, otherwise in the resolver's order; never empty.
fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, BindError> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let unknown = |error| BindError::HostUnknown { host: host.to_owned(), error };
    let mut addresses: Vec<SocketAddr> = (bare, port).to_socket_addrs().map_err(unknown)?.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    if addresses.is_empty() {
        return Err(unknown(io::Error::new(io::ErrorKind::NotFound, "it has no address")));
    }
    Ok(addresses)
}

fn listen_tcp(address: SocketAddr, options: &TcpOptions) -> io::Result<Listener> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // A restarted server must not wait until the connections of the one before it have left TIME_WAIT.
    socket.set_reuse_address(true)?;
    // Linux and Android hand these down to every accepted socket, which saves six system calls per connection; elsewhere
    // they are set once more after each accept.
    options.apply(&SockRef::from(&socket))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from_std(socket.into());
    Ok(Listener {
        kind: Kind::Tcp {
            address: listener.local_addr()?,
            listener,
            #[cfg(not(any(target_os = "linux", target_os = "android")))]
            options: options.clone(),
        },
    })
}

/// The address is not of this machine, or of a family that its kernel does not have.
fn is_elsewhere(error: &io::Error) -> bool {
    use rustix::io::Errno;
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error())
        || error.raw_os_error() == Some(Errno::PROTONOSUPPORT.raw_os_error())
}

fn bind_unix(path: &Path, mode: u32) -> Result<Listener, BindError> {
    // An empty path and one that starts with a zero byte would bind elsewhere than in the file system.
    if path.as_os_str().is_empty() || path.as_os_str().as_bytes().contains(&0) {
        return Err(BindError::PathNoFile { path: path.to_owned() });
    }
    let address = SockAddr::unix(path).map_err(|_| BindError::PathTooLong { path: path.to_owned() })?;
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
    Ok(Listener { kind: Kind::Unix { file, listener: UnixListener::from_std(socket.into()), accepted: 0 } })
}

/// Keeps other servers from looking at the file while we do: between bind() and listen() it looks stale to them, and
/// what one of two finds stale may already be the other's new file. The lock ends with the `File` that is returned.
///
/// A directory that we may not read, or a file system without such locks, does without.
fn lock_directory(path: &Path) -> Result<Option<File>, BindError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => return Err(BindError::NotASocket { path: path.to_owned() }),
    };
    // Before it is opened: opening a FIFO would wait for a writer. Where we can't look, bind() says why.
    match fs::metadata(directory) {
        Ok(metadata) if metadata.is_dir() => (),
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        _ => return Err(BindError::DirectoryMissing { directory: directory.to_owned() }),
    }
    let Ok(lock) = File::open(directory) else { return Ok(None) };
    let give_up = Instant::now() + DIRECTORY_LOCK_TIMEOUT;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(Some(lock)),
            Err(TryLockError::Error(_)) => return Ok(None),
            Err(TryLockError::WouldBlock) if Instant::now() >= give_up => {
                return Err(BindError::DirectoryBusy { directory: directory.to_owned() });
            }
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Makes way for a new socket file, if what is there is one whose server is gone.
fn remove_stale(path: &Path, address: &SockAddr) -> Result<(), BindError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => (),
        Ok(_) => return Err(BindError::NotASocket { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(BindError::path(path, "look at", error)),
    }
    let probe = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)
        .and_then(|probe| probe.set_nonblocking(true).map(|()| probe))
        .map_err(|error| BindError::path(path, "look at", error))?;
    // Only a refusal says that nobody listens. A server with a full backlog would block, one that does not let us in
    // denies permission, and one of another type of socket says so: all alive.
    match probe.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => (),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(BindError::path(path, "see whether a server uses", error));
        }
        _ => return Err(BindError::PathInUse { path: path.to_owned() }),
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(BindError::path(path, "replace the stale file", error))
        }
        _ => Ok(()),
    }
}

/// Our socket file, removed at the end unless another has taken its place.
#[derive(Debug)]
struct SocketFile {
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

/// Why the server can't listen. Each is one line that says what is wrong and what to do.
#[derive(Debug)]
pub enum BindError {
    /// The host has no address.
    HostUnknown {
        /// As it was given.
        host: String,
        /// What the resolver says.
        error: io::Error,
    },
    /// Another program listens there.
    AddressInUse {
        /// Where.
        address: SocketAddr,
    },
    /// Ports below 1024 are often kept for the system's own programs.
    AddressForbidden {
        /// Where.
        address: SocketAddr,
    },
    /// The address is another machine's, or of a family that this machine does not have.
    AddressElsewhere {
        /// Where.
        address: SocketAddr,
    },
    /// Any other error of the system about a TCP address.
    Address {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// The path is no name of a file.
    PathNoFile {
        /// The path.
        path: PathBuf,
    },
    /// The path is longer than the system allows for a socket, which is about 100 bytes.
    PathTooLong {
        /// The path.
        path: PathBuf,
    },
    /// There is no directory where the socket file should be.
    DirectoryMissing {
        /// The directory.
        directory: PathBuf,
    },
    /// Another program keeps the directory locked.
    DirectoryBusy {
        /// The directory.
        directory: PathBuf,
    },
    /// There is something else under the path, which we don't touch.
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// A server is listening there.
    PathInUse {
        /// The path.
        path: PathBuf,
    },
    /// Permissions are missing.
    PathForbidden {
        /// The path.
        path: PathBuf,
        /// What we wanted to do with it.
        step: &'static str,
    },
    /// Any other error of the system about a socket file.
    Path {
        /// The path.
        path: PathBuf,
        /// What we wanted to do with it.
        step: &'static str,
        /// What the system says.
        error: io::Error,
    },
    /// What the server needs beside its listener (the poll, the signals) can't be had.
    Setup(io::Error),
}

impl BindError {
    fn tcp(address: SocketAddr, error: io::Error) -> BindError {
        match error.kind() {
            io::ErrorKind::AddrInUse => BindError::AddressInUse { address },
            io::ErrorKind::PermissionDenied => BindError::AddressForbidden { address },
            _ if is_elsewhere(&error) => BindError::AddressElsewhere { address },
            _ => BindError::Address { address, error },
        }
    }

    fn path(path: &Path, step: &'static str, error: io::Error) -> BindError {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::AddrInUse => BindError::PathInUse { path },
            io::ErrorKind::PermissionDenied => BindError::PathForbidden { path, step },
            _ => BindError::Path { path, step, error },
        }
    }
}

/// For what is set up beside the listener, which has its own variants.
impl From<io::Error> for BindError {
    fn from(error: io::Error) -> Self {
        BindError::Setup(error)
    }
}

/// Names and paths are shown with their control characters escaped, so that it stays one line.
impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindError::HostUnknown { host, error } => {
                write!(f, "the host {host:?} can't be resolved ({error}); choose another with --host")
            }
            BindError::AddressInUse { address } => {
                write!(f, "{address} is in use by another program; stop it or choose another port with --port")
            }
            BindError::AddressForbidden { address } => {
                write!(f, "no permission to listen on {address}; choose a port above 1023 with --port")
            }
            BindError::AddressElsewhere { address } => {
                write!(f, "{} is no address of this machine; choose one that is with --host", address.ip())
            }
            BindError::Address { address, error } => {
                write!(f, "can't listen on {address} ({error}); choose another with --host and --port")
            }
            BindError::PathNoFile { path } => {
                write!(f, "{path:?} is not the name of a file; choose another with --socket-file")
            }
            BindError::PathTooLong { path } => {
                write!(f, "{path:?} is too long for a socket; choose a shorter path with --socket-file")
            }
            BindError::DirectoryMissing { directory } => {
                write!(f, "there is no directory {directory:?}; create it or choose another with --socket-file")
            }
            BindError::DirectoryBusy { directory } => {
                let seconds = DIRECTORY_LOCK_TIMEOUT.as_secs();
                write!(f, "another program has kept the directory {directory:?} locked for {seconds} s; ")?;
                write!(f, "stop it or choose another directory with --socket-file")
            }
            BindError::NotASocket { path } => {
                write!(f, "{path:?} exists and is not a socket; move it away or choose another with --socket-file")
            }
            BindError::PathInUse { path } => {
                write!(f, "{path:?} is in use by another server; stop it or choose another with --socket-file")
            }
            BindError::PathForbidden { path, step } => {
                write!(f, "no permission to {step} {path:?}; choose another with --socket-file")
            }
            BindError::Path { path, step, error } => {
                write!(f, "can't {step} {path:?} ({error}); choose another with --socket-file")
            }
            BindError::Setup(error) => {
                write!(f, "can't set up the poll loop ({error}); give the process more room, such as with ulimit -n")
            }
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            BindError::HostUnknown { error, .. }
            | BindError::Address { error, .. }
            | BindError::Path { error, .. }
            | BindError::Setup(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net as unix;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::server::Socket as _;

    /// A directory of this test's own, with a short path: sockets allow no long ones.
    struct Directory(PathBuf);

    impl Directory {
        fn new() -> Directory {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("officer-listen-{}-{number}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Directory(path)
        }

        fn file(&self) -> PathBuf {
            self.0.join("officer.sock")
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn tcp(host: &str, port: u16) -> Result<Listener, BindError> {
        Listener::bind(&Listen::Tcp { host: host.to_owned(), port }, &TcpOptions::default())
    }

    fn unix(path: &Path) -> Result<Listener, BindError> {
        Listener::bind(&Listen::Unix { path: path.to_owned(), mode: 0o600 }, &TcpOptions::default())
    }

    /// The error's one line.
    fn fault(result: Result<Listener, BindError>) -> String {
        let line = result.expect_err("an error").to_string();
        assert!(!line.contains('\n'), "{line}");
        line
    }

    fn accept(listener: &mut Listener) -> (Socket, Peer) {
        let give_up = Instant::now() + Duration::from_secs(5);
        loop {
            match listener.accept() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < give_up => {
                    thread::sleep(Duration::from_millis(1));
                }
                result => return result.unwrap(),
            }
        }
    }

    #[test]
    fn an_accepted_tcp_connection_has_all_of_the_options() {
        let options = TcpOptions {
            keepalive_idle: Duration::from_secs(21),
            keepalive_interval: Duration::from_secs(7),
            keepalive_probes: 4,
            user_timeout: Duration::from_millis(40_500),
        };
        for options in [TcpOptions::default(), options] {
            let mut listener =
                Listener::bind(&Listen::Tcp { host: "127.0.0.1".to_owned(), port: 0 }, &options).unwrap();
            assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
            let client = std::net::TcpStream::connect(listener.address()).unwrap();
            let (mut socket, peer) = accept(&mut listener);
            assert_eq!(peer, Peer::from(client.local_addr().unwrap()));
            assert_eq!(socket.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);

            let Socket::Tcp(stream) = &socket else { panic!("a TCP socket") };
            let options_of = SockRef::from(stream);
            assert!(options_of.tcp_nodelay().unwrap());
            assert!(options_of.keepalive().unwrap());
            assert_eq!(options_of.tcp_keepalive_time().unwrap(), options.keepalive_idle);
            assert_eq!(options_of.tcp_keepalive_interval().unwrap(), options.keepalive_interval);
            assert_eq!(options_of.tcp_keepalive_retries().unwrap(), options.keepalive_probes);
            #[cfg(any(target_os = "linux", target_os = "android"))]
            assert_eq!(options_of.tcp_user_timeout().unwrap(), Some(options.user_timeout));
        }
    }

    #[test]
    fn user_timeouts_that_the_system_has_no_number_for_are_its_longest() {
        let options = TcpOptions { user_timeout: Duration::MAX, ..TcpOptions::default() };
        Listener::bind(&Listen::Tcp { host: "127.0.0.1".to_owned(), port: 0 }, &options).unwrap();
    }

    #[test]
    fn bytes_go_both_ways_and_the_end_of_our_side_reaches_the_client() {
        let directory = Directory::new();
        let mut over_tcp = tcp("127.0.0.1", 0).unwrap();
        let mut over_unix = unix(&directory.file()).unwrap();
        let tcp_client = std::net::TcpStream::connect(over_tcp.address()).unwrap();
        let unix_client = unix::UnixStream::connect(over_unix.address()).unwrap();

        fn converse(mut client: impl Read + Write, mut server: Socket) {
            client.write_all(b"ping").unwrap();
            let mut received = [0; 4];
            while let Err(error) = server.read_exact(&mut received) {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            }
            assert_eq!(&received, b"ping");
            server.write_all(b"pong").unwrap();
            server.flush().unwrap();
            server.close_write().unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            assert_eq!(answer, "pong");
        }
        converse(tcp_client, accept(&mut over_tcp).0);
        converse(unix_client, accept(&mut over_unix).0);
    }

    #[test]
    fn a_listener_and_its_connections_are_reported_by_the_poll() {
        let mut poll = mio::Poll::new().unwrap();
        let mut events = mio::Events::with_capacity(8);
        let mut listener = tcp("127.0.0.1", 0).unwrap();
        poll.registry().register(&mut listener, Token(1), Interest::READABLE).unwrap();
        let mut client = std::net::TcpStream::connect(listener.address()).unwrap();
        poll.poll(&mut events, Some(Duration::from_secs(5))).unwrap();
        assert!(events.iter().any(|event| event.token() == Token(1) && event.is_readable()));

        let (mut socket, _) = listener.accept().unwrap();
        poll.registry().register(&mut socket, Token(2), Interest::WRITABLE).unwrap();
        poll.registry().reregister(&mut socket, Token(3), Interest::READABLE).unwrap();
        client.write_all(b"x").unwrap();
        poll.poll(&mut events, Some(Duration::from_secs(5))).unwrap();
        assert!(events.iter().any(|event| event.token() == Token(3) && event.is_readable()));
        poll.registry().deregister(&mut socket).unwrap();
        poll.registry().deregister(&mut listener).unwrap();
    }

    #[test]
    fn addresses_are_shown_as_clients_write_them() {
        let listener = tcp("localhost", 0).unwrap();
        assert!(listener.address().starts_with("127.0.0.1:"), "{}", listener.address());
        assert!(!listener.address().ends_with(":0"));
        assert!(listener.is_loopback());
        assert!(!tcp("0.0.0.0", 0).unwrap().is_loopback());

        // Not every machine that runs tests has IPv6.
        for host in ["::1", "[::1]"] {
            match tcp(host, 0) {
                Ok(listener) => {
                    assert!(listener.address().starts_with("[::1]:"), "{}", listener.address());
                    assert!(listener.is_loopback());
                }
                Err(error) => assert!(matches!(error, BindError::AddressElsewhere { .. }), "{error}"),
            }
        }
    }

    #[test]
    fn an_ipv4_client_of_an_ipv6_listener_has_its_ipv4_name() {
        let Ok(mut listener) = tcp("::", 0) else { return };
        assert!(!listener.is_loopback());
        let port = listener.address().rsplit_once(':').unwrap().1.parse().unwrap();
        let Ok(client) = std::net::TcpStream::connect(("127.0.0.1", port)) else { return };
        assert_eq!(accept(&mut listener).1.to_string(), client.local_addr().unwrap().to_string());
    }

    #[test]
    fn a_tcp_address_that_can_not_be_had_is_explained() {
        let listener = tcp("127.0.0.1", 0).unwrap();
        let address = listener.address();
        let port = address.rsplit_once(':').unwrap().1.parse().unwrap();
        let taken = format!("{address} is in use by another program; stop it or choose another port with --port");
        assert_eq!(fault(tcp("127.0.0.1", port)), taken);
        // Not ::1 instead, which is free.
        assert_eq!(fault(tcp("localhost", port)), taken);

        assert_eq!(
            fault(tcp("192.0.2.1", 0)),
            "192.0.2.1 is no address of this machine; choose one that is with --host"
        );
        for host in ["", "no such\nhost", "host.invalid"] {
            let line = fault(tcp(host, 0));
            assert!(line.starts_with(&format!("the host {host:?} can't be resolved (")), "{line}");
            assert!(line.ends_with("choose another with --host"), "{line}");
        }
    }

    #[test]
    fn a_port_can_be_taken_again_at_once() {
        let mut listener = tcp("127.0.0.1", 0).unwrap();
        let port = listener.address().rsplit_once(':').unwrap().1.parse().unwrap();
        let client = std::net::TcpStream::connect(listener.address()).unwrap();
        // The server closes first, so TIME_WAIT is on its side.
        drop(accept(&mut listener));
        drop(listener);
        drop(client);
        tcp("127.0.0.1", port).unwrap();
    }

    #[test]
    fn unix_connections_are_numbered() {
        let directory = Directory::new();
        let mut listener = unix(&directory.file()).unwrap();
        assert_eq!(listener.address(), directory.file().display().to_string());
        assert!(listener.is_loopback());
        for name in ["unix:1", "unix:2", "unix:3"] {
            let _client = unix::UnixStream::connect(directory.file()).unwrap();
            assert_eq!(accept(&mut listener).1.to_string(), name);
        }
    }

    #[test]
    fn the_socket_file_has_exactly_its_mode() {
        for mode in [0o600, 0o666, 0o620, 0o777] {
            let directory = Directory::new();
            let listen = Listen::Unix { path: directory.file(), mode };
            let _listener = Listener::bind(&listen, &TcpOptions::default()).unwrap();
            assert_eq!(fs::metadata(directory.file()).unwrap().permissions().mode() & 0o7777, mode);
        }
    }

    #[test]
    fn a_stale_socket_file_is_replaced() {
        let directory = Directory::new();
        // std leaves the file behind, as a server does that is killed.
        drop(unix::UnixListener::bind(directory.file()).unwrap());
        assert!(directory.file().exists());
        let mut listener = unix(&directory.file()).unwrap();
        let _client = unix::UnixStream::connect(directory.file()).unwrap();
        accept(&mut listener);
    }

    #[test]
    fn the_socket_file_of_a_live_server_is_not_touched() {
        let directory = Directory::new();
        let mut listener = unix(&directory.file()).unwrap();
        let line = fault(unix(&directory.file()));
        assert_eq!(
            line,
            format!("{:?} is in use by another server; stop it or choose another with --socket-file", directory.file())
        );
        accept(&mut listener); // the look that the second server took
        let _client = unix::UnixStream::connect(directory.file()).unwrap();
        accept(&mut listener);
    }

    #[test]
    fn a_live_server_with_a_full_backlog_is_not_taken_for_a_dead_one() {
        let directory = Directory::new();
        let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&SockAddr::unix(directory.file()).unwrap()).unwrap();
        socket.listen(0).unwrap();
        let _client = unix::UnixStream::connect(directory.file()).unwrap();
        // Elsewhere a full backlog refuses, as a dead server does.
        if cfg!(target_os = "linux") {
            assert!(fault(unix(&directory.file())).contains("in use"));
        }
    }

    #[test]
    fn a_socket_of_another_type_is_not_touched() {
        let directory = Directory::new();
        let _datagrams = unix::UnixDatagram::bind(directory.file()).unwrap();
        assert!(fault(unix(&directory.file())).contains("in use"));
        assert!(directory.file().exists());
    }

    #[test]
    fn what_is_not_a_socket_is_not_touched() {
        let directory = Directory::new();
        let says_so = |path: &Path| {
            let line = fault(unix(path));
            assert!(line.ends_with("exists and is not a socket; move it away or choose another with --socket-file"));
        };
        fs::write(directory.file(), "precious").unwrap();
        says_so(&directory.file());
        assert_eq!(fs::read_to_string(directory.file()).unwrap(), "precious");

        fs::create_dir(directory.0.join("folder")).unwrap();
        says_so(&directory.0.join("folder"));
        assert!(directory.0.join("folder").is_dir());

        // A link is not followed, even if a stale socket is at its end.
        drop(unix::UnixListener::bind(directory.0.join("stale")).unwrap());
        std::os::unix::fs::symlink("stale", directory.0.join("link")).unwrap();
        says_so(&directory.0.join("link"));
        assert!(directory.0.join("link").is_symlink() && directory.0.join("stale").exists());
        says_so(Path::new("/"));
    }

    #[test]
    fn the_socket_file_goes_with_the_listener() {
        let directory = Directory::new();
        let listener = unix(&directory.file()).unwrap();
        assert!(directory.file().exists());
        drop(listener);
        assert!(!directory.file().exists());
    }

    #[test]
    fn the_socket_file_of_a_successor_stays() {
        let directory = Directory::new();
        let listener = unix(&directory.file()).unwrap();
        fs::remove_file(directory.file()).unwrap();
        let mut successor = unix(&directory.file()).unwrap();
        drop(listener);
        let _client = unix::UnixStream::connect(directory.file()).unwrap();
        accept(&mut successor);
    }

    #[test]
    fn of_servers_that_start_together_on_a_stale_file_one_wins() {
        let directory = Directory::new();
        for _ in 0..20 {
            drop(unix::UnixListener::bind(directory.file()).unwrap());
            let results: Vec<_> = thread::scope(|scope| {
                let starts: Vec<_> = (0..4).map(|_| scope.spawn(|| unix(&directory.file()))).collect();
                starts.into_iter().map(|start| start.join().unwrap()).collect()
            });
            assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
            unix::UnixStream::connect(directory.file()).unwrap();
        }
    }

    #[test]
    fn a_path_that_can_not_be_had_is_explained() {
        let directory = Directory::new();
        let missing = directory.0.join("missing");
        assert_eq!(
            fault(unix(&missing.join("officer.sock"))),
            format!("there is no directory {missing:?}; create it or choose another with --socket-file")
        );
        fs::write(directory.0.join("flat"), "").unwrap();
        assert!(fault(unix(&directory.0.join("flat/officer.sock"))).starts_with("there is no directory "));
        assert!(fault(unix(&directory.0.join("x".repeat(200)))).contains("is too long for a socket"));
        assert!(fault(unix(Path::new(""))).contains("is not the name of a file"));
        assert!(fault(unix(Path::new("\0abstract"))).contains("is not the name of a file"));
    }

    #[test]
    fn a_directory_that_others_keep_locked_is_waited_for() {
        let directory = Directory::new();
        let lock = File::open(&directory.0).unwrap();
        lock.lock().unwrap();
        thread::scope(|scope| {
            let start = scope.spawn(|| unix(&directory.file()));
            thread::sleep(Duration::from_millis(50));
            assert!(!start.is_finished() && !directory.file().exists());
            drop(lock);
            start.join().unwrap().unwrap();
        });
    }
}
