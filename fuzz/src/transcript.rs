//! The transcript of an input, to be printed when a target fails.

use std::cell::RefCell;
use std::panic;

use officer::time::Moment;
use officer::wire::transcript::{Event, Record};

thread_local! {
    static SAID: RefCell<Vec<Record<String, Vec<u8>>>> = const { RefCell::new(Vec::new()) };
}

/// On a panic, prints the transcript of the input that caused it, before anything else. Call once, at the start.
pub fn print_on_panic() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panicked| {
        SAID.with_borrow(|said| said.iter().for_each(|record| eprintln!("{record}")));
        report(panicked);
    }));
}

/// A new input begins.
pub fn begin() {
    SAID.with_borrow_mut(Vec::clear);
}

/// Records a line.
pub fn record(nanos: u64, peer: &str, event: Event, bytes: &[u8]) {
    let record = Record { at: Moment::from_nanos(nanos), peer: peer.to_owned(), event, bytes: bytes.to_vec() };
    SAID.with_borrow_mut(|said| said.push(record));
}
