//! Secrets, which appear nowhere.

use std::panic::{catch_unwind, resume_unwind};

use super::*;
use crate::logged::logged;
use crate::words::{lock, with};

#[test]
fn no_log_no_transcript_and_no_picture_of_the_server_has_a_secret() {
    let mut session = String::new();
    let mut pictures = Vec::new();
    let log = logged(|| {
        let mut world = world(&[("game", "locks = [\"\"]")]);
        let [game, wrong, again, late] = world.connect();
        let reply = ask(&mut world, game, &with(&hello_as("game"), r#""session":{"grace":50},"id":1"#));
        session = reply["session"]["secret"].as_str().expect("a secret").to_owned();
        world.say(game, &hello_as("game"));
        world.say(wrong, &hello("game", "nearly-the-secret"));
        pictures.push(world.transcript());
        world.vanish(game);
        let resume = with(&hello_as("game"), &format!(r#""resume":"{session}""#));
        assert_eq!(ask(&mut world, again, &resume)["resumed"], true);
        world.say(again, &lock("a", ""));
        world.say(late, &resume);
        pictures.push(world.transcript());
    });
    assert!(log.contains("hello") && pictures[1].contains("hello"), "there is a transcript");
    for text in pictures.iter().chain([&log]) {
        for secret in ["secret-of-game", "nearly-the-secret", &*session, &*digest("secret-of-game")] {
            assert_eq!(text.lines().find(|line| line.contains(secret)), None, "{secret}");
        }
    }
    let begin = with(&hello_as("game"), r#""session":{"grace":50},"id":1"#);
    let blank = format!("10.0.0.1:1 < {}", "*".repeat(begin.len()));
    assert!(log.lines().any(|line| line.ends_with(&blank)), "how long it was is no secret: {log}");
    let told = |words: &str| log.lines().any(|line| !line.contains("transcript]") && line.contains(words));
    assert!(told("10.0.0.2:1"), "a wrong secret is logged: {log}");
}

/// However it is written, and whatever else is wrong with the line.
#[test]
fn a_secret_in_a_hello_that_is_refused_is_in_no_log() {
    let line_with = |fields: &str| format!(r#"{{"command":"hello",{fields}}}"#);
    let long = "x".repeat(1_100);
    let lines = [
        line_with(r#""user":"game","secret":"PASTED","max_idle":0"#),
        line_with(r#""max_idle":0,"secret":"PASTED","user":"game""#),
        line_with(r#""secret":"PASTED""#),
        line_with(r#""user":5,"secret":"PASTED""#),
        line_with(r#""user":"game","secret":["PASTED"]"#),
        line_with(r#""user":"game","secret":"other","secret":"PASTED""#),
        line_with(r#""user":"game","secret":"PASTED","secret":"other""#),
        line_with(r#""user":"game","\u0073ecret":"PASTED""#),
        line_with(r#""user":"game","\u0073ecret":"PASTED","max_idle":0"#),
        line_with(r#""user":"game","secret":"\u0050ASTED""#),
        line_with(r#""user":"PASTED","secret":"other""#),
        line_with(&format!(r#""user":"game","secret":"PASTED{long}""#)),
        line_with(r#""user":"game","secret":"PASTED","id":{}"#),
        line_with(r#""user":"game","secret":"PASTED","session":{"grace":0},"resume":1"#),
        r#"{"command":"hello","user":"game","secret":"PASTED"#.to_owned(),
        r#"{"command":"hallo","user":"game","secret":"PASTED"}"#.to_owned(),
        r#"{"user":"game","secret":"PASTED"}"#.to_owned(),
    ];
    let mut told = Vec::new();
    for line in &lines {
        for is_known in [false, true] {
            let mut picture = String::new();
            let log = logged(|| {
                let mut world = world(&[("game", "")]);
                let client = if is_known { log_in(&mut world, "game") } else { world.connect::<1>()[0] };
                world.say(client, line);
                picture = world.transcript();
            });
            if (log + &picture).contains("ASTED") {
                told.push((is_known, line));
            }
        }
    }
    assert_eq!(told, []);
}

/// However it is written, and where a line of which nobody knows what it was meant to be has it.
#[test]
fn the_secret_of_a_session_is_in_no_log() {
    let secret = "0123456789abcdef0123456789abcdef";
    for line in [
        format!(r#"{{"command":"hello","resume":"{secret}"}}"#),
        format!(r#"{{"command":"hello","\u0072esume":"{secret}"}}"#),
        format!(r#"{{"command":"ping","session":"{secret}"}}"#),
        format!(r#"{{"again":"{secret}""#),
    ] {
        let log = logged(|| {
            let mut world = World::new();
            let [client] = world.connect();
            world.say(client, &line);
        });
        let masked = line.replace(secret, &"*".repeat(secret.len()));
        assert!(log.lines().any(|shown| shown.ends_with(&masked)) && !log.contains(secret), "{log}");
    }
}

/// What becomes of what a client sends before the server contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// It is refused, if the client does not say who it is.
    OfStranger,
    OfUser,
    /// It is read, and not executed.
    Waits,
}

#[test]
fn a_server_that_ends_by_a_contradiction_shows_no_secret() {
    let hello = hello("game", "swordfish");
    let session = "0123456789abcdef0123456789abcdef";
    let resume = with(&hello_as("game"), &format!(r#""resume":"{session}""#));
    let line = |line: &str| vec![format!("{line}\n")];
    let in_pieces = |line: &str| line.as_bytes().chunks(7).map(|piece| String::from_utf8_lossy(piece).into()).collect();
    let anywhere: Vec<Vec<String>> = vec![
        line(&hello),
        line(&resume),
        // Nobody knows what these are meant to be.
        line("{'command':'hello','user':'game','secret':'swordfish'}"),
        line("{command: hello, user: game, secret: swordfish}"),
        line(r#"{"command":"hello","user":"game","secret" "swordfish"}"#),
        line(r#"{"Command":"hello","User":"game","Secret":"swordfish"}"#),
        line(r#"{"command":"hello","user":"game","secret":"swordfish"#),
        line(r#"{"command":"hello","resume":"0123456789abcdef"#),
        line(r#"{"command":"lock","name":"db","secret":"swordfish"}"#),
        line(r#"{"command":"lock","name":"db","\u0073ecret":"swordfish"}"#),
        line(r#"{"command":"ping","secre\u0074" : "swordfish"}"#),
        line(r#"{"Command":"hello","\u0055ser":"game","\u0053ecret":"swordfish"}"#),
        line("Authorization: Basic swordfish"),
        // They are not whole yet.
        vec![hello.clone()],
        vec![hello[..hello.len() - 4].to_owned()],
        vec![hello.replace("secret", r"\u0073ecret")],
        vec![hello.replace("secret", r"\u0073\u0065\u0063\u0072\u0065\u0074")],
        in_pieces(&hello.replace("secret", r"se\u0063re\u0074")),
        vec![r#"{"command":"hello","res\u0075me":"swordfish"#.to_owned()],
        in_pieces(&hello),
        in_pieces(&resume),
        in_pieces(&format!("{hello}\n")),
        // The name of the secret is in what is not remembered of a piece.
        vec![
            hello.replace("{", &format!("{{{}", " ".repeat(5_000))).replace("swordfish\"}", ""),
            "swordfish\"".to_owned(),
        ],
    ];
    let of_other_protocols: Vec<Vec<String>> = vec![
        line("GET /metrics HTTP/1.1\r\nHost: a\r\nAuthorization: Basic swordfish\r\n\r"),
        in_pieces("GET /metrics HTTP/1.1\r\nHost: a\r\nAuthorization: Basic swordfish\r\n\r\n"),
        line("*3\r\n$4\r\nAUTH\r\n$4\r\ngame\r\n$9\r\nswordfish\r"),
        line("PASS swordfish"),
        line("a1 LOGIN game swordfish"),
    ];
    let everywhere =
        anywhere.iter().flat_map(|pieces| [Fate::OfStranger, Fate::OfUser, Fate::Waits].map(|fate| (pieces, fate)));
    let mut told = Vec::new();
    for (pieces, fate) in everywhere.chain(of_other_protocols.iter().map(|pieces| (pieces, Fate::OfStranger))) {
        let log = log_of_contradiction(pieces, fate);
        let (_, last) = log.split_once("internal error; last traffic:").expect("it says so");
        assert!(last.contains(&lock("harmless", "")), "there is a transcript: {last}");
        let sent: Vec<&str> = last.lines().filter_map(|line| Some(line.split_once(" 10.0.0.2:1 < ")?.1)).collect();
        assert!(!sent.is_empty(), "what the client has sent is in it: {last}");
        let sent = sent.concat().replace(" [cut]", "");
        if ["word", "ish", "89abcd", "of-game"].iter().any(|part| log.contains(part) || sent.contains(part)) {
            told.push((fate, pieces, sent));
        }
    }
    assert_eq!(told, []);
}

#[test]
fn what_follows_the_name_of_a_secret_is_not_shown_when_the_name_is_forgotten() {
    let mut world = world(&[("game", "")]);
    let other = log_in(&mut world, "game");
    let [client] = world.connect();
    let hello = hello("game", "swordfish");
    let (name, rest) = hello.split_at(hello.find("swordfish").expect("it is in it"));
    world.send(client, name.as_bytes());
    // Of the last traffic there are 128 pieces.
    (0..100).for_each(|_| _ = world.say(other, PING));
    world.send(client, rest.as_bytes());
    let shown = world.transcript();
    assert!(!shown.contains("10.0.0.2:1 < {") && !shown.contains("sword"), "{shown}");
    assert!(shown.contains(&format!("10.0.0.2:1 < {} [cut]", "*".repeat(rest.len()))), "{shown}");
}

/// The log of a server that contradicts itself after somebody has sent this.
fn log_of_contradiction(pieces: &[String], fate: Fate) -> String {
    logged(|| {
        let end = catch_unwind(|| {
            let mut world =
                world_with(Limits { outbox_pause_bytes: 1, ..Limits::default() }, &file(&[("game", "locks = [\"\"]")]));
            let harmless = log_in(&mut world, "game");
            world.say(harmless, &lock("harmless", ""));
            let client = if fate == Fate::OfStranger { world.connect::<1>()[0] } else { log_in(&mut world, "game") };
            if fate == Fate::Waits {
                world.take_only(client, 0);
                world.send(client, format!("{PING}\n{}", pieces.concat()).as_bytes());
            } else {
                pieces.iter().for_each(|piece| _ = world.send(client, piece.as_bytes()));
            }
            resume_unwind(Box::new("as a panic does, without the message on stderr"));
        });
        assert!(end.is_err());
    })
}
