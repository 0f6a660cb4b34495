//! `officer bench floor`: servers that only answer. What they do a second is what the system allows, and what they need
//! is what any server needs.

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
    /// Answer every line with one and the same, whatever it says
    Echo(Options),
    /// Hand locks around without looking at what is sent: a line from whoever has the lock releases it, and one from
    /// anybody else asks for it
    Ring(RingOptions),
}

#[derive(Args, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    address: AddressOptions,

    /// CPU to keep to
    #[arg(long, value_name = "CPU")]
    pin: Option<usize>,
}

#[derive(Args, Debug)]
pub(crate) struct RingOptions {
    #[command(flatten)]
    options: Options,

    /// Locks; connections belong to them in turn, in the order in which they come
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
