//! One scenario, executed: the server over sockets made of memory, beside what is expected of it.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashSet;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use fastrand::Rng;
use officer::engine::TokenBlock;
use officer::server::{Readiness, Server};
use officer::time::Moment;

use crate::coverage::{Coverage, Event as Happening};
use crate::expected::{After, Asked, Broken, Event, Expected, Number};
use crate::lines::{Known, written};
use crate::links::{ALL, Link, NAMES, Sitting, peer, slot};
use crate::memory::{Call, MemorySocket, Wire};
use crate::scenario::{From, Line, Scenario, Seat, Step, Whom};
use crate::{counting, watch};

/// How a scenario is executed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Whether the server checks itself after every turn. Without, only what clients see finds a fault.
    pub(crate) check_all: bool,
    /// Whether everything happens twice, to see that the first time left no memory behind.
    pub(crate) is_repeated: bool,
    /// Whether to write down what should happen.
    pub(crate) has_transcript: bool,
    /// Whether the model is told another limit than the server, to see that a difference is found.
    pub(crate) is_misled: bool,
}

/// A run that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What was seen.
    pub(crate) message: String,
    /// Whether the server's own assertions found it, and not what the clients saw.
    pub(crate) is_own_assertion: bool,
    /// The step, from 0.
    pub(crate) step: usize,
    /// What should have happened up to there.
    pub(crate) transcript: Vec<String>,
}

/// Executes the scenario of a seed.
pub(crate) fn run_seed(seed: u64, options: Options) -> Result<Coverage, Failure> {
    run(&Scenario::from_seed(seed), options)
}

/// Executes a scenario. Panics become failures, the server's and our own alike.
pub(crate) fn run(scenario: &Scenario, options: Options) -> Result<Coverage, Failure> {
    let events = Rc::new(RefCell::new(Vec::new()));
    watch::listen(Rc::clone(&events));
    let mut world = None;
    let result = catch_unwind(AssertUnwindSafe(|| {
        let world = world.insert(World::new(scenario, options, events));
        world.round(&scenario.steps);
        if options.is_repeated {
            world.repeat(&scenario.steps);
        }
    }));
    watch::stop();
    let mut world = world.expect("it was made");
    let Err(panic) = result else {
        world.expected.coverage.time = world.now.into();
        return Ok(world.expected.coverage);
    };
    let transcript = world.expected.transcript.take().unwrap_or_default();
    let step = world.step;
    // A server that has contradicted itself may do so again when it goes.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(world)));
    let (message, is_own_assertion) = message(&*panic);
    Err(Failure { message, is_own_assertion, step, transcript })
}

fn message(panic: &(dyn Any + Send)) -> (String, bool) {
    if let Some(Broken(message)) = panic.downcast_ref() {
        return (message.clone(), false);
    }
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    (text.unwrap_or("a panic without a message").to_owned(), true)
}

/// The clock stops here, 292 years after the server's start.
const END_OF_TIME: u64 = 1 << 63;

/// Where the tokens end.
const TOKENS_END: u64 = 1 << 53;

/// If each of this many rounds with the same steps leaves more memory than the one before, memory is lost.
const ROUNDS_MAX: usize = 100;

/// The clients, the network and the clock.
struct World {
    server: Server<MemorySocket>,
    server_live: usize,
    expected: Expected,
    options: Options,
    now: u64,
    /// When the last poll returned.
    polled_at: u64,
    seats: Vec<Sitting>,
    links: Vec<Link>,
    events: Rc<RefCell<Vec<Event>>>,
    /// Connections with events that the poll has not delivered.
    edges: Vec<Number>,
    step: usize,
    /// Slots that became free since the last turn began.
    freed_slots: HashSet<u32>,
}

impl World {
    fn new(scenario: &Scenario, options: Options, events: Rc<RefCell<Vec<Event>>>) -> Self {
        let of_server = scenario.limits.of_server();
        let mut limits = scenario.limits.clone();
        limits.connection_locks_max += usize::from(options.is_misled);
        let mut expected = Expected::new(limits);
        expected.transcript = options.has_transcript.then(Vec::new);
        let tokens = TokenBlock::new(scenario.limits.first_token, TOKENS_END);
        let (server, live) = counting::live(|| Server::new(of_server, tokens));
        World {
            server,
            server_live: live,
            expected,
            options,
            now: 0,
            polled_at: 0,
            seats: vec![Sitting::default(); scenario.seats],
            links: Vec::new(),
            events,
            edges: Vec::new(),
            step: 0,
            freed_slots: HashSet::new(),
        }
    }

    /// All steps, and then everyone goes.
    fn round(&mut self, steps: &[Step]) {
        for (number, step) in steps.iter().enumerate() {
            self.step = number;
            self.expected.coverage.steps += 1;
            self.execute(step);
        }
        for seat in 0..self.seats.len() {
            self.execute(&Step::Reset { seat, is_announced: true });
            self.seats[seat] = Sitting::default();
        }
        self.settle(0);
        // Those that were told to go are waited for, and locks that are closed for a day.
        self.pass(100_000_000_000_000);
        // Clients can't see what is left inside. Where the clock stops a lock may be closed for ever.
        let is_empty = self.server.is_empty() || !self.options.check_all;
        if self.now < END_OF_TIME && !(is_empty && self.expected.is_empty()) {
            std::panic::panic_any(Broken("everybody is gone, and something is left".to_owned()));
        }
        let is_open = |link: &Link| !link.wire.borrow().server_has_dropped;
        if self.links.iter().any(is_open) {
            std::panic::panic_any(Broken("everybody is gone, and a socket is open".to_owned()));
        }
    }

    /// The same again, until a round leaves as much memory behind as one before. That takes some: the parts of a hash index
    /// get memory when they are first used, and by the random keys of the hash it is others in each round. Two rounds may
    /// take turns, when each needs what the other has left.
    fn repeat(&mut self, steps: &[Step]) {
        let mut bytes = vec![self.server_live];
        while bytes.len() < ROUNDS_MAX && self.links.len() < NAMES / 2 {
            self.round(steps);
            // Where the clock stops a session may be there for ever.
            if bytes.contains(&self.server_live) || self.now >= END_OF_TIME {
                return;
            }
            bytes.push(self.server_live);
        }
        std::panic::panic_any(Broken(format!("memory grows in every round: {bytes:?} bytes")));
    }

    /// Calls the server, and counts its memory.
    fn with_server<T>(&mut self, call: impl FnOnce(&mut Server<MemorySocket>) -> T) -> T {
        let server = &mut self.server;
        let (result, live) = counting::live(|| call(server));
        self.server_live = self.server_live.wrapping_add(live);
        result
    }

    fn execute(&mut self, step: &Step) {
        match step {
            Step::Connect { seat, from, read_max, refuses_half_close } => {
                self.connect(*seat, *from, *read_max, *refuses_half_close);
            }
            Step::Say { seat, line, arrives } => {
                if let Some(number) = self.client(*seat) {
                    self.say(number, line);
                    self.arrive(number, *arrives);
                }
            }
            Step::Arrive { seat, bytes } => {
                if let Some(number) = self.client(*seat) {
                    self.arrive(number, *bytes);
                }
            }
            Step::End { seat } => {
                if let Some(number) = self.client(*seat) {
                    self.links[number].wire.borrow_mut().client_has_closed = true;
                    self.edge(number, Readiness { is_readable: true, is_writable: false, is_read_closed: true });
                    self.expected.coverage.event(Happening::End);
                }
            }
            Step::Reset { seat, is_announced } => {
                if let Some(number) = self.client(*seat) {
                    self.links[number].wire.borrow_mut().is_reset = true;
                    self.expected.coverage.event(Happening::Reset);
                    if *is_announced {
                        self.edge(number, ALL);
                    }
                }
            }
            Step::Room { seat, bytes } => {
                if let Some(number) = self.client(*seat) {
                    let mut wire = self.links[number].wire.borrow_mut();
                    let had_none = wire.room == Some(0);
                    wire.room = *bytes;
                    drop(wire);
                    if had_none && *bytes != Some(0) {
                        self.edge(number, Readiness { is_writable: true, ..Readiness::default() });
                        self.expected.coverage.event(Happening::Room);
                    }
                }
            }
            Step::Interrupt { seat, times } => {
                if let Some(number) = self.client(*seat) {
                    self.links[number].wire.borrow_mut().interruptions = *times;
                }
            }
            Step::TakeNothing { seat } => {
                if let Some(number) = self.client(*seat) {
                    self.links[number].wire.borrow_mut().takes_nothing_for_ever = true;
                }
            }
            Step::Fail { seat, is_of_former } => {
                let number = if *is_of_former { self.seats[*seat].before } else { self.client(*seat) };
                if let Some(number) = number
                    && let Some(key) = self.links[number].key
                {
                    if self.expected.is_there(number) {
                        self.expected.on_failure(number);
                    }
                    self.with_server(|server| server.fail(key, ErrorKind::NotConnected.into()));
                    let events = self.take_events();
                    self.expected.hear(&events);
                    self.expected.between_turns(&events);
                    self.give_back(events);
                }
            }
            Step::Event { seat, is_of_former, bits } => {
                let sitting = self.seats[*seat];
                let number = if *is_of_former { sitting.before } else { self.client(*seat) };
                if let Some(number) = number {
                    let has = |bit: u8| bits & bit != 0;
                    // That the peer closed its side is never said of one that did not.
                    let is_read_closed = has(4) && self.links[number].wire.borrow().client_has_closed;
                    self.edge(number, Readiness { is_readable: has(1), is_writable: has(2), is_read_closed });
                    self.expected.coverage.event(Happening::Stray);
                }
            }
            Step::Pass(nanos) => self.pass(*nanos),
            Step::Oversleep(nanos) => self.now = self.now.saturating_add(*nanos).min(END_OF_TIME),
            Step::Due => self.now = self.now.max(self.next_due()),
            Step::NearlyDue => self.pass(self.next_due().saturating_sub(self.now + 1)),
            Step::Poll { order, ago, most } => {
                let begun = self.now.saturating_sub(*ago).max(self.polled_at);
                self.poll(*order, begun, *most);
            }
            Step::Turn => self.turn(),
            Step::Settle(order) => self.settle(*order),
        }
    }

    /// Who sits there, if the server has not closed the socket.
    fn client(&mut self, seat: Seat) -> Option<Number> {
        self.seats[seat].now.filter(|number| !self.links[*number].is_closed)
    }

    fn connect(&mut self, seat: Seat, from: From, read_max: Option<usize>, refuses_half_close: bool) {
        if self.client(seat).is_some() || self.links.len() >= NAMES {
            return;
        }
        let number = self.links.len();
        let events = Rc::clone(&self.events);
        let note = move |number, call| events.borrow_mut().push(Event::Call(number, call));
        let (calls, aside) = (Some((number, Rc::new(note) as _)), Some(counting::set_aside as _));
        let wire = Wire { read_max, refuses_half_close, calls, aside, ..Wire::default() };
        let wire = Rc::new(RefCell::new(wire));
        let (peer, name) = peer(number, from);
        let (socket, now) = (MemorySocket::new(Rc::clone(&wire)), self.now);
        let key = self.with_server(|server| server.accept(socket, peer, Moment::from_nanos(now)));
        let slot = key.map(slot);
        let events = self.take_events();
        self.expected.hear(&events);
        self.expected.accept(name, from != From::Elsewhere, slot, Rc::clone(&wire), now);
        self.expected.coverage.event(Happening::Accept);
        if slot.is_some_and(|slot| self.freed_slots.remove(&slot)) {
            self.expected.coverage.count("a slot used again at once");
        }
        let sitting = &mut self.seats[seat];
        *sitting = Sitting { now: Some(number), before: sitting.now };
        self.links.push(Link {
            key,
            wire,
            under_way: Vec::new(),
            edge: Readiness::default(),
            happened_at: 0,
            is_closed: key.is_none(),
        });
        // The poll announces once that a new socket takes something.
        self.edge(number, Readiness { is_writable: true, ..Readiness::default() });
        self.expected.between_turns(&events);
        self.give_back(events);
    }

    fn say(&mut self, number: Number, line: &Line) {
        let name_of = |whom: Whom| match whom {
            Whom::Seat(seat) => {
                let sitting = self.seats[seat % self.seats.len()];
                sitting.now.map_or("nobody", |number| self.expected.name(number)).to_owned()
            }
            Whom::Session(before) => self.expected.session(before),
        };
        let secret_of =
            |before| self.expected.secrets().nth(before).map(|(number, secret)| (number, secret.to_owned()));
        let token_of = |name: &str| self.expected.token_of(name);
        let listing = self.expected.listing();
        let known = Known { listing, name_of: &name_of, secret_of: &secret_of, token_of: &token_of };
        let (text, asked) = written(line, &known);
        // There may be blank lines before and after it.
        for part in text.split_inclusive('\n') {
            let asked = if part.trim().is_empty() { Asked::Nothing } else { asked.clone() };
            self.expected.send(number, part, asked);
        }
        self.links[number].under_way.extend_from_slice(text.as_bytes());
    }

    fn arrive(&mut self, number: Number, bytes: usize) {
        let link = &mut self.links[number];
        let bytes = bytes.min(link.under_way.len());
        let mut wire = link.wire.borrow_mut();
        if bytes == 0 || wire.client_has_closed || wire.is_reset {
            return;
        }
        wire.to_server.extend(link.under_way.drain(..bytes));
        drop(wire);
        self.edge(number, Readiness { is_readable: true, ..Readiness::default() });
        self.expected.coverage.event(Happening::Input);
    }

    /// Something happens that the next poll tells of.
    fn edge(&mut self, number: Number, readiness: Readiness) {
        let edge = &mut self.links[number].edge;
        edge.is_readable |= readiness.is_readable;
        edge.is_writable |= readiness.is_writable;
        edge.is_read_closed |= readiness.is_read_closed;
        if !self.edges.contains(&number) {
            self.edges.push(number);
            self.links[number].happened_at = self.now;
        }
    }

    /// A poll reports sockets in the order in which something happened to them. Of those that it reports, any may be noted
    /// first.
    fn poll(&mut self, order: u64, begun: u64, most: Option<usize>) {
        if most.is_some() {
            // The system's poll does not report sockets that are closed.
            let expected = &self.expected;
            self.edges.retain(|number| expected.is_there(*number));
        }
        let count = most.map_or(self.edges.len(), |most| most.min(self.edges.len()));
        let is_complete = most.is_none_or(|most| count < most);
        let mut edges: Vec<Number> = self.edges.drain(..count).collect();
        Rng::with_seed(order).shuffle(&mut edges);
        for number in edges {
            let link = &mut self.links[number];
            let readiness = std::mem::take(&mut link.edge);
            let Some(key) = link.key else { continue };
            let is_there = self.expected.is_there(number);
            if !is_there {
                self.expected.coverage.count("an event of a former connection");
            } else if readiness.is_writable {
                self.expected.on_room(number);
            }
            self.with_server(|server| server.ready(key, readiness));
        }
        self.with_server(|server| server.polled(Moment::from_nanos(begun), is_complete));
        self.expected.polled(begun, is_complete);
        self.polled_at = self.now;
        match most {
            Some(0) => self.expected.coverage.count("poll interrupted"),
            Some(_) if !is_complete => self.expected.coverage.count("poll cut short"),
            _ => {}
        }
    }

    fn turn(&mut self) {
        let now = self.now;
        self.with_server(|server| server.turn(Moment::from_nanos(now)));
        self.freed_slots.clear();
        let events = self.take_events();
        let happened_at = |number: &Number| self.links[*number].happened_at;
        let unknown_since = self.edges.iter().map(happened_at).min().unwrap_or(u64::MAX);
        let stats = self.server.stats();
        let after = After {
            next_token: TOKENS_END - self.server.tokens_left(),
            next_turn: self.next_turn(),
            gauges: [stats.held, stats.waiting, stats.closed, self.server.sessions() as u64],
        };
        self.expected.turn(now, unknown_since, &events, after);
        self.give_back(events);
        if self.options.check_all {
            self.server.check_all();
        }
    }

    fn take_events(&mut self) -> Vec<Event> {
        let events = self.events.take();
        for event in &events {
            if let Event::Call(number, Call::Dropped) = event {
                let link = &mut self.links[*number];
                link.is_closed = true;
                self.freed_slots.extend(link.key.map(slot));
            }
        }
        events
    }

    /// Keeps the memory of the list.
    fn give_back(&mut self, mut events: Vec<Event>) {
        events.clear();
        self.events.replace(events);
    }

    fn settle(&mut self, order: u64) {
        // A bound only so that a server that never rests fails instead of hanging.
        for _ in 0..100_000 {
            self.poll(order, self.now, None);
            self.turn();
            let next = self.next_turn();
            if self.edges.is_empty() && next.is_none_or(|next| next > self.now) {
                return self.expected.settled(next);
            }
        }
        std::panic::panic_any(Broken("the server never comes to rest".to_owned()));
    }

    /// When the server wants its next turn, in nanoseconds.
    fn next_turn(&self) -> Option<u64> {
        self.server.next_turn().map(Moment::as_nanos)
    }

    /// When the next thing is due, if anything is.
    fn next_due(&self) -> u64 {
        self.expected.next_due().map_or(0, |due| due.min(END_OF_TIME))
    }

    fn pass(&mut self, nanos: u64) {
        let end = self.now.saturating_add(nanos).min(END_OF_TIME);
        self.settle(0);
        while let Some(next) = self.next_turn()
            && next <= end
        {
            self.now = self.now.max(next);
            self.settle(0);
        }
        self.now = end;
        self.settle(0);
    }
}
