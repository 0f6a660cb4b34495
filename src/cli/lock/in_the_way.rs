//! Who or what is in the way of locks that are asked for.

use crate::client::{Client, LockDetail, PlaceDetail};
use crate::console::one_lock;
use crate::console::shown::{Shown, Span};

/// What a client that waits for locks waits for, and how many wait before it. None: it can't be told, or nothing is.
pub(super) fn who_is_ahead(client: &Client, names: &[String]) -> Option<String> {
    describe_with(client, names, true)
}

/// What is in the way of locks that were refused.
pub(super) fn describe(client: &Client, names: &[String]) -> Option<String> {
    describe_with(client, names, false)
}

fn describe_with(client: &Client, names: &[String], has_order: bool) -> Option<String> {
    let us = client.connection_name();
    names.iter().find_map(|name| {
        let lock = one_lock(client, name).ok()??;
        let line = line(&lock, &us, has_order)?;
        Some(match names.len() {
            1 if has_order => line,
            1 => format!("it is {line}"),
            _ => format!("'{}' is {line}", Shown(name)),
        })
    })
}

/// What the holder of one of the locks calls itself, if it still is the holder and has a name.
pub(super) fn client_of(client: &Client, names: &[String], holder: &str) -> Option<String> {
    names.iter().find_map(|name| {
        let lock = one_lock(client, name).ok()??;
        lock.holders.into_iter().find(|found| found.connection == holder)?.client
    })
}

/// `held by … for …; 2 wait before us`.
fn line(lock: &LockDetail, us: &str, has_order: bool) -> Option<String> {
    let mut others = lock.holders.iter().filter(|holder| holder.connection != us);
    let mut line = match (others.next(), lock.closed_for) {
        (Some(holder), _) => held_by(holder, others.count() as u64 + lock.unlisted()[0]),
        (None, Some(closed_for)) => format!("closed for another {}", Span::of_seconds(closed_for)),
        (None, None) => return None,
    };
    let position = lock.waiters.iter().position(|waiter| waiter.connection == us);
    match position.map_or(lock.waiting, |position| position as u64) {
        _ if !has_order => {}
        0 => {}
        1 => line.push_str("; 1 waits before us"),
        ahead => line.push_str(&format!("; {ahead} wait before us")),
    }
    Some(line)
}

fn held_by(holder: &PlaceDetail, others: u64) -> String {
    let mut line = format!("held by {}", Shown(&holder.connection));
    if let Some(client) = &holder.client {
        line.push_str(&format!(" ({})", Shown(client)));
    }
    if others > 0 {
        line.push_str(&format!(" and {others} more"));
    }
    if let Some(held_for) = holder.held_for {
        line.push_str(&format!(" for {}", Span::of_seconds(held_for)));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(connection: &str) -> PlaceDetail {
        PlaceDetail { connection: connection.to_owned(), ..PlaceDetail::default() }
    }

    #[test]
    fn who_is_ahead_is_told_in_one_line() {
        let holder = PlaceDetail { client: Some("a\nb".to_owned()), held_for: Some(12.0), ..place("unix:3") };
        let mut lock = LockDetail {
            holders: vec![holder],
            waiters: vec![place("unix:5"), place("unix:6"), place("unix:9")],
            waiting: 7,
            ..LockDetail::default()
        };
        let told = |lock: &LockDetail, us, has_order| line(lock, us, has_order).unwrap();
        assert_eq!(told(&lock, "unix:9", true), r"held by unix:3 (a\nb) for 12s; 2 wait before us");
        assert_eq!(told(&lock, "unix:6", true), r"held by unix:3 (a\nb) for 12s; 1 waits before us");
        assert_eq!(told(&lock, "unix:9", false), r"held by unix:3 (a\nb) for 12s");
        lock.holders = vec![place("unix:3"), place("unix:4")];
        assert_eq!(told(&lock, "unix:5", true), "held by unix:3 and 1 more");
        lock.holding = Some(100);
        assert_eq!(told(&lock, "unix:5", true), "held by unix:3 and 99 more");
        lock.holders.clear();
        assert_eq!(line(&lock, "unix:5", true), None);
        lock.closed_for = Some(75.0);
        assert_eq!(told(&lock, "unix:5", true), "closed for another 1m15s");
    }
}
