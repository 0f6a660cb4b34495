//! Names that a user may not see leave no trace in what it is told.
//!
//! The same happens twice. Only the names differ that the user may not see: others lock and release these, beside those that it
//! sees. It gets the same bytes, but for what is not hidden: tokens and cursors.

use std::time::Duration;

use fastrand::Rng;
use officer::server::Limits;
use officer::wire::peer::Peer;
use serde_json::{Value, json};

use super::draw::{File, Rights, secret};
use crate::small_world::{Client, World};

const STEPS: usize = 300;
const OTHERS: usize = 3;
const VISIBLE: [&str; 4] = ["v:1", "v:2", "v:", "w"];
/// What the hidden names are in each of the two runs. Some of them are one there.
const HIDDEN: [[&str; 4]; 2] = [["h:1", "h:2", "u", "x"], ["a much longer name", "v", "v", "\u{0}"]];

/// Whose request it is, and what it says for each set of hidden names.
struct Said {
    /// 0: the user that may not see everything.
    by: usize,
    lines: [String; 2],
}

#[derive(Clone, Copy)]
enum Name {
    Visible(usize),
    Hidden(usize),
}

impl Name {
    fn draw(random: &mut Rng) -> Self {
        let index = random.usize(..4);
        if random.bool() { Name::Visible(index) } else { Name::Hidden(index) }
    }

    fn text(self, run: usize) -> &'static str {
        match self {
            Name::Visible(index) => VISIBLE[index],
            Name::Hidden(index) => HIDDEN[run][index],
        }
    }
}

/// What the user asks for itself.
fn own_request(random: &mut Rng, id: usize) -> Value {
    let name = VISIBLE[random.usize(..4)];
    let prefix = ["", "v", "v:", "h", "w", "a"][random.usize(..6)];
    let has_detail = random.bool();
    match random.u8(..16) {
        0 => json!({"command": "locks"}),
        1..=2 => json!({"command": "locks", "prefix": prefix, "detail": has_detail}),
        3 => json!({"command": "locks", "name": name, "detail": has_detail}),
        4 => json!({"command": "locks", "name": HIDDEN[0][random.usize(..4)], "detail": has_detail}),
        5 => json!({"command": "connections"}),
        6..=7 => json!({"command": "connections", "all": random.bool(), "detail": has_detail}),
        8 => json!({"command": "my_locks", "detail": has_detail}),
        9 => json!({"command": "watch", "prefix": prefix}),
        10..=11 => json!({"command": "lock", "name": name, "timeout": 0, "deadlock": "refuse"}),
        12 => json!({"command": "lock", "name": name, "id": id, "progress": true, "hint": true}),
        13 => json!({"command": "lock", "name": name, "queue_max": random.u8(..3), "id": id}),
        14 => json!({"command": "unlock", "name": name}),
        _ => {
            json!({"command": "lock", "names": [VISIBLE[random.usize(..2)], VISIBLE[random.usize(2..4)]], "timeout": 1, "id": id})
        }
    }
}

/// What another does, on one name, so that what is hidden holds nothing back that is visible.
fn request_of_another(random: &mut Rng, id: usize) -> [Value; 2] {
    let name = Name::draw(random);
    let (word, owner) = (random.u8(..10), random.u8(..2));
    [0, 1].map(|run| {
        let name = name.text(run);
        match word {
            0..=2 => json!({"command": "lock", "name": name, "id": id, "owner": owner, "label": "x"}),
            3 => json!({"command": "lock", "name": name, "timeout": 0.5, "id": id, "lease": 2}),
            4 => json!({"command": "lock", "name": name, "mode": "shared", "id": id, "timeout": 1}),
            5 => json!({"command": "lock", "name": name, "timeout": 0, "lost_delay": 3}),
            6..=7 => json!({"command": "unlock", "name": name, "owner": owner}),
            8 => json!({"command": "unlock", "name": name}),
            _ => json!({"command": "revoke", "name": name}),
        }
    })
}

fn draw(random: &mut Rng) -> Vec<Option<Said>> {
    let said = |id: usize| {
        let by = random.usize(..=OTHERS);
        match random.u8(..12) {
            0 => None,
            _ if by == 0 => {
                let line = own_request(random, id).to_string();
                Some(Said { by, lines: [line.clone(), line] })
            }
            _ => Some(Said { by, lines: request_of_another(random, id).map(|line| line.to_string()) }),
        }
    };
    (0..STEPS).map(said).collect()
}

/// What the user is told in one run.
fn listen(said: &[Option<Said>], run: usize) -> Vec<(usize, Value)> {
    let prefixes = Some(vec!["v:", "w"]);
    let limited = Rights { locks: prefixes.clone(), see: prefixes, ..Rights::default() };
    let admin = Rights { is_admin: true, ..Rights::default() };
    let file = File { users: vec![Some(limited), Some(admin)], anonymous: None };
    let mut world = World::with_limits(Limits { max_idle: None, ..Limits::default() });
    world.set_users(&file.text());
    let clients: Vec<Client> = (0..=OTHERS)
        .zip(1..)
        .map(|(number, port)| {
            let client = world.connect_as(Peer::V4 { ip: [10, 0, 0, 1], port });
            let user = number.min(1);
            let hello = json!({"command": "hello", "user": format!("u{user}"), "secret": secret(user)});
            let told = world.say(client, &hello.to_string());
            assert!(told[0].1.contains("\"hello\""), "{told:?}");
            client
        })
        .collect();
    let mut told = Vec::new();
    for (step, said) in said.iter().enumerate() {
        let received = match said {
            None => world.pass(Duration::from_millis(250)),
            Some(said) => world.say(clients[said.by], &said.lines[run]),
        };
        let mine = received.into_iter().filter(|(to, _)| *to == clients[0]);
        told.extend(mine.map(|(_, line)| (step, without_tokens(serde_json::from_str(&line).expect("JSON")))));
    }
    told
}

/// A reply without what may differ.
fn without_tokens(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            fields.retain(|key, _| key != "token" && key != "next" && key != "unsent");
            fields.values_mut().for_each(|value| *value = without_tokens(value.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| *value = without_tokens(value.take())),
        _ => {}
    }
    value
}

#[test]
fn names_that_a_user_may_not_see_leave_no_trace_in_what_it_is_told() {
    let first = crate::from_environment("OFFICER_SEED");
    let count = crate::from_environment("OFFICER_SEEDS").unwrap_or(if first.is_some() { 1 } else { crate::SEEDS });
    let start = first.unwrap_or(0);
    for seed in start..start + count.div_ceil(4 * super::SHARE) {
        let said = draw(&mut Rng::with_seed(seed));
        let [one, other] = [0, 1].map(|run| listen(&said, run));
        let differs = one.iter().zip(&other).find(|(one, other)| one != other);
        let step = |told: &(usize, Value)| said[told.0].as_ref().map(|said| (said.by, said.lines.clone()));
        assert_eq!(differs.map(|(one, other)| (one, other, step(one))), None, "seed {seed}");
        assert_eq!(one.len(), other.len(), "seed {seed}");
        assert!(one.len() > STEPS / 8, "it was told something: {}", one.len());
    }
}
