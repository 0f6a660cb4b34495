//! Sessions, as a server sees them: what a client says when its connection is cut, and what becomes of each call.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use officer::client::{Client, Error, Guard, LockOptions, Loss, Options, Reason, Recipient, RevokeOptions};
use serde_json::{Value, json};

use super::fake::{Fake, HELLO, Peer, SECRET};
use super::support::patience::{PATIENCE, eventually};
use super::{Call, Task, assert_lost, task};

/// Far more than a test takes.
const GRACE: Duration = Duration::from_secs(200);

/// What a client tells of its connection.
#[derive(Debug, PartialEq)]
enum Told {
    Interrupted,
    Resumed,
    Lost(Error),
    Expired(String),
    Revoked(String),
}

fn telling(options: Options) -> (Options, Receiver<Told>) {
    let (sender, told) = channel();
    let sender = Mutex::new(sender);
    let sender = std::sync::Arc::new(sender);
    let say = move || {
        let sender = std::sync::Arc::clone(&sender);
        move |told: Told| {
            let _ = sender.lock().unwrap_or_else(PoisonError::into_inner).send(told);
        }
    };
    let [a, b, c, d, e] = [say(), say(), say(), say(), say()];
    let options = options
        .on_interrupted(move |_| a(Told::Interrupted))
        .on_resumed(move || b(Told::Resumed))
        .on_lost(move |error| c(Told::Lost(error.clone())))
        .on_expired(move |lost| d(Told::Expired(lost.name.clone())))
        .on_revoked(move |lost| e(Told::Revoked(lost.name.clone())));
    (options, told)
}

fn next<T>(told: &Receiver<T>) -> T {
    told.recv_timeout(PATIENCE).expect("the program is told")
}

fn session(fake: &Fake) -> (Client, Peer) {
    fake.connect_session(fake.options().session(GRACE))
}

/// Holds a lock.
fn held(client: &Client, peer: &mut Peer, name: &str, options: LockOptions, answer: &str) -> Guard {
    let (client, name) = (client.clone(), name.to_owned());
    let call = task(move || client.lock_with(&name, options));
    peer.answer("lock", answer);
    call.end().expect("the lock")
}

fn acquired(client: &Client, peer: &mut Peer, name: &str) -> Guard {
    held(client, peer, name, LockOptions::default(), r#"{"result":"acquired"}"#)
}

#[test]
fn a_session_is_asked_for_after_the_first_hello_has_shown_that_there_are_any() {
    let fake = Fake::new();
    let options = fake.options().session(Duration::from_millis(2_500)).on_revoked(|_| ());
    let client = task(move || options.connect());
    let mut peer = fake.accept();
    let first = peer.request();
    assert_eq!((&first["command"], first.get("session")), (&json!("hello"), None));
    peer.say(HELLO);
    let second = peer.request();
    assert_eq!((&second["session"], &second["notices"]), (&json!({"grace": 2.5}), &json!(true)));
    peer.say(&format!(r#"{{"result":"hello","session":{{"secret":"{SECRET}","grace":2.5}}}}"#));
    let client = client.end().expect("a connection");
    assert!(!format!("{client:?}").contains(SECRET));
}

#[test]
fn a_server_without_sessions_or_without_room_for_one_is_an_error() {
    let fake = Fake::new();
    let connecting = |fake: &Fake| {
        let options = fake.options().session(GRACE);
        task(move || options.connect().map(drop))
    };
    let call = connecting(&fake);
    let mut peer = fake.accept();
    peer.answer("hello", r#"{"result":"hello","features":["owner"]}"#);
    assert_eq!(call.end(), Err(Error::Unsupported { feature: "session" }));
    assert_eq!(peer.line(), None);

    let call = connecting(&fake);
    let mut peer = fake.welcome();
    peer.answer("hello", r#"{"result":"error","reason":"too_many_sessions","message":"full"}"#);
    let full = Error::Server { reason: Reason::TooManySessions, message: "full".to_owned() };
    assert_eq!(call.end(), Err(full));
}

#[test]
fn a_guard_survives_a_cut_and_the_program_is_told() {
    let fake = Fake::new();
    let (options, told) = telling(fake.options().session(GRACE));
    let (client, mut peer) = fake.connect_session(options);
    let guard = acquired(&client, &mut peer, "boss");
    peer.close();
    assert_eq!(next(&told), Told::Interrupted);
    assert!(!guard.is_lost() && !client.is_lost() && !client.is_connected());
    assert!(!client.wait_until_lost(Duration::from_millis(20)));
    let mut peer = fake.resume(r#""held":[{"name":"boss","token":1,"waiters":0}],"waiting":[],"executed":2"#);
    assert_eq!(next(&told), Told::Resumed);
    assert!(!guard.is_lost() && client.is_connected());
    let call = task(move || guard.release());
    assert_eq!(peer.answer("unlock", r#"{"result":"released"}"#)["name"], "boss");
    call.end().expect("held");
    assert!(told.try_recv().is_err());
}

#[test]
fn what_was_lost_meanwhile_is_lost_and_the_rest_is_not() {
    let fake = Fake::new();
    let (options, told) = telling(fake.options().session(GRACE));
    let (client, mut peer) = fake.connect_session(options);
    let second = Duration::from_secs(1);
    let ann = || LockOptions::default().owner("ann");
    let lease = ann().lease(second * 60);
    let fence = ann().fence();
    let brief = held(
        &client,
        &mut peer,
        "brief",
        ann().lease(Duration::from_millis(1)).renewed_by_program(),
        r#"{"result":"acquired"}"#,
    );
    let leased = held(&client, &mut peer, "leased", lease, r#"{"result":"acquired"}"#);
    let revoked = held(&client, &mut peer, "revoked", ann(), r#"{"result":"acquired"}"#);
    let kept = held(&client, &mut peer, "kept", fence.clone(), r#"{"result":"acquired","token":5}"#);
    let other = held(&client, &mut peer, "other", fence, r#"{"result":"acquired","token":6}"#);
    eventually("its lease may have run out", || brief.is_lost());
    peer.close();
    assert_eq!(next(&told), Told::Interrupted);
    let asked_at = Instant::now();
    let _peer = fake.resume(
        r#""held":[{"name":"kept","owner":"ann","token":5},{"name":"leased","owner":"ann","lease_left":7.5,"token":9},{"name":"other","owner":"ann","token":7},{"name":"revoked","token":8}],"waiting":[],"executed":6"#,
    );
    assert_eq!(next(&told), Told::Resumed);
    assert_eq!(next(&told), Told::Expired("brief".to_owned()));
    assert_eq!(next(&told), Told::Revoked("revoked".to_owned()));
    // By its name it is held, but by another grant.
    assert_eq!(next(&told), Told::Revoked("other".to_owned()));
    assert_eq!(brief.lost_because(), Some(Loss::Expired));
    assert_eq!(revoked.lost_because(), Some(Loss::Revoked));
    assert_eq!(other.lost_because(), Some(Loss::Revoked));
    assert!(!kept.is_lost() && !leased.is_lost());
    let until = leased.held_until().expect("it has a lease") - asked_at;
    assert!(until > second * 7 && until < second * 60, "{until:?}");
}

/// A call in progress, what the server has after it was cut off, and what the call says then. The call is the client's second
/// line, or the third if it needs a lock.
struct Cut {
    needs_lock: bool,
    call: fn(&Client, Option<Guard>) -> Result<String, Error>,
    lists: &'static str,
    says: Result<&'static str, Error>,
}

const HELD: &str = r#""held":[{"name":"boss","token":4,"waiters":3}],"waiting":[]"#;
const NOTHING: &str = r#""held":[],"waiting":[]"#;

fn lock(client: &Client, options: LockOptions) -> Result<String, Error> {
    let guard = client.lock_with("boss", options)?;
    assert!(!guard.is_lost());
    // It is released by the test's own time.
    let token = format!("{:?}", guard.token());
    std::mem::forget(guard);
    Ok(token)
}

/// Those of which it follows what the answer was, or that there is no knowing.
fn answered() -> Vec<Cut> {
    let cut = |needs_lock, lists, says, call| Cut { needs_lock, call, lists, says };
    vec![
        cut(false, HELD, Ok("None"), |client, _| lock(client, LockOptions::default())),
        cut(false, HELD, Ok("Some(4)"), |client, _| lock(client, LockOptions::default().fence())),
        cut(false, HELD, Ok("boss"), |client, _| {
            let guard = client.lock_any(["loot", "boss"], LockOptions::default())?;
            let name = guard.name().to_owned();
            std::mem::forget(guard);
            Ok(name)
        }),
        cut(false, NOTHING, Err(Error::AnswerLost), |client, _| lock(client, LockOptions::default())),
        // Only a part of what was granted is left.
        cut(false, HELD, Ok("true"), |client, _| {
            let guard = client.lock_all(["boss", "loot"], LockOptions::default())?;
            let is_lost = guard.is_lost();
            std::mem::forget(guard);
            Ok(is_lost.to_string())
        }),
        cut(true, NOTHING, Ok("released"), |_, guard| guard.unwrap().release().map(|()| "released".to_owned())),
        cut(true, NOTHING, Ok("true"), |client, guard| {
            std::mem::forget(guard);
            // By the thread that has it.
            client.reset().map(|()| "true".to_owned())
        }),
        cut(true, HELD, Ok("3"), |_, guard| renew(guard)),
        cut(true, NOTHING, Err(Error::NotHeld), |_, guard| renew(guard)),
        cut(true, HELD, Ok("false"), |_, guard| transfer(guard)),
        cut(true, NOTHING, Ok("true"), |_, guard| transfer(guard)),
        cut(false, NOTHING, Err(Error::AnswerLost), |client, _| client.kick("somebody").map(|is| is.to_string())),
        cut(false, NOTHING, Err(Error::AnswerLost), |client, _| {
            client.revoke("boss", &RevokeOptions::default()).map(|count| format!("{count:?}"))
        }),
    ]
}

fn renew(guard: Option<Guard>) -> Result<String, Error> {
    let guard = guard.expect("the call needs a lock");
    let waiters = guard.renew_for(PATIENCE);
    std::mem::forget(guard);
    waiters.map(|waiters| waiters.to_string())
}

fn transfer(guard: Option<Guard>) -> Result<String, Error> {
    let guard = guard.unwrap();
    let is_done = guard.transfer(Recipient::own("bob"))?;
    assert_eq!(guard.is_lost(), is_done);
    std::mem::forget(guard);
    Ok(is_done.to_string())
}

/// Starts a call, and cuts the connection when its request is there. Returns the request.
fn cut_off(fake: &Fake, cut: &Cut) -> (Task<Result<String, Error>>, Value, Client) {
    let (client, mut peer) = session(fake);
    let guard = cut.needs_lock.then(|| acquired(&client, &mut peer, "boss"));
    let (caller, call) = (client.clone(), cut.call);
    let call = task(move || call(&caller, guard));
    let request = peer.request();
    peer.close();
    (call, request, client)
}

#[test]
fn a_call_that_was_executed_is_answered_once_by_what_the_session_has() {
    for (number, cut) in answered().into_iter().enumerate() {
        let fake = Fake::new();
        let (call, _, client) = cut_off(&fake, &cut);
        let executed = 2 + u64::from(cut.needs_lock);
        let mut peer = fake.resume(&format!(r#"{},"executed":{executed}"#, cut.lists));
        assert_eq!(call.end(), cut.says.map(str::to_owned), "call {number}");
        // It was not sent again.
        let ping = task(move || client.ping());
        loop {
            let request = peer.request();
            match request["command"].as_str() {
                // A lease that was given meanwhile is renewed at once.
                Some("renew") if request["lease"].is_null() => {}
                _ => break peer.answer_to(&request, r#"{"result":"pong"}"#),
            }
        }
        ping.end().unwrap_or_else(|error| panic!("call {number}: {error}"));
    }
}

#[test]
fn a_release_is_not_taken_for_done_if_the_lease_may_have_run_out_before() {
    let ends: [fn(Guard) -> Result<(), Error>; 2] = [Guard::release, |guard| guard.transfer("somebody").map(drop)];
    for end in ends {
        let fake = Fake::new();
        let (client, mut peer) = session(&fake);
        let brief = LockOptions::default().lease(Duration::from_millis(50)).renewed_by_program();
        let guard = held(&client, &mut peer, "boss", brief, r#"{"result":"acquired"}"#);
        let until = guard.held_until().expect("it has a lease");
        let call = task(move || end(guard));
        peer.request();
        peer.close();
        // It runs out before the client is back.
        eventually("it may have run out", || Instant::now() > until);
        let _peer = fake.resume(&format!(r#"{NOTHING},"executed":3"#));
        assert_eq!(call.end(), Err(Error::AnswerLost));
    }
}

#[test]
fn a_call_that_was_not_executed_is_sent_again() {
    for (number, cut) in answered().into_iter().enumerate() {
        let fake = Fake::new();
        let (call, request, _client) = cut_off(&fake, &cut);
        let executed = 1 + u64::from(cut.needs_lock);
        let lists = if cut.needs_lock { HELD } else { NOTHING };
        let mut peer = fake.resume(&format!(r#"{lists},"executed":{executed}"#));
        assert_eq!(peer.request(), request, "call {number}");
        peer.answer_to(&request, r#"{"result":"error","reason":"not_allowed","message":"test"}"#);
        let refused = Error::Server { reason: Reason::NotAllowed, message: "test".to_owned() };
        assert_eq!(call.end(), Err(refused), "call {number}");
    }
}

#[test]
fn what_changes_nothing_is_asked_again() {
    let calls: [Call; 6] = [
        |client| client.ping().map(drop),
        |client| client.keep_alive(),
        |client| client.locks().map(drop),
        |client| client.lock_status("boss").map(drop),
        |client| client.my_locks().map(drop),
        |client| client.stats().map(drop),
    ];
    for call in calls {
        let fake = Fake::new();
        let (client, mut peer) = session(&fake);
        let call = task(move || call(&client));
        let request = peer.request_of_any_kind();
        peer.close();
        let mut peer = fake.resume(&format!(r#"{NOTHING},"executed":2"#));
        assert_eq!(peer.request_of_any_kind(), request);
        peer.answer_to(&request, r#"{"result":"error","reason":"not_allowed","message":"test"}"#);
        assert!(matches!(call.end(), Err(Error::Server { reason: Reason::NotAllowed, .. })));
    }
}

#[test]
fn a_lock_that_waits_is_answered_on_whatever_connection_there_is_then() {
    let fake = Fake::new();
    let (client, mut peer) = session(&fake);
    let caller = client.clone();
    let call = task(move || caller.lock("boss").map(std::mem::forget));
    let request = peer.request();
    for _ in 0..3 {
        peer.close();
        let lists = format!(r#""held":[],"waiting":[{{"name":"boss","id":{}}}],"executed":2"#, request["id"]);
        peer = fake.resume(&lists);
    }
    peer.answer_to(&request, r#"{"result":"acquired"}"#);
    call.end().expect("the lock");
}

#[test]
fn calls_that_are_made_without_a_connection_are_sent_in_order_after_those_before() {
    let fake = Fake::new();
    let (options, told) = telling(fake.options().session(GRACE));
    let (client, mut peer) = fake.connect_session(options);
    let guard = acquired(&client, &mut peer, "boss");
    let caller = client.clone();
    let before = task(move || caller.lock_with("loot", LockOptions::default().owner(1)).map(std::mem::forget));
    let lost = peer.request();
    peer.close();
    assert_eq!(next(&told), Told::Interrupted);
    // This does not wait for the connection.
    drop(guard);
    // An owner asks for a lock once only: when one of these two is refused, the other is in the backlog.
    let (sender, ended) = channel();
    for _ in 0..2 {
        let (caller, sender) = (client.clone(), sender.clone());
        let options = LockOptions::default().owner(2);
        thread::spawn(move || sender.send(caller.lock_with("boss", options).map(std::mem::forget)));
    }
    let refused = next(&ended).expect_err("somebody waits already");
    assert!(matches!(refused, Error::Server { reason: Reason::AlreadyQueued, .. }), "{refused}");
    let mut peer = fake.resume(r#""held":[{"name":"boss","token":1}],"waiting":[],"executed":2"#);
    assert_eq!(peer.request(), lost);
    let unlock = peer.request();
    assert_eq!((&unlock["command"], &unlock["name"]), (&json!("unlock"), &json!("boss")));
    let lock = peer.request();
    assert_eq!((&lock["command"], &lock["owner"]), (&json!("lock"), &json!(2)));
    for request in [lost, unlock, lock] {
        peer.answer_to(&request, r#"{"result":"acquired"}"#);
    }
    before.end().expect("the lock");
    next(&ended).expect("the lock");
}

#[test]
fn a_lock_whose_time_is_over_without_a_connection_has_timed_out_and_is_not_left_waiting() {
    let fake = Fake::new();
    let (options, told) = telling(fake.options().session(GRACE));
    let (client, mut peer) = fake.connect_session(options);
    let timed = |name: &'static str, timeout| {
        let client = client.clone();
        let options = LockOptions::timeout(timeout).owner("ann");
        task(move || client.lock_with(name, options).map(std::mem::forget))
    };
    let sent = timed("sent", Duration::from_millis(50));
    let request = peer.request();
    let patient = timed("patient", PATIENCE);
    let waiting = peer.request();
    peer.close();
    assert_eq!(next(&told), Told::Interrupted);
    let unsent = timed("unsent", Duration::ZERO);
    for call in [sent, unsent] {
        assert_eq!(call.end(), Err(Error::TimedOut { queue: Vec::new() }));
    }
    let rows = [&request, &waiting].map(|request| format!(r#"{{"name":{},"id":{}}}"#, request["name"], request["id"]));
    let mut peer = fake.resume(&format!(r#""held":[],"waiting":[{}],"executed":3"#, rows.join(",")));
    let unlock = peer.answer("unlock", r#"{"result":"released"}"#);
    assert_eq!((&unlock["name"], &unlock["owner"]), (&json!("sent"), &json!("ann")));
    peer.answer_to(&waiting, r#"{"result":"acquired"}"#);
    patient.end().expect("the lock");
    let call = task(move || client.ping());
    peer.answer("ping", r#"{"result":"pong"}"#);
    call.end().expect("an answer");
}

#[test]
fn lines_are_counted_whatever_they_are() {
    let fake = Fake::new();
    // Keep-alives, too, and what is sent after a resumption. Each has to be answered within a part of this time.
    let (client, mut peer) = fake.connect_session(fake.options().session(GRACE).keep_alive(Duration::from_millis(600)));
    let mut executed = 1;
    for round in 0..3 {
        for _ in 0..3 {
            let line = peer.line().expect("a keep-alive");
            peer.answer_to(&line, r#"{"result":"kept_alive"}"#);
            executed += 1;
        }
        let caller = client.clone();
        let call = task(move || caller.kick("somebody"));
        // Before, there may be more of them, which is known only from what the client has sent.
        let request = loop {
            let line = peer.line().expect("a request");
            executed += 1;
            if line["command"] == "kick" {
                break line;
            }
            assert!(executed < 1_000, "nothing but keep-alives");
            peer.answer_to(&line, r#"{"result":"kept_alive"}"#);
        };
        peer.close();
        if round < 2 {
            peer = fake.resume(&format!(r#"{NOTHING},"executed":{}"#, executed - 1));
            // Not executed: it comes again, as the next line that counts.
            assert_eq!(peer.request(), request);
            executed = executed - 1 + 1;
            peer.close();
            peer = fake.resume(&format!(r#"{NOTHING},"executed":{executed}"#));
        } else {
            peer = fake.resume(&format!(r#"{NOTHING},"executed":{executed}"#));
        }
        assert_eq!(call.end(), Err(Error::AnswerLost));
    }
}

#[test]
fn a_session_that_is_unknown_or_taken_is_lost_with_everything_and_not_resumed() {
    for is_taken in [true, false] {
        let fake = Fake::new();
        let (options, told) = telling(fake.options().session(GRACE));
        let (client, mut peer) = fake.connect_session(options);
        let guard = acquired(&client, &mut peer, "boss");
        let caller = client.clone();
        let call = task(move || caller.lock("loot").map(drop));
        peer.request();
        if is_taken {
            peer.say(r#"{"result":"error","reason":"session_taken","message":"taken by 127.0.0.1:7"}"#);
        } else {
            peer.close();
            assert_eq!(next(&told), Told::Interrupted);
            let mut peer = fake.welcome();
            peer.answer(
                "hello",
                r#"{"result":"error","reason":"session_unknown","message":"there is no such session"}"#,
            );
        }
        assert_lost(call.end());
        assert!(client.is_lost() && guard.is_lost());
        match next(&told) {
            Told::Lost(Error::ConnectionLost { reason }) => {
                let expected =
                    if is_taken { "another client has resumed the session" } else { "there is no such session" };
                assert!(reason.contains(expected), "{reason}");
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(guard.lost_because(), Some(Loss::Connection(Error::ConnectionLost { .. }))));
        assert_lost(guard.release());
        assert_lost(client.ping());
        assert!(fake.try_accept().is_none());
        // The program can begin again, with a new session.
        let again = client.clone();
        let call = task(move || again.reconnect());
        let _peer = fake.welcome_session();
        call.end().expect("a connection");
        assert!(told.try_recv().is_err());
    }
}

#[test]
fn a_resumption_that_is_cut_itself_is_tried_again() {
    let fake = Fake::new();
    let (client, mut peer) = session(&fake);
    let guard = acquired(&client, &mut peer, "boss");
    let caller = client.clone();
    let call = task(move || caller.kick("somebody"));
    peer.request();
    peer.close();
    // Before the hello, after it, before the answer to the resumption, in the middle of that.
    fake.accept().close();
    fake.welcome().close();
    let mut peer = fake.welcome();
    assert_eq!(peer.request()["resume"], SECRET);
    peer.close();
    let mut peer = fake.welcome();
    peer.request();
    peer.write(br#"{"result":"hello","resumed":true,"held":[],"wait"#).expect("the client listens");
    peer.close();
    let _peer = fake.resume(&format!(r#"{HELD},"executed":3"#));
    assert_eq!(call.end(), Err(Error::AnswerLost));
    assert!(!guard.is_lost());
}

#[test]
fn an_attempt_that_nobody_answers_leaves_time_for_the_next() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect_session(fake.options().session(Duration::from_secs(8)));
    let guard = acquired(&client, &mut peer, "boss");
    peer.close();
    let _silent = fake.accept();
    let _peer = fake.resume(&format!(r#"{HELD},"executed":2"#));
    eventually("it is resumed", || client.is_connected());
    assert!(!guard.is_lost());
}

#[test]
fn a_lease_counts_from_when_the_lock_was_sent_again() {
    let fake = Fake::new();
    let (client, mut peer) = session(&fake);
    let lease = Duration::from_secs(60);
    let call = task(move || client.lock_with("boss", LockOptions::default().lease(lease)));
    let request = peer.request();
    peer.close();
    let resumed_at = Instant::now();
    let mut peer = fake.resume(&format!(r#"{NOTHING},"executed":1"#));
    assert_eq!(peer.request(), request);
    peer.answer_to(&request, r#"{"result":"acquired","waited":0}"#);
    let guard = call.end().expect("the lock");
    assert!(guard.held_until().expect("it has a lease") >= resumed_at + lease);
}

#[test]
fn a_session_that_was_taken_by_a_late_request_of_the_client_itself_is_taken_back() {
    let fake = Fake::new();
    let (client, mut peer) = session(&fake);
    let guard = acquired(&client, &mut peer, "boss");
    peer.close();
    let mut late = fake.welcome();
    assert_eq!(late.request()["resume"], SECRET);
    late.close();
    let lists = format!(r#"{HELD},"executed":2"#);
    let mut peer = fake.resume(&lists);
    let taken = r#"{"result":"error","reason":"session_taken","message":"taken by 127.0.0.1:7"}"#;
    peer.say(taken);
    peer.close();
    let mut peer = fake.resume(&lists);
    eventually("it is resumed", || client.is_connected());
    assert!(!guard.is_lost());
    // There is no other such request.
    peer.say(taken);
    eventually("it is lost", || client.is_lost());
    assert!(guard.is_lost());
}

#[test]
fn a_session_that_is_not_resumed_in_time_is_lost_and_stays_so() {
    let fake = Fake::new();
    let (options, told) = telling(fake.options().session(Duration::from_millis(800)));
    let (client, mut peer) = fake.connect_session(options);
    let guard = acquired(&client, &mut peer, "boss");
    let caller = client.clone();
    let call = task(move || caller.lock("loot").map(drop));
    peer.request();
    peer.close();
    assert_eq!(next(&told), Told::Interrupted);
    // Somebody is there, and says nothing.
    assert_lost(call.end());
    assert!(guard.is_lost() && client.is_lost());
    assert!(matches!(next(&told), Told::Lost(_)));
    assert_lost(guard.release());
}

#[test]
fn a_session_with_too_much_for_one_reply_is_given_up_as_a_whole() {
    let fake = Fake::new();
    let (options, told) = telling(fake.options().session(GRACE));
    let (client, mut peer) = fake.connect_session(options);
    let guard = acquired(&client, &mut peer, "boss");
    peer.close();
    let mut peer = fake.resume(r#""held_count":1,"waiting_count":0,"executed":2"#);
    assert_eq!(next(&told), Told::Interrupted);
    assert!(matches!(next(&told), Told::Lost(_)));
    assert!(guard.is_lost());
    // Nobody holds what nobody knows of.
    assert_eq!(peer.request()["session"], json!({"grace": 0.0}));
    assert_eq!(peer.line(), None);
}

#[test]
fn a_client_that_ends_or_disconnects_ends_its_session() {
    for is_dropped in [true, false] {
        let fake = Fake::new();
        let (client, mut peer) = session(&fake);
        let guard = acquired(&client, &mut peer, "boss");
        let kept = (!is_dropped).then(|| client.clone());
        drop(client);
        match &kept {
            Some(client) => client.disconnect(),
            None => drop(guard),
        }
        let last = loop {
            let request = peer.request();
            if request["command"] != "unlock" {
                break request;
            }
        };
        assert_eq!((&last["command"], &last["session"]), (&json!("hello"), &json!({"grace": 0.0})));
        assert_eq!(peer.line(), None);
        assert!(fake.try_accept().is_none());
    }
}

#[test]
fn a_program_that_keeps_itself_alive_resumes_with_its_next_call() {
    let fake = Fake::new();
    let (options, told) = telling(fake.options().session(GRACE).keep_alive_by_program());
    let (client, mut peer) = fake.connect_session(options);
    let guard = acquired(&client, &mut peer, "boss");
    peer.close();
    assert_eq!(next(&told), Told::Interrupted);
    // A program that is stuck does not come back.
    thread::sleep(Duration::from_millis(50));
    assert!(fake.try_accept().is_none());
    let caller = client.clone();
    let call = task(move || caller.keep_alive());
    let mut peer = fake.resume(&format!(r#"{HELD},"executed":2"#));
    let request = peer.line().expect("a request");
    assert_eq!(request["command"], "keep_alive");
    peer.answer_to(&request, r#"{"result":"kept_alive"}"#);
    call.end().expect("an answer");
    assert!(!guard.is_lost());
}

/// Longer than the session of these tests is relied on without an answer, in steps in each of which there is one.
fn steps(mut step: impl FnMut()) {
    let start = Instant::now();
    while start.elapsed() < BRIEF_GRACE * 3 / 2 {
        step();
    }
}

const BRIEF_GRACE: Duration = Duration::from_secs(2);

#[test]
fn a_session_is_relied_on_for_its_grace_after_the_last_keep_alive_that_was_answered() {
    let fake = Fake::new();
    let options = fake.options().session(BRIEF_GRACE).keep_alive(Duration::from_millis(900));
    let (client, mut peer) = fake.connect_session(options);
    let guard = acquired(&client, &mut peer, "boss");
    let mut count = 2;
    steps(|| {
        let keep_alive = peer.line().expect("a keep-alive");
        peer.answer_to(&keep_alive, r#"{"result":"kept_alive"}"#);
        count += 1;
    });
    peer.close();
    let _peer = fake.resume(&format!(r#"{HELD},"executed":{count}"#));
    eventually("it is resumed", || client.is_connected());
    assert!(!guard.is_lost());
}

#[test]
fn a_session_is_relied_on_for_its_grace_after_the_last_resumption() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect_session(fake.options().session(BRIEF_GRACE));
    let guard = acquired(&client, &mut peer, "boss");
    let mut peer = Some(peer);
    steps(|| {
        peer.take().expect("the last connection").close();
        peer = Some(fake.resume(&format!(r#"{HELD},"executed":2"#)));
        thread::sleep(BRIEF_GRACE / 20);
    });
    eventually("it is resumed", || client.is_connected());
    assert!(!guard.is_lost());
}

#[test]
fn a_session_is_relied_on_for_its_grace_after_the_last_call_that_was_answered() {
    for is_called in [true, false] {
        let fake = Fake::new();
        let (options, told) = telling(fake.options().session(BRIEF_GRACE).keep_alive_by_program());
        let (client, mut peer) = fake.connect_session(options);
        let guard = acquired(&client, &mut peer, "boss");
        let mut count = 2;
        steps(|| {
            thread::sleep(Duration::from_millis(50));
            if is_called {
                let caller = client.clone();
                let call = task(move || caller.ping());
                peer.answer("ping", r#"{"result":"pong"}"#);
                call.end().expect("an answer");
                count += 1;
            }
        });
        peer.close();
        if !is_called {
            // The server may have given the connection up so long ago.
            assert!(matches!(next(&told), Told::Lost(_)));
            assert!(guard.is_lost());
            continue;
        }
        assert_eq!(next(&told), Told::Interrupted);
        let caller = client.clone();
        let call = task(move || caller.ping());
        let mut peer = fake.resume(&format!(r#"{HELD},"executed":{count}"#));
        peer.answer("ping", r#"{"result":"pong"}"#);
        call.end().expect("an answer");
        assert!(!guard.is_lost());
    }
}

#[test]
fn a_large_backlog_is_sent_in_parts_and_in_order() {
    const COUNT: usize = 2_000;
    let fake = Fake::new();
    let (options, told) = telling(fake.options().session(GRACE));
    let (client, mut peer) = fake.connect_session(options);
    let holder = client.clone();
    let call = task(move || {
        (0..COUNT).map(|number| holder.lock(&format!("{number:0>100}")).expect("the lock")).collect::<Vec<_>>()
    });
    for _ in 0..COUNT {
        peer.answer("lock", r#"{"result":"acquired"}"#);
    }
    let guards = call.end();
    peer.close();
    assert_eq!(next(&told), Told::Interrupted);
    drop(guards);
    let held: Vec<String> = (0..COUNT).map(|number| format!(r#"{{"name":"{number:0>100}"}}"#)).collect();
    let mut peer = fake.resume(&format!(r#""held":[{}],"waiting":[],"executed":{}"#, held.join(","), COUNT + 1));
    for number in 0..COUNT {
        let request = peer.answer("unlock", r#"{"result":"released"}"#);
        assert_eq!(request["name"], format!("{number:0>100}"));
    }
    let call = task(move || client.ping());
    peer.answer("ping", r#"{"result":"pong"}"#);
    call.end().expect("an answer");
}
