//! `officer kick`: closes a connection, which frees what a stuck client holds.

use std::io::{self, Write};

use clap::Args;

use crate::client::{Error, Reason};
use crate::console::Failure;
use crate::console::address::ServerOptions;
use crate::console::failure::NOT_ALLOWED;
use crate::console::shown::Shown;

const AFTER: &str = "\
Closes the connection, and ends its session if it has one. Its locks pass on to their next waiters, and it leaves all \
queues. A session that has lost its connection is kicked by its own name, session:N. A server accepts a kick \
only from its own machine, by the address that it listens on, 127.0.0.1, ::1 or a socket file, unless it runs with \
--kick-from-anywhere; a server with users only from a user with admin = true.

Exit status:
  0   the connection was closed
  1   there is no such connection, or the user has none, or the output could not be written
  2   the command line is wrong
  69  there is no connection to a server
  77  not allowed from this machine, or to this user";

#[derive(Args, Debug)]
#[command(allow_negative_numbers = true, after_help = AFTER)]
pub(super) struct Options {
    /// Name of the connection or session, as in listings
    #[arg(required_unless_present = "all_of", conflicts_with = "all_of")]
    connection: Option<String>,

    /// All connections and sessions of a user of the server
    #[arg(long, value_name = "USER")]
    all_of: Option<String>,

    #[command(flatten)]
    server: ServerOptions,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let client = options.server.connect()?;
    if let Some(user) = &options.all_of {
        let count = client.kick_user(user).map_err(|error| failure(options, error))?;
        let count = count.ok_or_else(|| Failure::NoConnection(user.clone()))?;
        return writeln!(io::stdout(), "{} was kicked: {count} connections and sessions end", Shown(user))
            .map_err(Failure::Output);
    }
    let connection = options.connection.as_ref().expect("it is required without --all-of");
    if !client.kick(connection).map_err(|error| options.server.failure(error))? {
        return Err(Failure::NoConnection(connection.clone()));
    }
    let connection = Shown(connection);
    writeln!(io::stdout(), "{connection} was kicked: its locks have passed on, and it has left all queues")
        .map_err(Failure::Output)
}

/// Why a user was not kicked. If that is not allowed, the server says what it takes; to do it on its own machine is of no use.
fn failure(options: &Options, error: Error) -> Failure {
    match error {
        Error::Server { reason: Reason::NotAllowed, message } => {
            let (address, message) = (options.server.shown(), Shown(&message));
            let line = format!("the server at {} refuses: {message} (not_allowed)", Shown(&address));
            Failure::Specific { error: line.into(), exit_code: NOT_ALLOWED }
        }
        error => options.server.failure(error),
    }
}
