//! Who gets which lock, and what is answered, as the protocol has it: lists, searched from end to end.
//!
//! It takes requests in its own form and gives replies as JSON values, so it can stand beside whatever speaks the
//! protocol: the engine, or a server behind sockets.

use serde_json::{Map, Value, json};

/// A client's number, chosen by whoever uses the model.
pub type Seat = usize;

/// Replies, each with its receiver. The order counts for each receiver by itself.
pub type Said = Vec<(Seat, Value)>;

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
    pub id: Option<Value>,
}

/// What is asked.
#[derive(Clone, Debug)]
pub enum Ask {
    Lock { name: String, timeout: Option<Timeout>, queue_max: Option<u64> },
    Unlock { name: String },
    Reset,
    Locks,
    Connections,
    MyLocks,
    KeepAlive,
    Ping,
}

/// A timeout in seconds as it is written, and how long that is.
#[derive(Clone, Copy, Debug)]
pub struct Timeout {
    pub written: &'static str,
    pub nanos: u64,
}

impl Request {
    /// The line, without its `\n`.
    pub fn line(&self) -> String {
        let mut fields = Map::new();
        let command = match &self.ask {
            Ask::Lock { name, timeout, queue_max } => {
                fields.insert("name".into(), json!(name));
                if let Some(timeout) = timeout {
                    let seconds = serde_json::from_str(timeout.written).expect("a timeout is written as JSON");
                    fields.insert("timeout".into(), seconds);
                }
                if let Some(queue_max) = queue_max {
                    fields.insert("queue_max".into(), json!(queue_max));
                }
                "lock"
            }
            Ask::Unlock { name } => {
                fields.insert("name".into(), json!(name));
                "unlock"
            }
            Ask::Reset => "reset",
            Ask::Locks => "locks",
            Ask::Connections => "connections",
            Ask::MyLocks => "my_locks",
            Ask::KeepAlive => "keep_alive",
            Ask::Ping => "ping",
        };
        fields.insert("command".into(), json!(command));
        if let Some(id) = &self.id {
            fields.insert("id".into(), id.clone());
        }
        Value::Object(fields).to_string()
    }
}

/// All there is.
#[derive(Debug)]
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

#[derive(Debug)]
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
#[derive(Debug)]
struct Lock {
    name: String,
    holder: Seat,
    held_since: u64,
    waiters: Vec<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    seat: Seat,
    id: Option<Value>,
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
        let id = request.id.as_ref();
        let answer = match &request.ask {
            Ask::Lock { name, timeout, queue_max } => {
                self.lock(seat, name, timeout.map(|timeout| timeout.nanos), *queue_max, id, now, &mut said)
            }
            Ask::Unlock { name } if self.client(seat).names.contains(name) => {
                self.give_up(seat, name, now, &mut said);
                Some(json!({"result": "released", "name": name}))
            }
            Ask::Unlock { name } => Some(json!({"result": "release_failed", "name": name})),
            Ask::Reset => {
                for name in self.client(seat).names.clone() {
                    self.give_up(seat, &name, now, &mut said);
                }
                Some(json!({"result": "reset_succeeded"}))
            }
            Ask::Locks => Some(self.listing("locks", self.value_of_locks())),
            Ask::Connections => Some(self.listing("connections", self.value_of_connections())),
            Ask::MyLocks => {
                let names = json!(self.client(seat).names);
                Some(self.listing("my_locks", names))
            }
            Ask::KeepAlive => id.map(|_| json!({"result": "kept_alive"})),
            Ask::Ping => Some(json!({"result": "pong"})),
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
                said.push((waiter.seat, with_id(error("shutting_down", Some(&lock.name)), waiter.id.as_ref())));
            }
        }
        said
    }

    /// How many locks are held now, and how many waits there are.
    pub fn held_and_waiting(&self) -> (usize, usize) {
        (self.locks.len(), self.locks.iter().map(|lock| lock.waiters.len()).sum())
    }

    /// The locks whose names begin with `prefix`, as the pages of `locks` show them.
    pub fn pages(&self, prefix: &str, has_detail: bool, now: u64) -> Map<String, Value> {
        let named = self.locks.iter().filter(|lock| lock.name.starts_with(prefix));
        let shown = |lock: &Lock| if has_detail { self.detail(lock, now) } else { json!(self.queue(&lock.name)) };
        named.map(|lock| (lock.name.clone(), shown(lock))).collect()
    }

    pub fn limits(&self) -> Limits {
        self.limits
    }

    #[expect(clippy::too_many_arguments, reason = "they are the fields of the request")]
    fn lock(
        &mut self,
        seat: Seat,
        name: &str,
        timeout: Option<u64>,
        queue_max: Option<u64>,
        id: Option<&Value>,
        now: u64,
        said: &mut Said,
    ) -> Option<Value> {
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
            return Some(json!({"result": "acquired", "name": name}));
        };
        if lock.holder == seat {
            return Some(json!({"result": "already_acquired", "name": name}));
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
        if queue_max.is_some_and(|queue_max| queue.len() as u64 >= queue_max) {
            self.counts.queue_maxed += 1;
            return Some(json!({"result": "queue_maxed", "name": name, "queue": queue}));
        }
        if timeout == Some(0) {
            self.counts.timeouts += 1;
            return Some(json!({"result": "timed_out", "name": name, "queue": queue}));
        }
        if lock.waiters.len() >= waits_max {
            return Some(error("too_many_waits", Some(name)));
        }
        lock.waiters.push(Waiter { seat, id: id.cloned(), since: now, until });
        self.timeouts_set += 1;
        self.client(seat).names.push(name.to_owned());
        None
    }

    /// A client itself gives a lock up, or its wait for it.
    fn give_up(&mut self, seat: Seat, name: &str, now: u64, said: &mut Said) {
        let lock = self.locks.iter().find(|lock| lock.name == name).expect("it holds it or waits for it");
        let wait = lock.waiters.iter().find(|waiter| waiter.seat == seat);
        if let Some(id) = wait.and_then(|wait| wait.id.as_ref()) {
            said.push((seat, with_id(json!({"result": "cancelled", "name": name}), Some(id))));
        }
        self.leave(seat, name, now, said);
    }

    fn time_out(&mut self, seat: Seat, name: &str, now: u64, said: &mut Said) {
        let lock = self.locks.iter().find(|lock| lock.name == name).expect("it waits for it");
        let wait = lock.waiters.iter().find(|waiter| waiter.seat == seat).expect("it waits for it");
        let id = wait.id.clone();
        self.leave(seat, name, now, said);
        self.counts.timeouts += 1;
        let answer = json!({"result": "timed_out", "name": name, "queue": self.queue(name)});
        said.push((seat, with_id(answer, id.as_ref())));
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
        said.push((next.seat, with_id(json!({"result": "acquired", "name": name}), next.id.as_ref())));
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

    fn value_of_locks(&self) -> Value {
        Value::Object(self.pages("", false, 0))
    }

    fn value_of_connections(&self) -> Value {
        let busy = self.clients.iter().filter(|client| !client.names.is_empty());
        Value::Object(busy.map(|client| (client.connection.clone(), json!(client.names))).collect())
    }

    fn listing(&self, result: &str, value: Value) -> Value {
        if value.to_string().len() > self.limits.reply_bytes_max {
            return error("reply_too_large", None);
        }
        json!({"result": result, "value": value})
    }

    fn detail(&self, lock: &Lock, now: u64) -> Value {
        let place = |seat, what: &str, since: u64| {
            let client = self.shown(seat);
            let mut place = json!({"connection": client.connection, "mode": "exclusive", what: seconds(now - since)});
            if !client.label.is_empty() {
                place["client"] = json!(client.label);
            }
            place
        };
        let waiters: Vec<Value> =
            lock.waiters.iter().map(|waiter| place(waiter.seat, "waited_for", waiter.since)).collect();
        json!({
            "holders": [place(lock.holder, "held_for", lock.held_since)],
            "waiting": waiters.len(),
            "waiters": waiters,
        })
    }
}

/// Down to milliseconds; whole ones are whole numbers.
fn seconds(nanos: u64) -> Value {
    let milliseconds = nanos / 1_000_000;
    match milliseconds % 1000 {
        0 => json!(milliseconds / 1000),
        part => serde_json::from_str(&format!("{}.{part:03}", milliseconds / 1000)).expect("a number"),
    }
}

/// An error, without its message: that is for people.
fn error(reason: &str, name: Option<&str>) -> Value {
    let mut error = json!({"result": "error", "reason": reason});
    if let Some(name) = name {
        error["name"] = json!(name);
    }
    error
}

fn with_id(mut reply: Value, id: Option<&Value>) -> Value {
    if let Some(id) = id {
        reply["id"] = id.clone();
    }
    reply
}

/// A reply in the form in which two can be compared: without the message, and with the lists that have no order sorted.
pub fn comparable(mut reply: Value) -> Value {
    let fields = reply.as_object_mut().expect("a reply is an object");
    if let Some(message) = fields.remove("message") {
        assert!(message.as_str().is_some_and(|message| !message.is_empty()), "a message for people");
    }
    match (fields.get("result").and_then(Value::as_str).map(str::to_owned).as_deref(), fields.get_mut("value")) {
        (Some("my_locks"), Some(value)) => sort(value),
        (Some("connections"), Some(Value::Object(connections))) => connections.values_mut().for_each(sort),
        _ => {}
    }
    reply
}

fn sort(names: &mut Value) {
    let names = names.as_array_mut().expect("a list of names");
    names.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
}
