//! The page for people: what its files are sent as, who gets them, and what they never contain.

use officer::engine::PAGE_BYTES;

use super::guard::{basic, basic_of, with_users};
use super::{ask, connect, connect_from, get, post};
use crate::answers::{Answer, answer};
use crate::world::World;

const FILES: [(&str, &str); 3] = [
    ("/", "text/html; charset=utf-8"),
    ("/page.css", "text/css; charset=utf-8"),
    ("/page.js", "text/javascript; charset=utf-8"),
];

fn file(world: &mut World, path: &str, fields: &str) -> Answer {
    let client = connect(world);
    ask(world, client, &get(path, fields))
}

#[test]
fn each_file_has_its_type_and_is_neither_kept_nor_framed_nor_mixed_with_others() {
    let mut world = World::new();
    let mut bytes = 0;
    for (path, content_type) in FILES {
        let answer = file(&mut world, path, "");
        assert_eq!(answer.status, 200, "{path}");
        let policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
            form-action 'none'; frame-ancestors 'none'";
        for (name, value) in [
            ("content-type", content_type),
            ("cache-control", "no-store"),
            ("content-security-policy", policy),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
        ] {
            assert_eq!(answer.fields[name], value, "{path}");
        }
        assert!(answer.body.len() < PAGE_BYTES, "{path} is no more to send than a page of locks");
        bytes += answer.body.len();
        // What is asked for makes no difference.
        assert_eq!(file(&mut world, &format!("{path}?lock=a"), ""), answer);
    }
    assert!(bytes < 64_000, "the page is small: {bytes} bytes");
}

#[test]
fn the_files_are_read_and_nothing_else() {
    let mut world = World::new();
    for (path, _) in FILES {
        let read = file(&mut world, path, "");
        let client = connect(&mut world);
        world.send(client, get(path, "").replace("GET", "HEAD").as_bytes());
        let bytes = world.take_bytes(client);
        let (head, length) = answer(&bytes, false).expect("an answer");
        assert_eq!((head.status, &head.fields, length), (200, &read.fields, bytes.len()), "{path}");
        let answer = ask(&mut world, client, &post(path, "", "{}"));
        assert_eq!((answer.status, answer.fields["allow"].as_str()), (405, "GET, HEAD"), "{path}");
    }
    for path in ["/page", "/page.html", "/text.js", "/PAGE.JS", "/page.js/", "//", "/./", "/%70age.js"] {
        assert_eq!(file(&mut world, path, "").status, 404, "{path}");
    }
}

#[test]
fn nothing_in_the_files_needs_another_host_or_more_than_the_policy_allows() {
    let mut world = World::new();
    let [html, css, script] = FILES.map(|(path, _)| file(&mut world, path, "").body);
    for (text, banned) in [
        (&html, &["style=", "<style", "<script>", "javascript:", "<form", "<img", "<base"][..]),
        (&css, &["url(", "@import"][..]),
        (
            &script,
            &["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", ".style"][..],
        ),
    ] {
        for banned in banned {
            assert!(!text.contains(banned), "{banned} is in {}", text.lines().next().unwrap_or_default());
        }
        let others = text.matches("//").count() - text.matches("http://www.w3.org/2000/svg").count();
        let comments =
            text.lines().filter(|line| line.trim_start().starts_with("//")).map(|line| line.matches("//").count());
        assert_eq!(others, comments.sum::<usize>(), "an address of another host, or a comment in a place of its own");
    }
    let handler = html.split('<').find(|tag| tag.split(' ').any(|word| word.starts_with("on") && word.contains('=')));
    assert_eq!(handler, None, "a handler in the markup is not run");
}

#[test]
fn whoever_may_read_locks_gets_the_page_and_others_are_asked_who_they_are() {
    let mut world = with_users("");
    for (path, _) in FILES {
        for user in ["ops", "game", "graphs"] {
            assert_eq!(file(&mut world, path, &basic_of(user)).status, 200, "{path} {user}");
        }
        for fields in [String::new(), basic("ops", "wrong")] {
            let answer = file(&mut world, path, &fields);
            let challenge = answer.fields["www-authenticate"].as_str();
            assert_eq!((answer.status, challenge), (401, "Basic realm=\"Officer\", charset=\"UTF-8\""), "{path}");
        }
    }
    let mut world = with_users("[anonymous]\nsee = [\"\"]\n");
    assert_eq!(file(&mut world, "/", "").status, 200);
    assert_eq!(file(&mut world, "/", "Via: 1.1 proxy\r\n").status, 401);
    let mut world = World::new();
    for (path, _) in FILES {
        assert_eq!(file(&mut world, path, "Via: 1.1 proxy\r\n").status, 403, "{path}");
        let client = connect_from(&mut world, "10.0.0.1:5");
        assert_eq!(ask(&mut world, client, &get(path, "")).status, 403, "{path}");
        let request = get(path, "").replace("localhost", "evil.example");
        let client = connect(&mut world);
        assert_eq!(ask(&mut world, client, &request).status, 403, "{path}");
    }
}

#[test]
fn a_browser_asks_nobody_for_credentials_because_of_what_the_page_does_by_itself() {
    let mut world = with_users("[anonymous]\nlocks = [\"\"]\n");
    for (mark, is_challenged) in [("X-Officer: page\r\n", false), ("X-Officer: 1\r\n", true), ("", true)] {
        let answer = file(&mut world, "/api/stats", mark);
        assert_eq!((answer.status, answer.fields.contains_key("www-authenticate")), (401, is_challenged), "{mark}");
        let wrong = format!("{mark}{}", basic("ops", "wrong"));
        let answer = file(&mut world, "/api/locks", &wrong);
        assert_eq!((answer.status, answer.fields.contains_key("www-authenticate")), (401, is_challenged), "{mark}");
    }
    // It is a mark like any other.
    let change = format!("X-Officer: page\r\nContent-Type: application/json\r\n{}", basic_of("ops"));
    let client = connect(&mut world);
    assert_eq!(ask(&mut world, client, &post("/api/kick", &change, r#"{"connection":"nobody"}"#)).status, 404);
}
