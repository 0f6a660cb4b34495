//! The metrics, as Prometheus reads them.

mod printed;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use officer::server::{Limits, Outside, Process};
use officer::time::Span;

use crate::skip::skipped;
use crate::words::{lock, unlock};
use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

/// Prefixes of which some names have several, and one that has to be escaped.
const PREFIXES: [&str; 3] = ["boss:", "boss:1", "a\\b\"c\nd"];

fn text(world: &World) -> String {
    let mut out = Vec::new();
    world.server.write_metrics(&mut out);
    String::from_utf8(out).expect("UTF-8")
}

/// Each sample by its name and labels.
fn samples(world: &World) -> BTreeMap<String, f64> {
    let text = text(world);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (key, value) = line.rsplit_once(' ').expect("a name and a value");
        (key.to_owned(), value.parse().expect("a number"))
    };
    let samples: Vec<(String, f64)> = lines.map(sample).collect();
    let by_key: BTreeMap<String, f64> = samples.iter().cloned().collect();
    assert_eq!(by_key.len(), samples.len(), "no sample is there twice");
    by_key
}

/// A server of which everything is known that can be.
fn world() -> World {
    let mut world = World::with_limits(Limits { slow_hold: Some(SECOND * 10), max_idle: None, ..Limits::default() });
    world.server.set_metrics_prefixes(PREFIXES.map(Box::from));
    world.server.set_outside(Outside {
        is_open: true,
        is_reloaded: false,
        certificate_expires: Some(1_800_000_000),
        process: Some(Process {
            cpu: Span::from_nanos(1_500_000_000),
            resident_bytes: 1,
            virtual_bytes: 2,
            started: Span::from_nanos(1_700_000_000_250_000_000),
            open_descriptors: Some(3),
            descriptors_max: 4,
        }),
    });
    world
}

#[track_caller]
fn assert_samples(world: &World, expected: &[(&str, f64)]) {
    let samples = samples(world);
    for (key, value) in expected {
        assert_eq!(samples.get(*key), Some(value), "{key}");
    }
}

#[test]
fn samples_are_what_has_happened() {
    let mut world = world();
    let [ann, bob] = world.connect();
    world.say(ann, &lock("boss:17", ""));
    world.say(bob, &lock("boss:17", ""));
    world.pass(SECOND * 12);
    world.say(bob, &lock("boss:2", ""));
    world.say(ann, &lock("boss:2", r#""timeout":1"#));
    world.say(ann, r#"{"command":"dance"}"#);
    let now = [
        ("officer_connections", 2.0),
        ("officer_locks", 2.0),
        ("officer_locks_held", 2.0),
        ("officer_locks_contended", 2.0),
        ("officer_waiters", 2.0),
        ("officer_slow_holds_total", 1.0),
        ("officer_lock_hold_seconds_count", 0.0),
    ];
    assert_samples(&world, &now);
    world.say(ann, &unlock("boss:17"));
    world.pass(SECOND);
    let after = [
        ("officer_grants_total", 3.0),
        ("officer_releases_total", 1.0),
        ("officer_timeouts_total", 1.0),
        (r#"officer_requests_total{command="lock"}"#, 4.0),
        (r#"officer_requests_total{command="unlock"}"#, 1.0),
        (r#"officer_requests_total{command="unknown"}"#, 1.0),
        (r#"officer_errors_total{reason="unknown_command"}"#, 1.0),
        (r#"officer_lock_wait_seconds_bucket{le="0.0001"}"#, 2.0),
        (r#"officer_lock_wait_seconds_bucket{le="10"}"#, 2.0),
        (r#"officer_lock_wait_seconds_bucket{le="60"}"#, 3.0),
        (r#"officer_lock_wait_seconds_bucket{le="+Inf"}"#, 3.0),
        ("officer_lock_wait_seconds_sum", 12.0),
        ("officer_lock_hold_seconds_sum", 12.0),
        ("officer_lock_hold_seconds_count", 1.0),
        ("officer_open", 1.0),
        ("officer_config_last_reload_successful", 0.0),
        ("officer_tls_certificate_expiry_timestamp_seconds", 1_800_000_000.0),
        ("process_cpu_seconds_total", 1.5),
        ("process_start_time_seconds", 1_700_000_000.25),
        ("process_resident_memory_bytes", 1.0),
        ("process_virtual_memory_bytes", 2.0),
        ("process_open_fds", 3.0),
        ("process_max_fds", 4.0),
    ];
    assert_samples(&world, &after);
}

#[test]
fn each_turn_is_measured() {
    let mut world = world();
    for millis in [1, 3, 2000] {
        world.turn();
        world.server.ended(world.moment().after(Span::from_nanos(millis * 1_000_000)));
    }
    let turns = [
        (r#"officer_turn_duration_seconds_bucket{le="0.0005"}"#, 0.0),
        (r#"officer_turn_duration_seconds_bucket{le="0.001"}"#, 1.0),
        (r#"officer_turn_duration_seconds_bucket{le="0.005"}"#, 2.0),
        (r#"officer_turn_duration_seconds_bucket{le="1"}"#, 2.0),
        ("officer_turn_duration_seconds_count", 3.0),
        ("officer_turn_duration_seconds_sum", 2.004),
    ];
    assert_samples(&world, &turns);
}

#[test]
fn locks_of_a_prefix_are_also_counted_for_it() {
    let mut world = world();
    let [ann, bob] = world.connect();
    for name in ["boss:17", "boss:2", "other"] {
        world.say(ann, &lock(name, ""));
        world.say(bob, &lock(name, ""));
    }
    world.pass(SECOND * 3);
    for name in ["boss:17", "boss:2", "other"] {
        world.say(ann, &unlock(name));
        world.say(ann, &lock(name, r#""timeout":0"#));
    }
    world.say(ann, r#"{"command":"lock","names":["boss:18","boss:2"],"timeout":0}"#);
    world.say(ann, r#"{"command":"lock","names":["other","boss:2"],"timeout":1}"#);
    world.say(ann, r#"{"command":"lock","name":"boss:17","timeout":1}"#);
    world.pass(SECOND);
    let expected = [
        (r#"officer_prefix_wait_seconds_count{prefix="boss:"}"#, 4.0),
        (r#"officer_prefix_wait_seconds_sum{prefix="boss:"}"#, 6.0),
        (r#"officer_prefix_wait_seconds_bucket{prefix="boss:",le="0.0001"}"#, 2.0),
        (r#"officer_prefix_hold_seconds_count{prefix="boss:"}"#, 2.0),
        (r#"officer_prefix_hold_seconds_sum{prefix="boss:"}"#, 6.0),
        (r#"officer_prefix_timeouts_total{prefix="boss:"}"#, 5.0),
        (r#"officer_prefix_wait_seconds_count{prefix="boss:1"}"#, 2.0),
        (r#"officer_prefix_hold_seconds_sum{prefix="boss:1"}"#, 3.0),
        (r#"officer_prefix_timeouts_total{prefix="boss:1"}"#, 3.0),
        (r#"officer_prefix_timeouts_total{prefix="a\\b\"c\nd"}"#, 0.0),
        ("officer_timeouts_total", 6.0),
    ];
    assert_samples(&world, &expected);
}

#[test]
fn series_with_fixed_labels_begin_at_zero() {
    let world = world();
    let samples = samples(&world);
    let count = |metric: &str| {
        let of_metric = samples.iter().filter(|(key, _)| key.starts_with(&format!("{metric}{{")));
        of_metric.inspect(|(key, value)| assert_eq!(**value, 0.0, "{key}")).count()
    };
    let counts = ["officer_requests_total", "officer_errors_total", "officer_disconnects_total"].map(count);
    assert_eq!((counts, count("officer_tls_handshakes_total")), ([17, 21, 19], 5));
    // Each path and all others, with each status.
    assert_eq!(count("officer_http_requests_total"), 11 * 13);
}

#[test]
fn promtool_finds_nothing() {
    let mut world = world();
    let [ann] = world.connect();
    world.say(ann, &lock("boss:17", ""));
    let Some((is_content, said)) = promtool(&["check", "metrics"], &text(&world)) else { return };
    assert!(is_content && said.is_empty(), "{said}\n{}", text(&world));
}

/// Whether promtool is content, and what it says. None: it is not installed.
fn promtool(arguments: &[&str], input: &str) -> Option<(bool, String)> {
    let mut command = Command::new("promtool");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = match command.spawn() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            skipped("promtool is not installed");
            return None;
        }
        promtool => promtool.expect("promtool starts"),
    };
    // Some of its commands read no input.
    let _ = promtool.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let output = promtool.wait_with_output().expect("promtool ends");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    Some((output.status.success(), said))
}
