//! Addresses of this machine that nobody else uses.

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// An address on which nobody else listens: no other test, and no test of another run at the same time. A port stays free there
/// while its server is down, and so does one that is always the same.
pub(crate) fn own_host() -> Ipv4Addr {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let [.., high, low] = process::id().to_be_bytes();
    Ipv4Addr::new(127, high, low, u8::try_from(count % 200).expect("a small number") + 2)
}

/// A port on which nobody listens at this address, which should be one's own: elsewhere somebody may take it.
pub(crate) fn free_port(host: impl Into<IpAddr>) -> u16 {
    let listener = TcpListener::bind((host.into(), 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}
