//! The thread that queries the server.
//!
//! It never requests everything at once. It fetches all locks page by page, and after each page rests for a multiple of
//! the time that the page took. So neither it nor the server works hard, however many locks there are, and a slower
//! server is queried less. It keeps only the first rows in the current order.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::row::{Filter, First, Moment, Row, SAME_SECONDS, Sort};
use crate::client::{Client, Error, LockDetail};

/// Rows that are kept of one scan: more than anybody scrolls through.
pub(super) const ROWS_MAX: usize = 1000;
/// The first scan, which a person waits for, uses half of the time; later ones use a tenth.
const FIRST_REST: u32 = 1;
const REST: u32 = 9;
/// How often an unfinished first scan is shown.
const SHOW_EVERY: Duration = Duration::from_millis(200);
/// Delays between attempts to reach a server that is gone.
const BACK_OFF_MIN: Duration = Duration::from_millis(250);
const BACK_OFF_MAX: Duration = Duration::from_secs(5);

/// The time since the program started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Clock(Instant::now())
    }

    pub(super) fn now(self) -> Moment {
        self.0.elapsed().as_secs_f64()
    }
}

/// What to ask the server for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Look {
    /// All locks that match a filter, the first ones in an order.
    AtAll { filter: Filter, sort: Sort },
    /// One lock, with its queue.
    AtOne { name: String, after: Option<Arc<str>> },
}

/// An order to the poller.
#[derive(Debug)]
pub(super) enum Order {
    /// What to fetch from now on. The number comes back with the results.
    Look(u64, Look),
    /// A connection to kick.
    Kick(Target),
}

/// A connection that holds or waits for a lock, as shown to the user.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    pub(super) lock: String,
    /// The `after` of the page that contained the lock.
    pub(super) after: Option<Arc<str>>,
    pub(super) connection: String,
    pub(super) client: Option<String>,
    pub(super) is_holder: bool,
    /// Since when it holds or waits.
    pub(super) since: Moment,
}

/// A report of the poller.
#[derive(Debug)]
pub(super) enum News {
    /// A scan of all locks, for the order with this number.
    All(u64, Picture),
    /// The state of one lock. None: nobody holds it or waits for it.
    One(u64, Option<LockDetail>, Moment),
    /// The server could not be reached; the next attempt is after this time.
    Lost { error: Error, retry_in: Duration },
    /// The result of an order to kick.
    Kick(Target, Kicked),
}

/// The result of an order to kick.
#[derive(Debug, PartialEq)]
pub(super) enum Kicked {
    /// It was kicked.
    Yes,
    /// It no longer has the hold or wait that it was to be kicked for, so nothing was done.
    Changed,
    /// It was already gone.
    Gone,
    /// The server refuses, or can't be reached.
    Failed(Error),
}

/// The result of a scan of all locks.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Picture {
    /// The first ones in the current order, at most [`ROWS_MAX`].
    pub(super) rows: Vec<Row>,
    pub(super) counts: Counts,
    pub(super) began: Moment,
    pub(super) ended: Moment,
    /// The scan is complete.
    pub(super) is_complete: bool,
}

impl Picture {
    /// This picture as the successor of an earlier one. Until it is complete, the rows and sums of the earlier one
    /// stay, because locks that are still to be fetched are not gone. The times of the same hold and wait are kept.
    pub(super) fn after(mut self, mut before: Picture, sort: Sort) -> Picture {
        let known: HashMap<&str, &Row> = before.rows.iter().map(|row| (row.name.as_str(), row)).collect();
        for row in &mut self.rows {
            if let Some(before) = known.get(row.name.as_str()) {
                row.keep_times(before);
            }
        }
        if !self.is_complete {
            let seen: HashSet<&str> = self.rows.iter().map(|row| row.name.as_str()).collect();
            before.rows.retain(|row| !seen.contains(row.name.as_str()));
            self.rows.append(&mut before.rows);
        }
        self.rows.sort_unstable_by(|one, other| sort.compare(one, other));
        self.rows.truncate(ROWS_MAX);
        if self.is_complete || !before.is_complete { self } else { Picture { rows: self.rows, ..before } }
    }
}

/// Sums over all locks of a scan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) locks: u64,
    /// Those that somebody waits for.
    pub(super) wanted: u64,
    pub(super) waiters: u64,
    /// Those that match the filter.
    pub(super) taken: u64,
}

/// A scan of all locks in progress.
#[derive(Debug)]
struct Scan {
    first: First,
    counts: Counts,
    after: Option<Arc<str>>,
    began: Moment,
    shown_at: Moment,
}

impl Scan {
    fn new(sort: Sort, now: Moment) -> Self {
        let first = First::new(sort, ROWS_MAX);
        Scan { first, counts: Counts::default(), after: None, began: now, shown_at: now }
    }

    fn add(&mut self, row: Row, filter: &Filter) {
        self.counts.locks += 1;
        self.counts.waiters += row.waiters;
        self.counts.wanted += u64::from(row.waiters > 0);
        if filter.takes(&row) {
            self.counts.taken += 1;
            self.first.add(row);
        }
    }

    fn picture(&self, now: Moment, is_complete: bool) -> Picture {
        Picture { rows: self.first.sorted(), counts: self.counts, began: self.began, ended: now, is_complete }
    }
}

/// Scans all locks once, as fast as the server answers.
pub(super) fn look_once(
    client: &Client,
    clock: Clock,
    prefix: &str,
    filter: &Filter,
    sort: Sort,
) -> Result<Picture, Error> {
    let mut scan = Scan::new(sort, clock.now());
    while !scan.page(client, clock, prefix, filter)? {}
    Ok(scan.picture(clock.now(), true))
}

impl Scan {
    /// Fetches the next page. Returns whether it was the last.
    fn page(&mut self, client: &Client, clock: Clock, prefix: &str, filter: &Filter) -> Result<bool, Error> {
        let page = client.locks_page(prefix, self.after.as_deref())?;
        let now = clock.now();
        for (name, detail) in page.locks {
            self.add(Row::new(name, detail, now, self.after.clone()), filter);
        }
        self.after = page.next.map(Arc::from);
        Ok(self.after.is_none())
    }
}

/// Queries the server, in a thread of its own.
#[derive(Debug)]
pub(super) struct Poller<T> {
    pub(super) client: Client,
    pub(super) clock: Clock,
    /// The prefix of the locks' names.
    pub(super) prefix: String,
    /// The time between the starts of two scans.
    pub(super) interval: Duration,
    pub(super) orders: Receiver<Order>,
    /// Takes the news. Returns whether more are wanted.
    pub(super) tell: T,
}

/// The current work of the poller.
#[derive(Debug)]
struct Work {
    number: u64,
    look: Look,
    scan: Option<Scan>,
    /// A scan for this order has been completed.
    is_settled: bool,
}

impl<T: Fn(News) -> bool> Poller<T> {
    /// Queries until no more news are wanted.
    pub(super) fn run(self) {
        let Ok(Order::Look(number, look)) = self.orders.recv() else { return };
        let mut work = Work { number, look, scan: None, is_settled: false };
        let mut back_off = BACK_OFF_MIN;
        loop {
            let rest = match self.step(&mut work) {
                Ok(rest) => {
                    back_off = BACK_OFF_MIN;
                    rest
                }
                Err(error) => {
                    // Its pages may be from before a restart of the server, and the user waits for the new locks.
                    (work.scan, work.is_settled) = (None, false);
                    let retry_in = back_off;
                    back_off = (back_off * 2).min(BACK_OFF_MAX);
                    if !(self.tell)(News::Lost { error, retry_in }) {
                        return;
                    }
                    retry_in
                }
            };
            if !self.rest(&mut work, rest) {
                return;
            }
        }
    }

    /// Fetches a page. Returns how long to rest.
    fn step(&self, work: &mut Work) -> Result<Duration, Error> {
        let began = Instant::now();
        if self.client.is_lost() {
            self.client.reconnect()?;
        }
        match &work.look {
            Look::AtOne { name, after } => {
                let detail = self.find(name, after.as_deref())?;
                (self.tell)(News::One(work.number, detail, self.clock.now()));
                Ok(self.interval.saturating_sub(began.elapsed()).max(began.elapsed() * REST))
            }
            Look::AtAll { filter, sort } => {
                let scan = work.scan.get_or_insert_with(|| Scan::new(*sort, self.clock.now()));
                let is_complete = scan.page(&self.client, self.clock, &self.prefix, filter)?;
                let now = self.clock.now();
                let is_to_be_shown = !work.is_settled && now - scan.shown_at >= SHOW_EVERY.as_secs_f64();
                if is_complete || is_to_be_shown {
                    (self.tell)(News::All(work.number, scan.picture(now, is_complete)));
                    scan.shown_at = now;
                }
                let rest = began.elapsed() * if work.is_settled { REST } else { FIRST_REST };
                if !is_complete {
                    return Ok(rest);
                }
                let took = Duration::from_secs_f64(now - scan.began);
                work.scan = None;
                work.is_settled = true;
                Ok(self.interval.saturating_sub(took).max(rest))
            }
        }
    }

    /// Waits for this time, or until there is a new order. Returns whether the screen still exists.
    fn rest(&self, work: &mut Work, rest: Duration) -> bool {
        let mut until = Instant::now() + rest;
        loop {
            match self.orders.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Order::Look(number, look)) => {
                    *work = Work { number, look, scan: None, is_settled: false };
                    // While the server is gone, a new order changes nothing. Otherwise only the last order counts:
                    // typing a filter gives many orders.
                    if !self.client.is_lost() {
                        until = Instant::now();
                    }
                }
                Ok(Order::Kick(target)) => {
                    let kicked = self.kick(&target).unwrap_or_else(Kicked::Failed);
                    let is_done = kicked == Kicked::Yes;
                    if !(self.tell)(News::Kick(target, kicked)) {
                        return false;
                    }
                    if is_done {
                        // So that the picture shows it soon.
                        (work.scan, work.is_settled) = (None, false);
                        return true;
                    }
                }
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    /// Kicks a connection if it still has the hold or wait that the user has seen.
    fn kick(&self, target: &Target) -> Result<Kicked, Error> {
        let asked_at = self.clock.now();
        let detail = self.find(&target.lock, target.after.as_deref())?.unwrap_or_default();
        let (places, is_waiting) = match target.is_holder {
            true => (&detail.holders, false),
            false => (&detail.waiters, true),
        };
        let place = places.iter().find(|place| place.connection == target.connection);
        let time = place.and_then(|place| if is_waiting { place.waited_for } else { place.held_for });
        match time {
            Some(time) if asked_at - time <= target.since + SAME_SECONDS => {
                Ok(if self.client.kick(&target.connection)? { Kicked::Yes } else { Kicked::Gone })
            }
            _ => Ok(Kicked::Changed),
        }
    }

    /// One lock: first on the page that contained it, otherwise anywhere.
    fn find(&self, name: &str, after: Option<&str>) -> Result<Option<LockDetail>, Error> {
        let detail = |locks: Vec<(String, LockDetail)>| locks.into_iter().find(|(found, _)| found == name);
        if after.is_some()
            && let Some((_, detail)) = detail(self.client.locks_page(name, after)?.locks)
        {
            return Ok(Some(detail));
        }
        let mut after = None;
        loop {
            let page = self.client.locks_page(name, after.as_deref())?;
            if let Some((_, detail)) = detail(page.locks) {
                return Ok(Some(detail));
            }
            after = page.next;
            if after.is_none() {
                return Ok(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc::{Sender, channel};
    use std::thread;

    use serde_json::{Value, json};

    use super::*;
    use crate::top::row::Column;

    /// For what arrives at once on an idle machine.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// A server that takes one connection after the other, and lists locks as `page` says, until that returns none.
    fn serve(mut page: impl FnMut(&Value) -> Option<Value> + Send + 'static) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = converse(stream.unwrap(), &mut page);
            }
        });
        Client::connect(address).unwrap()
    }

    fn converse(mut stream: TcpStream, page: &mut impl FnMut(&Value) -> Option<Value>) -> std::io::Result<()> {
        for line in BufReader::new(stream.try_clone()?).lines() {
            let request: Value = serde_json::from_str(&line?)?;
            let mut reply = match request["command"].as_str().unwrap() {
                "hello" => json!({ "result": "hello", "connection": "127.0.0.1:1", "limits": { "max_idle": 60 } }),
                "locks" => match page(&request) {
                    Some(page) => page,
                    None => return Ok(()),
                },
                "keep_alive" => json!({ "result": "kept_alive" }),
                command => panic!("{command}"),
            };
            reply["id"] = request["id"].clone();
            stream.write_all(format!("{reply}\n").as_bytes())?;
        }
        Ok(())
    }

    fn of_one_lock(name: &str) -> Value {
        json!({ "result": "locks", "value": { name: { "holders": [], "waiters": [], "waiting": 0 } } })
    }

    fn look(number: u64) -> Order {
        let sort = Sort::by(Column::Longest);
        Order::Look(number, Look::AtAll { filter: Filter::new(&number.to_string()), sort })
    }

    /// Starts with the pending orders.
    fn poll(client: Client, orders: Receiver<Order>) -> Receiver<News> {
        let (sender, news): (Sender<News>, _) = channel();
        let tell = move |news| sender.send(news).is_ok();
        let (clock, interval) = (Clock::start(), Duration::from_millis(100));
        thread::spawn(move || Poller { client, clock, prefix: String::new(), interval, orders, tell }.run());
        news
    }

    #[test]
    fn of_many_pending_orders_the_last_is_executed() {
        let (sender, orders) = channel();
        (1..=100).for_each(|number| sender.send(look(number)).unwrap());
        let news = poll(serve(|_| Some(of_one_lock("a"))), orders);
        let mut numbers = Vec::new();
        while numbers.last() != Some(&100) {
            match news.recv_timeout(PATIENCE).unwrap() {
                News::All(number, _) => numbers.push(number),
                news => panic!("{news:?}"),
            }
        }
        assert_eq!(numbers, [1, 100]);
    }

    #[test]
    fn a_lock_is_found_on_its_page_or_anywhere_else() {
        for (after, asked) in [(Some("9"), vec!["9", "", "1"]), (None, vec!["", "1"])] {
            let (sender, requests) = channel();
            let client = serve(move |request| {
                let after = request["after"].as_str().unwrap_or_default().to_owned();
                let page = match after.as_str() {
                    "" => json!({ "result": "locks", "value": {}, "next": "1" }),
                    "1" => of_one_lock("boss:17"),
                    _ => of_one_lock("boss:171"),
                };
                assert_eq!(request["prefix"], "boss:17");
                sender.send(after).unwrap();
                Some(page)
            });
            let (sender, orders) = channel();
            let look = Look::AtOne { name: "boss:17".to_owned(), after: after.map(Arc::from) };
            sender.send(Order::Look(1, look)).unwrap();
            let news = poll(client, orders).recv_timeout(PATIENCE).unwrap();
            assert!(matches!(&news, News::One(1, Some(_), _)), "{news:?}");
            assert_eq!(requests.try_iter().take(asked.len()).collect::<Vec<_>>(), asked);
        }
    }

    #[test]
    fn the_first_pages_of_a_server_that_is_back_are_shown() {
        let mut pages = 0;
        let client = serve(move |_| {
            pages += 1;
            match pages {
                1 => Some(of_one_lock("before")),
                2 => None,
                _ => {
                    // As with many pages.
                    thread::sleep(Duration::from_millis(20));
                    let mut page = of_one_lock("after");
                    page["next"] = "1".into();
                    Some(page)
                }
            }
        });
        let (sender, orders) = channel();
        sender.send(look(1)).unwrap();
        let news = poll(client, orders);
        let next = || news.recv_timeout(PATIENCE).unwrap();
        assert!(matches!(next(), News::All(1, picture) if picture.is_complete));
        assert!(matches!(next(), News::Lost { .. }));
        let is_shown = |news| matches!(news, News::All(1, picture) if !picture.is_complete);
        assert!(is_shown(next()));
    }
}
