//! The transcript: to the log at debug, and always the last lines of it in memory, for the one time that matters.

use std::fmt;

use crate::engine::deadline::Nanos;
use crate::wire::peer::Peer;
use crate::wire::transcript::{Record, What};

/// Remembers what crossed the edge last. When the process ends by a contradiction of its own (a panic unwinds through
/// here), it writes that to the log.
///
/// Remembering one line copies at most [`Last::bytes`]' length: a few nanoseconds.
pub(super) struct Recorder {
    /// The log takes every line. Asked once: it costs something on every line otherwise.
    is_logged: bool,
    last: Box<[Last; LAST]>,
    count: usize,
}

const LAST: usize = 128;

#[derive(Clone, Copy)]
struct Last {
    at: Nanos,
    peer: Peer,
    what: What,
    len: u32,
    bytes: [u8; 200],
}

impl Recorder {
    pub(super) fn new() -> Self {
        let nothing = Last { at: 0, peer: Peer::Unix(0), what: What::Came, len: 0, bytes: [0; 200] };
        Recorder {
            is_logged: log::log_enabled!(target: "officer::transcript", log::Level::Debug),
            last: Box::new([nothing; LAST]),
            count: 0,
        }
    }

    /// Takes one line, without or with its `\n`.
    pub(super) fn record(&mut self, at: Nanos, peer: Peer, what: What, line: &[u8]) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let last = &mut self.last[self.count % LAST];
        (last.at, last.peer, last.what) = (at, peer, what);
        last.len = u32::try_from(line.len()).unwrap_or(u32::MAX);
        let kept = line.len().min(last.bytes.len());
        last.bytes[..kept].copy_from_slice(&line[..kept]);
        self.count += 1;
        if self.is_logged {
            log::debug!(target: "officer::transcript", "{}", Record { at_ns: at, peer, what, bytes: line });
        }
    }

    /// The last lines, the oldest first, those over 200 bytes cut.
    fn last_lines(&self) -> impl Iterator<Item = String> {
        let first = self.count.saturating_sub(LAST);
        (first..self.count).map(|number| {
            let Last { at, peer, what, len, bytes } = &self.last[number % LAST];
            let kept = bytes.len().min(*len as usize);
            let record = Record { at_ns: *at, peer, what: *what, bytes: &bytes[..kept] };
            let cut = if kept < *len as usize { " [cut]" } else { "" };
            format!("{record}{cut}")
        })
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            log::error!("the server contradicts itself and stops; the last lines before that:");
            self.last_lines().for_each(|line| log::error!(target: "officer::transcript", "{line}"));
        }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.last_lines()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_in_order_and_long_ones_cut() {
        let mut recorder = Recorder::new();
        for number in 0..LAST as u64 + 3 {
            recorder.record(number, Peer::Unix(1), What::Received, format!("line {number}\n").as_bytes());
        }
        recorder.record(999, Peer::Unix(1), What::Sent, &[b'x'; 1000]);
        let lines: Vec<String> = recorder.last_lines().collect();
        assert_eq!(lines.len(), LAST);
        assert_eq!(lines[0], "@0.000000004 unix:1 < line 4");
        assert_eq!(lines[LAST - 1], format!("@0.000000999 unix:1 > {} [cut]", "x".repeat(200)));
    }
}
