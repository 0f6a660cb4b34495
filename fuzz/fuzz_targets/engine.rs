//! The engine answers any sequence of operations as the naive model does, and is consistent after each.

#![no_main]

use std::hash::{BuildHasherDefault, Hasher};

use libfuzzer_sys::fuzz_target;
use officer::engine::{ConnectionKey, Context, Engine, EngineLimits, Replies, SessionKey, TokenBlock};
use officer::time::Moment;
use officer::wire::Id;
use officer::wire::peer::Peer;
use officer::wire::reply::Reply;
use officer::wire::request::{Command, parse};
use officer::wire::transcript::Event;
use officer_fuzz::model::{Ask, Limits, Model, Said, Seat, is_same};
use officer_fuzz::script::{Operation, SEATS, operations};
use officer_fuzz::transcript;
use serde_json::{Map, Value, json};

fuzz_target!(init: transcript::print_on_panic(), |data: &[u8]| {
    transcript::begin();
    let mut both = Both::new(data.first() == Some(&b'!'));
    for operation in operations(data) {
        both.execute(operation);
        both.check();
    }
    both.end();
});

/// The engine and the model, side by side.
struct Both {
    limits: Limits,
    engine: Engine<BuildHasherDefault<TwoHashes>>,
    model: Model,
    seats: Vec<Option<Sitting>>,
    connections: u64,
    now: u64,
}

/// The clock stops here, 292 years after the start.
const END_OF_TIME: u64 = 1 << 63;

/// There are only two hashes, so that much of what the index finds is another lock.
#[derive(Default)]
struct TwoHashes(u64);

impl Hasher for TwoHashes {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 ^= u64::from(byte & 1));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Who is connected now.
struct Sitting {
    connection: ConnectionKey,
    session: SessionKey,
    peer: Peer,
}

/// Records which reply went to whom.
#[derive(Default)]
struct Recorded(Vec<(ConnectionKey, Vec<u8>)>);

impl Replies for Recorded {
    fn push(&mut self, to: ConnectionKey, reply: &Reply<'_>) {
        let mut line = Vec::new();
        reply.encode(&mut line);
        assert_eq!(line.pop(), Some(b'\n'));
        self.0.push((to, line));
    }
}

impl Both {
    fn new(has_small_limits: bool) -> Self {
        let limits = if has_small_limits {
            Limits {
                connection_locks_max: 3,
                lock_waits_max: 4,
                reply_bytes_max: 100,
                closing_locks_max: 2,
                sessions_max: 0,
                turn_grants_max: 1,
                first_token: 1,
            }
        } else {
            Limits {
                connection_locks_max: 100,
                lock_waits_max: 100,
                reply_bytes_max: 1 << 20,
                closing_locks_max: 100,
                sessions_max: 0,
                turn_grants_max: 100,
                first_token: 1,
            }
        };
        let of_engine = EngineLimits {
            session_locks_max: limits.connection_locks_max,
            lock_waits_max: limits.lock_waits_max,
            closing_locks_max: limits.closing_locks_max,
            turn_grants_max: limits.turn_grants_max,
            turn_walk_max: 50_000,
            reply_bytes_max: limits.reply_bytes_max,
        };
        Both {
            limits,
            engine: Engine::with_hasher(of_engine, TokenBlock::all(), BuildHasherDefault::default()),
            model: Model::new(limits),
            seats: (0..SEATS).map(|_| None).collect(),
            connections: 0,
            now: 0,
        }
    }

    fn execute(&mut self, operation: Operation) {
        match operation {
            Operation::Connect(seat) => self.connect(seat),
            Operation::Request(seat, request) => {
                self.connect(seat);
                let replies = self.say(seat, &request.line());
                let expected = self.model.request(seat, &request, self.now);
                self.compare(replies, expected);
            }
            Operation::Disconnect(seat) => self.disconnect(seat),
            Operation::Label(seat, label) => {
                self.connect(seat);
                self.model.set_label(seat, &label);
                self.engine.set_client(self.sitting(seat).session, &label);
            }
            Operation::Pages { seat, prefix, limit, has_detail } => {
                self.connect(seat);
                self.go_through_pages(seat, prefix, limit, has_detail);
            }
            Operation::Pass(nanos) => self.now = self.now.saturating_add(nanos).min(END_OF_TIME),
            Operation::Naming { seat, mut request, of } => {
                self.connect(seat);
                let of = of.and_then(|of| self.seats[of].as_ref()).map(|sitting| sitting.peer.to_string());
                if let Ask::Revoke { connection, .. } | Ask::Transfer { to: connection, .. } = &mut request.ask {
                    *connection = of;
                }
                let replies = self.say(seat, &request.line());
                let expected = self.model.request(seat, &request, self.now);
                self.compare(replies, expected);
            }
            Operation::BeginTurn => {
                let mut replies = Recorded::default();
                let now = Moment::from_nanos(self.now);
                self.engine.begin_turn(now);
                self.engine.settle_left_over(now, &mut replies, || false);
                let expected = self.model.begin_turn(self.now);
                self.compare(replies, expected);
            }
            Operation::ExpireNext => self.expire(false),
            Operation::ExpireAll => self.expire(true),
            Operation::Notices(seat) => {
                self.connect(seat);
                self.model.set_notices(seat, true);
                self.engine.set_notices(self.sitting(seat).session, true);
            }
            Operation::ShutDown => {
                let mut replies = Recorded::default();
                self.engine.announce_shutdown(&mut replies);
                // In any order: they come from many requests. The order of the keys is that of the ids.
                let said = self.received(replies);
                let mut expected = self.model.shut_down();
                assert_eq!(said.len(), expected.len(), "everybody who waits with an id is told");
                for (seat, reply) in said {
                    let same = |other: &(Seat, String)| other.0 == seat && is_same(&other.1, &reply);
                    let found = expected.iter().position(same).expect("it is what the model says");
                    expected.swap_remove(found);
                }
            }
        }
    }

    fn connect(&mut self, seat: Seat) {
        if self.seats[seat].is_some() {
            return;
        }
        self.connections += 1;
        let number = u8::try_from(seat).expect("few seats");
        let peer = match seat % 3 {
            0 => Peer::V4 { ip: [10, 0, 0, number], port: 4000 },
            1 => Peer::Unix(self.connections),
            _ => Peer::V6 { ip: [number; 16], port: 4000 },
        };
        let connection = ConnectionKey::from_bits(self.connections << 32 | seat as u64);
        let session = self.engine.connect(connection, peer);
        self.seats[seat] = Some(Sitting { connection, session, peer });
        self.model.connect(seat, peer.to_string());
        transcript::record(self.now, &peer.to_string(), Event::Opened, b"");
    }

    fn disconnect(&mut self, seat: Seat) {
        let Some(Sitting { session, peer, connection }) = self.seats[seat].take() else { return };
        transcript::record(self.now, &peer.to_string(), Event::Closed, b"the script says so");
        let mut replies = Recorded::default();
        self.engine.disconnect(session, Moment::from_nanos(self.now), &mut replies);
        // Nobody is there any more to hear of what one owner of the connection leaves to another.
        replies.0.retain(|(to, _)| *to != connection);
        let expected = self.model.disconnect(seat, self.now);
        self.compare(replies, expected);
        let stats = self.engine.stats();
        let (held, waiting) = self.model.held_and_waiting();
        assert_eq!((stats.held, stats.waiting), (held as u64, waiting as u64), "what is left after a disconnect");
    }

    /// The next thing that is due happens, or all of it. While somebody is left over, all of it: the timeouts of those who
    /// are left over come to nothing, which is a step for the engine and none for the model.
    fn expire(&mut self, is_all: bool) {
        let is_all = is_all || self.model.has_left_over();
        let now = Moment::from_nanos(self.now);
        let mut replies = Recorded::default();
        let mut expected = Vec::new();
        while self.engine.expire_next(now, now, &mut replies) && is_all {}
        while let Some(said) = self.model.expire_next(self.now) {
            expected.extend(said);
            if !is_all {
                break;
            }
        }
        self.compare(replies, expected);
    }

    /// Sends a line to the engine.
    fn say(&mut self, seat: Seat, line: &str) -> Recorded {
        let Sitting { session, peer, connection: own } = *self.sitting(seat);
        transcript::record(self.now, &peer.to_string(), Event::Received, line.as_bytes());
        let request = parse(line.as_bytes()).expect("the model's requests are in order");
        let mut replies = Recorded::default();
        let (id, owner) = (request.id.as_ref().map(Id::as_ref), request.owner.as_ref().map(Id::as_ref));
        let (id, owner, now) = (id.as_ref(), owner.as_ref(), Moment::from_nanos(self.now));
        let context = Context { session, id, owner, is_verbatim: false, now };
        match &request.command {
            Command::Locks(operation) => self.engine.request(operation, &context, &mut replies),
            Command::Transfer(transfer) => {
                let to = transfer.to.as_ref().map(|name| name.parse().ok());
                self.engine.transfer(transfer, to, &context, &mut replies);
            }
            Command::Revoke(revocation) => {
                let connection = revocation.connection.as_ref().map(|name| name.parse().ok());
                let outcome = self.engine.revoke(revocation, connection, context.now, &mut replies);
                replies.push(own, &Reply { id: context.id, owner: context.owner, outcome });
            }
            other => panic!("no request for the engine: {other:?}"),
        }
        replies
    }

    /// The replies as values, each with its receiver.
    fn received(&self, replies: Recorded) -> Said {
        let mut said = Vec::new();
        for (connection, line) in replies.0 {
            let is_it = |sitting: &&Sitting| sitting.connection == connection;
            let seat = self.seats.iter().position(|sitting| sitting.as_ref().filter(is_it).is_some());
            let seat = seat.expect("a reply goes to somebody who is there");
            transcript::record(self.now, &self.sitting(seat).peer.to_string(), Event::Sent, &line);
            said.push((seat, String::from_utf8(line).expect("a reply is UTF-8")));
        }
        said
    }

    /// Everybody has received the expected replies, in order.
    fn compare(&self, replies: Recorded, mut expected: Said) {
        let mut said = self.received(replies);
        // Stable: only the order of each receiver's own counts.
        said.sort_by_key(|(seat, _)| *seat);
        expected.sort_by_key(|(seat, _)| *seat);
        let is_as_expected = said.len() == expected.len()
            && said.iter().zip(&expected).all(|(one, other)| one.0 == other.0 && is_same(&one.1, &other.1));
        assert!(is_as_expected, "said was {said:#?}, and should have been {expected:#?}");
    }

    /// Each of the locks is listed exactly once.
    fn go_through_pages(&mut self, seat: Seat, prefix: &str, limit: usize, has_detail: bool) {
        let expected = self.model.pages(prefix, has_detail, self.now).into_iter();
        let expected: Map<String, Value> = expected
            .map(|(name, value)| (name, serde_json::from_str(&value).expect("the model writes JSON")))
            .collect();
        let mut listed = Map::new();
        let mut after = None;
        loop {
            let request = json!({
                "command": "locks", "prefix": prefix, "limit": limit, "detail": has_detail, "after": after, "id": 1
            });
            let said = self.say(seat, &request.to_string());
            let (_, reply) = self.received(said).pop().expect("an answer");
            let reply: Value = serde_json::from_str(&reply).expect("a reply is well-formed");
            assert_eq!(reply["id"], 1);
            if reply["result"] == "error" {
                let bytes_max = self.limits.reply_bytes_max;
                assert_eq!(reply["reason"], "reply_too_large");
                assert!(Value::Object(expected).to_string().len() > bytes_max, "there is room for all of it");
                return;
            }
            assert_eq!(reply["result"], "locks");
            let page = reply["value"].as_object().expect("a page is an object");
            assert!(page.len() <= limit, "a page keeps to its limit");
            for (name, value) in page {
                assert_eq!(listed.insert(name.clone(), value.clone()), None, "{name:?} is listed twice");
            }
            match &reply["next"] {
                Value::Null => break,
                next => assert_ne!(Some(next), after.replace(next.clone()).as_ref(), "the pages stand still"),
            }
        }
        assert_eq!(Value::Object(listed), Value::Object(expected), "the pages together");
    }

    fn check(&self) {
        self.engine.check_all();
        let stats = self.engine.stats();
        let counts = self.model.counts;
        assert_eq!(
            (stats.acquires, stats.releases, stats.timeouts, stats.queue_maxed),
            (counts.acquires, counts.releases, counts.timeouts, counts.queue_maxed),
            "the counters"
        );
        let (held, waiting) = self.model.held_and_waiting();
        assert_eq!((stats.held, stats.waiting), (held as u64, waiting as u64), "the gauges");
        let (next, due) = (self.engine.next_deadline().map(Moment::as_nanos), self.model.next_due());
        let is_early = next.is_some_and(|next| due.is_none_or(|due| next < due));
        assert!(next == due || (self.model.has_left_over() && is_early), "the next deadline: {next:?}, not {due:?}");
    }

    /// All disconnect, and nothing is left.
    fn end(&mut self) {
        for seat in 0..SEATS {
            self.disconnect(seat);
            self.check();
        }
        // What is left may be closed for a day, and the clock may have stopped.
        self.now = self.now.saturating_add(100_000_000_000_000);
        self.expire(true);
        self.execute(Operation::BeginTurn);
        assert!(self.engine.is_empty() && self.model.is_empty());
    }

    fn sitting(&self, seat: Seat) -> &Sitting {
        self.seats[seat].as_ref().expect("the client is connected")
    }
}
