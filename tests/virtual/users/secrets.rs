//! Secrets, which appear nowhere.

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
    let told = |words: &str| log.lines().any(|line| !line.contains("transcript]") && line.contains(words));
    assert!(told("10.0.0.2:1"), "a wrong secret is logged: {log}");
}
