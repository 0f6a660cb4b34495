//! `officer lock`: a command that runs while its lock is held.
//!
//! Everything that can happen at any moment, a signal, an answer of the server, the loss of the connection, the end of the
//! command, is an [`Event`] in one channel, and the main thread acts on them in order ([`errand`]). It never waits for
//! anything else: another thread talks to the server ([`holder`]), a third hears the signals ([`signals`]), and a fourth
//! writes to stderr ([`writer`]).

mod command;
mod errand;
mod holder;
mod in_the_way;
mod inherited;
mod kind;
mod options;
pub(crate) mod signals;
mod status;
mod tree;
mod writer;

use std::process::ExitCode;
use std::sync::mpsc::channel;

pub(super) use self::options::Options;

use self::errand::Errand;
use self::holder::Wanted;
use self::status::Status;
use crate::client::{Client, Error};
use crate::console::Failure;
use crate::console::failure::InTheWay;

/// What the main thread acts on.
#[derive(Debug)]
enum Event {
    /// A signal was sent to this process.
    Signal(i32),
    /// There is a connection, and the lock is being asked for.
    Connected(Client),
    /// Who is in the way.
    Ahead(String),
    /// The request has begun to wait, after this many others.
    Queued(u64),
    /// The connection is gone, and the session is not: it is being resumed. The text says how.
    Interrupted(String),
    /// The session goes on with a new connection.
    Resumed,
    /// What is in the way of the locks, which are refused.
    InTheWay(InTheWay),
    /// The locks are held.
    Acquired(Granted),
    /// The connection is gone, and with it the locks, if they were held; or one of them was taken away. The text says how.
    Lost(String),
    /// Nothing more comes from the server: the lock was refused, or it was released, or that failed.
    Over(Result<(), Error>),
}

/// What was acquired.
#[derive(Debug)]
struct Granted {
    names: Vec<String>,
    token: Option<u64>,
}

pub(super) fn run(options: Options) -> Result<ExitCode, Failure> {
    let (options, task) = options.split()?;
    let (sender, events) = channel();
    signals::listen(sender.clone()).map_err(Failure::System)?;
    let server = options.client_options(&task)?;
    let wanted = Wanted {
        locks: task.locks.clone(),
        options: options.wanted(),
        lease_margin: options.lease_margin().unwrap_or_default(),
    };
    let release = holder::start(server, wanted, sender.clone()).map_err(Failure::System)?;
    let status = Status::start(&task.locks, &options.server.shown(), options.verbose).map_err(Failure::System)?;
    Ok(Errand::new(options, task, status, (sender, events), release).run())
}
