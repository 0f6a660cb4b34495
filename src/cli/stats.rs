//! `officer stats`: what a server counts.

mod table;

use std::io::{self, Write};
use std::time::{Duration, Instant};

use clap::Args;

use super::reader::is_gone;
use crate::client::Stats;
use crate::console::Failure;
use crate::console::address::ServerOptions;
use crate::console::shown::{Shown, Span};
use crate::console::values::{Seconds, interval};

const AFTER: &str = r#"The names are those of the protocol. The first numbers are the current state; the others count since the server was started. Requests, errors and disconnects of which there were none are left out.

wait is how long each grant was waited for, 0 if it was made at once; hold is how long each hold lasted, once it has ended. COUNT is their number, MEAN their mean. The other columns are upper bounds: half of them took no longer than 50%, all but one in a thousand no longer than 99.9%.

HOTTEST are the locks that were waited for most in the last half minute to minute: for how long by all requests together, and by how many.

With --every the output is repeated. From the second on, PER SECOND and the table of times cover the time since the one before.

With --json every output is one line, the value of the reply to 'stats' in the protocol. Rates are left to the reader: the difference of two lines, by that of "uptime".

Exit status:
  0   the numbers were shown
  1   the output could not be written
  2   the command line is wrong
  69  there is no connection to a server, or it is lost, or the server does not count"#;

/// How often to check whether anybody still reads.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Args, Debug)]
#[command(allow_negative_numbers = true, after_help = AFTER)]
pub(super) struct Options {
    /// Show them again and again, with this time in between, at least 0.1
    #[arg(short, long, value_name = "SECONDS", value_parser = interval)]
    every: Option<Seconds>,

    /// For programs: a line of JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    server: ServerOptions,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let client = options.server.connect()?;
    let mut out = io::stdout().lock();
    let mut before = None;
    let mut next_at = Instant::now();
    loop {
        let stats = client.stats().map_err(|error| options.server.failure(error))?;
        let text = match options.json {
            true => serde_json::to_string(&stats).map_err(|error| Failure::Output(error.into()))? + "\n",
            false => text(options, &stats, before.as_ref()),
        };
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::Output)?;
        let Some(every) = options.every else { return Ok(()) };
        before = Some(stats);
        // Regularly, however long the server takes; but not all at once after it took very long.
        next_at = (next_at + every.0).max(Instant::now());
        if !is_read_until(&out, next_at) {
            return Ok(());
        }
    }
}

/// Waits. Says whether anybody still reads.
fn is_read_until(out: &io::StdoutLock<'_>, until: Instant) -> bool {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || is_gone(out) {
            return left.is_zero();
        }
        std::thread::sleep(left.min(LOOK_EVERY));
    }
}

/// One output, with an empty line between two.
fn text(options: &Options, stats: &Stats, before: Option<&Stats>) -> String {
    let separator = if before.is_some() { "\n" } else { "" };
    let (address, uptime) = (options.server.shown(), Span::of_seconds(stats.uptime));
    format!("{separator}{}, up {uptime}\n{}", Shown(&address), table::table(stats, before))
}
