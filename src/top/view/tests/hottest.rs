//! The locks that were waited for most.

use super::*;
use crate::client::HotLock;
use crate::top::poller::Look;

fn lock(name: &str, waited: f64, waits: u64) -> HotLock {
    HotLock { name: name.to_owned(), waited, waits }
}

fn press_for_order(model: &mut Model, code: KeyCode) -> (u64, Look) {
    match press(model, KeyEvent::new(code, KeyModifiers::NONE), 10, 0.0) {
        Action::Order(Order::Look(number, look)) => (number, look),
        other => panic!("{other:?}"),
    }
}

#[test]
fn hottest_locks_are_a_view_from_which_queues_are_opened() {
    let mut model = some();
    let (number, look) = press_for_order(&mut model, KeyCode::Char('h'));
    assert_eq!(look, Look::Hottest);
    let locks = vec![lock("boss:17", 75.0, 1234), lock("raid:\u{9f8d}", 0.25, 1)];
    model.learn(News::Hottest(number, Ok(locks), 0.0), 0.0);
    let shown = screen(&model, (80, 24), 0.0);
    assert_eq!(
        shown[..5],
        [
            "waited for most in the last half minute to minute; db1:11500",
            "live",
            "   WAITED     WAITS LOCK",
            "    1m15s     1,234 boss:17",
            "     0.2s         1 raid:\u{9f8d}",
        ]
    );
    assert!(shown.last().is_some_and(|line| line.starts_with("Enter: queue  Esc: back")), "{shown:?}");
    assert!(matches!(
        press(&mut model, KeyEvent::new(KeyCode::Char('k'), KeyModifiers::NONE), 10, 0.0),
        Action::Nothing
    ));
    assert_eq!(model.message(0.0), Some("There is nobody to kick here"));
    press(&mut model, KeyEvent::new(KeyCode::Down, KeyModifiers::NONE), 10, 0.0);
    let (_, look) = press_for_order(&mut model, KeyCode::Enter);
    assert_eq!(look, Look::AtOne { name: "raid:\u{9f8d}".to_owned(), after: None });
    let (_, look) = press_for_order(&mut model, KeyCode::Esc);
    assert_eq!(look, Look::Hottest, "back where it was opened");
    let (_, look) = press_for_order(&mut model, KeyCode::Esc);
    assert!(matches!(look, Look::AtAll { .. }), "{look:?}");
}

#[test]
fn it_is_said_when_nobody_waited_or_the_server_does_not_tell() {
    let mut model = some();
    let (number, _) = press_for_order(&mut model, KeyCode::Char('h'));
    model.learn(News::Hottest(number, Ok(Vec::new()), 0.0), 0.0);
    assert_eq!(screen(&model, (80, 24), 0.0)[1], "nobody waited");
    let error = Error::Unsupported { feature: "stats" };
    model.learn(News::Hottest(number, Err(error), 0.0), 0.0);
    let shown = screen(&model, (80, 24), 0.0);
    assert!(shown[1].starts_with("the server does not tell: "), "{shown:?}");
}
