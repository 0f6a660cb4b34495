//! A progress bar, only on a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often it is drawn: often enough to look alive, without costing much.
const INTERVAL_NANOS: u64 = 100_000_000;

/// How far a measurement has come.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    drawn_at: u64,
}

impl Progress {
    /// For something with this many steps.
    pub(super) fn new(what: &'static str, steps: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{prefix:>12} [{bar:40}] {percent:>3} %  {msg}");
        bar.set_style(style.expect("the template is one").progress_chars("=> "));
        bar.set_prefix(what);
        Progress { bar, drawn_at: 0 }
    }

    /// Draws the progress, if it is time for that. `now` is in nanoseconds.
    pub(super) fn tick(&mut self, now: u64, step: u64, message: impl FnOnce() -> String) {
        if now.saturating_sub(self.drawn_at) >= INTERVAL_NANOS && !self.bar.is_hidden() {
            self.drawn_at = now;
            self.bar.set_message(message());
            self.bar.set_position(step);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
