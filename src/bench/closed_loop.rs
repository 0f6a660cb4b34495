//! The load of `pair`, `bundle` and `handoff`: every connection asks again as soon as it is answered.

use mio::event::Event;
use mio::{Interest, Poll, Token};

use super::connection::Connection;
use super::drive::{self, Workload};
use super::options::LoadOptions;
use super::script::Script;
use super::tally::Tally;
use super::target::Target;
use super::worker::Worker;
use crate::console::Failure;

/// More than a server writes at once.
pub(super) const READ_BYTES: usize = 256 << 10;

pub(super) struct ClosedLoop {
    connections: Vec<Connection>,
    /// Connections that wait for an answer.
    busy: usize,
    buffer: Vec<u8>,
}

impl ClosedLoop {
    /// Makes a worker's part of the connections, each with the script of its number and this many pairs in flight.
    pub(super) fn connect(
        target: &Target,
        poll: &Poll,
        (options, worker): (&LoadOptions, Worker),
        script: impl Fn(usize) -> Script,
        in_flight: usize,
    ) -> Result<Self, Failure> {
        let mut connections = Vec::new();
        for number in worker.part(0..options.connections) {
            let mut socket = target.connect()?;
            let token = Token(connections.len());
            let interests = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(socket.source(), token, interests).map_err(Failure::System)?;
            connections.push(Connection::new(Some(socket), script(number), in_flight, options.quota(number)));
        }
        Ok(ClosedLoop { connections, busy: 0, buffer: vec![0; READ_BYTES] })
    }
}

impl Workload for ClosedLoop {
    fn start(&mut self, tally: &mut Tally) {
        for connection in &mut self.connections {
            let result = connection.go_on(drive::now());
            self.busy += usize::from(connection.settle(result, tally));
        }
    }

    fn ready(&mut self, event: &Event, tally: &mut Tally) {
        let connection = &mut self.connections[event.token().0];
        if connection.is_idle() {
            // It has nothing to wait for, so it is over, or was ended by the server, and is not needed any more.
            return;
        }
        let result = connection.ready(event, tally, &mut self.buffer);
        if !connection.settle(result, tally) {
            self.busy -= 1;
        }
    }

    fn stop(&mut self) {
        for connection in &mut self.connections {
            connection.stop();
        }
    }

    fn busy(&self) -> usize {
        self.busy
    }
}
