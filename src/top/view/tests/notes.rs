//! Screens of locks that are not plain, and of circles of waiters.

use std::collections::HashMap;

use super::*;
use crate::top::circles::Waits;

fn place(connection: &str, held_for: f64) -> PlaceDetail {
    PlaceDetail { connection: connection.to_owned(), held_for: Some(held_for), ..PlaceDetail::default() }
}

fn of(name: &str, detail: LockDetail) -> Row {
    Row::new(name.to_owned(), detail, 0.0, None, &HashMap::new())
}

fn leased() -> PlaceDetail {
    PlaceDetail {
        owner: Some("ann".into()),
        token: Some(4711),
        lease_left: Some(20.0),
        label: Some("nightly".to_owned()),
        ..place("unix:1", 5.0)
    }
}

#[test]
fn what_is_special_about_a_lock_is_noted_where_there_is_room() {
    let shared = PlaceDetail { mode: "shared".to_owned(), ..place("unix:2", 9.0) };
    let model = model(vec![
        of("a", LockDetail { holders: vec![leased()], ..LockDetail::default() }),
        of("b", LockDetail { holders: vec![shared.clone(), shared], ..LockDetail::default() }),
        of("c", LockDetail { closed_for: Some(75.0), ..LockDetail::default() }),
        of("d", LockDetail { holders: vec![place("unix:3", 1.0)], ..LockDetail::default() }),
    ]);
    let lines = screen(&model, (110, 9), 1.0);
    assert!(lines[2].ends_with("LONGEST  NOTES"), "{lines:?}");
    for (line, holder, end) in [
        (3, "unix:1", "-  owner ann, lease 19s left, 'nightly'"),
        (4, "unix:2 +1", "-  shared"),
        (5, "closed, 1m14s left", "-"),
        (6, "unix:3", "-"),
    ] {
        assert!(lines[line].contains(holder) && lines[line].ends_with(end), "{lines:?}");
    }
    let lines = screen(&model, (89, 9), 1.0);
    assert!(lines[2].ends_with("LONGEST") && lines[5].contains("closed, 1m14s left"), "{lines:?}");
    // It is open again, and the server has not been asked yet.
    assert!(!screen(&model, (110, 9), 76.0)[5].contains("closed"));
}

#[test]
fn a_queue_has_the_notes_of_each_and_tokens_on_a_wide_screen() {
    let mut model = model(vec![of("a", LockDetail { holders: vec![leased()], ..LockDetail::default() })]);
    key(&mut model, KeyCode::Enter);
    let waiter = PlaceDetail { priority: Some(3), waited_for: Some(2.0), ..PlaceDetail::default() };
    let detail = LockDetail { holders: vec![leased()], waiters: vec![waiter], waiting: 1, ..LockDetail::default() };
    let Order::Look(number, _) = model.order() else { unreachable!() };
    model.learn(News::One(number, Some(detail), 0.0), 0.0);
    let lines = screen(&model, (110, 9), 1.0);
    assert!(lines[3].contains("owner ann, lease 19s left, 'nightly'  -"), "{lines:?}");
    assert!(lines[4].contains("  priority 3 "), "{lines:?}");
    let lines = screen(&model, (80, 9), 1.0);
    assert!(lines[3].contains("owner ann, le~") && lines[4].contains("  priority 3 "), "{lines:?}");
    let lines = screen(&model, (150, 9), 1.0);
    assert!(lines[3].contains("owner ann, token 4711, lease 19s left, 'nightly'  -"), "{lines:?}");

    let closed = LockDetail { closed_for: Some(75.0), waiting: 2, ..LockDetail::default() };
    model.learn(News::One(number, Some(closed), 0.0), 0.0);
    assert_eq!(screen(&model, (80, 9), 1.0)[0], "'a': closed, 1m14s left; 2 waiters");
}

#[test]
fn a_circle_of_waiters_is_named_and_marked() {
    let lock = |holder: &str, waiter: &str| LockDetail {
        holders: vec![place(holder, 9.0)],
        waiters: vec![PlaceDetail { waited_for: Some(8.0), ..place(waiter, 0.0) }],
        waiting: 1,
        ..LockDetail::default()
    };
    let locks = [("x", lock("a", "b")), ("y", lock("b", "a")), ("z", lock("c", "d"))];
    let mut waits = Waits::default();
    locks.iter().for_each(|(name, detail)| waits.add(name, detail));
    let rows = locks.iter().map(|(name, detail)| of(name, detail.clone())).collect();
    let mut model = model(Vec::new());
    see(&mut model, Picture { circles: waits.circles(), ..picture(rows) });

    let lines = screen(&model, (120, 9), 0.0);
    assert!(lines[1].starts_with("DEADLOCK: a waits for 'y', b for 'x'; live; by LONGEST"), "{lines:?}");
    let marked: Vec<bool> = lines[3..6].iter().map(|line| line.ends_with("  DEADLOCK")).collect();
    assert_eq!(marked, [true, true, false], "{lines:?}");

    key(&mut model, KeyCode::Enter);
    let Order::Look(number, _) = model.order() else { unreachable!() };
    model.learn(News::One(number, Some(locks[0].1.clone()), 0.0), 0.0);
    let lines = screen(&model, (80, 9), 0.0);
    assert!(lines[1].starts_with("DEADLOCK: ") && lines[3].contains("DEADLOCK") && lines[4].contains("DEADLOCK"));
    key(&mut model, KeyCode::Esc);
    see(&mut model, picture(Vec::new()));
    assert!(!screen(&model, (120, 9), 0.0)[1].contains("DEADLOCK"));
}
