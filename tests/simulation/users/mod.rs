//! Users and their rights in small worlds of their own: who somebody is, what it may do and see, and how much. Each request
//! is answered before the next comes; what happens at once is the matter of the other worlds.

mod draw;
#[expect(unreachable_pub, reason = "the fuzzers have it too, in another crate")]
mod leak;
mod model;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use fastrand::Rng;
use officer::server::{Credentials, Handshake, Limits};
use officer::wire::peer::Peer;
use serde_json::{Value, json};

use self::draw::{Act, CLOSING_LOCKS_MAX, File, Place, SEATS, STRANGERS_MAX, uid};
pub(crate) use self::draw::{digest, secret};
use self::model::{Model, Who};
use crate::memory::Wire;
use crate::run::Failure;
use crate::small_world::{Client, Received, World};

const STEPS: usize = 400;
/// As long as anything that is told apart by time.
const MOMENT: Duration = Duration::from_nanos(1);
/// One seed in this many has a world with users besides.
pub(crate) const SHARE: u64 = 8;

struct Run {
    world: World,
    model: Model,
    clients: [Option<Client>; SEATS],
    /// The secrets of all sessions so far.
    secrets: Vec<String>,
    peers: u16,
    said: Vec<String>,
    /// What has become of the locks is left open, so that this is the end.
    is_undecided: bool,
}

/// Runs the world with users of a seed. `check_all`: whether the server checks itself after every turn.
pub(crate) fn run_seed(seed: u64, check_all: bool) -> Result<(), Failure> {
    let mut step = 0;
    let mut said = Vec::new();
    let result = catch_unwind(AssertUnwindSafe(|| {
        let random = &mut Rng::with_seed(seed);
        let mut run = Run::new(File::draw(random));
        run.world.check_all = check_all;
        while step < STEPS && !run.is_undecided {
            if let Err(message) = run.step(random) {
                said = std::mem::take(&mut run.said);
                said.push(format!("{:?}", run.model));
                // Whoever contradicts the model may contradict itself when it goes.
                std::mem::forget(run);
                return Err(message);
            }
            step += 1;
        }
        Ok(())
    }));
    match result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(message)) => Err(Failure { message, is_own_assertion: false, step, transcript: said }),
        Err(_) => Err(Failure { message: "a panic".to_owned(), is_own_assertion: true, step, transcript: said }),
    }
}

impl Run {
    fn new(file: File) -> Self {
        let limits = Limits {
            max_idle: None,
            closing_locks_max: CLOSING_LOCKS_MAX,
            strangers_max: STRANGERS_MAX,
            ..Limits::default()
        };
        let mut world = World::with_limits(limits);
        world.set_users(&file.text());
        let said = vec![file.text()];
        let (clients, secrets) = ([None; SEATS], Vec::new());
        Run { world, model: Model::new(file), clients, secrets, peers: 0, said, is_undecided: false }
    }

    fn step(&mut self, random: &mut Rng) -> Result<(), String> {
        let (seat, act) = (random.usize(..SEATS), Act::draw(random));
        let mut ends_many = false;
        let successions = self.model.successions();
        let received = match act {
            Act::Pass(time) => {
                self.model.pass(time);
                self.world.pass(time)
            }
            Act::Reload => {
                let file = self.model.file.redraw(random);
                for seat in self.model.contested(&file) {
                    self.model.lose(seat);
                    self.world.vanish(self.clients[seat].expect("it is connected"));
                }
                self.said.push(file.text());
                ends_many = true;
                let received = self.world.set_users(&file.text());
                self.model.reload(file);
                received
            }
            Act::Connect(place, user, has_handshake) => {
                if self.model.is_here(seat) {
                    return Ok(());
                }
                self.connect(seat, place, user, has_handshake)
            }
            Act::Vanish if self.model.is_here(seat) => {
                self.model.lose(seat);
                self.world.vanish(self.clients[seat].expect("it is connected"))
            }
            Act::Shake { is_done } => {
                if !self.model.shake(seat, is_done) {
                    return Ok(());
                }
                let handshake = if is_done { Handshake::Done } else { Handshake::Waiting };
                self.said.push(format!("{seat} shakes hands: {handshake:?}"));
                self.world.put_handshake(self.clients[seat].expect("it is connected"), handshake);
                self.world.step()
            }
            _ if !self.model.can_speak(seat) => return Ok(()),
            _ => {
                ends_many = matches!(act, Act::KickUser(_));
                let id = self.said.len();
                let Some(lines) = self.lines(seat, &act, id) else { return Ok(()) };
                self.said.push(format!("{seat} {lines}"));
                assert!(self.model.act(seat, &act, id), "it is a request");
                let received = self.world.send(self.clients[seat].expect("it is connected"), lines.as_bytes());
                self.note_session(seat, &received);
                received
            }
        };
        self.is_undecided = ends_many && self.model.has_one_that_ended(&successions);
        if self.is_undecided { Ok(()) } else { self.compare(&received, &act, seat, ends_many) }
    }

    fn connect(&mut self, seat: usize, place: Place, user: Option<usize>, has_handshake: bool) -> Vec<Received> {
        self.peers += 1;
        // No two come at the same moment.
        self.model.pass(MOMENT);
        let mut received = self.world.pass(MOMENT);
        let (peer, uid) = match place {
            Place::Unix => (Peer::Unix(self.peers.into()), Some(uid(user))),
            Place::Loopback => (Peer::V4 { ip: [127, 0, 0, 1], port: self.peers }, None),
            Place::Far => (Peer::V4 { ip: [10, 0, 0, 1], port: self.peers }, None),
        };
        self.model.connect(seat, &peer.to_string(), place, user, has_handshake);
        self.said.push(format!("{seat} {peer} connects: {place:?} {user:?}, handshake {has_handshake}"));
        let credentials = Credentials { uid, gid: uid, names: Vec::new() };
        let handshake = has_handshake.then_some(Handshake::Waiting);
        self.clients[seat] = Some(self.world.accept(peer, Wire { credentials, handshake, ..Wire::default() }));
        received.extend(self.world.step());
        received
    }

    /// The lines of a request. None: it can't be said, or what happens is left open.
    fn lines(&self, seat: usize, act: &Act, id: usize) -> Option<String> {
        let text = |value: Value| Some(format!("{value}\n"));
        let command = |command: &str| text(json!({"command": command}));
        match *act {
            Act::LogIn { user, secret: of, then } => {
                let hello = text(json!({"command": "hello", "user": format!("u{user}"), "secret": secret(of)}))?;
                let lock = |name| text(json!({"command": "lock", "name": name, "timeout": 0, "id": id}));
                Some(hello + &then.and_then(lock).unwrap_or_default())
            }
            Act::Hello => command("hello"),
            Act::Session { grace } => text(json!({"command": "hello", "session": {"grace": grace.as_secs_f64()}})),
            Act::Resume(number) => {
                text(json!({"command": "hello", "resume": self.secrets.get(number.checked_sub(1)?)?}))
            }
            Act::Lock { name, waits, priority, closing } => {
                let rights = match self.model.who(seat)? {
                    Who::User(user) => self.model.file.users[user].as_ref(),
                    Who::Anonymous => self.model.file.anonymous.as_ref().map(|(rights, _)| rights),
                    Who::Stranger => None,
                };
                // One within the bounds would change the order of a queue.
                let is_refused = rights.is_none_or(|rights| rights.priority_max.is_some_and(|max| priority > max));
                if !is_refused && priority > 0 && waits {
                    return None;
                }
                // With an id, a second one does not join a wait.
                let mut line = json!({"command": "lock", "name": name, "id": id});
                if !waits {
                    line["timeout"] = json!(0);
                }
                if priority > 0 {
                    line["priority"] = json!(priority);
                }
                if let Some((span, is_lost_delay)) = closing {
                    line[if is_lost_delay { "lost_delay" } else { "min_hold" }] = json!(span.as_secs_f64());
                }
                text(line)
            }
            Act::LockAll { names, is_any } => {
                let line = json!({"command": "lock", "names": names, "any": is_any, "timeout": 0});
                text(line).filter(|_| names[0] != names[1])
            }
            Act::Unlock(name) => text(json!({"command": "unlock", "name": name})),
            Act::Reset => command("reset"),
            Act::Locks => command("locks"),
            Act::LocksPage(prefix) => text(json!({"command": "locks", "prefix": prefix})),
            Act::LocksOf(name) => text(json!({"command": "locks", "name": name})),
            Act::MyLocks => command("my_locks"),
            Act::Connections => command("connections"),
            Act::Stats => command("stats"),
            Act::Ping => command("ping"),
            Act::Watch(prefix) => text(json!({"command": "watch", "prefix": prefix})),
            Act::Unwatch => command("unwatch"),
            Act::Revoke(name) => text(json!({"command": "revoke", "name": name})),
            Act::Kick(other) => text(json!({"command": "kick", "connection": self.model.name(other)?})),
            Act::KickUser(user) => text(json!({"command": "kick", "user": format!("u{user}")})),
            Act::Connect(..) | Act::Shake { .. } | Act::Vanish | Act::Pass(_) | Act::Reload => None,
        }
    }

    /// Keeps the secret of a session that has begun.
    fn note_session(&mut self, seat: usize, received: &[Received]) {
        if self.model.sessions() == self.secrets.len() {
            return;
        }
        let mine = received.iter().filter(|(client, _)| Some(*client) == self.clients[seat]);
        let secret = mine.map(|(_, line)| parse(line)["session"]["secret"].clone()).find(Value::is_string);
        self.secrets.push(secret.map_or(String::new(), |secret| secret.as_str().expect("a string").to_owned()));
    }

    /// Compares what the seats were told with what the model says.
    fn compare(&mut self, received: &[Received], act: &Act, asker: usize, ends_many: bool) -> Result<(), String> {
        let told = std::mem::take(&mut self.model.told);
        for seat in 0..SEATS {
            let Some(client) = self.clients[seat] else { continue };
            let lines = received.iter().filter(|(to, _)| *to == client).map(|(_, line)| parse(line));
            let (mut events, replies): (Vec<Value>, Vec<Value>) = lines.partition(|line| line["notice"] == "event");
            let own = self.model.name(seat);
            if !self.model.may_see_all(seat)
                && let Some(reply) = replies.iter().find(|reply| !has_names_in_order(reply, own))
            {
                return Err(format!("{act:?} of {asker}: seat {seat} was told names out of their order: {reply}"));
            }
            let is_closed = self.world.is_at_end(client);
            if is_closed != told.is_closed[seat] {
                let word = if is_closed { "is" } else { "is not" };
                return Err(format!("{act:?} of {asker}: seat {seat} {word} closed; it was told {replies:?}"));
            }
            // Others may be told or not what happens while they are closed. Nobody asks for a reload.
            if !is_closed || (seat == asker && !matches!(act, Act::Reload)) {
                let mut replies: Vec<Value> = replies.into_iter().map(plain).collect();
                let mut expected: Vec<Value> = told.replies[seat].iter().cloned().map(plain).collect();
                // What ends at once may pass on in any order.
                replies.sort_by_key(Value::to_string);
                expected.sort_by_key(Value::to_string);
                if replies != expected {
                    return Err(format!("{act:?} of {asker}: seat {seat} was told {replies:?}, not {expected:?}"));
                }
            }
            let who = self.model.who(seat);
            let is_hidden = |event: &Value| {
                !event["name"].as_str().is_some_and(|name| self.model.may_see(who.expect("it is here"), name))
            };
            if !is_closed && let Some(event) = events.iter().find(|event| is_hidden(event)) {
                return Err(format!("{act:?} of {asker}: seat {seat} may not see {event}"));
            }
            // Of many that end at once any may be the first.
            if !is_closed && !ends_many {
                let mut expected = told.events[seat].clone();
                expected.sort_by_key(Value::to_string);
                events.sort_by_key(Value::to_string);
                if events != expected {
                    return Err(format!("{act:?} of {asker}: seat {seat} saw {events:?}, not {expected:?}"));
                }
            }
            if is_closed {
                // While it lingers it still counts as a connection of its user.
                self.world.vanish(client);
                self.clients[seat] = None;
            }
        }
        Ok(())
    }
}

/// Whether the rows of `connections`, but for the asker's own, have the names in their order.
fn has_names_in_order(reply: &Value, own: Option<&str>) -> bool {
    let rows = reply["value"].as_object().filter(|_| reply["result"] == "connections");
    let others = rows.into_iter().flatten().filter(|(connection, _)| Some(connection.as_str()) != own);
    let mut names = others.filter_map(|(_, names)| names.as_array());
    names.all(|names| names.is_sorted_by_key(|name| name.as_str().map(str::to_owned)))
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line).expect("a reply is JSON")
}

/// What the model says of a reply.
fn plain(reply: Value) -> Value {
    let sorted = |value: &Value| {
        let mut items = value.as_array().cloned().unwrap_or_default();
        items.sort_by_key(Value::to_string);
        Value::Array(items)
    };
    let part = |value: &Value, key: &str| {
        let items = value.as_array().cloned().unwrap_or_default();
        sorted(&items.into_iter().map(|item| if item.is_object() { item[key].clone() } else { item }).collect())
    };
    let mut reply = reply;
    if reply["result"] == "my_locks" {
        reply["value"] = sorted(&reply["value"]);
    } else if reply["result"] == "connections" {
        let rows = reply["value"].as_object_mut().expect("an object");
        rows.values_mut().for_each(|names| *names = sorted(names));
    }
    match reply["result"].as_str() {
        Some("error") => json!({"error": reply["reason"]}),
        Some("stats") => json!({"result": "stats"}),
        Some("hello") => json!({
            "result": "hello", "user": reply["user"], "connection": reply["connection"], "resumed": reply["resumed"],
            "held": part(&reply["held"], "name"), "waiting": part(&reply["waiting"], "id")
        }),
        _ => {
            let fields = reply.as_object_mut().expect("an object");
            fields.retain(|key, value| !(key == "id" && value.is_null()));
            reply
        }
    }
}

#[test]
fn what_users_may_do_and_see_is_what_the_model_says_for_all_seeds() {
    let first = crate::from_environment("OFFICER_SEED");
    let count = crate::from_environment("OFFICER_SEEDS").unwrap_or(if first.is_some() { 1 } else { crate::SEEDS });
    let start = first.unwrap_or(0);
    for seed in start..start + count.div_ceil(SHARE) {
        if let Err(failure) = run_seed(seed, true) {
            panic!("seed {seed}, step {}:\n{}\n{}", failure.step, failure.transcript.join("\n"), failure.message);
        }
    }
}

#[test]
fn names_that_a_user_may_not_see_leave_no_trace_in_what_it_is_told() {
    let first = crate::from_environment("OFFICER_SEED");
    let count = crate::from_environment("OFFICER_SEEDS").unwrap_or(if first.is_some() { 1 } else { crate::SEEDS });
    let start = first.unwrap_or(0);
    for seed in start..start + count.div_ceil(4 * SHARE) {
        let mut random = Rng::with_seed(seed);
        let steps: Vec<leak::Step> =
            (0..STEPS).map(|number| leak::Step::draw(number, &mut |below| random.u64(..below))).collect();
        match leak::compare(&steps) {
            Ok(told) => assert!(told > STEPS / 8, "it was told something: {told}"),
            Err(difference) => panic!("seed {seed}: {difference}"),
        }
    }
}
