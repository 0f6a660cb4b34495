//! Requests as they should be: routes, methods, one after the other, and what each answer says.

use super::{HEALTH, answer, answers, ask, connect, connect_from, get, post, send};
use crate::world::World;

#[test]
fn an_answer_is_this_to_the_byte() {
    let mut world = World::new();
    let client = connect(&mut world);
    world.send(client, HEALTH.as_bytes());
    let expected = "HTTP/1.1 200 OK\r\n\
        Content-Type: text/plain; charset=utf-8\r\n\
        Content-Length: 3\r\n\
        Cache-Control: no-store\r\n\
        Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
        base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n\
        Cross-Origin-Resource-Policy: same-origin\r\n\
        Referrer-Policy: no-referrer\r\n\
        X-Content-Type-Options: nosniff\r\n\
        X-Frame-Options: DENY\r\n\
        \r\n\
        ok\n";
    assert_eq!(String::from_utf8(world.take_bytes(client)).unwrap(), expected);
    assert!(!world.is_at_end(client));
}

#[test]
fn health_needs_neither_host_nor_user_nor_this_machine() {
    let mut world = World::new();
    world.set_users("[users.ops]\nuid = 5\nadmin = true");
    let client = connect_from(&mut world, "10.1.2.3:4");
    let others = ["GET /health HTTP/1.1\r\nX:\ta\tb\r\n\r\n", "GET /health?now HTTP/1.0\r\nConnection: x\r\n\r\n"];
    for request in [HEALTH, others[0], others[1]] {
        let answer = ask(&mut world, client, request);
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"), "{request:?}");
    }
    let client = connect_from(&mut world, "10.1.2.3:5");
    world.send(client, b"HEAD /health HTTP/1.1\r\nHost: evil.example\r\nVia: 1.1 x\r\nOrigin: null\r\n\r\n");
    let bytes = world.take_bytes(client);
    let (answer, length) = answer(&bytes, false).expect("an answer");
    assert_eq!((answer.status, answer.fields["content-length"].as_str(), length), (200, "3", bytes.len()));
}

#[test]
fn requests_that_come_together_are_answered_one_after_the_other_and_one_in_a_turn() {
    let mut world = World::new();
    let client = connect(&mut world);
    let paths = ["/health", "/metrics", "/nothing", "/api/stats", "/health"];
    let requests: String = paths.iter().map(|path| get(path, "")).collect();
    world.put(client, format!("\r\n{requests}").as_bytes());
    let (mut turns, mut bytes, mut most) = (0, Vec::new(), 0);
    while answers(&bytes).len() < paths.len() {
        world.turn();
        let more = world.take_bytes(client);
        most = most.max(answers(&more).len());
        bytes.extend(more);
        turns += 1;
        assert!(turns < 20, "{}", String::from_utf8_lossy(&bytes));
    }
    assert_eq!(most, 1);
    let statuses: Vec<u16> = answers(&bytes).iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200, 404, 200, 200]);
    assert!(!world.is_at_end(client));
}

#[test]
fn what_is_not_there_is_said_to_be_so() {
    let mut world = World::new();
    let client = connect(&mut world);
    for (request, status, allow) in [
        (get("/index.html", ""), 404, None),
        (get("/healthz", ""), 404, None),
        (get("/api/locks/", ""), 404, None),
        (get("/api/%6cocks", ""), 404, None),
        (get("//health", ""), 404, None),
        (get("/health", "").replace("GET", "OPTIONS"), 405, Some("GET, HEAD")),
        (get("/metrics", "").replace("GET", "get"), 405, Some("GET, HEAD")),
        (get("/api/kick", ""), 405, Some("POST")),
        (get("/api/revoke", "").replace("GET", "PUT"), 405, Some("POST")),
    ] {
        let answer = ask(&mut world, client, &request);
        assert_eq!(answer.status, status, "{request}");
        assert_eq!(answer.fields.get("allow").map(String::as_str), allow, "{request}");
        assert_eq!(answer.fields["cache-control"], "no-store");
    }
    assert!(!world.is_at_end(client), "nothing of that is a reason to close");
    // But where a body follows that nobody reads.
    assert_eq!(ask(&mut world, client, &post("/api/locks", "", "{}")).status, 405);
    assert!(world.is_at_end(client));
}

#[test]
fn a_connection_is_closed_after_the_answer_when_the_client_says_so() {
    let mut world = World::new();
    for (head, closes) in [
        ("GET /health HTTP/1.1\r\nConnection: close", true),
        ("GET /health HTTP/1.1\r\nconnection: TE , Close", true),
        ("GET /health HTTP/1.0", true),
        ("GET /health HTTP/1.0\r\nConnection: keep-alive", true),
        ("GET /health HTTP/1.1\r\nConnection: keep-alive, closed", false),
    ] {
        let client = connect(&mut world);
        // A second request, which is not executed.
        let answers = send(&mut world, client, &format!("{head}\r\n\r\n{HEALTH}"));
        assert_eq!(answers.len(), if closes { 1 } else { 2 }, "{head}");
        assert_eq!(answers[0].fields.contains_key("connection"), closes, "{head}");
        assert_eq!(world.is_at_end(client), closes, "{head}");
    }
}

#[test]
fn a_client_that_has_said_all_is_answered_before_the_end() {
    let mut world = World::new();
    let client = connect(&mut world);
    world.put(client, format!("{HEALTH}{}", get("/metrics", "")).as_bytes());
    world.half_close(client);
    let statuses: Vec<u16> = answers(&world.take_bytes(client)).iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200]);
    assert!(world.is_closed(client));
}

#[test]
fn the_longest_head_and_body_are_taken_and_one_byte_more_is_not() {
    let mut world = World::new();
    for (more, status) in [(0, 200), (1, 431)] {
        let client = connect(&mut world);
        let length = (8 << 10) - HEALTH.len() - "X: \r\n".len() + more;
        let request = format!("GET /health HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(length));
        assert_eq!(ask(&mut world, client, &request).status, status);
        assert_eq!(world.is_at_end(client), more == 1);
    }
    for (length, status) in [(4 << 10, 404), ((4 << 10) + 1, 413)] {
        let client = connect(&mut world);
        let body = format!("{{\"connection\":\"{}\"}}", "x".repeat(length - r#"{"connection":""}"#.len()));
        assert_eq!(ask(&mut world, client, &post("/api/kick", super::CHANGE, &body)).status, status);
        assert_eq!(world.is_at_end(client), status == 413);
    }
    for (count, status) in [(64, 200), (65, 431)] {
        let client = connect(&mut world);
        let request = format!("GET /health HTTP/1.1\r\n{}\r\n", "a:\r\n".repeat(count));
        assert_eq!(ask(&mut world, client, &request).status, status);
    }
}
