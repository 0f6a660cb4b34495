//! `officer kick`: closes a connection, which frees what a stuck client holds.

use std::io::{self, Write};

use clap::Args;

use crate::console::Failure;
use crate::console::address::ServerOptions;
use crate::console::shown::Shown;

const AFTER: &str = "\
Closes the connection, and ends its session if it has one. Its locks pass on to their next waiters, and it leaves all \
queues. A session that has lost its connection is kicked by its own name, session:N. A server accepts a kick \
only from its own machine, by the address that it listens on, 127.0.0.1, ::1 or a socket file, unless it runs with \
--kick-from-anywhere.

Exit status:
  0   the connection was closed
  1   there is no such connection, or the output could not be written
  2   the command line is wrong
  69  there is no connection to a server
  77  not allowed from this machine";

#[derive(Args, Debug)]
#[command(allow_negative_numbers = true, after_help = AFTER)]
pub(super) struct Options {
    /// Name of the connection or session, as in listings
    connection: String,

    #[command(flatten)]
    server: ServerOptions,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let client = options.server.connect()?;
    if !client.kick(&options.connection).map_err(|error| options.server.failure(error))? {
        return Err(Failure::NoConnection(options.connection.clone()));
    }
    let connection = Shown(&options.connection);
    writeln!(io::stdout(), "{connection} was kicked: its locks have passed on, and it has left all queues")
        .map_err(Failure::Output)
}
