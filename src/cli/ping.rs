//! `officer ping`: whether the server is alive.

use std::io::{self, Write};

use clap::Args;

use crate::console::Failure;
use crate::console::address::ServerOptions;
use crate::console::shown::Shown;

const EXIT_STATUS: &str = "\
Exit status:
  0   the server is alive
  1   the output could not be written
  2   the command line is wrong
  69  there is no connection to a server, or it does not answer";

#[derive(Args, Debug)]
#[command(allow_negative_numbers = true, after_help = EXIT_STATUS)]
pub(super) struct Options {
    #[command(flatten)]
    server: ServerOptions,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let took = options.server.connect()?.ping().map_err(|error| options.server.failure(error))?;
    let address = options.server.shown();
    writeln!(io::stdout(), "{} is alive: it answered in {:.2} ms", Shown(&address), took.as_secs_f64() * 1000.0)
        .map_err(Failure::Output)
}
