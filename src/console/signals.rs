//! Signals as events.

use std::io;
use std::sync::mpsc::Sender;
use std::thread;

use signal_hook::iterator::Signals;

/// From now on these signals are events, until nobody receives any more. A thread waits for them.
pub(crate) fn listen<T: Send + 'static>(
    signals: impl IntoIterator<Item = i32>,
    events: Sender<T>,
    event: fn(i32) -> T,
) -> io::Result<()> {
    let mut signals = Signals::new(signals)?;
    thread::Builder::new().name("officer-signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if events.send(event(signal)).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}
