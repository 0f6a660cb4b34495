//! What is refused: everything that two programs may read differently, and other protocols.

use super::{Answer, CHANGE, HEALTH, answers, connect, get, post};
use crate::world::{Client, World};

/// Requests that are answered with this, after which the connection is closed.
fn refused() -> Vec<(String, u16)> {
    let with = |field: &str| format!("POST /api/kick HTTP/1.1\r\nHost: localhost\r\n{CHANGE}{field}\r\n\r\n{{}}");
    let mut refused: Vec<(String, u16)> = [
        "Transfer-Encoding: chunked",
        "transfer-encoding: identity",
        "Content-Length: 2\r\nTransfer-Encoding: chunked",
        "Content-Length: 2\r\nContent-Length: 2",
        "Content-Length: 2\r\ncontent-length: 3",
        "Content-Length: 2, 2",
        "Content-Length: +2",
        "Content-Length: -2",
        "Content-Length: 0x2",
        "Content-Length: 2.0",
        "Content-Length:",
        "Content-Length: 99999999999999999999x",
        "Content-Length: -99999999999999999999",
        "Content-Length : 2",
        "Content-Length\t: 2",
        "Content-Length: 2\r\n folded",
        "Content-Length: 2\r\n\tfolded",
        "X: a\nContent-Length: 2",
        "X: a\rContent-Length: 2",
        "X: a\0",
        "X: a\x1b[2J",
        "X\0: a",
        "X: a\x7f",
        "no field",
        ": a",
        "X y: a",
        "X(y): a",
        "Host: localhost",
        "Authorization: Basic eDp5\r\nAuthorization: Basic eDp5",
        "Content-Type: text/plain",
    ]
    .iter()
    .map(|field| (with(field), 400))
    .collect();
    let nines = "9".repeat(5_000);
    for length in ["4097", "18446744073709551615", "18446744073709551616", "99999999999999999999", &nines] {
        refused.push((with(&format!("Content-Length: {length}")), 413));
    }
    refused.push((with("Content-Length: 2\r\nExpect: 100-continue"), 417));
    for (request, status) in [
        ("GET /health HTTP/1.1\n\n", 400),
        ("GET /health HTTP/1.1\r\n\n", 400),
        ("\nGET /health HTTP/1.1\r\n\r\n", 400),
        (" GET /health HTTP/1.1\r\n\r\n", 400),
        ("GET  /health HTTP/1.1\r\n\r\n", 400),
        ("GET /health  HTTP/1.1\r\n\r\n", 400),
        ("GET /health\r\n\r\n", 400),
        ("GET /health HTTP/1.1 \r\n\r\n", 400),
        ("GET /health HTTP/1.1\r\n X: y\r\n\r\n", 400),
        ("GET /health HTTP/2.0\r\n\r\n", 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        ("GET /health XTTP/1.1\r\n\r\n", 400),
        ("GET health HTTP/1.1\r\n\r\n", 400),
        ("OPTIONS * HTTP/1.1\r\n\r\n", 400),
        ("CONNECT localhost:22 HTTP/1.1\r\n\r\n", 400),
        ("GET http://localhost/health HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("GET /health HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", 400),
        ("HEAD /health HTTP/1.1\r\nContent-Length: 1\r\n\r\n{", 400),
        ("{\"command\":\"ping\"}\n", 400),
        ("{\"command\":\"lock\",\"name\":\"a\"}\r\n", 400),
        ("\x16\x03\x01\x02\x00\x01\x00", 400),
        ("\r\n\r\n\0\r\nQUIT\n", 400),
    ] {
        refused.push((request.to_owned(), status));
    }
    refused
}

/// What a client is answered that sends this in pieces, with another request after it, and whether that is the end.
fn answered(world: &mut World, bytes: &[u8], piece: usize) -> (Vec<Answer>, bool) {
    let client: Client = connect(world);
    for piece in bytes.chunks(piece) {
        world.send(client, piece);
    }
    let answers = answers(&world.take_bytes(client));
    (answers, world.is_at_end(client))
}

#[test]
fn what_can_be_read_in_two_ways_is_refused_and_nothing_after_it_is_executed() {
    let mut world = World::new();
    for (request, status) in refused() {
        let (answers, is_at_end) = answered(&mut world, format!("{request}{HEALTH}{HEALTH}").as_bytes(), usize::MAX);
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [status], "{request:?}: {answers:?}");
        assert_eq!(answers[0].fields["connection"], "close", "{request:?}");
        assert!(is_at_end, "{request:?}");
    }
}

#[test]
fn what_no_head_has_is_refused_at_once_and_said() {
    let mut world = World::new();
    for (beginning, what) in [
        (&b"{"[..], "this port speaks HTTP"),
        (b"GET /health HTTP/1.1\n", "a line ends with a line feed alone"),
        (b"GET /health HTTP/1.1\rX", "a carriage return stands alone"),
        (b"GET /health HTTP/1.1\r\r", "a carriage return stands alone"),
        (b"GET /health HTTP/1.1\r\n ", "a field goes on in the next line"),
        (b"GET /\0", "the head has a control character"),
        (b"GET /health HTTP/1.1\r\nX: a\x7f", "the head has a control character"),
    ] {
        let (answers, is_at_end) = answered(&mut world, beginning, usize::MAX);
        assert_eq!((answers.len(), answers[0].status, is_at_end), (1, 400, true), "{what}");
        assert_eq!(answers[0].body, format!("{what}\n"));
    }
}

#[test]
fn it_makes_no_difference_in_which_pieces_requests_come() {
    let mut world = World::new();
    let good = [
        HEALTH.to_owned(),
        format!("{HEALTH}\r\n\r\n{}{HEALTH}", get("/api/locks", "X: y\r\n")),
        format!(
            "{}\r\n{}{HEALTH}",
            post("/api/kick", CHANGE, "{\"connection\":\"x\"}"),
            post("/api/kick", CHANGE, "{}")
        ),
        format!("{}{HEALTH}", post("/api/kick", "", "{\"connection\":\"x\"}")),
        "GET /health HTTP/1.0\r\n\r\nGET".to_owned(),
    ];
    let bad = refused().into_iter().map(|(request, _)| format!("{request}{HEALTH}"));
    for request in good.into_iter().chain(bad) {
        let whole = answered(&mut world, request.as_bytes(), usize::MAX);
        for piece in [1, 2, 3, 7, 50] {
            assert_eq!(answered(&mut world, request.as_bytes(), piece), whole, "{request:?} by {piece}");
        }
    }
}

#[test]
fn lines_of_the_protocol_change_nothing_here() {
    let mut world = World::new();
    let [ann] = world.connect();
    let client = connect(&mut world);
    world.send(client, b"{\"command\":\"lock\",\"name\":\"boss\"}\n{\"command\":\"reset\"}\n");
    let locks = world.say(ann, r#"{"command":"locks"}"#);
    assert_eq!(locks, [(ann, r#"{"result":"locks","value":{}}"#.to_owned())]);
    // Nor as a body.
    let client = connect(&mut world);
    let body = "{\"command\":\"lock\",\"name\":\"boss\"}\n";
    world.send(client, post("/api/kick", CHANGE, body).as_bytes());
    assert_eq!(answers(&world.take_bytes(client))[0].status, 400);
    let locks = world.say(ann, r#"{"command":"locks"}"#);
    assert_eq!(locks, [(ann, r#"{"result":"locks","value":{}}"#.to_owned())]);
}
