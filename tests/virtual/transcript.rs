//! Replays transcripts: what a log recorded of a server happens again to a new one, which must send the same.
//!
//! A transcript is what the server logs at debug, one line for everything that enters or leaves a connection
//! ([`officer::wire::transcript`]). Paste the lines as they are, with other lines of the log between them if that is
//! easier: only transcript lines count.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use officer::server::{Disconnect, Limits};
use officer::wire::peer::Peer;
use officer::wire::transcript::{Event, Record};

use crate::world::{Client, World};

/// What a server did in several consecutive turns may happen in one.
const SLACK: Duration = Duration::from_millis(100);

/// What was sent to each connection, in the order in which they connected, and when.
type Sent = BTreeMap<usize, Vec<(Duration, String)>>;

/// Connects, sends and disconnects at the times of the transcript, and asserts that the server sends what the
/// transcript contains.
///
/// A connection whose start is not in the transcript exists from its first line on. A transcript does not say when a
/// peer took its output, so a replay can't have a connection closed for not taking it. The server has its turns when
/// the recorded one had them, so it is as late as that one.
pub(crate) fn replay(transcript: &str) {
    replay_within(Limits::default(), transcript);
}

/// As [`replay`], with the limits of the server that wrote the transcript.
pub(crate) fn replay_within(limits: Limits, transcript: &str) {
    let line_bytes_max = limits.line_bytes_max;
    // What was read in one turn is read in one turn, although its parts arrived earlier.
    let mut world = World::with_limits(Limits { turn_read_bytes: 1 << 20, ..limits });
    let records: Vec<_> = transcript.lines().filter_map(record).collect();
    assert!(!records.is_empty(), "this contains no transcript");
    let mut clients: HashMap<String, Client> = HashMap::new();
    let (mut expected, mut sent) = (Sent::new(), Sent::new());
    let mut ended = Vec::new();
    for turn in records.chunk_by(|one, other| one.at == other.at) {
        let at = Duration::from_nanos(turn[0].at.as_nanos());
        world.oversleep(at.checked_sub(world.now()).expect("the lines are sorted by time"));
        for Record { peer, event, bytes, .. } in turn {
            if *event == Event::Opened || !clients.contains_key(peer) {
                clients.insert(peer.clone(), world.arrive(parse_peer(peer)));
            }
            let client = clients[peer];
            match event {
                Event::Opened => {}
                Event::Received => world.put(client, &[bytes, &b"\n"[..]].concat()),
                Event::Sent => {
                    let line = String::from_utf8(bytes.clone()).expect("replies are UTF-8");
                    expected.entry(client.0).or_default().push((at, line));
                }
                Event::Closed => {
                    ended.push(client);
                    end(&mut world, client, &String::from_utf8_lossy(bytes), line_bytes_max);
                }
            }
        }
        for (client, line) in world.step() {
            sent.entry(client.0).or_default().push((at, line));
        }
    }
    assert_same(&expected, &sent);
    for client in ended {
        assert!(world.is_at_end(client), "{} has not ended", world.name(client));
    }
}

/// Ends a connection for the reason that the transcript gives.
fn end(world: &mut World, client: Client, why: &str, line_bytes_max: usize) {
    if why == Disconnect::PeerClosed.to_string() {
        world.put_end(client);
    } else if why == Disconnect::LineTooLong.to_string() {
        // The line itself is not in the transcript, and its end need not arrive.
        world.put(client, &vec![b'x'; line_bytes_max + 1]);
    } else if why.starts_with("socket error") {
        world.put_reset(client);
    }
    // Otherwise the server ends it.
}

fn assert_same(expected: &Sent, sent: &Sent) {
    let lines = |sent: &Sent| -> BTreeMap<usize, Vec<String>> {
        let lines = |lines: &Vec<(Duration, String)>| lines.iter().map(|(_, line)| line.clone()).collect();
        sent.iter().map(|(client, sent)| (*client, lines(sent))).collect()
    };
    assert_eq!(lines(expected), lines(sent), "expected is what the transcript says, by connection");
    for ((expected_at, line), (at, _)) in expected.values().flatten().zip(sent.values().flatten()) {
        assert!(expected_at.abs_diff(*at) < SLACK, "sent at {at:?} instead of {expected_at:?}: {line}");
    }
}

/// The record in a line. None if it is another line of the log.
fn record(line: &str) -> Option<Record<String, Vec<u8>>> {
    let line = line.trim_start();
    let record = Record::parse(line);
    assert!(record.is_some() || !line.contains("officer::transcript] @"), "not a record: {line}");
    assert!(!line.ends_with(" [cut]"), "this line is incomplete: {line}");
    record
}

fn parse_peer(name: &str) -> Peer {
    match name.strip_prefix("unix:") {
        Some(number) => Peer::Unix(number.parse().expect("a number")),
        None => Peer::from(name.parse::<SocketAddr>().expect("an address")),
    }
}

mod tests {
    use std::panic::{catch_unwind, resume_unwind};

    use super::*;
    use crate::logged::logged;
    use crate::words::{LOCKS, MY_LOCKS, RESET, lock, unlock};

    const HAND_OVER: &str = r#"
        @0.000000000 127.0.0.1:40312 +
        @0.000120000 127.0.0.1:40312 < {"command":"lock","name":"db"}
        @0.000120000 127.0.0.1:40312 > {"name":"db","result":"acquired"}
        @1.000000000 [::1]:40313 +
        @1.000000000 unix:1 +
        @1.500000000 [::1]:40313 < {"command":"lock","name":"db"}
        @1.600000000 unix:1 < {"command":"lock","name":"db","timeout":1}
        @2.600031000 unix:1 > {"name":"db","result":"timed_out","queue":["127.0.0.1:40312","[::1]:40313"]}
        @5.250000000 127.0.0.1:40312 - the peer closed the connection
        @5.250000000 [::1]:40313 > {"name":"db","result":"acquired"}
        @60.100000000 unix:1 < {"command":"keep_alive"}
        @61.500090000 [::1]:40313 - idle limit reached
    "#;

    #[test]
    fn a_transcript_is_replayed() {
        replay(HAND_OVER);
    }

    #[test]
    fn a_transcript_is_replayed_as_it_is_in_the_log() {
        replay(
            r#"
[2026-11-24T00:18:34.229Z INFO  officer::net] told nothing yet
[2026-11-24T00:18:35.235Z DEBUG officer::transcript] @1.005741033 127.0.0.1:33868 + 
[2026-11-24T00:18:35.236Z DEBUG officer::transcript] @1.006901482 127.0.0.1:33868 < {"command":"lock","name":"db"}
[2026-11-24T00:18:35.236Z DEBUG officer::transcript] @1.006901482 127.0.0.1:33868 > {"name":"db","result":"acquired"}
[2026-11-24T00:18:35.240Z DEBUG officer::transcript] @1.010200133 127.0.0.1:33870 +
[2026-11-24T00:18:35.241Z DEBUG officer::transcript] @1.011200133 127.0.0.1:33870 < {"command":"lock","name":"db"} \x0d
[2026-11-24T00:18:36.302Z INFO  officer::server::connections] 127.0.0.1:33868 ended: the peer closed the connection
[2026-11-24T00:18:36.302Z DEBUG officer::transcript] @2.072113640 127.0.0.1:33868 - the peer closed the connection
[2026-11-24T00:18:36.302Z DEBUG officer::transcript] @2.072113640 127.0.0.1:33870 > {"name":"db","result":"acquired"}
[2026-11-24T00:18:36.400Z DEBUG officer::transcript] @2.170000000 127.0.0.1:33870 < \xff\x00
[2026-11-24T00:18:36.400Z DEBUG officer::transcript] @2.170000000 127.0.0.1:33870 > {"result":"error","reason":"invalid_json","message":"the line is not UTF-8"}
"#,
        );
    }

    #[test]
    fn a_transcript_may_begin_in_the_middle() {
        let middle: String = HAND_OVER.lines().filter(|line| !line.ends_with('+')).collect::<Vec<_>>().join("\n");
        assert!(!middle.contains('+'));
        replay(&middle);
    }

    #[test]
    fn a_transcript_of_a_server_that_behaved_differently_fails() {
        let is_refused = |from: &str, to: &str| {
            let transcript = HAND_OVER.replacen(from, to, 1);
            assert_ne!(transcript, HAND_OVER, "it contains {from}");
            catch_unwind(|| replay(&transcript)).is_err()
        };
        // A different reply, none, one too early, one too many, a different end.
        assert!(is_refused(r#"{"name":"db","result":"acquired"}"#, r#"{"name":"db","result":"released"}"#));
        assert!(is_refused(
            "[::1]:40313 > {\"name\":\"db\",\"result\":\"acquired\"}",
            "unix:1 < {\"command\":\"reset\"}"
        ));
        assert!(is_refused("@2.600031000", "@2.500031000"));
        assert!(is_refused("@60.100000000 unix:1 <", "@60.100000000 unix:1 >"));
        assert!(is_refused("unix:1 < {\"command\":\"keep_alive\"}", "unix:1 - idle limit reached"));
        assert!(!is_refused("idle limit reached", "an end in other words"));
    }

    #[test]
    fn what_the_server_logs_can_be_replayed() {
        let limits = Limits {
            line_bytes_max: 100,
            connections_max: 4,
            max_idle: Some(Duration::from_secs(9)),
            ..Limits::default()
        };
        let transcript = logged(|| {
            let mut world = World::with_limits(limits.clone());
            let [ann, bob, carl] = world.connect();
            let dora = world.connect_as(Peer::Unix(1));
            world.say(ann, &lock("d\"b", ""));
            world.say(bob, &lock("d\"b", r#""timeout":1.5,"id":"b""#));
            world.say(carl, &lock("d\"b", ""));
            world.send(dora, b"\xfe\\x41\n\nhello\r\n");
            world.pass(Duration::from_secs(2));
            let [_turned_away] = world.connect();
            world.say(dora, LOCKS);
            world.send(dora, &[b'y'; 1_000]);
            world.pass(Duration::from_secs(2));
            world.say(carl, MY_LOCKS);
            world.vanish(ann);
            world.pass(Duration::from_secs(1));
            // Several lines and the end, all within one turn or the next.
            world.put(bob, format!("{}\n{RESET}\n", unlock("d\"b")).as_bytes());
            world.half_close(bob);
            world.pass(Duration::from_secs(20));
        });
        for what in [" + ", " < ", " > ", " - "] {
            assert!(transcript.contains(what.trim_end()), "{transcript}");
        }
        assert_eq!(transcript.matches(" +\n").count(), 5, "{transcript}");
        assert_eq!(transcript.matches(" - ").count(), 5, "{transcript}");
        replay_within(limits, &transcript);
    }

    /// As printed by the simulation for the seed 202995, when its model took a client that waited for its turn to be
    /// silent.
    #[test]
    fn what_the_simulation_prints_of_a_seed_is_replayed() {
        let limits = Limits {
            line_bytes_max: 96,
            connections_max: 1000,
            max_idle: Some(Duration::from_secs(1)),
            outbox_pause_bytes: 233,
            turn_expiry_bytes: 189,
            ..Limits::default()
        };
        let transcript = r#"
@0.000000000 10.0.0.1:10000 +
@0.000000000 10.0.0.1:10000 < {"command":"locks","prefix":"","detail":false,"id":"id-305"}
@0.000000000 10.0.0.1:10000 > {"result":"locks","value":{},"id":"id-305"}
@1.430119821 10.0.0.1:10000 < {"command":"locks","prefix":"a","detail":true}
@1.430119821 10.0.0.1:10000 > {"result":"locks","value":{}}
@1.430119821 10.0.0.1:10000 < {"command":"locks","prefix":"boss:","detail":false,"id":308}
@1.430119821 10.0.0.1:10000 > {"result":"locks","value":{},"id":308}
"#;
        replay_within(limits, transcript);
        let other = transcript.replacen(r#""value":{},"id":308"#, r#""value":{},"id":309"#, 1);
        assert!(catch_unwind(|| replay(&other)).is_err(), "the server answers with the id that was sent");
    }

    #[test]
    fn a_connection_ends_once_although_a_second_reason_occurs_before_its_session_has_ended() {
        let transcript = logged(|| {
            let mut world = World::with_limits(Limits { turn_ends_max: 1, ..Limits::default() });
            let [ann, bob] = world.connect();
            world.take_only(bob, 0);
            world.say(bob, RESET);
            world.put_end(ann);
            world.put_end(bob);
            // Ann's session ends in this turn, Bob's in the next; before that, a write to him fails.
            world.take_nothing_for_ever(bob);
            world.put_room(bob, None);
            world.step();
        });
        let ends: Vec<&str> = transcript.lines().filter(|line| line.contains(" 10.0.0.2:1 - ")).collect();
        assert_eq!(ends.len(), 1, "{transcript}");
    }

    #[test]
    fn a_server_with_an_internal_error_logs_its_last_traffic_again_and_no_other_does() {
        let log_of_one_that = |contradicts_itself: bool| {
            logged(|| {
                let end = catch_unwind(|| {
                    let mut world = World::new();
                    let [ann] = world.connect();
                    world.say(ann, RESET);
                    if contradicts_itself {
                        resume_unwind(Box::new("as a panic does, without the message on stderr"));
                    }
                });
                assert_eq!(end.is_err(), contradicts_itself);
            })
        };
        let last = format!("ERROR officer::transcript] @0.000000000 10.0.0.1:1 < {RESET}\n");
        let log = log_of_one_that(true);
        let (_, lines) = log.split_once("internal error; last traffic:").expect("an error before the traffic");
        assert!(lines.contains(&last), "{log}");
        assert!(!log_of_one_that(false).contains("ERROR"));
    }
}
