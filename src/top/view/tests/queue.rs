//! Screens of one lock's queue.

use super::*;
use crate::client::ConnectionDetail;

#[test]
fn the_cursor_in_a_queue_follows_its_connection() {
    let mut model = some();
    key(&mut model, KeyCode::Enter);
    let place = |name: &&str| PlaceDetail { connection: (*name).to_owned(), ..PlaceDetail::default() };
    let see = |model: &mut Model, holder: &str, waiters: &[&str]| {
        let waiting = waiters.len() as u64;
        let detail = LockDetail {
            holders: vec![place(&holder)],
            waiters: waiters.iter().map(place).collect(),
            waiting,
            ..LockDetail::default()
        };
        let Order::Look(number, _) = model.order() else { unreachable!() };
        model.learn(News::One(number, Some(detail), 0.0), 0.0);
        model.target().unwrap().connection
    };
    assert_eq!(see(&mut model, "a", &["b", "c", "d"]), "a");
    // The first row is that of the holder, whoever it is.
    assert_eq!(see(&mut model, "b", &["c", "d"]), "b");
    key(&mut model, KeyCode::Down);
    key(&mut model, KeyCode::Down);
    assert_eq!(see(&mut model, "c", &["d", "e"]), "d");
    assert_eq!(see(&mut model, "d", &["e"]), "d");
    assert!(model.target().unwrap().is_holder);
}

#[test]
fn the_cursor_tells_owners_of_one_connection_apart() {
    let mut model = some();
    key(&mut model, KeyCode::Enter);
    let place = |owner: &u64| PlaceDetail {
        connection: "a".to_owned(),
        owner: Some((*owner).into()),
        held_for: Some(*owner as f64),
        waited_for: Some(*owner as f64),
        ..PlaceDetail::default()
    };
    let see = |model: &mut Model, owners: &[u64]| {
        let waiters: Vec<_> = owners[1..].iter().map(place).collect();
        let holders = vec![place(&owners[0])];
        let detail = LockDetail { holders, waiting: waiters.len() as u64, waiters, ..LockDetail::default() };
        let Order::Look(number, _) = model.order() else { unreachable!() };
        model.learn(News::One(number, Some(detail), 0.0), 0.0);
        model.target().unwrap().since
    };
    see(&mut model, &[9, 8, 7]);
    key(&mut model, KeyCode::Down);
    key(&mut model, KeyCode::Down);
    assert_eq!(see(&mut model, &[9, 8, 7, 6]), -7.0);
    assert_eq!(see(&mut model, &[8, 7, 6]), -7.0);
}

#[test]
fn a_queue_has_its_holder_and_its_waiters_with_their_times() {
    let mut model = some();
    assert!(matches!(key(&mut model, KeyCode::Enter), Action::Order(_)));
    let place = |connection: &str, held_for, waited_for| PlaceDetail {
        connection: connection.to_owned(),
        held_for,
        waited_for,
        ..PlaceDetail::default()
    };
    let detail = LockDetail {
        holders: vec![place("127.0.0.1:40312", Some(75.0), None)],
        waiters: vec![place("127.0.0.1:40314", None, Some(61.0)), place("unix:7", None, Some(2.0))],
        waiting: 1002,
        ..LockDetail::default()
    };
    // Results of an outdated order are not shown.
    model.learn(News::One(1, Some(LockDetail::default()), 0.0), 0.0);
    let Order::Look(number, _) = model.order() else { unreachable!() };
    model.learn(News::One(number, Some(detail), 0.0), 0.0);
    assert_eq!(
        screen(&model, (60, 9), 1.0)[..7],
        [
            "'boss:17': 1,002 waiters",
            "live",
            "  PLACE  CONNECTION           FOR  SILENT  CLIENT",
            " holder  127.0.0.1:40312    1m16s       -  -",
            "      1  127.0.0.1:40314    1m02s       -  -",
            "      2  unix:7              3.0s       -  -",
            "  1,000  more, not listed",
        ]
    );
    let life = |age, silent_for, unsent| {
        let detail = ConnectionDetail { age, silent_for, unsent, ..ConnectionDetail::default() };
        Life::new(&detail, 0.0)
    };
    let lives = [("127.0.0.1:40312", life(90.0, 50.0, 1_048_576)), ("unix:7", life(10.0, 0.25, 0))];
    let lives = || lives.iter().map(|(name, life)| ((*name).to_owned(), *life)).collect();
    model.learn(News::Lives(1, lives()), 0.0);
    assert!(screen(&model, (80, 9), 1.0)[3].ends_with("1m16s       -       -       -  -"));
    model.learn(News::Lives(number, lives()), 0.0);
    // An age grows, but nobody knows whether a silence has lasted since the report.
    assert_eq!(
        screen(&model, (80, 9), 1.0)[2..7],
        [
            "  PLACE  CONNECTION           FOR  SILENT     UNSENT     AGE  CLIENT",
            " holder  127.0.0.1:40312    1m16s     50s  1,048,576   1m31s  -",
            "      1  127.0.0.1:40314    1m02s       -          -       -  -",
            "      2  unix:7              3.0s    0.2s          0     11s  -",
            "  1,000  more, not listed",
        ]
    );
    for (columns, expected) in
        [(73, "FOR  SILENT     UNSENT  CLIENT"), (55, "FOR  SILENT  CLIENT"), (54, "FOR  CLIENT")]
    {
        let head = &screen(&model, (columns, 9), 1.0)[2];
        assert!(head.ends_with(expected), "{head}");
    }
    key(&mut model, KeyCode::Down);
    let target = model.target().unwrap();
    assert_eq!((target.connection.as_str(), target.is_holder, target.since), ("127.0.0.1:40314", false, -61.0));
    model.learn(News::One(number, None, 1.0), 1.0);
    assert!(screen(&model, (60, 9), 1.0)[0].starts_with("'boss:17' is free"));
    assert!(model.target().is_none());
    key(&mut model, KeyCode::Esc);
    assert!(model.queue.is_none());
    // The list is outdated by the time that the queue was shown.
    assert!(screen(&model, (80, 8), 9.0)[1].starts_with("fetching again; "));
}

#[test]
fn holders_that_are_not_listed_are_counted_above_the_queue() {
    let mut model = some();
    key(&mut model, KeyCode::Enter);
    let holder = PlaceDetail { connection: "a".to_owned(), held_for: Some(1.0), ..PlaceDetail::default() };
    let detail = LockDetail { holders: vec![holder], holding: Some(5_000), waiting: 2, ..LockDetail::default() };
    let Order::Look(number, _) = model.order() else { unreachable!() };
    model.learn(News::One(number, Some(detail), 0.0), 0.0);
    assert_eq!(screen(&model, (60, 9), 1.0)[0], "'boss:17': 5,000 holders, not all listed; 2 waiters");
}
