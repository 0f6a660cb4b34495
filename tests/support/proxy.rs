//! A network between a client and a server that can be cut.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use officer::client::{Address, Options};

/// Passes connections on to a server.
pub(crate) struct Proxy {
    address: String,
    network: Arc<Network>,
}

struct Network {
    server: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// New connections are closed at once.
    is_down: bool,
    sockets: Vec<TcpStream>,
    /// After this many more bytes in a direction everything is cut, once.
    cut_after: Option<(Direction, usize)>,
    cuts: u32,
}

/// Where bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    ToServer,
    ToClient,
}

impl Network {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much of this may pass; what is left does not, and everything is cut.
    fn pass(&self, direction: Direction, length: usize) -> usize {
        let mut state = self.state();
        match &mut state.cut_after {
            Some((of, left)) if *of == direction => {
                let passing = length.min(*left);
                *left -= passing;
                passing
            }
            _ => length,
        }
    }

    /// Whether nothing more may pass.
    fn is_used_up(&self, direction: Direction) -> bool {
        self.state().cut_after == Some((direction, 0))
    }

    fn cut(&self, next: Option<(Direction, usize)>) {
        let mut state = self.state();
        state.cut_after = next;
        state.cuts += 1;
        for socket in state.sockets.drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn carry(&self, direction: Direction, mut from: &TcpStream, mut to: &TcpStream) {
        let mut buffer = [0; 4 << 10];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let passing = self.pass(direction, read);
            if to.write_all(&buffer[..passing]).is_err() {
                break;
            }
            if self.is_used_up(direction) {
                self.cut(None);
            }
        }
        // The end is passed on. What goes the other way may still do so.
        let _ = to.shutdown(Shutdown::Write);
    }
}

impl Proxy {
    pub(crate) fn new(server: &Address) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let network = Arc::new(Network { server: server.to_string(), state: Mutex::default() });
        let shared = Arc::clone(&network);
        // Ends with the process.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let network = Arc::clone(&shared);
                if network.state().is_down {
                    continue;
                }
                let Ok(server) = TcpStream::connect(&network.server) else { continue };
                let ends = [client, server].map(|socket| {
                    socket.set_nodelay(true).expect("a socket");
                    let clone = socket.try_clone().expect("a socket");
                    network.state().sockets.push(clone);
                    Arc::new(socket)
                });
                for (direction, from, to) in [(Direction::ToServer, 0, 1), (Direction::ToClient, 1, 0)] {
                    let (network, from, to) = (Arc::clone(&network), Arc::clone(&ends[from]), Arc::clone(&ends[to]));
                    thread::spawn(move || network.carry(direction, &from, &to));
                }
            }
        });
        Proxy { address, network }
    }

    pub(crate) fn options(&self) -> Options {
        Options::new(self.address())
    }

    /// Where clients reach the server through it.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The address of the server.
    pub(crate) fn server(&self) -> Address {
        self.network.server.as_str().into()
    }

    /// Cuts all connections.
    pub(crate) fn cut(&self) {
        self.network.cut(None);
    }

    /// Cuts all connections, and accepts none until that is taken back.
    pub(crate) fn set_down(&self, is_down: bool) {
        self.network.state().is_down = is_down;
        if is_down {
            self.cut();
        }
    }

    /// Cuts all connections after this many more bytes in this direction; at least one.
    pub(crate) fn cut_after(&self, direction: Direction, bytes: usize) {
        self.network.state().cut_after = Some((direction, bytes));
    }

    /// Cuts all connections now, and again as this says.
    pub(crate) fn cut_now_and_after(&self, direction: Direction, bytes: usize) {
        self.network.cut(Some((direction, bytes)));
    }

    /// How often everything was cut.
    pub(crate) fn cuts(&self) -> u32 {
        self.network.state().cuts
    }
}
