//! Who gets which lock, and what is answered, as the protocol has it: lists, searched from end to end.
//!
//! It takes requests in its own form and gives replies as text, so it can stand beside whatever speaks the protocol: the
//! engine, or a server behind sockets. It is written to be believed by reading it, and shares nothing with what it judges.

use serde_json::Value;

use crate::sizes::{Id, Span, Whole, quoted};

/// A client's number, chosen by whoever uses the model.
pub type Seat = usize;

/// Replies without their `\n`, each with its receiver. The order counts for each receiver by itself.
pub type Said = Vec<(Seat, String)>;

/// The limits of the protocol.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connection_locks_max: usize,
    pub lock_waits_max: usize,
    pub reply_bytes_max: usize,
}

/// A request. [`Request::line`] is what a client would send.
#[derive(Clone, Debug)]
pub struct Request {
    pub ask: Ask,
    pub id: Option<Id>,
}

/// What is asked.
#[derive(Clone, Debug)]
pub enum Ask {
    Lock {
        name: String,
        timeout: Option<Span>,
        queue_max: Option<Whole>,
    },
    Unlock {
        name: String,
    },
    Reset,
    Locks,
    /// A page that has room for all locks.
    Page {
        prefix: String,
        has_detail: bool,
    },
    Connections,
    MyLocks,
    KeepAlive,
    Ping,
}

impl Request {
    /// The line, without its `\n`.
    pub fn line(&self) -> String {
        let mut line = match &self.ask {
            Ask::Lock { name, timeout, queue_max } => {
                let mut line = format!(r#"{{"command":"lock","name":{}"#, quoted(name));
                if let Some(timeout) = timeout {
                    line += &format!(r#","timeout":{}"#, timeout.written);
                }
                if let Some(queue_max) = queue_max {
                    line += &format!(r#","queue_max":{}"#, queue_max.written);
                }
                line
            }
            Ask::Unlock { name } => format!(r#"{{"command":"unlock","name":{}"#, quoted(name)),
            Ask::Page { prefix, has_detail } => {
                format!(r#"{{"command":"locks","prefix":{},"detail":{has_detail}"#, quoted(prefix))
            }
            Ask::Reset => r#"{"command":"reset""#.to_owned(),
            Ask::Locks => r#"{"command":"locks""#.to_owned(),
            Ask::Connections => r#"{"command":"connections""#.to_owned(),
            Ask::MyLocks => r#"{"command":"my_locks""#.to_owned(),
            Ask::KeepAlive => r#"{"command":"keep_alive""#.to_owned(),
            Ask::Ping => r#"{"command":"ping""#.to_owned(),
        };
        if let Some(id) = &self.id {
            line += &format!(r#","id":{}"#, id.written);
        }
        line + "}"
    }
}

/// All there is.
#[derive(Clone, Debug)]
pub struct Model {
    limits: Limits,
    clients: Vec<Client>,
    locks: Vec<Lock>,
    timeouts_set: u64,
    pub counts: Counts,
}

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    pub acquires: u64,
    pub releases: u64,
    pub timeouts: u64,
    pub queue_maxed: u64,
}

#[derive(Clone, Debug)]
struct Client {
    seat: Seat,
    /// As replies and listings show it.
    connection: String,
    /// What it calls itself.
    label: String,
    /// The names that it holds or waits for, in the order in which it asked.
    names: Vec<String>,
}

/// A lock that somebody holds. There are no others in the list.
#[derive(Clone, Debug)]
struct Lock {
    name: String,
    holder: Seat,
    held_since: u64,
    waiters: Vec<Waiter>,
}

#[derive(Clone, Debug)]
struct Waiter {
    seat: Seat,
    id: Option<String>,
    since: u64,
    /// When its time is up. The second number orders those of the same moment.
    until: Option<(u64, u64)>,
}

impl Model {
    pub fn new(limits: Limits) -> Self {
        Model { limits, clients: Vec::new(), locks: Vec::new(), timeouts_set: 0, counts: Counts::default() }
    }

    pub fn is_connected(&self, seat: Seat) -> bool {
        self.clients.iter().any(|client| client.seat == seat)
    }

    pub fn connect(&mut self, seat: Seat, connection: String) {
        assert!(!self.is_connected(seat));
        self.clients.push(Client { seat, connection, label: String::new(), names: Vec::new() });
    }

    /// What the client calls itself.
    pub fn set_label(&mut self, seat: Seat, label: &str) {
        self.client(seat).label = label.to_owned();
    }

    /// A client sends a request.
    pub fn request(&mut self, seat: Seat, request: &Request, now: u64) -> Said {
        let mut said = Vec::new();
        let id = request.id.as_ref().map(|id| id.returned.as_str());
        let answer = match &request.ask {
            Ask::Lock { name, timeout, queue_max } => {
                let timeout = timeout.as_ref().map(|timeout| timeout.nanos);
                let queue_max = queue_max.as_ref().map(|queue_max| queue_max.value);
                self.lock(seat, name, timeout, queue_max, id, now, &mut said)
            }
            Ask::Unlock { name } if self.client(seat).names.contains(name) => {
                self.give_up(seat, name, now, &mut said);
                Some(named(name, "released"))
            }
            Ask::Unlock { name } => Some(named(name, "release_failed")),
            Ask::Reset => {
                for name in self.client(seat).names.clone() {
                    self.give_up(seat, &name, now, &mut said);
                }
                Some(result("reset_succeeded"))
            }
            Ask::Locks => Some(self.listing("locks", &object(self.pages("", false, now)))),
            Ask::Page { prefix, has_detail } => {
                Some(self.listing("locks", &object(self.pages(prefix, *has_detail, now))))
            }
            Ask::Connections => Some(self.listing("connections", &self.value_of_connections())),
            Ask::MyLocks => {
                let names = array(&self.client(seat).names);
                Some(self.listing("my_locks", &names))
            }
            Ask::KeepAlive => id.map(|_| result("kept_alive")),
            Ask::Ping => Some(result("pong")),
        };
        said.extend(answer.map(|answer| (seat, with_id(answer, id))));
        said
    }

    /// A client goes. Its waits end without a word.
    pub fn disconnect(&mut self, seat: Seat, now: u64) -> Said {
        let mut said = Vec::new();
        for name in self.client(seat).names.clone() {
            self.leave(seat, &name, now, &mut said);
        }
        self.clients.retain(|client| client.seat != seat);
        said
    }

    /// When the next wait times out.
    pub fn next_timeout(&self) -> Option<u64> {
        self.locks.iter().flat_map(|lock| &lock.waiters).filter_map(|waiter| waiter.until).min().map(|(at, _)| at)
    }

    /// The wait that times out next does so, if its time is up.
    pub fn time_out_next(&mut self, now: u64) -> Option<Said> {
        let waits = self.locks.iter().flat_map(|lock| lock.waiters.iter().map(|waiter| (lock.name.clone(), waiter)));
        let timed = waits.filter_map(|(name, waiter)| Some((waiter.until?, name, waiter.seat)));
        let ((at, _), name, seat) = timed.min()?;
        (at <= now).then(|| {
            let mut said = Vec::new();
            self.time_out(seat, &name, now, &mut said);
            said
        })
    }

    /// What those who wait with an id are told when the server ends.
    pub fn shut_down(&self) -> Said {
        let mut said = Vec::new();
        for lock in &self.locks {
            for waiter in lock.waiters.iter().filter(|waiter| waiter.id.is_some()) {
                let answer = error("shutting_down", Some(&lock.name));
                said.push((waiter.seat, with_id(answer, waiter.id.as_deref())));
            }
        }
        said
    }

    /// How many locks are held now, and how many waits there are.
    pub fn held_and_waiting(&self) -> (usize, usize) {
        (self.locks.len(), self.locks.iter().map(|lock| lock.waiters.len()).sum())
    }

    /// The locks whose names begin with `prefix` and what a listing shows of each, in whatever order.
    pub fn pages(&self, prefix: &str, has_detail: bool, now: u64) -> Vec<(String, String)> {
        let named = self.locks.iter().filter(|lock| lock.name.starts_with(prefix));
        let shown = |lock: &Lock| if has_detail { self.detail(lock, now) } else { array(&self.queue(&lock.name)) };
        named.map(|lock| (lock.name.clone(), shown(lock))).collect()
    }

    /// What a client calls itself, the locks that it holds or waits for, and how many of them it holds.
    pub fn of_connection(&self, seat: Seat) -> (&str, &[String], usize) {
        let client = self.shown(seat);
        let holds = self.locks.iter().filter(|lock| lock.holder == seat).count();
        (&client.label, &client.names, holds)
    }

    /// Everything that the future depends on, as text: who is on which lock in which order, how long each may still
    /// wait, and whose timeouts come first. Two models with the same text answer alike from here on, but for the times
    /// in details.
    pub fn state(&self, now: u64) -> String {
        let mut timed: Vec<(u64, u64)> =
            self.locks.iter().flat_map(|lock| &lock.waiters).filter_map(|waiter| waiter.until).collect();
        timed.sort_unstable();
        let left = |waiter: &Waiter| {
            let until = waiter.until?;
            let place = timed.iter().position(|other| *other == until)?;
            Some((until.0.saturating_sub(now), place))
        };
        let mut locks: Vec<_> = self.locks.iter().collect();
        locks.sort_by_key(|lock| &lock.name);
        let of_lock = |lock: &&Lock| {
            let waiters: Vec<_> = lock.waiters.iter().map(|waiter| (waiter.seat, &waiter.id, left(waiter))).collect();
            format!("{} {} {waiters:?}", lock.name, lock.holder)
        };
        let mut clients: Vec<_> = self.clients.iter().map(|client| (client.seat, &client.names)).collect();
        clients.sort_unstable();
        format!("{:?} {clients:?}", locks.iter().map(of_lock).collect::<Vec<_>>())
    }

    #[expect(clippy::too_many_arguments, reason = "they are the fields of the request")]
    fn lock(
        &mut self,
        seat: Seat,
        name: &str,
        timeout: Option<u64>,
        queue_max: Option<u128>,
        id: Option<&str>,
        now: u64,
        said: &mut Said,
    ) -> Option<String> {
        let waits_max = self.limits.lock_waits_max;
        let locks_max = self.limits.connection_locks_max;
        let order = self.timeouts_set;
        let until = timeout.map(|timeout| (now.saturating_add(timeout), order));
        let has_too_many = self.client(seat).names.len() >= locks_max;
        let queue = self.queue(name);

        let Some(lock) = self.locks.iter_mut().find(|lock| lock.name == name) else {
            if has_too_many {
                return Some(error("too_many_locks", Some(name)));
            }
            self.locks.push(Lock { name: name.to_owned(), holder: seat, held_since: now, waiters: Vec::new() });
            self.client(seat).names.push(name.to_owned());
            self.counts.acquires += 1;
            return Some(named(name, "acquired"));
        };
        if lock.holder == seat {
            return Some(named(name, "already_acquired"));
        }
        if let Some(waiter) = lock.waiters.iter_mut().find(|waiter| waiter.seat == seat) {
            if id.is_some() {
                return Some(error("already_queued", Some(name)));
            }
            if waiter.until.is_none() && until.is_some() {
                waiter.until = until;
                self.timeouts_set += 1;
                if timeout == Some(0) {
                    self.time_out(seat, name, now, said);
                }
            }
            return None;
        }
        if has_too_many {
            return Some(error("too_many_locks", Some(name)));
        }
        if queue_max.is_some_and(|queue_max| queue.len() as u128 >= queue_max) {
            self.counts.queue_maxed += 1;
            return Some(queued(name, "queue_maxed", &queue));
        }
        if timeout == Some(0) {
            self.counts.timeouts += 1;
            return Some(queued(name, "timed_out", &queue));
        }
        if lock.waiters.len() >= waits_max {
            return Some(error("too_many_waits", Some(name)));
        }
        lock.waiters.push(Waiter { seat, id: id.map(str::to_owned), since: now, until });
        self.timeouts_set += 1;
        self.client(seat).names.push(name.to_owned());
        None
    }

    /// A client itself gives a lock up, or its wait for it.
    fn give_up(&mut self, seat: Seat, name: &str, now: u64, said: &mut Said) {
        let lock = self.locks.iter().find(|lock| lock.name == name).expect("it holds it or waits for it");
        let wait = lock.waiters.iter().find(|waiter| waiter.seat == seat);
        if let Some(id) = wait.and_then(|wait| wait.id.as_deref()) {
            said.push((seat, with_id(named(name, "cancelled"), Some(id))));
        }
        self.leave(seat, name, now, said);
    }

    fn time_out(&mut self, seat: Seat, name: &str, now: u64, said: &mut Said) {
        let lock = self.locks.iter().find(|lock| lock.name == name).expect("it waits for it");
        let wait = lock.waiters.iter().find(|waiter| waiter.seat == seat).expect("it waits for it");
        let id = wait.id.clone();
        self.leave(seat, name, now, said);
        self.counts.timeouts += 1;
        let answer = queued(name, "timed_out", &self.queue(name));
        said.push((seat, with_id(answer, id.as_deref())));
    }

    /// A client is no longer on a lock, for whatever reason. If it held it, the next one does.
    fn leave(&mut self, seat: Seat, name: &str, now: u64, said: &mut Said) {
        self.client(seat).names.retain(|on| on != name);
        let index = self.locks.iter().position(|lock| lock.name == name).expect("it holds it or waits for it");
        let lock = &mut self.locks[index];
        if lock.holder != seat {
            lock.waiters.retain(|waiter| waiter.seat != seat);
            return;
        }
        self.counts.releases += 1;
        if lock.waiters.is_empty() {
            self.locks.remove(index);
            return;
        }
        let next = lock.waiters.remove(0);
        (lock.holder, lock.held_since) = (next.seat, now);
        self.counts.acquires += 1;
        said.push((next.seat, with_id(named(name, "acquired"), next.id.as_deref())));
    }

    fn client(&mut self, seat: Seat) -> &mut Client {
        self.clients.iter_mut().find(|client| client.seat == seat).expect("the client is connected")
    }

    fn shown(&self, seat: Seat) -> &Client {
        self.clients.iter().find(|client| client.seat == seat).expect("the client is connected")
    }

    /// The connections on a lock, the holder first.
    fn queue(&self, name: &str) -> Vec<String> {
        let lock = self.locks.iter().find(|lock| lock.name == name);
        let on = |lock: &Lock| [lock.holder].into_iter().chain(lock.waiters.iter().map(|waiter| waiter.seat)).collect();
        let seats: Vec<Seat> = lock.map(on).unwrap_or_default();
        seats.into_iter().map(|seat| self.shown(seat).connection.clone()).collect()
    }

    fn value_of_connections(&self) -> String {
        let busy = self.clients.iter().filter(|client| !client.names.is_empty());
        object(busy.map(|client| (client.connection.clone(), array(&client.names))).collect())
    }

    fn listing(&self, result: &str, value: &str) -> String {
        if value.len() > self.limits.reply_bytes_max {
            return error("reply_too_large", None);
        }
        format!(r#"{{"result":"{result}","value":{value}}}"#)
    }

    fn detail(&self, lock: &Lock, now: u64) -> String {
        let place = |seat, what: &str, since: u64| {
            let client = self.shown(seat);
            let label = match client.label.as_str() {
                "" => String::new(),
                label => format!(r#""client":{},"#, quoted(label)),
            };
            let (connection, time) = (quoted(&client.connection), seconds(now - since));
            format!(r#"{{"connection":{connection},{label}"mode":"exclusive","{what}":{time}}}"#)
        };
        let waiters: Vec<String> =
            lock.waiters.iter().map(|waiter| place(waiter.seat, "waited_for", waiter.since)).collect();
        let holder = place(lock.holder, "held_for", lock.held_since);
        format!(r#"{{"holders":[{holder}],"waiters":[{}],"waiting":{}}}"#, waiters.join(","), waiters.len())
    }
}

/// Down to milliseconds; whole ones are whole numbers.
pub fn seconds(nanos: u64) -> String {
    let milliseconds = nanos / 1_000_000;
    match milliseconds % 1000 {
        0 => format!("{}", milliseconds / 1000),
        part => format!("{}.{part:03}", milliseconds / 1000),
    }
}

fn result(result: &str) -> String {
    format!(r#"{{"result":"{result}"}}"#)
}

fn named(name: &str, result: &str) -> String {
    format!(r#"{{"name":{},"result":"{result}"}}"#, quoted(name))
}

fn queued(name: &str, result: &str, queue: &[String]) -> String {
    format!(r#"{{"name":{},"result":"{result}","queue":{}}}"#, quoted(name), array(queue))
}

/// An error, as it stands on the wire, but for its wording: that is for people, and no rule.
pub fn error(reason: &str, name: Option<&str>) -> String {
    let name = name.map_or(String::new(), |name| format!(r#","name":{}"#, quoted(name)));
    format!(r#"{{"result":"error","reason":"{reason}","message":"{WORDING}"{name}}}"#)
}

/// What stands for the wording of any error.
pub const WORDING: &str = "in whatever words";

/// The same reply with the request's id.
pub fn with_id(mut reply: String, id: Option<&str>) -> String {
    if let Some(id) = id {
        reply.truncate(reply.len() - 1);
        reply += &format!(r#","id":{id}}}"#);
    }
    reply
}

pub fn array(texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", quoted.join(","))
}

pub fn object(entries: Vec<(String, String)>) -> String {
    let entries: Vec<String> = entries.iter().map(|(key, value)| format!("{}:{value}", quoted(key))).collect();
    format!("{{{}}}", entries.join(","))
}

/// Whether two replies say the same. The order of keys means nothing, nor that of names in some lists; messages are for
/// people.
pub fn is_same(one: &str, other: &str) -> bool {
    let read = |reply: &str| serde_json::from_str(reply).ok().map(comparable);
    one == other || (read(one).is_some() && read(one) == read(other))
}

/// A reply in the form in which two can be compared: without the message, and with the lists that have no order sorted.
fn comparable(mut reply: Value) -> Value {
    let fields = reply.as_object_mut().expect("a reply is an object");
    if let Some(message) = fields.remove("message") {
        assert!(message.as_str().is_some_and(|message| !message.is_empty()), "a message for people");
    }
    match (fields.get("result").and_then(Value::as_str).map(str::to_owned).as_deref(), fields.get_mut("value")) {
        (Some("my_locks"), Some(value)) => sort(value),
        (Some("connections"), Some(Value::Object(connections))) => {
            connections.values_mut().filter(|row| row.is_array()).for_each(sort)
        }
        _ => {}
    }
    reply
}

fn sort(names: &mut Value) {
    let names = names.as_array_mut().expect("a list of names");
    names.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
}
