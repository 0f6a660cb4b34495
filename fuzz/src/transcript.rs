//! What was said, in the transcript's form, for the one time that it matters: when a target fails.

use std::cell::RefCell;
use std::panic;

use officer::time::Moment;
use officer::wire::transcript::{Event, Record};

thread_local! {
    static SAID: RefCell<Vec<Record<String, Vec<u8>>>> = const { RefCell::new(Vec::new()) };
}

/// A panic writes the transcript of the input that led to it before anything else. To be called once, at the start.
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

/// Something was said.
pub fn record(nanos: u64, peer: &str, event: Event, bytes: &[u8]) {
    let record = Record { at: Moment::from_nanos(nanos), peer: peer.to_owned(), event, bytes: bytes.to_vec() };
    SAID.with_borrow_mut(|said| said.push(record));
}
