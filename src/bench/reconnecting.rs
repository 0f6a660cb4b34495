//! The load of `connect`: connections that are made, do one pair, and are closed.

use mio::event::Event;
use mio::{Interest, Poll, Registry, Token};

use super::closed_loop::READ_BYTES;
use super::connection::Connection;
use super::drive::{self, Workload};
use super::opening::Opening;
use super::options::LoadOptions;
use super::script::Script;
use super::tally::Tally;
use super::target::Target;
use super::worker::Worker;
use crate::console::Failure;

/// With more than one pair in flight both requests of a pair are written at once. Only one is begun.
const IN_FLIGHT: usize = 2;

pub(super) struct Reconnecting {
    target: Target,
    registry: Registry,
    slots: Vec<Slot>,
    /// Slots with a connection.
    busy: usize,
    buffer: Vec<u8>,
}

/// One connection after the other.
struct Slot {
    /// The one that is being made, and since when.
    opening: Option<(Opening, u64)>,
    connection: Connection,
    /// How many are still to be made.
    quota: usize,
}

impl Reconnecting {
    /// For a worker's part of the connections, of which the first is made when it starts.
    pub(super) fn new(
        target: Target,
        poll: &Poll,
        (options, worker): (&LoadOptions, Worker),
        script: impl Fn(usize) -> Script,
    ) -> Result<Self, Failure> {
        let target = target.with_any_port();
        // A server that can't be reached is reported before anything is counted.
        drop(target.connect()?);
        let slot = |number| {
            let connection = Connection::new(None, script(number), IN_FLIGHT, 1);
            Slot { opening: None, connection, quota: options.quota(number) }
        };
        let slots = worker.part(0..options.connections).map(slot).collect();
        let registry = poll.registry().try_clone().map_err(Failure::System)?;
        Ok(Reconnecting { target, registry, slots, busy: 0, buffer: vec![0; READ_BYTES] })
    }

    /// Makes the next connection in a slot. Returns whether there is one.
    fn begin(&mut self, index: usize, tally: &mut Tally) -> bool {
        let slot = &mut self.slots[index];
        let Some(quota) = slot.quota.checked_sub(1) else { return false };
        slot.quota = quota;
        let begun_at = drive::now();
        let opened = self.target.open().and_then(|mut opening| {
            let interests = Interest::READABLE | Interest::WRITABLE;
            let registered = self.registry.register(opening.socket().source(), Token(index), interests);
            registered.map_err(Failure::System).map(|()| opening)
        });
        match opened {
            Ok(opening) => {
                slot.opening = Some((opening, begun_at));
                self.advance(index, tally)
            }
            Err(failure) => {
                tally.lost.add(failure.to_string());
                false
            }
        }
    }

    /// Goes on with a connection that is being made. Returns whether it has not failed.
    fn advance(&mut self, index: usize, tally: &mut Tally) -> bool {
        let slot = &mut self.slots[index];
        let Some((mut opening, begun_at)) = slot.opening.take() else { return false };
        match self.target.advance(&mut opening) {
            Ok(false) => {
                slot.opening = Some((opening, begun_at));
                true
            }
            Ok(true) => {
                let socket = opening.into_socket();
                if self.target.is_encrypted() {
                    tally.shaken_hands(socket.is_resumed());
                }
                slot.connection.begin_again(socket);
                let result = slot.connection.go_on(begun_at);
                slot.connection.settle(result, tally)
            }
            Err(failure) => {
                tally.lost.add(failure.to_string());
                false
            }
        }
    }

    /// Goes on with what has happened in a slot. Returns whether it still has a connection.
    fn go_on(&mut self, index: usize, event: &Event, tally: &mut Tally) -> bool {
        let slot = &mut self.slots[index];
        if slot.opening.is_some() {
            return self.advance(index, tally);
        }
        let result = slot.connection.ready(event, tally, &mut self.buffer);
        let is_good = result.is_ok();
        if slot.connection.settle(result, tally) {
            return true;
        }
        slot.connection.close();
        is_good && self.begin(index, tally)
    }
}

impl Workload for Reconnecting {
    fn start(&mut self, tally: &mut Tally) {
        for index in 0..self.slots.len() {
            self.busy += usize::from(self.begin(index, tally));
        }
    }

    fn ready(&mut self, event: &Event, tally: &mut Tally) {
        let index = event.token().0;
        // What comes after the last is not needed.
        let slot = &self.slots[index];
        if (slot.opening.is_some() || !slot.connection.is_idle()) && !self.go_on(index, event, tally) {
            self.busy -= 1;
        }
    }

    fn stop(&mut self) {
        for slot in &mut self.slots {
            slot.quota = 0;
        }
    }

    fn busy(&self) -> usize {
        self.busy
    }
}
