//! Signals that are ignored where the tests run, as SIGINT is in a script's `cargo test &`, and SIGHUP under `nohup`.

use std::fs;
use std::sync::{Arc, Once};

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

/// Sees to it that programs that are started from here have the default actions of signals: an ignored signal stays ignored in
/// a new program, a handled one does not. Where signals are not ignored, nothing changes.
pub(crate) fn undo_ignored_signals() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let ignored = ignored.map_or(0, |mask| u64::from_str_radix(mask.trim(), 16).expect("a mask of signals"));
        for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
            if ignored & (1 << (signal - 1)) != 0 {
                signal_hook::flag::register(signal, Arc::default()).expect("it can be handled");
            }
        }
    });
}
