//! The log of a conversation.

use std::cell::RefCell;
use std::sync::Once;

/// What is logged during `conversation`, as a log would have it: at debug, with the transcript.
pub(crate) fn logged(conversation: impl FnOnce()) -> String {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        log::set_logger(&PerThread).expect("no other logger");
        log::set_max_level(log::LevelFilter::Debug);
    });
    LINES.set(Some(String::new()));
    conversation();
    LINES.take().expect("nobody else locks it")
}

thread_local! {
    /// What is logged on this thread, while a test collects it.
    static LINES: RefCell<Option<String>> = const { RefCell::new(None) };
}

struct PerThread;

impl log::Log for PerThread {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        LINES.with_borrow(Option::is_some)
    }

    fn log(&self, record: &log::Record<'_>) {
        LINES.with_borrow_mut(|lines| {
            if let Some(lines) = lines {
                *lines +=
                    &format!("[2026-11-24T00:18:35.235Z {} {}] {}\n", record.level(), record.target(), record.args());
            }
        });
    }

    fn flush(&self) {}
}
