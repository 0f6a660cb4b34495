//! `officer secret`: a new secret for a user of the server.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use clap::Args;

use crate::console::Failure;
use crate::server::Access;

const AFTER: &str = "\
Prints a secret of 256 random bits, for the client, and the table that goes into the users file of the server, which has \
only its digest. The secret is stored nowhere. A client takes it from the variable OFFICER_SECRET, or from a file that only \
its user can read, by --secret-file.

To replace a secret, add the digest of the new one beside the old one, reload the server, give the clients the new \
secret, take the old digest out, and reload again.";

#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(super) struct Options {
    /// Name of the user: 1 to 64 letters, digits, `_`, `.` and `-`
    #[arg(default_value = "game", value_parser = user_name)]
    name: String,
}

/// As the users file has it, which knows what a name may be.
fn user_name(name: &str) -> Result<String, String> {
    match Access::parse(&table(name, "0".repeat(64).as_str())) {
        Ok(_) => Ok(name.to_owned()),
        Err(_) => Err("it must have 1 to 64 letters, digits, _, . and -".to_owned()),
    }
}

fn table(name: &str, digest: &str) -> String {
    // A name without quotes may not have a dot in it.
    format!(
        "[users.\"{name}\"]\nsecret_sha256 = [\"{digest}\"]\nlocks = [\"\"] # prefixes of the locks that it may have; \"\" is all\n"
    )
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| Failure::Output(io::Error::other(error)))?;
    let secret = digits(&bytes);
    let digest = digits(ring::digest::digest(&ring::digest::SHA256, secret.as_bytes()).as_ref());
    let table = table(&options.name, &digest);
    write!(io::stdout(), "# for the client:\n{secret}\n\n# for the users file of the server:\n{table}")
        .map_err(Failure::Output)
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
