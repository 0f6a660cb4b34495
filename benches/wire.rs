//! What a line costs on the way in, and a reply on the way out.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use officer::wire::Id;
use officer::wire::line::LineScanner;
use officer::wire::peer::Peer;
use officer::wire::reply::{Outcome, Reason, Reply, Subject};
use officer::wire::request::{Plain, Shapes, Start, parse, parse_in_full, recognise};

/// Each form of a request, and the most expensive errors.
const LINES: [(&str, &str); 25] = [
    ("lock", r#"{"command":"lock","name":"boss:17"}"#),
    ("lock_timeout", r#"{"command":"lock","name":"boss:17","timeout":0.25}"#),
    ("lock_all_fields", r#"{"command":"lock","name":"boss:17","timeout":5,"queue_max":100,"id":123456}"#),
    // The original's client sends omitted fields as null.
    ("lock_nulls", r#"{"command":"lock","name":"boss:17","timeout":null,"queue_max":null}"#),
    ("lock_escaped_name", r#"{"command":"lock","name":"caf\u00e9 \ud83d\udd12"}"#),
    ("lock_owner_fence", r#"{"command":"lock","name":"boss:17","owner":4711,"fence":true,"id":123456}"#),
    ("lock_spaces", r#"{"id": 7, "command": "lock", "name": "boss:17", "owner": "player-5", "timeout": 5.0}"#),
    ("lock_sorted", r#"{"command":"lock","id":7,"name":"boss:17","owner":"player-5","timeout":5}"#),
    ("lock_lease", r#"{"command":"lock","name":"boss:17","lease":30}"#),
    ("renew", r#"{"command":"renew","name":"boss:17"}"#),
    ("lock_terms", r#"{"command":"lock","name":"boss:17","mode":"shared","lease":30,"label":"loot","priority":3}"#),
    ("lock_names", r#"{"command":"lock","names":["player:1234567","player:7654321"],"timeout":5}"#),
    ("unlock_token", r#"{"command":"unlock","name":"boss:17","token":7205759403792794}"#),
    ("unlock", r#"{"command":"unlock","name":"boss:17"}"#),
    ("reset", r#"{"command":"reset"}"#),
    ("locks", r#"{"command":"locks"}"#),
    ("locks_page", r#"{"command":"locks","prefix":"boss:","limit":100,"after":"1200","detail":true}"#),
    ("connections", r#"{"command":"connections"}"#),
    ("my_locks", r#"{"command":"my_locks"}"#),
    ("keep_alive", r#"{"command":"keep_alive"}"#),
    ("ping", r#"{"command":"ping"}"#),
    ("hello", r#"{"command":"hello","client":"match server 4","max_idle":20}"#),
    ("kick", r#"{"command":"kick","connection":"192.168.100.7:40000"}"#),
    ("unknown_command", r#"{"command":"lick","name":"boss:17"}"#),
    ("ill_formed", r#"{"command":"lock","name":"boss:17""#),
];

fn parse_requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    for (form, line) in LINES {
        group.throughput(Throughput::Bytes(line.len() as u64));
        group.bench_function(form, |bencher| bencher.iter(|| parse(black_box(line.as_bytes())).is_ok()));
    }
    group.finish();
    // What the plain ones cost without the shortcut.
    let mut group = criterion.benchmark_group("parse_in_full");
    for (form, line) in LINES.iter().filter(|(_, line)| recognise(line.as_bytes()).is_some()) {
        group.throughput(Throughput::Bytes(line.len() as u64));
        group.bench_function(*form, |bencher| bencher.iter(|| parse_in_full(black_box(line.as_bytes())).is_ok()));
    }
    group.finish();
}

/// What the server reads at once.
const READ_BYTES: usize = 16 << 10;

/// The plain lines of one read, as the server handles them: each together with its end.
fn recognise_lines(criterion: &mut Criterion) {
    let pair = "{\"command\":\"lock\",\"name\":\"boss:17\"}\n{\"command\":\"unlock\",\"name\":\"boss:17\"}\n";
    let lines = 2 * (READ_BYTES / pair.len());
    let bytes = pair.repeat(lines / 2).into_bytes();
    let mut shapes = Shapes::default();
    let mut group = criterion.benchmark_group("recognise");
    group.throughput(Throughput::Elements(lines as u64));
    group.bench_function("lines_of_a_read", |bencher| {
        bencher.iter(|| {
            let (mut text, mut found) = (str::from_utf8(black_box(&bytes)).expect("it is ASCII"), 0);
            let mut request = Plain::default();
            while let Some(after) = Start::of(text).recognise(text, &mut shapes, &mut request) {
                black_box(request);
                text = after;
                found += 1;
            }
            assert_eq!(found, lines);
        });
    });
    group.finish();
}

/// Finding the line ends of one read: as many lines as fit, and one incomplete.
fn frame_lines(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame");
    for line in [r#"{"command":"lock","name":"boss:17"}"#, &"x".repeat(1000)] {
        let lines = READ_BYTES / (line.len() + 1);
        let mut bytes = format!("{line}\n").repeat(lines).into_bytes();
        bytes.resize(READ_BYTES, b'x');
        group.throughput(Throughput::Elements(lines as u64));
        group.bench_function(format!("lines_of_{}", line.len()), |bencher| {
            bencher.iter(|| {
                let (mut scanner, mut found) = (LineScanner::default(), 0);
                while let Ok(Some(line)) = scanner.next_line(black_box(&bytes), 64 << 10) {
                    found += usize::from(!line.is_empty());
                }
                assert_eq!(found, lines);
            });
        });
    }
    group.finish();
}

fn encode_replies(criterion: &mut Criterion) {
    let peers: Vec<Peer> = (0..10).map(|last| Peer::V4 { ip: [192, 168, 100, last], port: 40_000 }).collect();
    let subject = Subject::Lock("boss:17");
    let acquired = |subject| Outcome::Acquired { subject, token: None, waited: None };
    let message = "timeout must be a number of seconds";
    let replies = [
        ("acquired", None, acquired(subject)),
        ("acquired_id", Some(Id::Number(123_456.into())), acquired(subject)),
        ("acquired_escaped_name", None, acquired(Subject::Lock("a \"boss\"\n"))),
        ("released", None, Outcome::Released { subject }),
        ("timed_out_queue_of_10", None, Outcome::TimedOut { subject, queue: Some(&peers) }),
        ("reset_succeeded", None, Outcome::ResetSucceeded),
        (
            "error",
            Some(Id::Text("a-1")),
            Outcome::Error { reason: Reason::InvalidRequest, message: message.into(), subject: Some(subject) },
        ),
    ];
    let mut group = criterion.benchmark_group("encode");
    let mut out = Vec::new();
    for (kind, id, outcome) in replies {
        let reply = Reply { id: id.as_ref(), owner: None, outcome };
        out.clear();
        reply.encode(&mut out);
        group.throughput(Throughput::Bytes(out.len() as u64));
        group.bench_function(kind, |bencher| {
            bencher.iter(|| {
                out.clear();
                black_box(&reply).encode(&mut out);
                out.len()
            });
        });
    }
    group.finish();
}

/// Short: the whole file runs in half a minute.
fn config() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1))
}

criterion_group! { name = wire; config = config(); targets = frame_lines, parse_requests, recognise_lines, encode_replies }
criterion_main!(wire);
