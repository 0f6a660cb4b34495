//! What proves who a connection is.

use officer::server::{Access, Credentials};
use officer::wire::peer::Peer;
use serde_json::json;

use super::*;
use crate::words::{LOCKS, lock};

#[test]
fn a_secret_and_the_name_of_its_user_say_who_it_is() {
    let mut world = world(&[("game", "locks = [\"a\"]")]);
    let game = log_in(&mut world, "game");
    assert_eq!(word(&mut world, game, &lock("a", "")), "acquired");
    for (user, secret_said) in [
        ("game", secret("ops")),
        ("ops", secret("game")),
        ("nobody", secret("game")),
        ("Game", secret("game")),
        ("game", "SECRET-OF-GAME".to_owned()),
        ("game", secret("game") + " "),
        ("game", digest(&secret("game"))),
        ("game", String::new()),
        ("", secret("game")),
        ("", String::new()),
    ] {
        let [stranger] = world.connect();
        assert_closed_with(&mut world, stranger, &hello(user, &secret_said), "auth_failed");
    }
}

#[test]
fn while_a_secret_is_replaced_both_count() {
    let file = format!("[users.game]\nsecret_sha256 = [\"{}\", \"{}\"]", digest("old"), digest("new"));
    let mut world = world_with(Limits::default(), &file);
    for secret in ["old", "new"] {
        let [client] = world.connect();
        assert_eq!(ask(&mut world, client, &hello("game", secret))["user"], "game");
    }
    let [client] = world.connect();
    assert_closed_with(&mut world, client, &hello("game", "older"), "auth_failed");
}

#[test]
fn user_and_secret_come_together_and_are_short_texts() {
    let mut world = world(&[]);
    let client = log_in(&mut world, "all");
    let long = "x".repeat(1_025);
    for fields in [
        r#""user":"all""#.to_owned(),
        r#""secret":"secret-of-all""#.to_owned(),
        r#""user":"all","secret":null"#.to_owned(),
        r#""user":5,"secret":"secret-of-all""#.to_owned(),
        r#""user":"all","secret":["secret-of-all"]"#.to_owned(),
        format!(r#""user":"all","secret":"{long}""#),
        format!(r#""user":"{long}","secret":"secret-of-all""#),
    ] {
        let line = format!(r#"{{"command":"hello",{fields}}}"#);
        assert_eq!(word(&mut world, client, &line), "invalid_request", "{line}");
        assert!(!world.is_at_end(client), "{line}");
    }
    assert_eq!(word(&mut world, client, &hello("all", &"x".repeat(1_024))), "auth_failed");
}

#[test]
fn a_connection_keeps_its_user_for_life() {
    let mut world = world(&[]);
    let all = log_in(&mut world, "all");
    world.say(all, &lock("a", ""));
    assert_eq!(ask(&mut world, all, &hello_as("all"))["user"], "all");
    assert_eq!(ask(&mut world, all, HELLO)["user"], "all");
    assert_closed_with(&mut world, all, &hello_as("ops"), "auth_failed");
    let all = log_in(&mut world, "all");
    assert_closed_with(&mut world, all, &hello("all", "wrong"), "auth_failed");
}

#[test]
fn the_fields_are_judged_before_the_secret_and_that_before_the_session() {
    let mut world = world(&[]);
    let says = |user: &str, secret: &str, fields: &str| crate::words::with(&hello(user, secret), fields);
    for (secret, fields, word) in [
        ("wrong", r#""max_idle":0"#, "invalid_request"),
        ("wrong", r#""session":{"grace":1}"#, "auth_failed"),
        ("wrong", r#""resume":"00000000000000000000000000000000""#, "auth_failed"),
        ("secret-of-all", r#""resume":"00000000000000000000000000000000""#, "session_unknown"),
        ("secret-of-all", r#""session":{"grace":1}"#, "hello"),
    ] {
        let [client] = world.connect();
        assert_eq!(super::word(&mut world, client, &says("all", secret, fields)), word, "{secret} {fields}");
    }
}

#[test]
fn who_may_lock_without_a_name_can_still_say_one_while_it_has_nothing() {
    let mut world = world_with(Limits::default(), &(file(&[]) + "[anonymous]\nfrom = [\"anywhere\"]\nlocks = [\"\"]"));
    let [ann, bob, carl, dora, emma] = world.connect();
    assert_eq!(ask(&mut world, ann, HELLO)["user"], json!(null));
    assert_eq!(word(&mut world, ann, STATS), "not_allowed");
    assert_eq!(ask(&mut world, ann, &hello_as("ops"))["user"], "ops");
    assert_eq!(word(&mut world, ann, STATS), "stats");
    // With a lock, a wait, both or a session it stays who it was, whole.
    world.say(bob, &lock("a", ""));
    world.say(carl, &lock("a", r#""id":1"#));
    world.say(dora, r#"{"command":"hello","session":{"grace":9}}"#);
    world.say(emma, &lock("e", ""));
    world.say(emma, &lock("a", r#""id":1"#));
    for client in [bob, carl, dora, emma] {
        assert_eq!(word(&mut world, client, &hello_as("ops")), "invalid_request");
        assert_eq!(word(&mut world, client, STATS), "not_allowed");
    }
    let [bob_name, carl_name, emma_name] = [bob, carl, emma].map(|client| world.name(client).to_owned());
    let all = json!({"a": [bob_name, carl_name, emma_name], "e": [emma_name]});
    assert_eq!(ask(&mut world, ann, LOCKS)["value"], all);
    // A lock that it has no more does not count.
    world.say(carl, r#"{"command":"reset"}"#);
    assert_eq!(ask(&mut world, carl, &hello_as("ops"))["user"], "ops");
    assert_closed_with(&mut world, carl, &hello_as("all"), "auth_failed");
    assert_closed_with(&mut world, bob, &hello("all", "wrong"), "auth_failed");
}

#[test]
fn the_peer_of_a_unix_socket_is_known_by_its_user_or_group() {
    let file = "[users.a]\nuid = 1001\nlocks = [\"a\"]\n[users.b]\nuid = [2, 3]\ngid = [0, 7]\nlocks = [\"b\"]\n";
    let mut world = world_with(Limits::default(), file);
    for (number, ids, user) in
        [(1, (1001, 9), "a"), (2, (2, 9), "b"), (3, (3, 9), "b"), (4, (9, 7), "b"), (5, (3, 0), "b")]
    {
        let client = world.connect_proving(unix(number), peer_ids(ids.0, ids.1));
        // Without a hello.
        assert_eq!(try_lock(&mut world, client, user), "acquired", "{ids:?}");
        assert_eq!(ask(&mut world, client, HELLO)["user"], user);
        world.vanish(client);
    }
    for (number, ids) in [(6, (1002, 9)), (7, (0, 1001)), (8, (65534, 65534)), (9, (u32::MAX, u32::MAX))] {
        let client = world.connect_proving(unix(number), peer_ids(ids.0, ids.1));
        assert_closed_with(&mut world, client, &lock("a", ""), "not_authenticated");
    }
}

#[test]
fn who_is_two_users_at_once_is_told_so_and_closed() {
    let file = "[users.a]\nuid = 1\n[users.b]\ngid = 2\n[users.c]\ncertificate = [\"dns:c\", \"uri:x://c\"]\n[users.d]\ncertificate = \"dns:d\"";
    let mut world = world_with(Limits::default(), file);
    for (peer, credentials) in [
        (unix(1), peer_ids(1, 2)),
        (ipv4([10, 9, 9, 9]), certificate(&["dns:c", "dns:d"])),
        (ipv4([10, 9, 9, 9]), certificate(&["dns:x", "uri:x://c", "dns:y", "dns:d"])),
    ] {
        let client = world.connect_proving(peer, credentials);
        let told = told(client, &world.receive());
        assert_eq!(told.iter().map(word_of).collect::<Vec<_>>(), ["auth_failed"]);
        assert!(world.is_at_end(client));
    }
}

#[test]
fn a_certificate_counts_byte_for_byte() {
    let file = format!(
        "{}[users.zone]\ncertificate = [\"dns:zone-7.game.example\", \"uri:spiffe://game/zone\"]\nlocks = [\"\"]\n",
        file(&[])
    );
    let mut world = world_with(Limits::default(), &file);
    let peer = ipv4([10, 9, 9, 9]);
    for names in [
        &["dns:zone-7.game.example"][..],
        &["dns:other", "uri:spiffe://game/zone"],
        &["dns:zone-7.game.example", "uri:spiffe://game/zone"],
    ] {
        let client = world.connect_proving(peer, certificate(names));
        assert_eq!(ask(&mut world, client, HELLO)["user"], "zone", "{names:?}");
        assert_eq!(try_lock(&mut world, client, "a"), "acquired");
        world.vanish(client);
    }
    for name in [
        "dns:Zone-7.game.example",
        "dns:zone-7.game.example.",
        "dns:*.game.example",
        "dns:7.game.example",
        "uri:zone-7.game.example",
        "zone-7.game.example",
        "uri:spiffe://game/zone/",
    ] {
        let client = world.connect_proving(peer, certificate(&[name]));
        assert_eq!(ask(&mut world, client, HELLO)["user"], json!(null), "{name}");
        // It can still say who it is.
        assert_eq!(ask(&mut world, client, &hello_as("all"))["user"], "all", "{name}");
    }
    let client = world.connect_proving(peer, certificate(&["dns:zone-7.game.example"]));
    assert_closed_with(&mut world, client, &hello_as("all"), "auth_failed");
}

#[test]
fn those_without_a_name_may_something_from_where_the_file_says() {
    let v6 = |last: [u8; 2]| {
        let mut ip = [0; 16];
        ip[14..].copy_from_slice(&last);
        Peer::V6 { ip, port: 1 }
    };
    let far = v6([1, 1]);
    let peers = [unix(1), ipv4([127, 0, 0, 1]), ipv4([127, 200, 3, 4]), v6([0, 1]), ipv4([10, 0, 0, 1]), far];
    for (from, fits) in [
        ("", [true, true, true, true, false, false]),
        (r#"from = ["unix", "loopback"]"#, [true, true, true, true, false, false]),
        (r#"from = ["unix"]"#, [true, false, false, false, false, false]),
        (r#"from = ["loopback"]"#, [false, true, true, true, false, false]),
        (r#"from = ["anywhere"]"#, [true; 6]),
        (r#"from = []"#, [false; 6]),
    ] {
        if from.ends_with("[]") && Access::parse(&format!("[anonymous]\n{from}")).is_err() {
            continue; // Nobody could be meant: that may be refused.
        }
        let mut world = world_with(Limits::default(), &format!("{}[anonymous]\n{from}\nlocks = [\"a\"]", file(&[])));
        for (peer, fits) in peers.into_iter().zip(fits) {
            let client = world.connect_as(peer);
            if fits {
                assert_eq!(try_lock(&mut world, client, "a"), "acquired", "{from} {peer}");
                assert_eq!(try_lock(&mut world, client, "b"), "not_allowed", "{from} {peer}");
                world.vanish(client);
            } else {
                assert_closed_with(&mut world, client, &lock("a", ""), "not_authenticated");
            }
        }
    }
}

#[test]
fn a_file_that_is_wrong_says_where() {
    let game = table("game", "");
    let other = digest("other");
    let taken = digest(&secret("game"));
    for (text, line) in [
        (format!("{game}color = 1\n"), 4),
        (format!("{game}[groups.x]\n"), 4),
        ("[users.game]\nlocks = [\"\"]\n".to_owned(), 1),
        ("[users.game]\nuid = 65534\n".to_owned(), 2),
        ("[users.game]\nuid = [1, 4294967295]\n".to_owned(), 2),
        ("[users.game]\ngid = 65534\n".to_owned(), 2),
        ("[users.game]\nuid = -1\n".to_owned(), 2),
        ("[users.game]\nsecret_sha256 = \"abc\"\n".to_owned(), 2),
        (format!("[users.game]\nsecret_sha256 = \"{}\"\n", &other[1..]), 2),
        (format!("[users.\"a b\"]\nsecret_sha256 = \"{other}\"\n"), 1),
        (format!("[users.{}]\nsecret_sha256 = \"{other}\"\n", "x".repeat(65)), 1),
        (format!("{game}[users.b]\nsecret_sha256 = [\"{other}\", \"{taken}\"]\n"), 0),
        ("[users.a]\nuid = 1\n[users.b]\nuid = 1\n".to_owned(), 0),
        ("[users.a]\ngid = 1\n[users.b]\ngid = [2, 1]\n".to_owned(), 0),
        ("[users.a]\ncertificate = \"dns:x\"\n[users.b]\ncertificate = \"dns:x\"\n".to_owned(), 0),
        (format!("{game}connections_max = 0\n"), 4),
        (format!("{game}locks_max = 0\n"), 4),
        (format!("{game}requests_per_second = 0\n"), 4),
        (format!("{game}priority_max = 8\n"), 4),
        (format!("{game}locks = \"a\"\n"), 4),
        (format!("{game}locks = [1]\n"), 4),
        (format!("{game}see = [\"{}\"]\n", "x".repeat(1_025)), 4),
        (format!("{game}admin = 1\n"), 4),
        (format!("{game}admin = true\nadmin = true\n"), 5),
        ("[anonymous]\nfrom = [\"nowhere\"]\n".to_owned(), 2),
        ("[anonymous]\nuid = 1\n".to_owned(), 2),
        ("no toml".to_owned(), 1),
    ] {
        let error = Access::parse(&text).expect_err(&text).to_string();
        assert!(!error.contains('\n'), "one line: {error}");
        // What is wrong with a table as a whole names the table.
        let says_where = error.contains(&line.to_string()) || error.contains("[users.") || error.contains("users ");
        assert!(says_where, "line {line} of {text:?}: {error}");
        assert!(!error.contains(&taken) && !error.contains(&other), "{error}");
    }
    let name = "x".repeat(64);
    assert!(Access::parse(&format!("[users.{name}]\nuid = 0\nlocks = [\"{}\"]", "x".repeat(1_024))).is_ok());
}

#[test]
fn without_users_everybody_may_everything_and_nobody_is_a_user() {
    let mut world = World::new();
    let credentials = Credentials { uid: Some(1), ..certificate(&["dns:a"]) };
    let client = world.connect_proving(ipv4([10, 9, 9, 9]), credentials);
    assert_eq!(ask(&mut world, client, HELLO)["user"], json!(null));
    assert_eq!(try_lock(&mut world, client, "a"), "acquired");
    assert_eq!(word(&mut world, client, STATS), "stats");
}

/// Nobody can be an admin there, and nobody has to be one.
#[test]
fn without_users_a_kick_of_one_is_refused_for_that_reason_and_the_other_commands_are_as_ever() {
    let mut world = World::new();
    let ann = world.connect_as(unix(1));
    let [bob] = world.connect();
    let reply = ask(&mut world, ann, r#"{"command":"kick","user":"game"}"#);
    let message = "this server has no users; it gets them from a file, with --users";
    assert_eq!((word_of(&reply), &reply["message"]), ("not_allowed".to_owned(), &json!(message)), "{reply}");
    world.say(bob, &lock("a", ""));
    assert_eq!(word(&mut world, ann, &request("revoke", "a", "")), "revoked");
    let kick = format!(r#"{{"command":"kick","connection":"{}"}}"#, world.name(bob));
    assert_eq!(word(&mut world, ann, &kick), "kicked");
}

#[test]
fn whoever_is_no_user_is_told_whether_there_are_any() {
    for (mut world, message) in
        [(World::new(), "this server has no users"), (world(&[]), "there is no such user, or that is not its secret")]
    {
        let [client] = world.connect();
        let reply = ask(&mut world, client, &hello_as("game"));
        assert_eq!((word_of(&reply), &reply["message"]), ("auth_failed".to_owned(), &json!(message)), "{reply}");
    }
}
