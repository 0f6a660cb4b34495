//! What is counted of requests by HTTP.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{CHANGE, HEALTH, answers, connect, get, post};
use crate::memory::Wire;
use crate::world::{Client, World};

/// The answers so far, by path and status, without those that there were none of.
fn counts(world: &World) -> BTreeMap<(String, u16), u64> {
    let mut text = Vec::new();
    world.server.write_metrics(&mut text);
    let text = String::from_utf8(text).expect("UTF-8");
    let samples = text.lines().filter_map(|line| line.strip_prefix("officer_http_requests_total{path=\""));
    let counts = samples.map(|sample| {
        let (path, rest) = sample.split_once("\",code=\"").expect("two labels");
        let (code, count) = rest.split_once("\"} ").expect("a value");
        ((path.to_owned(), code.parse().expect("a number")), count.parse().expect("a number"))
    });
    counts.filter(|(_, count)| *count > 0).collect()
}

#[track_caller]
fn assert_counts(world: &World, expected: &[(&str, u16, u64)]) {
    let expected = expected.iter().map(|(path, code, count)| (((*path).to_owned(), *code), *count)).collect();
    assert_eq!(counts(world), expected);
}

#[test]
fn answers_are_counted_by_path_and_status() {
    let mut world = World::new();
    for (request, path, code) in [
        (HEALTH.to_owned(), "/health", 200),
        (HEALTH.replace("GET", "HEAD"), "/health", 200),
        (HEALTH.replace("GET", "PUT"), "/health", 405),
        (get("/metrics", ""), "/metrics", 200),
        (get("/metrics?x=y", ""), "/metrics", 200),
        (get("/metrics", "Via: x\r\n"), "/metrics", 403),
        (get("/metrics", "Host: x\r\n"), "other", 400),
        ("GET /metrics HTTP/1.1\r\n\r\n".to_owned(), "/metrics", 400),
        (get("/", ""), "/", 200),
        (get("/page.css?x=y", ""), "/page.css", 200),
        (get("/page.js", "Via: x\r\n"), "/page.js", 403),
        (get("/api/locks", ""), "/api/locks", 200),
        (get("/api/locks?limit=0", ""), "/api/locks", 400),
        (get("/api/connections", ""), "/api/connections", 200),
        (get("/api/stats", ""), "/api/stats", 200),
        (get("/api/stats", "Origin: http://x\r\n"), "/api/stats", 403),
        (get("/api/kick", ""), "/api/kick", 405),
        (post("/api/kick", CHANGE, r#"{"connection":"10.0.0.1:1"}"#), "/api/kick", 404),
        (post("/api/revoke", "X-Officer: 1\r\n", r#"{"name":"x"}"#), "/api/revoke", 415),
        (post("/api/revoke", CHANGE, r#"{"name":"x"}"#), "/api/revoke", 404),
        (get("/api/locks/", ""), "other", 404),
        (get("/nothing", ""), "other", 404),
        (post("/nothing", "Expect: 100-continue\r\n", "{}"), "other", 417),
        (post("/nothing", "", &"x".repeat(4097)), "other", 413),
        (format!("GET /health HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(65)), "other", 431),
        ("hello\n".to_owned(), "other", 400),
    ] {
        let before = counts(&world);
        let client = connect(&mut world);
        world.send(client, request.as_bytes());
        let mut expected = before;
        *expected.entry((path.to_owned(), code)).or_default() += 1;
        assert_eq!(counts(&world), expected, "{request}");
    }
}

#[test]
fn what_is_answered_to_no_request_is_counted_as_well() {
    let mut world = World::new();
    let late = connect(&mut world);
    world.send(late, b"GET /health");
    world.pass(Duration::from_secs(10));
    assert_counts(&world, &[("other", 408, 1)]);
    let crowd: Vec<Client> = (0..64).map(|_| connect(&mut world)).collect();
    for client in &crowd {
        world.take_only(*client, 0);
        world.send(*client, HEALTH.as_bytes());
    }
    let refused = world.accept_http("127.0.0.1:9".parse().expect("a name"), Wire::default());
    world.step();
    assert_eq!(answers(&world.take_bytes(refused))[0].status, 503);
    assert_counts(&world, &[("/health", 200, 64), ("other", 408, 1), ("other", 503, 1)]);
}

#[test]
fn a_scrape_counts_itself_in_the_next_one() {
    let mut world = World::new();
    let client = connect(&mut world);
    for count in 0..3 {
        world.send(client, get("/metrics", "").as_bytes());
        let answer = answers(&world.take_bytes(client)).remove(0);
        let line = format!("\nofficer_http_requests_total{{path=\"/metrics\",code=\"200\"}} {count}\n");
        assert!(answer.body.contains(&line), "{line}");
    }
}
