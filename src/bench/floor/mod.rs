//! `officer bench floor`: servers that only answer. They show how much the system allows, and what any server needs.

mod echo;
mod ring;
mod serve;

use clap::{Args, Subcommand};

use super::options::count;
use super::{BenchError, process};
use crate::console::Failure;
use crate::console::address::AddressOptions;
use crate::console::values::Mode;
use crate::net::{Listen, descriptors};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Answer every line with the same line, whatever it contains
    Echo(Options),
    /// Hand locks around without looking at the lines: a line from the holder releases its lock, and one from anybody
    /// else requests it
    Ring(RingOptions),
}

#[derive(Args, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    address: AddressOptions,

    /// CPU to run on
    #[arg(long, value_name = "CPU")]
    pin: Option<usize>,
}

#[derive(Args, Debug)]
pub(crate) struct RingOptions {
    #[command(flatten)]
    options: Options,

    /// Number of locks; connections are assigned to them in turn
    #[arg(short, long, value_name = "COUNT", default_value = "1", value_parser = count())]
    locks: usize,
}

impl Options {
    fn listen(self) -> Result<Listen, Failure> {
        descriptors::raise_limit();
        if let Some(cpu) = self.pin {
            process::pin(cpu).map_err(|error| BenchError::Pin { cpu, error })?;
        }
        Ok(self.address.listen(Mode(0o600)))
    }
}

pub(super) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Echo(options) => serve::serve(&options.listen()?, echo::Echo),
        Command::Ring(RingOptions { options, locks }) => serve::serve(&options.listen()?, ring::Rings::new(locks)),
    }
}
