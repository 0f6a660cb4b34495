//! Screens, as text.

mod hottest;
mod notes;
mod queue;

use std::time::Duration;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::*;
use crate::client::{Error, LockDetail, PlaceDetail, Reason};
use crate::top::keys::{Action, paste, press};
use crate::top::life::Life;
use crate::top::picture::{Counts, Picture};
use crate::top::poller::{Kicked, News, Order};
use crate::top::row::tests::{row, silent};
use crate::top::row::{Column, Row, Sort};

const SECOND: Duration = Duration::from_secs(1);
const LIVE: Theme = Theme { has_color: true, is_live: true };

fn picture(rows: Vec<Row>) -> Picture {
    let waiters = rows.iter().map(|row| row.waiters).sum();
    let wanted = rows.iter().filter(|row| row.waiters > 0).count() as u64;
    let locks = rows.len() as u64;
    Picture {
        rows,
        counts: Counts { locks, wanted, waiters, taken: locks },
        circles: Vec::new(),
        began: 0.0,
        ended: 0.0,
        is_complete: true,
    }
}

/// A model with these rows, at moment 0.
fn model(rows: Vec<Row>) -> Model {
    let mut model = Model::new("db1:11500".to_owned(), String::new(), Sort::by(Column::Longest), String::new(), SECOND);
    see(&mut model, picture(rows));
    model
}

fn see(model: &mut Model, picture: Picture) {
    let Order::Look(number, _) = model.order() else { unreachable!() };
    model.learn(News::All(number, picture), 0.0);
}

fn some() -> Model {
    model(vec![
        silent(row("boss:17", "127.0.0.1:40312", 75.0, &[61.0, 2.0]), 42.5),
        silent(row("raid:\u{9f8d}", "127.0.0.1:40318", 3.25, &[0.5]), 0.25),
        row("mail", "127.0.0.1:40320", 0.0, &[]),
    ])
}

fn buffer(model: &Model, size: (u16, u16), theme: Theme, now: Moment) -> Buffer {
    let mut buffer = Buffer::empty(Rect::new(0, 0, size.0, size.1));
    draw(&mut buffer, model, theme, now);
    buffer
}

fn screen(model: &Model, size: (u16, u16), now: Moment) -> Vec<String> {
    text(&buffer(model, size, LIVE, now))
}

/// Presses a key, on a screen with 5 rows.
fn key(model: &mut Model, code: KeyCode) -> Action {
    key_at(model, code, 0.0)
}

fn key_at(model: &mut Model, code: KeyCode, read_at: Moment) -> Action {
    press(model, KeyEvent::new(code, KeyModifiers::NONE), 5, read_at)
}

fn lost() -> News {
    let error = Error::Connect {
        address: String::new(),
        message: "Connection refused (os error 111)".to_owned(),
        kind: std::io::ErrorKind::ConnectionRefused,
    };
    News::Lost { error, retry_in: Duration::from_secs(4) }
}

#[test]
fn a_screen_shows_who_holds_for_how_long_and_how_many_wait() {
    assert_eq!(
        screen(&some(), (80, 8), 1.0),
        [
            "3 locks, 3 waiters for 2 of them; db1:11500",
            "live; by LONGEST, largest first",
            "LOCK          HOLDER          CLIENT                 HELD SILENT WAITERS LONGEST",
            "boss:17       127.0.0.1:40312 client of ~0.1:40312  1m16s    42s       2   1m02s",
            "raid:\u{9f8d}       127.0.0.1:40318 client of ~0.1:40318   4.2s   0.2s       1    1.5s",
            "mail          127.0.0.1:40320 client of ~0.1:40320   1.0s      -       0       -",
            "",
            "Enter: queue  k: kick  /: filter  < >: sort  r: reverse  q: leave  ?: help",
        ]
    );
    assert_eq!(
        screen(&some(), (40, 7), 1.0),
        [
            "3 locks, 3 waiters for 2 of them; db1:11",
            "live; by LONGEST, largest first",
            "LOCK      HOLDER            HELD WAITERS",
            "boss:17   127.0.0.1:40312  1m16s       2",
            "raid:\u{9f8d}   127.0.0.1:40318   4.2s       1",
            "mail      127.0.0.1:40320   1.0s       0",
            "Enter: queue  k: kick  ?: help",
        ]
    );
}

#[test]
fn a_narrow_screen_omits_columns_and_a_low_one_lines() {
    let heads: Vec<String> =
        [79, 67, 60, 40, 34, 28, 12].iter().map(|columns| screen(&some(), (*columns, 8), 1.0)[2].clone()).collect();
    let heads: Vec<Vec<&str>> = heads.iter().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(heads[0], ["LOCK", "HOLDER", "CLIENT", "HELD", "SILENT", "WAITERS", "LONGEST"]);
    assert_eq!(heads[1], ["LOCK", "HOLDER", "CLIENT", "HELD", "WAITERS", "LONGEST"]);
    assert_eq!(heads[2], ["LOCK", "HOLDER", "HELD", "WAITERS", "LONGEST"]);
    assert_eq!(heads[3], ["LOCK", "HOLDER", "HELD", "WAITERS"]);
    assert_eq!(heads[4], ["LOCK", "HOLDER", "HELD"]);
    assert_eq!(heads[5], ["LOCK", "HOLDER"]);
    assert_eq!(heads[6], ["LOCK"]);
    let low = screen(&some(), (80, 4), 1.0);
    assert!(low[0].starts_with("3 locks") && low[2].starts_with("boss:17"), "{low:?}");
    assert!(screen(&some(), (80, 1), 1.0)[0].starts_with("3 locks"));
    let mut gone = some();
    gone.learn(lost(), 1.0);
    assert!(screen(&gone, (80, 2), 1.0)[0].starts_with("NO SERVER"));
}

/// Names that could break a screen, in every state and at every size: each line stays within its columns.
#[test]
fn nothing_breaks_the_screen_at_any_size() {
    let evil = "\x1b[2J\n\u{202e}\u{9f8d}\u{9f8d}e\u{301}\u{fe0f}";
    let long = "\u{9f8d}x".repeat(200);
    let rows = || vec![row(evil, evil, 1e9, &[1e8]), row(&long, &long, -5.0, &[0.0; 3])];
    let mut models = vec![model(Vec::new()), model(rows())];
    models.push(Model::new(evil.to_owned(), evil.to_owned(), Sort::by(Column::Lock), long.clone(), SECOND));
    for code in [KeyCode::Char('k'), KeyCode::Char('/'), KeyCode::Char('?'), KeyCode::Enter] {
        let mut model = model(rows());
        key(&mut model, KeyCode::Down);
        key(&mut model, code);
        if code == KeyCode::Char('/') {
            key(&mut model, KeyCode::Char('\u{9f8d}'));
        }
        models.push(model);
    }
    let mut queue = model(rows());
    key(&mut queue, KeyCode::Enter);
    let place = || PlaceDetail { connection: evil.to_owned(), client: Some(long.clone()), ..PlaceDetail::default() };
    let detail = LockDetail {
        holders: vec![place()],
        waiters: vec![place(), place()],
        waiting: u64::MAX,
        ..LockDetail::default()
    };
    let Order::Look(number, _) = queue.order() else { unreachable!() };
    queue.learn(News::One(number, Some(detail), 0.0), 0.0);
    let life = Life { since: f64::MIN, silent_since: f64::MAX, unsent: u64::MAX, grace_until: None, seen_at: 0.0 };
    queue.learn(News::Lives(number, [(evil.to_owned(), life)].into()), 0.0);
    models.push(queue);
    let mut told = model(rows());
    key(&mut told, KeyCode::Char('k'));
    let Over::Question { target, .. } = std::mem::replace(&mut told.over, Over::Nothing) else { panic!("{told:?}") };
    told.learn(News::Kick(target, Kicked::Changed), 0.0);
    told.learn(lost(), 0.0);
    models.push(told);
    for model in &mut models {
        for columns in (0..60).chain([79, 80, 120, 300]) {
            for lines in (0..12).chain([24, 50]) {
                let area = Rect::new(0, 0, columns, lines);
                model.keep_within(table_height(model, area, 1.0));
                for line in screen(model, (columns, lines), 1.0) {
                    assert!(width(&line) <= usize::from(columns), "{line:?} at {columns}x{lines}");
                    assert!(!line.contains(|character: char| character.is_control() || character == '\u{202e}'));
                }
            }
        }
    }
}

#[test]
fn the_cursor_follows_its_lock_except_on_the_first_row() {
    let mut model = some();
    key(&mut model, KeyCode::Down);
    assert_eq!(model.selected().unwrap().name, "raid:\u{9f8d}");
    let turned =
        vec![row("new", "x", 1.0, &[99.0]), row("mail", "x", 1.0, &[9.0]), row("raid:\u{9f8d}", "x", 1.0, &[])];
    see(&mut model, picture(turned));
    assert_eq!((model.rows.selected, model.selected().unwrap().name.as_str()), (2, "raid:\u{9f8d}"));
    key(&mut model, KeyCode::Home);
    see(&mut model, picture(vec![row("newer", "x", 1.0, &[100.0]), row("new", "x", 1.0, &[99.0])]));
    assert_eq!(model.selected().unwrap().name, "newer");
    // If its lock is gone, the cursor stays where it was, or on the last row.
    key(&mut model, KeyCode::End);
    see(&mut model, picture(vec![row("only", "x", 1.0, &[])]));
    model.keep_within(5);
    assert_eq!(model.selected().unwrap().name, "only");
}

/// A new scan must not change the rows under the cursor of somebody who looks for a lock or is about to kick.
#[test]
fn an_unfinished_scan_removes_nothing() {
    let mut model = some();
    key(&mut model, KeyCode::Down);
    let unfinished = || Picture { is_complete: false, ended: 0.3, ..picture(vec![row("a", "x", 1.0, &[9.0])]) };
    see(&mut model, unfinished());
    let lines = screen(&model, (100, 9), 0.3);
    assert!(lines[0].starts_with("3 locks, 3 waiters for 2 of them"), "{lines:?}");
    assert!(lines[1].starts_with("fetching again; "), "{lines:?}");
    let names: Vec<&str> = model.list().iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["boss:17", "a", "raid:\u{9f8d}", "mail"]);
    assert_eq!(model.selected().unwrap().name, "raid:\u{9f8d}");
    // Locks that a complete scan did not find are gone.
    see(&mut model, picture(vec![row("a", "x", 1.0, &[9.0]), row("raid:\u{9f8d}", "x", 1.0, &[])]));
    assert_eq!((model.list().len(), model.rows.selected), (2, 1));
    assert!(screen(&model, (100, 9), 0.3)[1].starts_with("live; "));
    // A server that was away may have been restarted, with other locks.
    model.learn(lost(), 1.0);
    assert!(model.loss.is_some());
    see(&mut model, unfinished());
    assert!(model.loss.is_none());
    assert_eq!((model.list().len(), model.counts().locks), (1, 1));
}

#[test]
fn results_of_earlier_orders_do_not_make_the_screen_current() {
    let mut model = some();
    let Order::Look(number, _) = model.order() else { unreachable!() };
    model.learn(lost(), 1.0);
    model.order();
    model.learn(News::All(number, picture(Vec::new())), 2.0);
    assert!(model.loss.is_some() && model.list().len() == 3);
    // Nor is the list current after a queue was fetched from the server that is back.
    key(&mut model, KeyCode::Enter);
    let Order::Look(number, _) = model.order() else { unreachable!() };
    model.learn(News::One(number, None, 3.0), 3.0);
    assert!(model.loss.is_none());
    key(&mut model, KeyCode::Esc);
    assert!(model.list().is_empty());
    assert!(screen(&model, (80, 8), 3.0)[0].starts_with("fetching the locks"));
}

#[test]
fn a_filter_has_found_nothing_only_after_a_complete_scan() {
    let mut model = some();
    key(&mut model, KeyCode::Char('/'));
    key(&mut model, KeyCode::Char('z'));
    assert_eq!(screen(&model, (80, 8), 0.0)[3], "");
    let none = Picture { counts: Counts { locks: 3, ..Counts::default() }, ..picture(Vec::new()) };
    see(&mut model, none);
    assert!(screen(&model, (80, 8), 0.0)[3].starts_with("No lock, holder or client"));
}

#[test]
fn a_server_is_slow_only_if_a_query_was_due() {
    let mut model = some();
    for (interval, age, expected) in [
        (1.0, 2.9, "live; "),
        (1.0, 3.0, "seen 3.0s ago: the server is slow to answer; "),
        (10.0, 2.9, "live; "),
        (10.0, 11.9, "seen 11s ago; "),
        (10.0, 12.0, "seen 12s ago: the server is slow to answer; "),
    ] {
        model.interval = interval;
        let state = screen(&model, (100, 8), age)[1].clone();
        assert!(state.starts_with(expected), "{interval} {age} {state}");
    }
}

#[test]
fn the_rows_scroll_with_the_cursor() {
    let mut model = model((0..20).map(|number| row(&format!("lock {number:02}"), "x", 1.0, &[])).collect());
    for _ in 0..6 {
        key(&mut model, KeyCode::Down);
    }
    let lines = screen(&model, (80, 9), 0.0);
    assert!(lines[3].starts_with("lock 02") && lines[7].starts_with("lock 06"), "{lines:?}");
    assert!(lines[1].ends_with("row 7 of 20"), "{lines:?}");
    key(&mut model, KeyCode::PageDown);
    key(&mut model, KeyCode::End);
    assert!(screen(&model, (80, 9), 0.0)[7].starts_with("lock 19"));
    key(&mut model, KeyCode::PageUp);
    assert_eq!(model.rows.selected, 14);
}

#[test]
fn sorting_goes_from_column_to_column_and_is_ordered_from_the_server() {
    let mut model = some();
    let action = key(&mut model, KeyCode::Char('<'));
    assert!(matches!(action, Action::Order(Order::Look(..))), "{action:?}");
    assert_eq!(model.sort, Sort::by(Column::Waiters));
    assert!(screen(&model, (80, 8), 0.0)[1].starts_with("fetching again; by WAITERS, largest first"));
    for _ in 0..9 {
        key(&mut model, KeyCode::Left);
    }
    assert_eq!(model.sort, Sort::by(Column::Lock));
    assert!(matches!(key(&mut model, KeyCode::Left), Action::Nothing));
    key(&mut model, KeyCode::Char('r'));
    let names: Vec<&str> = model.list().iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["raid:\u{9f8d}", "mail", "boss:17"]);
    assert!(screen(&model, (80, 8), 0.0)[1].ends_with("by LOCK, Z to A"));
}

#[test]
fn a_filter_is_typed_kept_and_cleared() {
    let mut model = some();
    key(&mut model, KeyCode::Char('/'));
    for character in "BOq".chars() {
        key(&mut model, KeyCode::Char(character));
    }
    assert!(model.list().is_empty());
    key(&mut model, KeyCode::Backspace);
    assert_eq!(screen(&model, (80, 8), 0.0)[7], "/BO_   Enter: keep it, Esc: no filter");
    see(&mut model, picture(vec![row("boss:17", "x", 1.0, &[])]));
    key(&mut model, KeyCode::Enter);
    assert!(screen(&model, (80, 8), 0.0)[1].ends_with("1 with 'BO'"));
    // First clears the filter, then leaves the program.
    assert!(matches!(key(&mut model, KeyCode::Esc), Action::Order(_)));
    assert!(model.filter.is_empty());
    assert!(matches!(key(&mut model, KeyCode::Esc), Action::Leave));
}

#[test]
fn a_kick_needs_a_confirmation_and_only_y_confirms() {
    let mut model = some();
    for no in [KeyCode::Enter, KeyCode::Esc, KeyCode::Char('n'), KeyCode::Char('q')] {
        key(&mut model, KeyCode::Char('k'));
        let said = screen(&model, (80, 8), 0.0)[6..].join(" ");
        let expected = "Kick 127.0.0.1:40312 (client of 127.0.0.1:40312), which holds 'boss:17' for 1m15s?";
        assert!(said.starts_with(expected), "{said}");
        assert!(matches!(key(&mut model, no), Action::Nothing), "{no:?}");
        assert_eq!(model.over, Over::Nothing);
    }
    // Typed before the question could be read.
    key(&mut model, KeyCode::Char('k'));
    assert!(matches!(key(&mut model, KeyCode::Char('y')), Action::Nothing));
    assert!(matches!(model.over, Over::Question { .. }));
    // Also if it is handled after that.
    model.question_is_seen(1.0);
    model.question_is_seen(2.0);
    assert!(matches!(key_at(&mut model, KeyCode::Char('y'), 1.0), Action::Nothing));
    assert!(matches!(model.over, Over::Question { .. }));
    // Whatever is under the cursor by then.
    see(&mut model, picture(vec![row("other", "10.0.0.9:1", 1.0, &[9.0])]));
    let answer = key_at(&mut model, KeyCode::Char('y'), 1.1);
    let Action::Order(Order::Kick(target)) = answer else { panic!("{model:?}") };
    assert_eq!(screen(&model, (80, 8), 0.0)[7], "Asking the server to kick 127.0.0.1:40312");
    assert_eq!((target.lock.as_str(), target.connection.as_str()), ("boss:17", "127.0.0.1:40312"));
    assert!(target.is_holder && target.since == -75.0);
    let error = Error::Server { reason: Reason::NotAllowed, message: "not from here".to_owned() };
    model.learn(News::Kick(target, Kicked::Failed(error)), 0.0);
    let said = screen(&model, (80, 8), 0.0)[6..].join(" ");
    assert!(said.starts_with("Not kicked: ") && said.ends_with("or as a user who may (--user)"), "{said}");
}

#[test]
fn a_question_is_shown_completely_or_takes_no_answer() {
    let mut model = model(vec![row("boss:17", "127.0.0.1:40312", 1.0, &[])]);
    key(&mut model, KeyCode::Char('k'));
    for (size, expected) in [
        (
            (40, 10),
            "Kick 127.0.0.1:40312 (client of 127.0.0.1:40312), which holds 'boss:17' for 1.0s? All its locks pass on. y: yes, any other key: no",
        ),
        ((40, 5), "Kick 127.0.0.1:40312, holding 'boss:17'? y: yes"),
        ((20, 5), "y: kick 127.0.0.1:40312"),
        ((30, 3), "y: kick 127.0.0.1:40312"),
    ] {
        let bottom = bottom(&model, Rect::new(0, 0, size.0, size.1), 0.0);
        let lines = screen(&model, size, 0.0);
        assert_eq!(lines[lines.len() - bottom.len()..].join(" "), expected, "{size:?}");
        assert!(lines.iter().any(|line| line.starts_with("boss:17")), "{lines:?}");
        assert!(has_room_for_question(Rect::new(0, 0, size.0, size.1)));
    }
    for (columns, lines) in [(80, 2), (19, 24), (1, 1)] {
        assert!(!has_room_for_question(Rect::new(0, 0, columns, lines)));
    }
    // On the usual screen the longest name and client are shown completely.
    let mut model = tests::model(vec![row(&"a ".repeat(512), &"c".repeat(60), 1.0, &[])]);
    key(&mut model, KeyCode::Char('k'));
    assert!(screen(&model, (80, 24), 0.0)[23].ends_with("y: yes, any other key: no"));
}

#[test]
fn the_end_of_a_long_filter_is_shown() {
    let mut model = some();
    key(&mut model, KeyCode::Char('/'));
    paste(&mut model, &"x".repeat(2000));
    assert_eq!(model.filter.len(), 1024);
    key(&mut model, KeyCode::Backspace);
    key(&mut model, KeyCode::Char('y'));
    assert_eq!(screen(&model, (20, 8), 0.0)[7], "/~xxxxxxxxxxxxxxxxy_");
    press(&mut model, KeyEvent::new(KeyCode::Char('h'), KeyModifiers::CONTROL), 5, 0.0);
    assert_eq!(model.filter, "x".repeat(1023));
    press(&mut model, KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL), 5, 0.0);
    assert_eq!(screen(&model, (80, 8), 0.0)[7], "/_   Enter: keep it, Esc: no filter");
}

#[test]
fn pasted_text_goes_into_a_filter_and_nowhere_else() {
    let mut model = some();
    assert!(matches!(paste(&mut model, "sky\nky"), Action::Nothing));
    assert_eq!((&model.over, model.filter.as_str()), (&Over::Nothing, ""));
    key(&mut model, KeyCode::Char('/'));
    assert!(matches!(paste(&mut model, "\n raid:\u{9f8d}\r\nky"), Action::Order(Order::Look(..))));
    assert_eq!((&model.over, model.filter.as_str(), model.list().len()), (&Over::Filter, "raid:\u{9f8d}", 1));
    key(&mut model, KeyCode::Enter);
    key(&mut model, KeyCode::Char('k'));
    model.question_is_seen(0.0);
    assert!(matches!(paste(&mut model, "y"), Action::Nothing));
    assert!(matches!(model.over, Over::Question { .. }));
}

#[test]
fn a_lost_server_is_reported_and_its_times_stand_still() {
    let mut model = some();
    model.learn(lost(), 2.0);
    model.learn(lost(), 9.0);
    let lines = screen(&model, (110, 8), 10.0);
    assert!(
        lines[1].starts_with("NO SERVER for 8.0s: Connection refused (os error 111); next try in 3.0s"),
        "{lines:?}"
    );
    assert!(lines[3].contains("1m17s"), "{lines:?}");
    see(&mut model, picture(Vec::new()));
    let lines = screen(&model, (80, 8), 11.0);
    assert!(model.loss.is_none() && lines[3] == "Nobody holds a lock.", "{lines:?}");
}

#[test]
fn thousands_of_locks_are_shown_with_the_duration_of_the_scan() {
    let mut model = some();
    model.picture = None;
    let many = |is_complete| Picture {
        counts: Counts { locks: 100_000, wanted: 2, waiters: 3, taken: 100_000 },
        began: 0.0,
        ended: 4.25,
        is_complete,
        ..picture(some().list().to_vec())
    };
    see(&mut model, many(false));
    assert!(screen(&model, (80, 8), 5.25)[1].starts_with("100,000 locks so far; "));
    see(&mut model, many(true));
    let lines = screen(&model, (80, 8), 5.25);
    assert!(lines[0].starts_with("100,000 locks, 3 waiters for 2 of them"), "{lines:?}");
    assert!(lines[1].starts_with("scanned in 4.2 s, 1.0s ago; "), "{lines:?}");
}

#[test]
fn the_selected_row_stands_out_without_colors_too() {
    for has_color in [false, true] {
        let buffer = buffer(&some(), (80, 8), Theme { has_color, ..LIVE }, 1.0);
        let reversed: Vec<u16> = (3..7).filter(|y| buffer[(0, *y)].modifier.contains(Modifier::REVERSED)).collect();
        assert_eq!(reversed, [3]);
        let is_colored = buffer.content.iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
        assert_eq!(is_colored, has_color);
    }
}
