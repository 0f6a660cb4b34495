//! Names that a user may not see leave no trace in what it is told.
//!
//! Much the same happens twice. Only what the user may not see differs: under hidden names others do one thing or another, or
//! nothing, and of two of them each takes the place of the other. The user gets the same, but for what is not hidden: tokens,
//! cursors and how full a page is, how much is unsent, and the order of what happens at once.
//!
//! What is hidden must not hold back what is visible: that would be seen by anybody. So those who are on visible locks wait
//! for no hidden one, and no two things become due at the same moment.

use std::time::Duration;

use officer::server::{Credentials, Limits};
use officer::wire::peer::Peer;
use serde_json::{Map, Value, json};

use crate::sizes::Draw;
use crate::small_world::{Client, World};

/// Two connections of the user that may not see everything.
const OWN: usize = 2;
/// After them two connections that are on all visible locks, two that are only on hidden ones, and the two that change places:
/// these are on those locks only that the user may have, but not see.
const SEATS: usize = 8;
const VISIBLE: [&str; 4] = ["v:1", "v:2", "v:", "w"];
const UNSEEN: [&str; 2] = ["l:1", "l:2"];
/// What the hidden names are in each of the two runs. Some of them are one there.
const HIDDEN: [[&str; 4]; 2] = [["h:1", "h:2", "u", "x"], ["a much longer name", "v", "v", "\u{0}"]];
const PAGES_MAX: usize = 100;

/// What happens, in each of the two runs.
#[derive(Clone, Debug)]
pub enum Step {
    Pass(Duration),
    /// Somebody says a line.
    Say(usize, [String; 2]),
    /// The user goes through all pages of a listing.
    Walk(usize, Value),
    /// A connection is lost.
    Vanish(usize),
    /// The user comes back to its last session.
    Resume(usize),
    /// The users file is read again: the user may see one name more, or less.
    Reload(bool),
}

fn pick<T: Copy>(of: &[T], draw: Draw<'_>) -> T {
    of[usize::try_from(draw(of.len() as u64)).expect("few")]
}

impl Step {
    /// The step of this number.
    pub fn draw(number: usize, draw: Draw<'_>) -> Self {
        match draw(16) {
            0 => Step::Pass(Duration::from_millis(250 * (1 + draw(8)))),
            1 => match draw(8) {
                0 => Step::Reload(draw(2) == 0),
                1 => Step::Resume(pick(&[0, 1], draw)),
                2..=3 => Step::Vanish(pick(&[0, 1, 2, 3, 4, 5, 6, 7], draw)),
                _ => Step::Walk(pick(&[0, 1], draw), listing(draw)),
            },
            2..=6 => {
                let line = own_request(number, draw).to_string();
                Step::Say(pick(&[0, 0, 0, 1], draw), [line.clone(), line])
            }
            7..=10 => {
                let line = request_on(&VISIBLE, true, number, draw).to_string();
                Step::Say(pick(&[2, 3], draw), [line.clone(), line])
            }
            11..=12 => {
                let line = request_on(&UNSEEN, true, number, draw).to_string();
                Step::Say(pick(&[6, 7], draw), [line.clone(), line])
            }
            13 => {
                let hidden = |names, draw: Draw<'_>| request_on(names, false, number, draw).to_string();
                Step::Say(pick(&[2, 3], draw), [hidden(&HIDDEN[0], draw), hidden(&HIDDEN[1], draw)])
            }
            _ => {
                let hidden = |names, draw: Draw<'_>| request_on(names, true, number, draw).to_string();
                Step::Say(pick(&[4, 5], draw), [hidden(&HIDDEN[0], draw), hidden(&HIDDEN[1], draw)])
            }
        }
    }
}

/// A time in seconds that no other step has.
fn seconds(number: usize, draw: Draw<'_>) -> Value {
    let micros = 100_000 * (1 + draw(24)) + number as u64;
    json!(micros as f64 / 1e6)
}

/// Draws a field for the step of this number.
type Field = fn(usize, Draw<'_>) -> (&'static str, Value);

/// A lock with some of its fields. `waits`: if it is not free, for as long as it says.
fn lock(line: &mut Map<String, Value>, names: &[&str], waits: bool, number: usize, draw: Draw<'_>) {
    line.insert("id".to_owned(), json!(number));
    let fields: [Field; 14] = [
        |number, draw| ("lease", seconds(number, draw)),
        |_, _| ("mode", json!("shared")),
        |_, _| ("slots", json!(2)),
        |_, _| ("deadlock", json!("refuse")),
        |_, _| ("deadlock", json!("refuse")),
        |_, _| ("deadlock", json!("refuse")),
        |_, draw| ("queue_max", json!(draw(3))),
        |_, draw| ("priority", json!(draw(8))),
        |number, draw| ("min_hold", seconds(number, draw)),
        |number, draw| ("lost_delay", seconds(number, draw)),
        |_, _| ("label", json!("what for")),
        |_, _| ("progress", json!(true)),
        |_, _| ("hint", json!(true)),
        |_, _| ("fence", json!(true)),
    ];
    for _ in 0..draw(4) {
        let (key, value) = pick(&fields, draw)(number, draw);
        line.insert(key.to_owned(), value);
    }
    match draw(4) {
        _ if !waits => line.insert("timeout".to_owned(), json!(0)),
        0 => line.insert("timeout".to_owned(), json!(0)),
        1..=2 => line.insert("timeout".to_owned(), seconds(number, draw)),
        _ => None,
    };
    let two = [pick(names, draw), pick(names, draw)];
    if two[0] != two[1] && draw(4) == 0 {
        line.remove("name");
        line.insert("names".to_owned(), json!(two));
        if draw(2) == 0 {
            line.insert("any".to_owned(), json!(true));
        }
    }
}

/// What somebody asks about one of these names.
fn request_on(names: &[&str], waits: bool, number: usize, draw: Draw<'_>) -> Value {
    let (command, name) = (
        pick(
            &["lock", "lock", "lock", "lock", "unlock", "unlock", "renew", "revoke", "reset", "ping", "hello", "watch"],
            draw,
        ),
        pick(names, draw),
    );
    let mut line = Map::from_iter([("command".to_owned(), json!(command)), ("name".to_owned(), json!(name))]);
    if draw(4) == 0 {
        line.insert("owner".to_owned(), json!(draw(2)));
    }
    match command {
        "lock" => lock(&mut line, names, waits, number, draw),
        "renew" => _ = line.insert("lease".to_owned(), seconds(number, draw)),
        // It may be one that the others are on as well.
        "reset" if !waits => _ = line.insert("command".to_owned(), json!("unlock")),
        // Of a label something could be seen.
        "hello" if waits => _ = line.insert("client".to_owned(), json!(["", "crafting"][usize::from(draw(2) == 0)])),
        _ => {}
    }
    Value::Object(line)
}

/// What the user asks for itself.
fn own_request(number: usize, draw: Draw<'_>) -> Value {
    let its_own = [VISIBLE[0], VISIBLE[1], VISIBLE[2], VISIBLE[3], UNSEEN[0], UNSEEN[1]];
    let prefix = pick(&["", "v", "v:", "l:", "h", "w", "a"], draw);
    let has_detail = draw(2) == 0;
    match draw(16) {
        0..=7 => request_on(&its_own, true, number, draw),
        8 => request_on(&HIDDEN[0], true, number, draw),
        9 => json!({"command": "locks", "name": pick(&its_own, draw), "detail": has_detail}),
        10 => json!({"command": "locks", "name": pick(&HIDDEN[0], draw), "detail": has_detail}),
        11 => json!({"command": pick(&["locks", "connections", "my_locks"], draw)}),
        12 => json!({"command": "watch", "prefix": prefix}),
        13 => json!({"command": "hello", "notices": true, "strict": draw(4) == 0, "max_idle": 1e6}),
        14 => match draw(4) {
            0 => json!({"command": "stats", "id": number}),
            1 => json!({"command": "kick", "connection": peer(4, 0).to_string()}),
            2 => json!({"command": "unwatch"}),
            _ => json!({"command": "hello", "session": {"grace": seconds(number, draw)}}),
        },
        _ => {
            let to = peer(pick(&[1, 2, 4], draw), 0).to_string();
            json!({"command": "transfer", "name": pick(&its_own, draw), "to": to})
        }
    }
}

fn listing(draw: Draw<'_>) -> Value {
    let (limit, has_detail) = (1 + draw(3), draw(2) == 0);
    match draw(3) {
        0 => {
            json!({"command": "locks", "prefix": pick(&["", "v", "l", "h"], draw), "limit": limit, "detail": has_detail})
        }
        1 => json!({"command": "connections", "all": draw(2) == 0, "limit": limit, "detail": has_detail}),
        _ => json!({"command": "my_locks", "limit": limit, "detail": has_detail}),
    }
}

/// The users: they are known by certificates.
fn file(sees_more: bool) -> String {
    let see = if sees_more { r#"["v:", "w"]"# } else { r#"["v:"]"# };
    format!(
        "[users.game]\ncertificate = \"dns:game\"\nlocks = [\"v:\", \"w\", \"l:\"]\nsee = {see}\n\
         [users.ops]\ncertificate = \"dns:ops\"\nadmin = true\n"
    )
}

/// The same in both runs: connections of a seat have the numbers of the steps in which they were made.
fn peer(seat: usize, step: usize) -> Peer {
    let [high, low] = u16::try_from(step).expect("few steps").to_be_bytes();
    Peer::V4 { ip: [10, high, low, u8::try_from(seat).expect("few seats")], port: 1 }
}

/// One of the two runs.
struct Run {
    number: usize,
    world: World,
    clients: [Client; SEATS],
    /// That of the user's last session.
    secret: Option<String>,
    /// What the user was told: in which step, which of its connections, and what.
    told: Vec<(usize, usize, Value)>,
}

impl Run {
    fn new(number: usize) -> Self {
        let mut world = World::with_limits(Limits { max_idle: None, ..Limits::default() });
        world.set_users(&file(true));
        let clients = std::array::from_fn(|seat| connect(&mut world, seat, 0));
        Run { number, world, clients, secret: None, told: Vec::new() }
    }

    /// Who sits there in this run.
    fn seat(&self, seat: usize) -> usize {
        match seat {
            6 | 7 if self.number == 1 => 13 - seat,
            seat => seat,
        }
    }

    fn execute(&mut self, number: usize, step: &Step) {
        let mut received = match step {
            Step::Pass(time) => self.world.pass(*time),
            Step::Say(seat, lines) => self.say(number, *seat, &lines[self.number]),
            Step::Walk(seat, line) => return self.walk(number, *seat, line),
            Step::Vanish(seat) => self.world.vanish(self.clients[self.seat(*seat)]),
            Step::Reload(sees_more) => self.world.set_users(&file(*sees_more)),
            Step::Resume(seat) => {
                let line = json!({"command": "hello", "resume": self.secret});
                self.world.vanish(self.clients[*seat]);
                self.say(number, *seat, &line.to_string())
            }
        };
        received.retain(|(to, _)| self.clients[..OWN].contains(to));
        let mut told: Vec<(usize, Value)> = received.iter().map(|(to, line)| (self.own(*to), parse(line))).collect();
        if let Some(secret) = told.iter().find_map(|(_, value)| value["session"]["secret"].as_str()) {
            self.secret = Some(secret.to_owned());
        }
        told.iter_mut().for_each(|(_, value)| *value = without_what_may_differ(value.take()));
        // What happens at once may be told in any order.
        told.sort_by_key(|(seat, value)| (*seat, value.to_string()));
        self.told.extend(told.into_iter().map(|(seat, value)| (number, seat, value)));
    }

    fn own(&self, client: Client) -> usize {
        self.clients.iter().position(|other| *other == client).expect("it sits there")
    }

    /// Whoever was closed has come again.
    fn say(&mut self, number: usize, seat: usize, line: &str) -> Vec<(Client, String)> {
        let seat = self.seat(seat);
        if self.world.is_at_end(self.clients[seat]) {
            // While it lingers the server still knows it.
            self.world.vanish(self.clients[seat]);
            self.clients[seat] = connect(&mut self.world, seat, number + 1);
        }
        self.world.say(self.clients[seat], line)
    }

    fn walk(&mut self, number: usize, seat: usize, line: &Value) {
        let (mut line, mut rows) = (line.clone(), Map::new());
        for _ in 0..PAGES_MAX {
            let received = self.say(number, seat, &line.to_string());
            let mut replies = received.iter().filter(|(to, _)| *to == self.clients[seat]).map(|(_, line)| parse(line));
            // What else it is told meanwhile is told in the other run as well.
            let Some(reply) = replies.find(|reply| !reply["result"].is_null()) else { return };
            rows.extend(reply["value"].as_object().cloned().unwrap_or_default());
            if reply["next"].is_null() {
                self.told.push((number, seat, without_what_may_differ(json!({"value": rows, "of": line["command"]}))));
                return;
            }
            line["after"] = reply["next"].clone();
        }
        panic!("a listing never ends: {line}");
    }
}

fn connect(world: &mut World, seat: usize, step: usize) -> Client {
    let name = if seat < OWN { "dns:game" } else { "dns:ops" };
    world.connect_proving(peer(seat, step), Credentials { names: vec![name.to_owned()], ..Credentials::default() })
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line).expect("a reply is JSON")
}

/// A reply without what is not hidden.
fn without_what_may_differ(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let is_open = |key: &str| !matches!(key, "token" | "next" | "unsent" | "secret");
            let fields = fields.into_iter().filter(|(key, _)| is_open(key));
            Value::Object(fields.map(|(key, value)| (key, without_what_may_differ(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_what_may_differ).collect()),
        value => value,
    }
}

/// Lets both happen. How often the user was told something, or the first difference.
pub fn compare(steps: &[Step]) -> Result<usize, String> {
    let [one, other] = [0, 1].map(|number| {
        let mut run = Run::new(number);
        steps.iter().enumerate().for_each(|(number, step)| run.execute(number, step));
        std::mem::take(&mut run.told)
    });
    let differs = one.iter().zip(&other).find(|(one, other)| one != other);
    if let Some((one, other)) = differs {
        let step = one.0.min(other.0);
        return Err(format!("{:#?}\nstep {step}: the user is told\n{one:?}, or\n{other:?}", &steps[..=step]));
    }
    if one.len() != other.len() {
        let more = one.get(other.len()).or(other.get(one.len()));
        return Err(format!("{steps:#?}\nonly once the user is told {more:?}"));
    }
    Ok(one.len())
}
