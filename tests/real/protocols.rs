//! Clients of other protocols that reach the port.

use serde_json::json;

use crate::support::server::Server;

#[test]
fn a_post_from_a_browser_frees_nothing_and_is_logged() {
    let server = Server::tcp(&["-l", "warn"]);
    let [mut ann, mut browser] = [server.connect(), server.connect()];
    ann.acquire("boss:17");
    let kick = json!({"command": "kick", "connection": ann.tcp_name()});
    let post = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n\r\n{kick}\n");
    browser.write(post.as_bytes());
    let replies = browser.receive_until_end();
    assert_eq!(replies.len(), 1, "{replies:?}");
    assert_eq!(replies[0]["reason"], "wrong_protocol");
    server.log().wait_for(&format!("{} speaks HTTP", browser.tcp_name()));
    assert_eq!(ann.locks(), json!({"boss:17": [ann.tcp_name()]}));
}

#[test]
fn a_flood_of_other_protocols_leaves_a_few_lines_in_the_log() {
    let server = Server::tcp(&["-l", "warn"]);
    for _ in 0..200 {
        let mut client = server.connect();
        client.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
        assert_eq!(client.receive_until_end()[0]["reason"], "wrong_protocol");
    }
    let log = server.end();
    let lines = log.iter().filter(|line| line.contains("speaks TLS")).count();
    assert!((1..200).contains(&lines), "{lines}");
}
