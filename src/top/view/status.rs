//! The lines above the table.

use super::list::head_of;
use crate::client::LockDetail;
use crate::console::place::closed;
use crate::console::shown::{Count, Shown, Span};
use crate::top::model::{Model, Seen, took};
use crate::top::row::Moment;

/// The title: what is shown, and how much there is.
pub(super) fn title(model: &Model, now: Moment) -> String {
    if let Some(queue) = &model.queue {
        let waiting = queue.seen.as_ref().map_or(0, |seen| seen.detail.waiting);
        return match &queue.seen {
            Some(Seen { detail: LockDetail { closed_for: Some(left), .. }, at }) => {
                format!(
                    "'{}': {}; {}",
                    Shown(&queue.name),
                    closed(*left - (now - at)),
                    counted(waiting, "waiter", "waiters")
                )
            }
            Some(seen) if seen.detail.holders.is_empty() && waiting == 0 => {
                format!("'{}' is free: nobody holds it or waits for it", Shown(&queue.name))
            }
            Some(Seen { detail: LockDetail { holding: Some(holding), .. }, .. }) => {
                let (name, holders) = (Shown(&queue.name), counted(*holding, "holder", "holders"));
                format!("'{name}': {holders}, not all listed; {}", counted(waiting, "waiter", "waiters"))
            }
            Some(_) => format!("'{}': {}", Shown(&queue.name), counted(waiting, "waiter", "waiters")),
            None => format!("'{}'", Shown(&queue.name)),
        };
    }
    if model.hottest.is_some() {
        return format!("waited for most in the last half minute to minute; {}", Shown(&model.address));
    }
    if model.picture.is_none() {
        return format!("fetching the locks of {}", Shown(&model.address));
    }
    let counts = model.counts();
    let mut line = counted(counts.locks, "lock", "locks");
    if !model.prefix.is_empty() {
        line.push_str(&format!(" '{}...'", Shown(&model.prefix)));
    }
    match counts.waiters {
        0 => line.push_str(", nobody waits"),
        waiters => {
            let waiters = counted(waiters, "waiter", "waiters");
            line.push_str(&format!(", {waiters} for {} of them", Count(counts.wanted)));
        }
    }
    // Last: the user knows it, and a narrow screen has no room for it.
    line.push_str(&format!("; {}", Shown(&model.address)));
    line
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", Count(count), if count == 1 { one } else { many })
}

/// The age of the picture; then the order and the filter.
pub(super) fn state(model: &Model, now: Moment) -> String {
    if let Some(loss) = &model.loss {
        let gone_for = Span::of_seconds(now - loss.since);
        let retry = match loss.retry_at - now {
            left if left > 0.0 => format!("next try in {}", Span::of_seconds(left)),
            _ => "trying".to_owned(),
        };
        return format!("NO SERVER for {gone_for}: {}; {retry}; below is the last known state", loss.reason);
    }
    let circles = circles(model);
    if let Some(queue) = &model.queue {
        let freshness = match &queue.seen {
            Some(seen) => freshness(now - seen.at, model.interval),
            None => "fetching its queue".to_owned(),
        };
        return circles.into_iter().chain([freshness]).collect::<Vec<_>>().join("; ");
    }
    if let Some(hottest) = &model.hottest {
        return match &hottest.seen {
            None => "fetching them".to_owned(),
            Some((Err(reason), _)) => format!("the server does not tell: {reason}"),
            Some((Ok(locks), _)) if locks.is_empty() => "nobody waited".to_owned(),
            Some((Ok(_), at)) => freshness(now - at, model.interval),
        };
    }
    let Some(picture) = &model.picture else { return String::new() };
    let mut parts = Vec::from_iter(circles);
    parts.push(match took(picture) {
        _ if !picture.is_complete => format!("{} so far", counted(picture.counts.locks, "lock", "locks")),
        _ if !model.is_current => "fetching again".to_owned(),
        Some(took) => {
            let ago = Span::of_seconds(now - picture.ended);
            format!("scanned in {:.1} s, {ago} ago", took.as_secs_f64())
        }
        None => freshness(now - picture.ended, model.interval),
    });
    let order = match (model.sort.column.is_number(), model.sort.is_descending) {
        (true, true) => "largest first",
        (true, false) => "smallest first",
        (false, true) => "Z to A",
        (false, false) => "A to Z",
    };
    parts.push(format!("by {}, {order}", head_of(model.sort.column)));
    if !model.filter.is_empty() {
        let taken =
            if picture.is_complete && model.is_current { picture.counts.taken } else { picture.rows.len() as u64 };
        parts.push(format!("{} with '{}'", Count(taken), Shown(&model.filter)));
    }
    if model.rows.selected > 0 {
        parts.push(format!("row {} of {}", Count(model.rows.selected as u64 + 1), Count(picture.rows.len() as u64)));
    }
    parts.join("; ")
}

/// Those who wait for each other.
fn circles(model: &Model) -> Option<String> {
    let (first, others) = model.circles().split_first()?;
    let others = match others.len() {
        0 => String::new(),
        count => format!(", and {} more", Count(count as u64)),
    };
    Some(format!("DEADLOCK: {}{others}", first.shown()))
}

/// A picture is live unless it is noticeably old. If a query has been due since, the server is slow.
fn freshness(age: Moment, interval: f64) -> String {
    let seen = || format!("seen {} ago", Span::of_seconds(age));
    match age {
        ..3.0 => "live".to_owned(),
        age if age < interval + 2.0 => seen(),
        _ => format!("{}: the server is slow to answer", seen()),
    }
}
