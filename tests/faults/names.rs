//! Names chosen to do harm: to the table, and to whoever reads the log.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::time::Duration;

use officer::wire::transcript::Record;
use serde_json::json;

use crate::processor_time;
use crate::support::client::lock;
use crate::support::server::Server;

/// Names of each kind, and the most locks that a connection may have in these tests.
const NAMES: usize = 1 << 14;

/// How often each kind is measured. The least counts.
const ATTEMPTS: usize = 5;

/// The hash of rustc's own tables: fast, and the same everywhere.
fn fx(name: &str) -> u64 {
    name.as_bytes().chunks_exact(8).fold(0, |hash, word| {
        let word = u64::from_le_bytes(word.try_into().unwrap());
        (u64::rotate_left(hash, 5) ^ word).wrapping_mul(FX)
    })
}

const FX: u64 = 0x517c_c1b7_2722_0a95;

/// Different names of 16 bytes with the same hash: the second half compensates for the first.
fn colliding_under_fx(random: &mut fastrand::Rng) -> Vec<String> {
    let wanted: u64 = 0x6d61_6e79_2d31_3233;
    let mut names = Vec::new();
    while names.len() < NAMES {
        let first: [u8; 8] = std::array::from_fn(|_| random.u8(b'!'..=b'~'));
        let second = wanted ^ u64::rotate_left(u64::from_le_bytes(first).wrapping_mul(FX), 5);
        let name = [first, second.to_le_bytes()].concat();
        // Other characters would have to be valid UTF-8, or escaped.
        if name.iter().all(|byte| (b' '..0x7f).contains(byte)) {
            names.push(String::from_utf8(name).unwrap());
        }
    }
    assert!(names.iter().all(|name| fx(name) == fx(&names[0])));
    names
}

/// A hash that multiplies by 31 with every character, as in many languages.
fn times_31(name: &str) -> u64 {
    name.bytes().fold(0, |hash: u64, byte| hash.wrapping_mul(31).wrapping_add(byte.into()))
}

/// `Aa` and `BB` have the same hash, so all combinations of them do.
fn colliding_under_a_product() -> Vec<String> {
    let names: Vec<String> = (0..NAMES)
        .map(|number| (0..14).map(|bit| if number >> bit & 1 == 0 { "Aa" } else { "BB" }).collect())
        .collect();
    assert!(names.iter().all(|name| times_31(name) == times_31(&names[0])));
    names
}

/// The processor time of the server for a lock and an unlock of one of these names, all of which are held at once.
fn time_per_name(names: &[String]) -> Duration {
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), NAMES, "they are different");
    let most = NAMES.to_string();
    let server = Server::tcp(&["--connection-locks-max", &most]);
    let mut stream = std::net::TcpStream::connect(crate::tcp_address(&server)).unwrap();
    let before = processor_time(&server);
    for command in ["lock", "unlock"] {
        for names in names.chunks(256) {
            let line = |name| format!("{}\n", json!({"command": command, "name": name}));
            stream.write_all(names.iter().map(line).collect::<String>().as_bytes()).unwrap();
            let mut received = Vec::new();
            let mut buffer = [0; 4096];
            while received.iter().filter(|byte| **byte == b'\n').count() < names.len() {
                let bytes = stream.read(&mut buffer).unwrap();
                assert!(bytes > 0, "the server takes all names");
                received.extend_from_slice(&buffer[..bytes]);
            }
            let result = if command == "lock" { "\"acquired\"" } else { "\"released\"" };
            assert_eq!(String::from_utf8(received).unwrap().matches(result).count(), names.len());
        }
    }
    (processor_time(&server) - before) / u32::try_from(NAMES).unwrap()
}

// Names that would collide under this server's hash without its key can't be computed in the time of a test.
// `tests/allocations.rs` tests what could be.
#[test]
fn names_that_collide_under_hashes_without_a_key_cost_no_more_than_others() {
    let mut random = fastrand::Rng::with_seed(1);
    let ordinary = (0..NAMES).map(|_| format!("{:016x}", random.u64(..))).collect();
    let kinds: [(&str, Vec<String>); 3] = [
        ("chosen at random", ordinary),
        ("that collide under FxHash", colliding_under_fx(&mut random)),
        ("that collide under a product with 31", colliding_under_a_product()),
    ];
    // If they were in the same place, each would have to pass all before it, every time: 150 times as long. What else the
    // machine does makes only some of the measurements longer.
    let mut least = [Duration::MAX; 3];
    for _ in 0..ATTEMPTS {
        for (least, (_, names)) in least.iter_mut().zip(&kinds) {
            *least = time_per_name(names).min(*least);
        }
    }
    for (time, (which, _)) in least.iter().zip(&kinds) {
        println!("{NAMES} names {which}: {time:?} of the server's time each");
        assert!(*time < least[0] * 20, "{which}: {time:?}, not {:?}", least[0]);
    }
}

#[test]
fn whatever_a_name_contains_the_log_has_one_line_per_event() {
    let server = Server::tcp(&["-l", "trace", "-s"]);
    let mut client = server.connect();
    let nasty: Vec<String> = (0..0x20_u8)
        .map(|byte| char::from(byte).to_string())
        .chain(["\r\n", "\u{7f}", "\u{85}", "\u{9b}31m", "\u{2028}", "\u{2029}"].map(str::to_owned))
        .map(|what| format!("before{what}[2026-01-01T00:00:00.000Z ERROR officer] forged"))
        .collect();
    for name in &nasty {
        client.acquire(name);
        let hello = json!({"command": "hello", "client": name.get(..60)});
        assert_eq!(client.ask(hello)["result"], "hello");
        assert_eq!(client.ask(json!({"command": "kick", "connection": name}))["result"], "kick_failed");
        // Unescaped, where JSON allows that.
        client.send(format!("{{\"command\":\"unlock\",\"name\":{}}}", raw(name)));
        let result = client.receive()["result"].clone();
        assert!(result == "released" || name.contains(|what: char| what < ' ') && result == "error", "{result}");
    }
    assert_eq!(client.ask(lock("last"))["result"], "acquired");
    client.close_write();
    client.expect_end();
    let log = server.end();
    let records = log.iter().filter(|line| Record::parse(line).is_some()).count();
    // A request and a reply each, the start and the end.
    assert_eq!(records, 2 * (4 * nasty.len() + 1) + 2);
    for line in &log {
        assert!(line.starts_with('[') && !line.starts_with("[2026-01-01T00:00:00.000Z"), "{line:?}");
        let is_clean = |what: char| !what.is_control() && !"\u{2028}\u{2029}".contains(what);
        assert!(line.chars().all(is_clean), "{line:?}");
    }
}

/// A name in quotes, with nothing escaped except what would end the line or the string.
fn raw(name: &str) -> String {
    format!("\"{}\"", name.replace('\n', "\\n"))
}
