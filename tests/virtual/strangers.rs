//! Connections of which it is not known yet who they are: their places, how long they have, and who makes way.

use std::fmt::Write as _;
use std::time::Duration;

use officer::server::{Credentials, Handshake, Limits, Readiness};
use officer::time::Moment;
use officer::wire::peer::Peer;
use ring::digest::{SHA256, digest};

use crate::logged::logged;
use crate::memory::Wire;
use crate::words::{KEEP_ALIVE, RESET, RESET_SUCCEEDED, acquired, error, lock};
use crate::world::{Client, World};

const SECOND: Duration = Duration::from_secs(1);
const NANOSECOND: Duration = Duration::from_nanos(1);
const HELLO: &str = r#"{"command":"hello"}"#;
const ALL: &str = r#"{"command":"connections","all":true}"#;
const STATS: &str = r#"{"command":"stats"}"#;

fn hash(secret: &str) -> String {
    let digest = digest(&SHA256, secret.as_bytes());
    digest.as_ref().iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("strings take all");
        hex
    })
}

/// Two users, whose names are their secrets. `more` follows them in the file.
fn with_users(limits: Limits, more: &str) -> World {
    let users = format!(
        "[users.game]\nsecret_sha256 = \"{}\"\nuid = 7\nlocks = [\"\"]\nconnections_max = 100\n\
         [users.ops]\nsecret_sha256 = \"{}\"\nadmin = true\nconnections_max = 100\n{more}",
        hash("game"),
        hash("ops"),
    );
    let mut world = World::with_limits(limits);
    world.set_users(&users);
    world
}

/// Says who it is. Returns the result of that.
fn log_in(world: &mut World, client: Client, user: &str) -> String {
    let heard = world.say(client, &format!(r#"{{"command":"hello","user":"{user}","secret":"{user}"}}"#));
    heard.into_iter().find(|(who, _)| *who == client).expect("it is answered").1
}

fn user<const N: usize>(world: &mut World, user: &str) -> [Client; N] {
    let clients = world.connect();
    for client in clients {
        let reply = log_in(world, client, user);
        assert!(reply.contains(&format!(r#""user":"{user}""#)), "{reply}");
    }
    clients
}

fn v4(last: u8, port: u16) -> Peer {
    Peer::V4 { ip: [192, 0, 2, last], port }
}

fn v6(network: u8, host: u8) -> Peer {
    let mut ip = [0; 16];
    (ip[0], ip[7], ip[15]) = (0xfd, network, host);
    Peer::V6 { ip, port: 1 }
}

fn mapped(last: u8, port: u16) -> Peer {
    let mut ip = [0; 16];
    ip[10..].copy_from_slice(&[0xff, 0xff, 192, 0, 2, last]);
    Peer::V6 { ip, port }
}

fn no_room() -> String {
    error("too_many_connections", "connection limit reached")
}

#[track_caller]
fn expect_closed(world: &World, clients: &[Client], closed: &[Client]) {
    let found: Vec<_> = clients.iter().copied().filter(|client| world.is_closed(*client)).collect();
    assert_eq!(found, closed);
}

#[test]
fn when_all_places_are_taken_the_oldest_of_the_address_with_most_makes_way() {
    for (few, many) in [
        ([v4(1, 1), v4(2, 1)], [v4(3, 1), v4(3, 2)]),
        ([v4(1, 1), v6(1, 1)], [v6(2, 1), v6(2, 2)]),
        ([v4(1, 1), v4(2, 1)], [v4(3, 1), mapped(3, 2)]),
        ([mapped(1, 1), mapped(2, 1)], [Peer::Unix(1), Peer::Unix(2)]),
    ] {
        let mut world = with_users(Limits { strangers_max: 4, ..Limits::default() }, "");
        let all: Vec<Client> = [few[0], many[0], many[1], few[1]].map(|peer| world.connect_as(peer)).into();
        expect_closed(&world, &all, &[]);
        let newcomer = world.connect_as(v4(9, 1));
        expect_closed(&world, &all, &[all[1]]);
        // All have one now.
        world.connect_as(v4(10, 1));
        expect_closed(&world, &all, &[all[0], all[1]]);
        assert_eq!(world.server.strangers(), 4);
        world.connect_as(many[0]);
        expect_closed(&world, &all, &[all[0], all[1], all[2]]);
        assert!(!world.is_closed(newcomer));
    }
}

#[test]
fn an_address_whose_oldest_is_gone_is_judged_by_the_next() {
    let mut world = with_users(Limits { strangers_max: 4, ..Limits::default() }, "");
    let [a1, b1, b2, a2] = [v4(1, 1), v4(2, 1), v4(2, 2), v4(1, 2)].map(|peer| world.connect_as(peer));
    log_in(&mut world, a1, "game");
    world.connect_as(v4(1, 3));
    world.connect_as(v4(3, 1));
    expect_closed(&world, &[a1, b1, b2, a2], &[b1]);
}

#[test]
fn fifteen_thousand_at_once_take_no_more_than_their_places() {
    let mut world = with_users(Limits { strangers_max: 200, ..Limits::default() }, "");
    let [game] = user(&mut world, "game");
    for port in 0..15_000_u16 {
        world.arrive(v4(u8::try_from(port % 250).expect("few"), port));
    }
    assert_eq!((world.server.strangers(), world.server.sockets()), (200, 201), "before the turn");
    assert_eq!(world.say(game, &lock("a", "")), [(game, acquired("a"))]);
    let [late] = user(&mut world, "game");
    assert_eq!(world.say(late, RESET), [(late, RESET_SUCCEEDED.to_owned())]);
}

#[test]
fn one_that_is_on_its_way_out_makes_way_too() {
    let mut world = with_users(Limits { strangers_max: 1, ..Limits::default() }, "");
    let [lingering] = world.connect();
    world.say(lingering, RESET);
    assert!(world.is_at_end(lingering) && !world.is_closed(lingering) && world.server.strangers() == 1);
    let [draining] = world.connect();
    assert!(world.is_closed(lingering));
    world.take_only(draining, 0);
    world.say(draining, RESET);
    let [doomed] = world.connect();
    assert!(world.is_closed(draining));
    world.fail(doomed, std::io::ErrorKind::Other);
    let [doomed] = world.connect();
    world.put(doomed, format!("{RESET}\n").as_bytes());
    world.server.fail(world.key(doomed), std::io::ErrorKind::Other.into());
    let newcomer = world.arrive(world.next_peer());
    assert!(world.is_closed(doomed));
    let reply = log_in(&mut world, newcomer, "ops");
    assert!(reply.contains(r#""user":"ops""#), "{reply}");
    let stats = world.say(newcomer, STATS).remove(0).1;
    assert!(stats.contains(r#""connections":1,"strangers":0"#), "{stats}");
    assert!(stats.contains(r#""stranger_evicted":0"#), "each of them had its own reason: {stats}");
}

#[test]
fn one_that_makes_way_on_its_way_out_keeps_nobody_else_from_ending() {
    let mut world = with_users(Limits { strangers_max: 1, ..Limits::default() }, "");
    let [game] = user(&mut world, "game");
    let [stranger] = world.connect();
    for client in [stranger, game] {
        world.server.fail(world.key(client), std::io::ErrorKind::Other.into());
    }
    world.arrive(world.next_peer());
    expect_closed(&world, &[stranger, game], &[stranger]);
    world.step();
    expect_closed(&world, &[stranger, game], &[stranger, game]);
}

#[test]
fn the_end_of_whoever_said_something_is_logged() {
    let log = logged(|| {
        let mut world = with_users(Limits::default(), "");
        let [silent, talks] = world.connect();
        let [game] = user(&mut world, "game");
        world.pass(SECOND);
        world.say(talks, HELLO);
        for client in [silent, talks, game] {
            world.vanish(client);
        }
    });
    let is_told = |name: &str| log.contains(&format!("] {name} ended: "));
    assert_eq!(["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"].map(is_told), [false, true, true], "{log}");
}

#[test]
fn those_who_made_way_or_said_nothing_are_counted() {
    let mut world = with_users(Limits { strangers_max: 3, ..Limits::default() }, "");
    let [ops] = user(&mut world, "ops");
    world.connect_many(5);
    let stats = world.say(ops, STATS).remove(0).1;
    assert!(stats.contains(r#""connections":1,"strangers":3"#), "{stats}");
    assert!(stats.contains(r#""auth_timeout":0,"handshake_timeout":0,"stranger_evicted":2"#), "{stats}");
    world.pass(10 * SECOND);
    let stats = world.say(ops, STATS).remove(0).1;
    assert!(stats.contains(r#""auth_timeout":3,"handshake_timeout":0,"stranger_evicted":2"#), "{stats}");
    handshaking(&mut world, v4(1, 1), Handshake::Waiting);
    world.pass(10 * SECOND);
    let stats = world.say(ops, STATS).remove(0).1;
    assert!(stats.contains(r#""auth_timeout":3,"handshake_timeout":1,"stranger_evicted":2"#), "{stats}");
}

#[test]
fn strangers_are_in_no_listing() {
    let mut world = with_users(Limits::default(), "");
    let [ops] = user(&mut world, "ops");
    let [stranger] = world.connect();
    let value = format!(r#"{{"{}":[]}}"#, world.name(ops));
    assert_eq!(world.say(ops, ALL), [(ops, format!(r#"{{"result":"connections","value":{value}}}"#))]);
    log_in(&mut world, stranger, "game");
    let listed = world.say(ops, ALL).remove(0).1;
    assert!(listed.contains(world.name(stranger)), "{listed}");
}

#[test]
fn whoever_does_not_say_in_time_who_it_is_is_closed_whatever_else_it_says() {
    let mut world = with_users(Limits { auth: 5 * SECOND, ..Limits::default() }, "");
    let [silent, talks, says_it, takes_nothing] = world.connect();
    world.take_only(takes_nothing, 0);
    for _ in 0..4 {
        world.pass(SECOND);
        world.say(talks, KEEP_ALIVE);
        world.say(takes_nothing, HELLO);
        assert_eq!(world.say(talks, HELLO).len(), 1);
    }
    log_in(&mut world, says_it, "game");
    world.pass(SECOND - NANOSECOND);
    expect_closed(&world, &[silent, talks, says_it, takes_nothing], &[]);
    world.pass(NANOSECOND);
    expect_closed(&world, &[silent, talks, says_it, takes_nothing], &[silent, talks, takes_nothing]);
    world.pass(20 * SECOND);
    assert!(!world.is_closed(says_it), "it has all the time of a user");
}

#[test]
fn what_came_in_time_counts_however_late_it_is_read() {
    let mut world = with_users(Limits::default(), "");
    let [client, silent] = world.connect();
    world.oversleep(30 * SECOND);
    let reply = log_in(&mut world, client, "game");
    assert!(reply.contains(r#""user":"game""#), "{reply}");
    assert!(world.is_closed(silent) && !world.is_closed(client));
}

#[test]
fn a_handshake_has_its_time_whatever_drips_in() {
    // The idle limit is for those who may say something.
    let max_idle = Some(2 * SECOND);
    let limits = Limits { handshake: 4 * SECOND, auth: 6 * SECOND, max_idle, ..Limits::default() };
    let mut world = with_users(limits, "");
    let begun = |world: &mut World| {
        let peer = world.next_peer();
        world.accept(peer, Wire { handshake: Some(Handshake::Waiting), ..Wire::default() })
    };
    let [says_nothing, drips] = std::array::from_fn(|_| begun(&mut world));
    for _ in 0..3 {
        world.pass(SECOND);
        world.put_handshake(drips, Handshake::Waiting);
    }
    world.pass(SECOND - NANOSECOND);
    expect_closed(&world, &[says_nothing, drips], &[]);
    world.pass(NANOSECOND);
    expect_closed(&world, &[says_nothing, drips], &[says_nothing, drips]);
}

#[test]
fn the_time_that_a_handshake_waits_for_us_counts_nowhere() {
    let limits = Limits { handshake: 4 * SECOND, auth: 6 * SECOND, ..Limits::default() };
    for is_done in [false, true] {
        let mut world = with_users(limits.clone(), "");
        let peer = world.next_peer();
        let client = world.accept(peer, Wire { handshake: Some(Handshake::Waiting), ..Wire::default() });
        world.pass(3 * SECOND);
        world.put_handshake(client, Handshake::Later);
        for _ in 0..20 {
            world.step_once();
            world.oversleep(SECOND);
        }
        world.put_handshake(client, if is_done { Handshake::Done } else { Handshake::Waiting });
        let left = if is_done { 3 * SECOND } else { SECOND };
        world.pass(left - NANOSECOND);
        assert!(!world.is_closed(client));
        world.pass(NANOSECOND);
        assert!(world.is_closed(client));
    }
}

#[test]
fn what_came_of_a_handshake_in_time_counts_however_late_we_come_to_it() {
    let mut world = with_users(Limits { handshake: 4 * SECOND, ..Limits::default() }, "");
    let client = world.accept(v4(1, 1), Wire { handshake: Some(Handshake::Waiting), ..Wire::default() });
    world.turn();
    world.oversleep(30 * SECOND);
    world.put_handshake(client, Handshake::Later);
    world.turn();
    world.turn();
    assert!(!world.is_closed(client), "it waits for us");
}

#[test]
fn a_handshake_begins_with_what_comes_not_with_room_for_what_goes() {
    let mut world = with_users(Limits { strangers_max: 2, ..Limits::default() }, "");
    let begun = handshaking(&mut world, v4(1, 1), Handshake::Waiting);
    world.oversleep(NANOSECOND);
    let silent = world.accept(v4(1, 2), Wire { handshake: Some(Handshake::Waiting), ..Wire::default() });
    world.event(silent, Readiness { is_writable: true, ..Readiness::default() });
    world.turn();
    world.arrive(v4(9, 1));
    expect_closed(&world, &[begun, silent], &[silent]);
}

#[test]
fn who_speaks_in_clear_is_told_so_although_a_handshake_was_waited_for() {
    let mut world = World::new();
    let client = handshaking(&mut world, v4(1, 1), Handshake::Waiting);
    world.put_handshake(client, Handshake::NotTls);
    let message = error("wrong_protocol", "this port speaks TLS (Officer's own clients: --tls)");
    assert_eq!(world.step(), [(client, message)]);
}

/// A connection whose handshake has led to that when the server has looked at it once.
fn handshaking(world: &mut World, peer: Peer, handshake: Handshake) -> Client {
    let client = world.accept(peer, Wire { handshake: Some(handshake), ..Wire::default() });
    world.put_handshake(client, handshake);
    world.turn();
    client
}

#[test]
fn who_waits_for_us_makes_way_only_when_all_do_and_then_the_newest_does() {
    let mut world = with_users(Limits { strangers_max: 4, ..Limits::default() }, "");
    let wait = |world: &mut World, port| handshaking(world, v4(1, port), Handshake::Later);
    let [first, second] = [1, 2].map(|port| wait(&mut world, port));
    let begun = handshaking(&mut world, v4(2, 1), Handshake::Waiting);
    world.oversleep(NANOSECOND);
    let silent = world.arrive(v4(3, 1));
    let all = [first, second, begun, silent];
    // What has sent something goes after what has not, whatever came first.
    let third = wait(&mut world, 3);
    expect_closed(&world, &all, &[silent]);
    let fourth = wait(&mut world, 4);
    expect_closed(&world, &all, &[begun, silent]);
    world.oversleep(NANOSECOND);
    let newcomer = world.accept(v4(9, 1), Wire { handshake: Some(Handshake::Later), ..Wire::default() });
    expect_closed(&world, &[first, second, third, fourth], &[fourth]);
    // One of them is answered, and owes us the rest.
    world.put_handshake(first, Handshake::Waiting);
    world.put_handshake(newcomer, Handshake::Later);
    world.turn();
    let last = world.arrive(v4(9, 2));
    expect_closed(&world, &[first, second, third, newcomer], &[first]);
    // Whoever ends waits for nothing.
    world.server.fail(world.key(second), std::io::ErrorKind::Other.into());
    world.server.check_all();
    world.turn();
    assert_eq!(world.server.strangers(), 3);
    for client in [third, newcomer, last] {
        world.put_handshake(client, Handshake::Done);
    }
}

#[test]
fn handshakes_are_not_welcome_while_many_wait_for_us() {
    for strangers_max in [100, 5] {
        let mut world = with_users(Limits { strangers_max, ..Limits::default() }, "");
        let many = strangers_max.min(64);
        let waiting: Vec<Client> = (1..=many)
            .map(|port| handshaking(&mut world, v4(1, u16::try_from(port).unwrap()), Handshake::Later))
            .collect();
        assert_eq!(world.server.welcomes_handshakes_at(), None);
        assert!(world.server.next_turn().is_some_and(|at| at <= world.moment()), "there is work meanwhile");
        world.put_handshake(waiting[0], Handshake::Done);
        world.turn();
        assert!(world.server.welcomes_handshakes_at().is_some());
        waiting.iter().for_each(|client| world.put_handshake(*client, Handshake::Done));
    }
}

#[test]
fn while_all_places_are_taken_a_handshake_is_welcome_when_whoever_makes_way_has_had_its_time() {
    let mut world = with_users(Limits { strangers_max: 2, ..Limits::default() }, "");
    world.pass(SECOND);
    let arrived = world.moment();
    handshaking(&mut world, v4(1, 1), Handshake::Waiting);
    assert_eq!(world.server.welcomes_handshakes_at(), Some(Moment::START), "there is a place");
    let silent = world.connect_as(v4(1, 2));
    let after = |time: Duration| Some(arrived.after(time.into()));
    assert_eq!(world.server.welcomes_handshakes_at(), after(SECOND / 4));
    log_in(&mut world, silent, "game");
    handshaking(&mut world, v4(1, 3), Handshake::Waiting);
    assert_eq!(world.server.welcomes_handshakes_at(), after(SECOND));
}

#[test]
fn handshakes_are_strangers_without_users_too() {
    let mut world = World::with_limits(Limits { strangers_max: 2, connections_max: 1, ..Limits::default() });
    let handshake = |world: &mut World| {
        let peer = world.next_peer();
        world.accept(peer, Wire { handshake: Some(Handshake::Waiting), ..Wire::default() })
    };
    let [first, second, third] = std::array::from_fn(|_| handshake(&mut world));
    assert!(world.is_closed(first));
    assert_eq!((world.server.connections(), world.server.strangers()), (0, 2));
    world.put_handshake(second, Handshake::Done);
    assert_eq!(world.say(second, RESET), [(second, RESET_SUCCEEDED.to_owned())]);
    world.put_handshake(third, Handshake::Done);
    assert_eq!(world.step(), [(third, no_room())]);
    assert_eq!((world.server.connections(), world.server.strangers()), (1, 1));
    world.pass(SECOND);
    assert!(world.is_closed(third));
}

#[test]
fn when_there_is_no_room_newcomers_may_still_say_who_they_are_and_admins_have_ten_places() {
    let mut world = with_users(Limits { connections_max: 2, ..Limits::default() }, "");
    let [_, _] = user(&mut world, "game");
    let [game] = world.connect();
    assert!(!world.is_at_end(game));
    assert_eq!(log_in(&mut world, game, "game"), no_room());
    assert!(world.is_at_end(game));
    user::<10>(&mut world, "ops");
    let [ops] = world.connect();
    assert_eq!(log_in(&mut world, ops, "ops"), no_room());
    // Whoever is known at once is told at once.
    let credentials = Credentials { uid: Some(7), ..Credentials::default() };
    let known = world.accept(Peer::Unix(1), Wire { credentials, ..Wire::default() });
    assert_eq!(world.step(), [(known, no_room())]);
}

#[test]
fn who_need_not_say_who_it_is_and_finds_no_room_may_still_be_a_user() {
    let anonymous = "[anonymous]\nfrom = [\"anywhere\"]\nlocks = [\"\"]\nconnections_max = 1\n";
    let mut world = with_users(Limits { connections_max: 3, ..Limits::default() }, anonymous);
    let [ann, bob, carl, dora] = world.connect();
    assert_eq!((world.server.connections(), world.server.strangers()), (1, 3));
    let reply = log_in(&mut world, bob, "game");
    assert!(reply.contains(r#""user":"game""#), "{reply}");
    assert_eq!(world.say(carl, &lock("a", "")), [(carl, no_room())]);
    assert!(world.is_at_end(carl));
    world.vanish(ann);
    assert_eq!(world.say(dora, &lock("a", "")), [(dora, acquired("a"))], "there is room by now");
}

#[test]
fn one_address_has_as_many_connections_as_it_may_have() {
    for users in [false, true] {
        let limits = Limits { address_connections_max: Some(2), ..Limits::default() };
        let mut world = if users { with_users(limits, "") } else { World::with_limits(limits) };
        let [first, _] = [v6(1, 1), v6(1, 2)].map(|peer| world.connect_as(peer));
        let message = error("too_many_connections", "connection limit of the address reached");
        let late = world.arrive(v6(1, 3));
        assert_eq!(world.step(), [(late, message)]);
        world.pass(SECOND);
        assert!(world.is_closed(late));
        for peer in [v6(2, 1), v4(1, 1), Peer::Unix(1), Peer::Unix(2), Peer::Unix(3)] {
            world.arrive(peer);
        }
        assert_eq!(world.step(), []);
        world.vanish(first);
        world.arrive(v6(1, 4));
        assert_eq!(world.step(), [], "there is a place again");
    }
}

#[test]
fn when_all_owe_too_much_the_user_with_most_loses_its_largest_connection() {
    let limits = Limits { inboxes_bytes_max: 1_000, ..Limits::default() };
    let mut world = with_users(limits, "");
    let [large] = user(&mut world, "ops");
    let [small, larger] = user(&mut world, "game");
    world.send(large, &[b' '; 400]);
    world.send(small, &[b' '; 250]);
    world.send(larger, &[b' '; 300]);
    expect_closed(&world, &[large, small, larger], &[]);
    world.send(small, &[b' '; 49]);
    expect_closed(&world, &[large, small, larger], &[]);
    world.send(small, &[b' '; 2]);
    expect_closed(&world, &[large, small, larger], &[small]);
}

#[test]
fn when_all_leave_too_much_unread_the_user_with_most_loses_its_largest_connection() {
    let limits = Limits { outboxes_bytes_max: 10_000, ..Limits::default() };
    let mut world = with_users(limits, "");
    let [large] = user(&mut world, "ops");
    let [small, larger] = user(&mut world, "game");
    let all = [large, small, larger];
    all.iter().for_each(|client| world.take_only(*client, 0));
    let leave =
        |world: &mut World, client, count: usize| world.send(client, format!("{RESET}\n").repeat(count).as_bytes());
    // Of this many bytes each.
    assert_eq!(RESET_SUCCEEDED.len() + 1, 29);
    leave(&mut world, large, 135);
    leave(&mut world, small, 90);
    leave(&mut world, larger, 110);
    expect_closed(&world, &all, &[]);
    leave(&mut world, small, 18);
    expect_closed(&world, &all, &[larger]);
}
