//! What is known, and what the user wants to see of it. Nothing here knows about a terminal, or reads the clock.

use std::collections::HashMap;
use std::time::Duration;

use super::circles::{Circle, Party};
use super::life::Life;
use super::picture::{Counts, Picture};
use super::poller::{Kicked, Look, News, Order, Target};
use super::row::{Column, Filter, Moment, Row, Sort};
use crate::client::{Error, HotLock, LockDetail, PlaceDetail};
use crate::console::Failure;
use crate::console::shown::{Shown, Span};

/// How many seconds the last line shows a message.
const MESSAGE_SECONDS: f64 = 10.0;

/// The whole state.
#[derive(Debug)]
pub(super) struct Model {
    /// The server's address.
    pub(super) address: String,
    /// The prefix of the locks' names.
    pub(super) prefix: String,
    pub(super) sort: Sort,
    /// As it was typed.
    pub(super) filter: String,
    /// None: nothing has been fetched yet.
    pub(super) picture: Option<Picture>,
    /// The picture has the current order and the current filter.
    pub(super) is_current: bool,
    pub(super) rows: Selection,
    /// The locks that were waited for most, while they are shown, or would be without a queue.
    pub(super) hottest: Option<Hottest>,
    /// The lock whose queue is shown.
    pub(super) queue: Option<Queue>,
    pub(super) over: Over,
    /// None: the server answers.
    pub(super) loss: Option<Loss>,
    /// The connection was lost after the picture was taken: the server may have been restarted.
    is_of_before: bool,
    /// Between two queries, in seconds.
    pub(super) interval: f64,
    /// A message, and until when it is shown.
    message: Option<(String, Moment)>,
    /// The number of the last order.
    number: u64,
}

/// The server does not answer.
#[derive(Debug)]
pub(super) struct Loss {
    pub(super) since: Moment,
    pub(super) reason: String,
    pub(super) retry_at: Moment,
}

/// What gets the keys instead of the table.
#[derive(Debug, PartialEq)]
pub(super) enum Over {
    Nothing,
    Help,
    /// The filter is being typed.
    Filter,
    /// Whether to kick. What was typed before it was on the screen is no answer.
    Question {
        target: Target,
        seen_at: Option<Moment>,
    },
}

/// The queue of one lock.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) name: String,
    /// None: it has not been fetched yet.
    pub(super) seen: Option<Seen>,
    /// The connections of the server, those in the queue among them.
    pub(super) lives: HashMap<String, Life>,
    pub(super) rows: Selection,
    after: Option<std::sync::Arc<str>>,
}

impl Queue {
    /// Takes a new state of it. The cursor stays on its holder or waiter.
    fn take(&mut self, seen: Seen) {
        let selected = self.seen.as_ref().and_then(|seen| seen.place(self.rows.selected));
        let index = selected.and_then(|selected| {
            let is_it = |place: &PlaceDetail| Party::of(place) == Party::of(selected);
            seen.detail.holders.iter().chain(&seen.detail.waiters).position(is_it)
        });
        if let Some(index) = index {
            self.rows.follow(index);
        }
        self.seen = Some(seen);
    }
}

/// The state of a lock at a moment.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) detail: LockDetail,
    pub(super) at: Moment,
}

impl Seen {
    /// The holder or waiter in this row.
    fn place(&self, index: usize) -> Option<&PlaceDetail> {
        self.detail.holders.iter().chain(&self.detail.waiters).nth(index)
    }

    /// The waiters that the server does not list share a row.
    fn row_count(&self) -> usize {
        let [_, unlisted] = self.detail.unlisted();
        self.detail.holders.len() + self.detail.waiters.len() + usize::from(unlisted > 0)
    }
}

/// The selected row, and the rows on the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Selection {
    pub(super) selected: usize,
    /// The first row on the screen.
    pub(super) top: usize,
}

impl Selection {
    /// Moves it by this many rows of `count`, of which the screen shows `height`.
    fn go(&mut self, by: isize, count: usize, height: usize) {
        self.selected = self.selected.saturating_add_signed(by);
        self.keep_within(count, height);
    }

    /// The selected item has moved to this row. If the first row is selected, it stays selected.
    fn follow(&mut self, index: usize) {
        if self.selected > 0 {
            // Keeps the selection on the screen, scrolling as little as possible.
            self.top = (self.top + index).saturating_sub(self.selected);
            self.selected = index;
        }
    }

    pub(super) fn keep_within(&mut self, count: usize, height: usize) {
        self.selected = self.selected.min(count.saturating_sub(1));
        let first = (self.selected + 1).saturating_sub(height.max(1));
        self.top = self.top.clamp(first, self.selected).min(count.saturating_sub(height));
    }
}

/// The locks that were waited for most.
#[derive(Debug, Default)]
pub(super) struct Hottest {
    /// They, or why the server does not tell, and when they were fetched.
    pub(super) seen: Option<(Result<Vec<HotLock>, String>, Moment)>,
    pub(super) rows: Selection,
}

impl Hottest {
    /// Most first.
    pub(super) fn locks(&self) -> &[HotLock] {
        self.seen.as_ref().and_then(|(seen, _)| seen.as_deref().ok()).unwrap_or_default()
    }
}

impl Model {
    pub(super) fn new(address: String, prefix: String, sort: Sort, filter: String, interval: Duration) -> Self {
        Model {
            address,
            prefix,
            sort,
            filter,
            picture: None,
            is_current: false,
            rows: Selection::default(),
            hottest: None,
            queue: None,
            over: Over::Nothing,
            loss: None,
            is_of_before: false,
            interval: interval.as_secs_f64(),
            message: None,
            number: 0,
        }
    }

    /// The query to send to the server now.
    pub(super) fn order(&mut self) -> Order {
        self.number += 1;
        let look = match &self.queue {
            Some(queue) => Look::AtOne { name: queue.name.clone(), after: queue.after.clone() },
            None if self.hottest.is_some() => Look::Hottest,
            None => Look::AtAll { filter: Filter::new(&self.filter), sort: self.sort },
        };
        Order::Look(self.number, look)
    }

    /// Takes news from the poller.
    pub(super) fn learn(&mut self, news: News, now: Moment) {
        match news {
            // Results of earlier orders don't apply to what is on the screen.
            News::All(number, _) | News::One(number, ..) | News::Lives(number, _) | News::Hottest(number, ..)
                if number != self.number => {}
            News::All(_, picture) => {
                self.loss = None;
                self.take(picture);
            }
            News::One(_, detail, at) => {
                self.loss = None;
                if let Some(queue) = &mut self.queue {
                    queue.take(Seen { detail: detail.unwrap_or_default(), at });
                }
            }
            News::Hottest(_, seen, at) => {
                self.loss = None;
                if let Some(hottest) = &mut self.hottest {
                    hottest.seen = Some((seen.map_err(reason), at));
                }
            }
            News::Lives(_, lives) => {
                if let Some(queue) = &mut self.queue {
                    queue.lives = lives;
                }
            }
            News::Lost { error, retry_in } => {
                self.is_of_before = true;
                let since = self.loss.as_ref().map_or(now, |loss| loss.since);
                self.loss = Some(Loss { since, reason: reason(error), retry_at: now + retry_in.as_secs_f64() });
            }
            News::Kick(target, kicked) => self.tell(told(&target, kicked, &self.address), now),
        }
    }

    /// The cursor follows its row, wherever it has moved; on the first row it stays there.
    pub(super) fn take(&mut self, picture: Picture) {
        let selected = self.selected().map(|row| row.name.clone());
        let is_of_before = std::mem::take(&mut self.is_of_before);
        let before = self.picture.take().filter(|_| !is_of_before);
        self.is_current = picture.is_complete || before.as_ref().is_none_or(|before| !before.is_complete);
        self.picture = Some(match before {
            Some(before) => picture.after(before, self.sort),
            None => picture,
        });
        self.select(selected);
    }

    fn select(&mut self, name: Option<String>) {
        if let Some(index) = self.list().iter().position(|row| Some(&row.name) == name.as_ref()) {
            self.rows.follow(index);
        }
    }

    /// The rows of the list.
    pub(super) fn list(&self) -> &[Row] {
        self.picture.as_ref().map_or(&[], |picture| &picture.rows)
    }

    pub(super) fn selected(&self) -> Option<&Row> {
        self.list().get(self.rows.selected)
    }

    /// Those that wait for each other.
    pub(super) fn circles(&self) -> &[Circle] {
        self.picture.as_ref().map_or(&[], |picture| &picture.circles)
    }

    pub(super) fn counts(&self) -> Counts {
        self.picture.as_ref().map(|picture| picture.counts).unwrap_or_default()
    }

    /// The moment for which times are shown: once the server is gone, times stand still.
    pub(super) fn shown_at(&self, now: Moment) -> Moment {
        self.loss.as_ref().map_or(now, |loss| loss.since.min(now))
    }

    pub(super) fn message(&self, now: Moment) -> Option<&str> {
        self.message.as_ref().filter(|(_, until)| now < *until).map(|(message, _)| message.as_str())
    }

    pub(super) fn tell(&mut self, message: String, now: Moment) {
        self.message = Some((message, now + MESSAGE_SECONDS));
    }

    pub(super) fn clear_message(&mut self) {
        self.message = None;
    }

    /// Moves the cursor, on a screen with this many rows.
    pub(super) fn go(&mut self, by: isize, height: usize) {
        let count = self.row_count();
        self.selection().go(by, count, height);
    }

    /// To be called after anything that may have changed the rows or the screen.
    pub(super) fn keep_within(&mut self, height: usize) {
        let count = self.row_count();
        self.selection().keep_within(count, height);
    }

    /// The screen was drawn, with the question, if there is one.
    pub(super) fn question_is_seen(&mut self, now: Moment) {
        if let Over::Question { seen_at, .. } = &mut self.over {
            seen_at.get_or_insert(now);
        }
    }

    fn row_count(&self) -> usize {
        match &self.queue {
            Some(queue) => queue.seen.as_ref().map_or(0, |seen| seen.row_count()),
            None => self.hottest.as_ref().map_or(self.list().len(), |hottest| hottest.locks().len()),
        }
    }

    fn selection(&mut self) -> &mut Selection {
        match &mut self.queue {
            Some(queue) => &mut queue.rows,
            None => self.hottest.as_mut().map_or(&mut self.rows, |hottest| &mut hottest.rows),
        }
    }

    /// Changes the order of rows. The known rows are sorted at once; which rows come first of all is known after the
    /// next scan.
    pub(super) fn sort_by(&mut self, sort: Sort) {
        self.sort = sort;
        self.is_current = false;
        let selected = self.selected().map(|row| row.name.clone());
        if let Some(picture) = &mut self.picture {
            picture.rows.sort_by(|one, other| sort.compare(one, other));
        }
        self.select(selected);
    }

    /// The column next to the one that the rows are sorted by.
    pub(super) fn next_sort(&self, by: isize) -> Sort {
        let at = Column::ALL.iter().position(|column| *column == self.sort.column).unwrap_or(0);
        let next = at.saturating_add_signed(by).min(Column::ALL.len() - 1);
        if next == at { self.sort } else { Sort::by(Column::ALL[next]) }
    }

    /// Changes the filter. The known rows are filtered at once.
    pub(super) fn filter_by(&mut self, text: String) {
        let filter = Filter::new(&text);
        self.filter = text;
        self.is_current = false;
        self.rows = Selection::default();
        if let Some(picture) = &mut self.picture {
            picture.rows.retain(|row| filter.takes(row));
        }
    }

    /// Shows the queue of the lock under the cursor. Returns whether there is one.
    pub(super) fn open_queue(&mut self) -> bool {
        let place = match &self.hottest {
            Some(hottest) => hottest.locks().get(hottest.rows.selected).map(|lock| (lock.name.clone(), None)),
            None => self.selected().map(|row| (row.name.clone(), row.after.clone())),
        };
        let Some((name, after)) = place else { return false };
        self.queue = Some(Queue { name, after, seen: None, lives: HashMap::new(), rows: Selection::default() });
        true
    }

    /// Shows the locks that were waited for most, or the list again, which is outdated by now.
    pub(super) fn switch_hottest(&mut self) {
        self.hottest = match self.hottest {
            None => Some(Hottest::default()),
            Some(_) => None,
        };
        self.is_current = false;
    }

    /// Goes back to the list, which is outdated by now.
    pub(super) fn close_queue(&mut self) {
        self.queue = None;
        self.is_current = false;
        if self.is_of_before && self.loss.is_none() {
            self.picture = None;
        }
    }

    /// Whom to kick: the holder of the lock under the cursor, or the connection under it in a queue.
    pub(super) fn target(&self) -> Option<Target> {
        let Some(queue) = &self.queue else {
            if self.hottest.is_some() {
                return None;
            }
            let row = self.selected()?;
            let holder = row.holder.as_ref()?;
            return Some(Target {
                lock: row.name.clone(),
                after: row.after.clone(),
                connection: holder.place.connection.clone(),
                client: holder.place.client.clone(),
                is_holder: true,
                since: holder.since,
            });
        };
        let seen = queue.seen.as_ref()?;
        let place = seen.place(queue.rows.selected)?;
        let is_holder = queue.rows.selected < seen.detail.holders.len();
        let time = if is_holder { place.held_for } else { place.waited_for };
        Some(Target {
            lock: queue.name.clone(),
            after: queue.after.clone(),
            connection: place.connection.clone(),
            client: place.client.clone(),
            is_holder,
            since: seen.at - time.unwrap_or(0.0),
        })
    }
}

/// The question before a kick, for little room.
pub(super) fn short_question(target: &Target) -> String {
    let (connection, lock) = (Shown(&target.connection), Shown(&target.lock));
    let relation = if target.is_holder { "holding" } else { "waiting for" };
    format!("Kick {connection}, {relation} '{lock}'? y: yes")
}

/// The same, for hardly any room.
pub(super) fn shortest_question(target: &Target) -> String {
    format!("y: kick {}", Shown(&target.connection))
}

/// The question before a kick.
pub(super) fn question(target: &Target, now: Moment) -> String {
    let client = target.client.as_ref().map(|client| format!(" ({})", Shown(client))).unwrap_or_default();
    let does = if target.is_holder { "holds" } else { "waits for" };
    let time = Span::of_seconds(now - target.since);
    let (connection, lock) = (Shown(&target.connection), Shown(&target.lock));
    format!(
        "Kick {connection}{client}, which {does} '{lock}' for {time}? All its locks pass on. y: yes, any other key: no"
    )
}

fn told(target: &Target, kicked: Kicked, address: &str) -> String {
    let (connection, lock) = (Shown(&target.connection), Shown(&target.lock));
    match kicked {
        Kicked::Yes => format!("{connection} was kicked: its locks have passed on, and it has left all queues"),
        Kicked::Gone => format!("{connection} was already gone"),
        Kicked::Changed if target.is_holder => {
            format!("Not kicked: {connection} has released '{lock}' in the meantime; check who holds it now")
        }
        Kicked::Changed => format!("Not kicked: {connection} no longer waits for '{lock}'"),
        Kicked::Failed(error) => {
            format!("Not kicked: {}", Failure::Server { address: address.to_owned(), error })
        }
    }
}

fn reason(error: Error) -> String {
    let reason = match error {
        Error::ConnectionLost { reason } => reason,
        Error::Connect { message, .. } => message,
        error => error.to_string(),
    };
    Shown(&reason).to_string()
}

/// How long the scan for a picture took, if that matters.
pub(super) fn took(picture: &Picture) -> Option<Duration> {
    let took = Duration::try_from_secs_f64(picture.ended - picture.began).unwrap_or_default();
    (took >= Duration::from_millis(500)).then_some(took)
}
