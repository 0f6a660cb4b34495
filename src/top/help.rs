//! The names of the keys on the screen.

use super::text::{fit, width};

/// The last line below the locks. If there is little room, the first hints and the last one stay.
pub(super) const LIST_HINTS: [&str; 8] =
    ["Enter: queue", "k: kick", "/: filter", "< >: sort", "r: reverse", "q: leave", "h: hottest", "?: help"];
/// The last line below a queue.
pub(super) const QUEUE_HINTS: [&str; 4] = ["Esc: back", "k: kick", "q: leave", "?: help"];

/// The last line below the locks that were waited for most.
pub(super) const HOTTEST_HINTS: [&str; 4] = ["Enter: queue", "Esc: back", "q: leave", "?: help"];

const KEYS: [(&str, &str); 20] = [
    ("Up Down PgUp PgDn Home End", "move; the first row stays the first"),
    ("Enter", "show the lock's queue: who holds it, who waits"),
    ("k", "kick the holder, or the selected one in a queue"),
    ("/", "show only what contains a text in lock, holder or client"),
    ("< > Left Right", "sort by the next column"),
    ("r", "reverse the order"),
    ("h", "show the locks that were waited for most in the last minute"),
    ("Esc", "back: out of a queue, a filter, the program"),
    ("q Ctrl-C", "leave"),
    ("Ctrl-Z", "suspend; 'fg' resumes"),
    ("Ctrl-L", "redraw"),
    ("HELD", "for how long the lock is held"),
    ("SILENT", "for how long the holder had sent nothing when last seen"),
    ("WAITERS", "how many wait for it"),
    ("LONGEST", "for how long the first of them has waited"),
    ("WAITED", "for how long by all together, in half a minute to a minute"),
    ("AGE", "in a queue: for how long the connection has existed"),
    ("UNSENT", "in a queue: bytes of replies that it has not read"),
    ("NOTES", "on a wide screen: owner, lease, label, who may hold it too"),
    ("DEADLOCK", "they wait for each other: end or kick one of them"),
];

/// The help, as lines of at most this many columns.
pub(super) fn lines(columns: usize) -> Vec<String> {
    let head = "officer top: the locks of a server. Any key goes back.".to_owned();
    let left = if columns >= 70 { 28 } else { KEYS.iter().map(|(key, _)| width(key)).min().unwrap_or(0).max(10) };
    let mut lines = vec![fit(&head, columns), String::new()];
    for (key, does) in KEYS {
        let key = format!("{key:left$} ");
        lines.push(fit(&format!("{key}{does}"), columns));
    }
    lines
}
