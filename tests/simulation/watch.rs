//! What the server says of itself, taken from its log on each thread: the transcript at debug, as everybody can have it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Once;

use officer::wire::transcript::{self, Record};

use crate::counting;
use crate::expected::Event;
use crate::run::number_of;

thread_local! {
    /// Where the server's transcript goes on this thread.
    static EVENTS: RefCell<Option<Rc<RefCell<Vec<Event>>>>> = const { RefCell::new(None) };
    /// The line that is being taken from the log.
    static LINE: Cell<String> = const { Cell::new(String::new()) };
}

/// Listens to the server's log, and keeps panics of simulations quiet: they are results.
fn begin() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        log::set_logger(&Transcript).expect("no other logger");
        log::set_max_level(log::LevelFilter::Debug);
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panicked| {
            if EVENTS.with_borrow(Option::is_none) {
                report(panicked);
            }
        }));
    });
}

struct Transcript;

impl log::Log for Transcript {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() == log::Level::Debug && metadata.target() == "officer::transcript"
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let _paused = counting::pause();
        EVENTS.with_borrow(|events| {
            let Some(events) = events else { return };
            let mut line = LINE.take();
            line.clear();
            std::fmt::write(&mut line, *record.args()).expect("strings take all");
            // What is sent is seen by those who receive it.
            if line.split(' ').nth(2) != Some(">") {
                let Record { peer, event, bytes, .. } = Record::parse(&line).expect("the transcript is well-formed");
                let text = String::from_utf8(bytes).expect("clients send text");
                let event = match event {
                    transcript::Event::Received => Some(Event::Received(number_of(&peer), text)),
                    transcript::Event::Closed => Some(Event::Ended(number_of(&peer), text)),
                    transcript::Event::Opened | transcript::Event::Sent => None,
                };
                events.borrow_mut().extend(event);
            }
            LINE.set(line);
        });
    }

    fn flush(&self) {}
}

/// From now on what the server says on this thread is added to these.
pub(crate) fn listen(events: Rc<RefCell<Vec<Event>>>) {
    begin();
    EVENTS.set(Some(events));
}

/// Nobody listens any more.
pub(crate) fn stop() {
    EVENTS.set(None);
}
