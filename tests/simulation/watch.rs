//! What the server says of itself, taken from its log on each thread: the transcript at debug, as everybody can have it.
//!
//! The transcript's form is known here a second time; see [`read`].

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Once;

use crate::counting;
use crate::expected::{Broken, Event, TIMELY};
use crate::links::number_of;

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
            events.borrow_mut().extend(read(&line));
            LINE.set(line);
        });
    }

    fn flush(&self) {}
}

/// Reads `@time name sign text`. Of what is sent only errors count, for their wording, listings of connections, for which
/// of them are on a page, deadlocks, for their circle, and what time may have brought, for its turn: the rest is seen by
/// those who receive it.
fn read(line: &str) -> Option<Event> {
    let mut parts = line.splitn(4, ' ');
    let time = parts.next().and_then(|time| time.strip_prefix('@')).expect("a record begins with its time");
    assert!(time.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'), "seconds: {time}");
    let (name, sign) = (parts.next().expect("a name"), parts.next().expect("what happened"));
    let text = parts.next().unwrap_or("");
    if text.contains("\"secret\":\"") && !text.contains("\"secret\":\"****") {
        std::panic::panic_any(Broken(format!("the secret of a session is told: {text}")));
    }
    match sign {
        "<" => Some(Event::Received(number_of(name), unescaped(text))),
        ">" if text.contains("\"notice\":\"event\"") => Some(Event::Happened(number_of(name), unescaped(text))),
        ">" if text.contains("\"result\":\"stats\"") => Some(Event::Counted(number_of(name), unescaped(text))),
        ">" if text.contains("\"error\"") => Some(Event::Refused(number_of(name), unescaped(text))),
        ">" if text.contains("\"result\":\"connections\"") => Some(Event::Listed(number_of(name), unescaped(text))),
        ">" if text.contains("\"result\":\"deadlock\"") => Some(Event::Deadlocked(number_of(name), unescaped(text))),
        ">" => {
            let word = TIMELY.iter().position(|word| text.contains(word))?;
            Some(Event::Timely(number_of(name), word))
        }
        "-" => Some(Event::Ended(number_of(name), text.to_owned())),
        "+" => None,
        _ => panic!("no record: {line}"),
    }
}

/// Text in which `\xNN` stands for a byte.
fn unescaped(text: &str) -> String {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().expect("there is a first part").as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).expect("two digits"));
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).expect("clients send text")
}

/// A line as the transcript has it.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for (at, character) in text.char_indices() {
        let is_ambiguous = text[at..].starts_with("\\x");
        if is_ambiguous || character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
            for byte in character.to_string().bytes() {
                escaped += &format!("\\x{byte:02x}");
            }
        } else {
            escaped.push(character);
        }
    }
    escaped
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
