//! Who is answered what.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use officer::server::Credentials;
use serde_json::json;

use super::{Answer, CHANGE, ask, connect, connect_from, far, get, post};
use crate::memory::Wire;
use crate::users::{file, secret};
use crate::world::World;

/// The paths that not everybody is told about.
const PATHS: [&str; 4] = ["/metrics", "/api/locks", "/api/connections", "/api/stats"];

pub(super) fn basic(user: &str, secret: &str) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("{user}:{secret}")))
}

pub(super) fn basic_of(user: &str) -> String {
    basic(user, &secret(user))
}

/// What one of this machine is answered on a new connection.
fn status(world: &mut World, request: &str) -> u16 {
    let client = connect(world);
    ask(world, client, request).status
}

fn kick(fields: &str) -> String {
    post("/api/kick", &format!("{CHANGE}{fields}"), r#"{"connection":"nobody"}"#)
}

#[test]
fn without_users_only_programs_on_this_machine_are_answered() {
    let mut world = World::new();
    for path in PATHS {
        assert_eq!(status(&mut world, &get(path, "")), 200, "{path}");
        for peer in ["10.0.0.1:5", "[2001:db8::1]:5"] {
            let client = connect_from(&mut world, peer);
            let answer = ask(&mut world, client, &get(path, ""));
            assert_eq!(answer.status, 403, "{path} {peer}");
            assert!(answer.body.contains("its own machine"), "{}", answer.body);
        }
        for field in ["Forwarded: for=1.2.3.4", "X-Forwarded-For: 127.0.0.1", "via: 1.1 proxy", "X-Real-IP: ::1"] {
            assert_eq!(status(&mut world, &get(path, &format!("{field}\r\n"))), 403, "{path} {field}");
        }
    }
    assert_eq!(status(&mut world, &kick("")), 404);
    let wire = Wire { own_ip: Some([10, 0, 0, 1].into()), ..Wire::default() };
    let client = world.accept_http("10.0.0.1:5".parse().unwrap(), wire);
    assert_eq!(ask(&mut world, client, &get("/metrics", "")).status, 200, "it comes from the listener's own address");
    let client = connect(&mut world);
    let answer = ask(&mut world, client, &get("/metrics", &basic("ops", "secret")));
    assert!(answer.status == 403 && answer.body.contains("has no users"), "{answer:?}");
}

#[test]
fn without_credentials_the_host_is_an_address_or_an_allowed_name() {
    let mut world = World::new();
    world.server.set_http_hosts(&["Officer.Example".to_owned()]);
    for (host, expected) in [
        ("localhost", 200),
        ("LOCALHOST:9100", 200),
        ("127.0.0.1:9100", 200),
        ("192.0.2.1", 200),
        ("[::1]:9100", 200),
        ("officer.example:80", 200),
        ("OFFICER.EXAMPLE", 200),
        ("evil.example", 403),
        ("evil.example:9100", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("evil.officer.example", 403),
        ("localhost@evil.example", 403),
        ("::1", 403),
        ("", 403),
    ] {
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(status(&mut world, &request), expected, "{host:?}");
    }
    assert_eq!(status(&mut world, "GET /metrics HTTP/1.1\r\n\r\n"), 400);
    assert_eq!(status(&mut world, "GET /metrics HTTP/1.0\r\n\r\n"), 400);
}

#[test]
fn a_page_of_another_site_changes_nothing() {
    let mut world = World::new();
    for (origin, expected) in [
        ("http://localhost", 404),
        ("https://LOCALHOST", 404),
        ("http://localhost:81", 403),
        ("http://evil.example", 403),
        ("http://localhost.evil.example", 403),
        ("localhost", 403),
        ("null", 403),
        ("", 403),
    ] {
        assert_eq!(status(&mut world, &kick(&format!("Origin: {origin}\r\n"))), expected, "{origin}");
        let read = if expected == 403 { 403 } else { 200 };
        assert_eq!(status(&mut world, &get("/api/locks", &format!("Origin: {origin}\r\n"))), read, "{origin}");
    }
    // What a form can send, or a script without being asked first.
    let body = r#"{"connection":"nobody"}"#;
    let json = "Content-Type: application/json\r\n";
    for (fields, expected) in [
        ("Content-Type: text/plain\r\n", 403),
        ("Content-Type: application/x-www-form-urlencoded\r\n", 403),
        (json, 403),
        ("X-Officer: 1\r\n", 415),
        ("X-Officer: 1\r\nContent-Type: text/plain\r\n", 415),
        ("X-Officer: 1\r\nContent-Type: text/plain; application/json\r\n", 415),
        ("X-Officer: 1\r\nContent-Type: application/json-seq\r\n", 415),
        ("x-officer: yes\r\ncontent-type: Application/JSON ; charset=utf-8\r\n", 404),
    ] {
        assert_eq!(status(&mut world, &post("/api/kick", fields, body)), expected, "{fields}");
    }
}

pub(super) fn with_users(more: &str) -> World {
    let mut world = World::new();
    world.set_users(&format!("{}{more}", file(&[("game", "locks = [\"player:\"]"), ("graphs", "metrics = true")])));
    world
}

#[test]
fn users_have_the_rights_that_they_have_everywhere() {
    let mut world = with_users("");
    let [ann] = world.connect();
    world.say(ann, &json!({"command": "hello", "user": "all", "secret": secret("all")}).to_string());
    world.say(ann, r#"{"command":"lock","name":"boss:1"}"#);
    world.say(ann, r#"{"command":"lock","name":"player:1"}"#);
    for (user, expected) in
        [("ops", [200, 200, 200, 200, 404]), ("graphs", [200, 200, 200, 403, 403]), ("game", [403, 200, 200, 403, 403])]
    {
        let fields = basic_of(user);
        let asked = PATHS.map(|path| status(&mut world, &get(path, &fields)));
        assert_eq!((&asked[..], status(&mut world, &kick(&fields))), (&expected[..4], expected[4]), "{user}");
    }
    let mut names = |user: &str| {
        let client = connect(&mut world);
        let locks = ask(&mut world, client, &get("/api/locks", &basic_of(user))).json();
        locks["value"].as_object().expect("an object").keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(names("ops"), ["boss:1", "player:1"]);
    assert_eq!(names("game"), ["player:1"]);
    assert_eq!(names("graphs"), [""; 0]);
    // A user may come from anywhere, through proxies, and by any name of the server.
    let client = connect_from(&mut world, "10.0.0.1:5");
    let fields = format!("{}X-Forwarded-For: 1.2.3.4\r\n", basic_of("ops"));
    let request = get("/api/stats", &fields).replace("localhost", "officer.example");
    assert_eq!(ask(&mut world, client, &request).status, 200);
}

#[test]
fn who_is_nobody_is_asked_who_it_is() {
    let mut world = with_users("");
    let challenge = "Basic realm=\"Officer\", charset=\"UTF-8\"";
    for fields in [
        String::new(),
        basic("game", "wrong"),
        basic("ops", &secret("game")),
        basic("", ""),
        "Authorization: Bearer x\r\n".to_owned(),
        "Authorization: Basic !\r\n".to_owned(),
        "Authorization:\r\n".to_owned(),
    ] {
        for request in PATHS.map(|path| get(path, &fields)).into_iter().chain([kick(&fields)]) {
            let client = connect(&mut world);
            let answer = ask(&mut world, client, &request);
            assert_eq!((answer.status, answer.fields["www-authenticate"].as_str()), (401, challenge), "{request}");
        }
    }
    // Without credentials a page could ask by another name.
    let request = get("/metrics", "").replace("localhost", "evil.example");
    assert_eq!(status(&mut world, &request), 403);
}

#[test]
fn wrong_credentials_are_counted_and_no_secret_is_shown() {
    let mut world = with_users("");
    let client = connect(&mut world);
    for _ in 0..3 {
        assert_eq!(ask(&mut world, client, &get("/metrics", &basic("ops", "hunter2"))).status, 401);
    }
    let stats = ask(&mut world, client, &get("/api/stats", &basic_of("ops"))).json();
    assert_eq!(stats["value"]["errors"]["auth_failed"], 3);
    world.put(client, get("/metrics", &basic("ops", "hunter2")).trim_end().as_bytes());
    world.turn();
    let transcript = world.transcript();
    for text in ["hunter2".to_owned(), STANDARD.encode("ops:hunter2"), secret("ops")] {
        assert!(!transcript.contains(&text), "{text}");
    }
}

#[test]
fn the_anonymous_have_their_rights_unless_a_proxy_asks_for_them() {
    let expect = |rules: &str, peer: &str, fields: &str, expected: [u16; 5]| {
        let mut world = with_users(&format!("[anonymous]\n{rules}\n"));
        let mut ask = |request: String| {
            let client = connect_from(&mut world, peer);
            ask(&mut world, client, &request).status
        };
        let asked = PATHS.map(|path| ask(get(path, fields)));
        assert_eq!((&asked[..], ask(kick(fields))), (&expected[..4], expected[4]), "{rules} {peer} {fields}");
    };
    let nothing = [401; 5];
    expect("locks = [\"\"]", "127.0.0.1:5", "", [401, 200, 200, 401, 401]);
    expect("metrics = true", "127.0.0.1:5", "", [200, 200, 200, 401, 401]);
    expect("metrics = true", "10.0.0.1:5", "", nothing);
    expect("metrics = true", "127.0.0.1:5", "Via: 1.1 proxy\r\n", nothing);
    expect("metrics = true\nfrom = [\"unix\"]", "127.0.0.1:5", "", nothing);
    expect("metrics = true\nfrom = [\"anywhere\"]", "10.0.0.1:5", "Via: 1.1 proxy\r\n", [200, 200, 200, 401, 401]);
}

#[test]
fn what_the_socket_proves_counts_unless_it_is_that_of_a_proxy() {
    let mut world = with_users("[users.root]\nuid = 7\nadmin = true\n[users.seven]\ngid = 7\n");
    let mut answer = |credentials: Credentials, fields: &str| -> Answer {
        let client = world.accept_http(far(1), Wire { credentials, ..Wire::default() });
        ask(&mut world, client, &get("/api/stats", fields))
    };
    let root = Credentials { uid: Some(7), ..Credentials::default() };
    assert_eq!(answer(root.clone(), "").status, 200);
    assert_eq!(answer(root.clone(), "Via: 1.1 proxy\r\n").status, 401);
    assert_eq!(answer(root.clone(), &format!("Via: 1.1 proxy\r\n{}", basic_of("ops"))).status, 200);
    assert_eq!(answer(root.clone(), &basic_of("ops")).status, 401, "it is another user already");
    assert_eq!(answer(Credentials { gid: Some(7), ..root }, "").status, 401, "it is two users");
}

#[test]
fn a_reload_counts_from_the_next_request_on() {
    let mut world = with_users("");
    let client = connect(&mut world);
    let request = get("/metrics", &basic_of("graphs"));
    assert_eq!(ask(&mut world, client, &request).status, 200);
    world.set_users(&file(&[("graphs", "")]));
    assert_eq!(ask(&mut world, client, &request).status, 403);
    world.set_users(&file(&[]));
    assert_eq!(ask(&mut world, client, &request).status, 401);
}
