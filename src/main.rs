//! The program: an error becomes one line and an exit status, and everything else is the library's.

use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    match officer::cli::run(std::env::args_os()) {
        Ok(status) => status,
        Err(failure) => {
            // Not eprintln!, which panics when nobody reads stderr any more.
            let _ = writeln!(io::stderr(), "officer: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
