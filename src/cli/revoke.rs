//! `officer revoke`: takes one lock away from its holders, and nothing else.

use std::io::{self, Write};

use clap::Args;

use crate::client::{Owner, RevokeOptions};
use crate::console::Failure;
use crate::console::address::ServerOptions;
use crate::console::shown::Shown;
use crate::wire::request::{ID_BYTES_MAX, WHOLE_NUMBER_MAX};

const AFTER: &str = "\
Ends the holds of the lock, or those that the options pick; the lock passes on to its next waiters. The connections of its \
holders stay, and so does all else that they hold. A lock that --min-hold or --lost-delay keeps closed is opened. A server \
accepts this only from its own machine, by the address that it listens on, 127.0.0.1, ::1 or a socket file, unless it runs \
with --kick-from-anywhere; a server with users only from a user with admin = true.

'officer lock' ends its command when its lock is revoked. Other clients learn it at once if they have asked for that, and \
otherwise when they release the lock.

Exit status:
  0   the lock was taken from its holders, or opened
  1   there was nothing to end, or the output could not be written
  2   the command line is wrong
  69  there is no connection to a server, or it refuses
  77  not allowed from this machine, or to this user";

#[derive(Args, Debug)]
#[command(allow_negative_numbers = true, after_help = AFTER)]
pub(super) struct Options {
    /// Name of the lock
    name: String,

    /// Only the hold with this token, as 'officer locks --tokens' shows it, and no later one
    #[arg(long, value_parser = clap::value_parser!(u64).range(..=WHOLE_NUMBER_MAX))]
    token: Option<u64>,

    /// Only holds of the connection of this name, as in listings
    #[arg(long)]
    connection: Option<String>,

    /// Only holds of this owner, as in listings; a text that looks like a number is put in double quotes
    #[arg(long, value_parser = owner)]
    owner: Option<Owner>,

    #[command(flatten)]
    server: ServerOptions,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let client = options.server.connect()?;
    let Options { token, connection, owner, .. } = options;
    let mut which = RevokeOptions::default();
    (which.token, which.connection, which.owner) = (*token, connection.clone(), owner.clone());
    let is_picked = which != RevokeOptions::default();
    let count = client.revoke(&options.name, &which).map_err(|error| options.server.failure(error))?;
    let name = Shown(&options.name);
    let said = match count {
        None if is_picked => return Err(nothing(format!("no hold on '{name}' matches"))),
        None => return Err(nothing(format!("nobody holds '{name}'"))),
        Some(0) => format!("'{name}' was closed, and is open now"),
        Some(1) => format!("'{name}' was taken from its holder, and has passed on"),
        Some(count) => format!("'{name}' was taken from {count} holders, and has passed on"),
    };
    writeln!(io::stdout(), "{said}").map_err(Failure::Output)
}

fn nothing(line: String) -> Failure {
    Failure::Specific { error: format!("{line}; 'officer locks --tokens' lists the holders").into(), exit_code: 1 }
}

/// As listings show it: digits are a number, and anything else is a text, possibly in quotes.
fn owner(text: &str) -> Result<Owner, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number = text.parse().ok().filter(|number| *number <= WHOLE_NUMBER_MAX);
        return number.map(Owner::Number).ok_or("the number is too large".to_owned());
    }
    let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    match quoted.len() {
        0..=ID_BYTES_MAX => Ok(quoted.into()),
        bytes => Err(format!("an owner has at most {ID_BYTES_MAX} bytes, this has {bytes}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_a_number_or_a_text() {
        assert_eq!(owner("17"), Ok(Owner::Number(17)));
        assert_eq!(owner(&WHOLE_NUMBER_MAX.to_string()), Ok(Owner::Number(WHOLE_NUMBER_MAX)));
        for (text, expected) in [("ann", "ann"), (r#""17""#, "17"), ("-1", "-1"), ("", ""), ("\"", "\"")] {
            assert_eq!(owner(text), Ok(expected.into()), "{text}");
        }
        assert!(owner(&(WHOLE_NUMBER_MAX + 1).to_string()).is_err());
        assert!(owner(&"x".repeat(65)).is_err());
    }
}
