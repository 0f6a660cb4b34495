//! The thread that queries the server.
//!
//! It never requests everything at once. It fetches connections and locks page by page, and after each page rests for a
//! multiple of the time that the page took. So neither it nor the server works hard, however many there are, and a slower
//! server is queried less. It keeps only the first rows in the current order.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::life::{Life, Lives};
use super::picture::{Picture, Scan};
use super::row::{Filter, Moment, SAME_SECONDS, Sort};
use crate::client::{Client, Error, HotLock, LockDetail, PlaceDetail};
use crate::console::one_lock;

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
    /// The locks that were waited for most.
    Hottest,
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
    /// The locks that were waited for most, or why the server does not tell.
    Hottest(u64, Result<Vec<HotLock>, Error>, Moment),
    /// The connections, for the queue that the order with this number asked for.
    Lives(u64, HashMap<String, Life>),
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
    watch: Watch,
    /// A scan for this order has been completed.
    is_settled: bool,
}

/// How far the work on one lock is. Its queue is fetched once in an interval, and then the connections. They may be many
/// pages, so the queue is fetched between them when it is due.
#[derive(Debug, Default)]
struct Watch {
    /// When the queue was last fetched.
    found_at: Option<Instant>,
    /// While both are due they take turns, so that neither keeps the other from being fetched.
    is_turn_of_lives: bool,
    lives: Lives,
}

impl Work {
    fn new(number: u64, look: Look) -> Self {
        Work { number, look, scan: None, watch: Watch::default(), is_settled: false }
    }

    /// Starts from the beginning.
    fn restart(&mut self) {
        (self.scan, self.watch, self.is_settled) = (None, Watch::default(), false);
    }
}

impl<T: Fn(News) -> bool> Poller<T> {
    /// Queries until no more news are wanted.
    pub(super) fn run(self) {
        let Ok(Order::Look(number, look)) = self.orders.recv() else { return };
        let mut work = Work::new(number, look);
        let mut back_off = BACK_OFF_MIN;
        loop {
            let rest = match self.step(&mut work) {
                Ok(rest) => {
                    back_off = BACK_OFF_MIN;
                    rest
                }
                Err(error) => {
                    // Its pages may be from before a restart of the server, and the user waits for the new locks.
                    work.restart();
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
        let due_in = match work.look.clone() {
            Look::AtOne { name, after } => self.watch_one(work, &name, after.as_deref())?,
            Look::Hottest => self.look_at_hottest(work)?,
            Look::AtAll { filter, sort } => self.scan_all(work, &filter, sort)?,
        };
        let rest = began.elapsed() * if work.is_settled { REST } else { FIRST_REST };
        work.is_settled |= due_in.is_some();
        Ok(due_in.unwrap_or_default().max(rest))
    }

    /// Fetches a page of a scan. Once the scan is complete, returns how long until the next one is due.
    fn scan_all(&self, work: &mut Work, filter: &Filter, sort: Sort) -> Result<Option<Duration>, Error> {
        let scan = work.scan.get_or_insert_with(|| Scan::new(sort, self.clock.now()));
        let is_complete = scan.page(&self.client, self.clock, &self.prefix, filter)?;
        let now = self.clock.now();
        let is_slow = scan.has_locks() && now - scan.shown_at >= SHOW_EVERY.as_secs_f64();
        if is_complete || is_slow && !work.is_settled {
            (self.tell)(News::All(work.number, scan.picture(now, is_complete)));
            scan.shown_at = now;
        }
        if !is_complete {
            return Ok(None);
        }
        let took = Duration::from_secs_f64(now - scan.began);
        work.scan = None;
        Ok(Some(self.interval.saturating_sub(took)))
    }

    /// Fetches the locks that were waited for most. Returns how long until they are due again.
    fn look_at_hottest(&self, work: &Work) -> Result<Option<Duration>, Error> {
        let hottest = match self.client.stats() {
            Ok(stats) => Ok(stats.hottest),
            // The server is there, and does not tell.
            Err(error @ (Error::Unsupported { .. } | Error::Server { .. })) => Err(error),
            Err(error) => return Err(error),
        };
        (self.tell)(News::Hottest(work.number, hottest, self.clock.now()));
        Ok(Some(self.interval))
    }

    /// Fetches the queue of a lock, or a page of the connections. Once both are complete, returns how long until the queue
    /// is due again.
    fn watch_one(&self, work: &mut Work, name: &str, after: Option<&str>) -> Result<Option<Duration>, Error> {
        let watch = &mut work.watch;
        let due_in = watch.found_at.map_or(Duration::ZERO, |at| self.interval.saturating_sub(at.elapsed()));
        if due_in.is_zero() && !watch.is_turn_of_lives {
            (watch.found_at, watch.is_turn_of_lives) = (Some(Instant::now()), true);
            let detail = self.find(name, after)?;
            (self.tell)(News::One(work.number, detail, self.clock.now()));
            return Ok(None);
        }
        watch.is_turn_of_lives = false;
        watch.lives.page(&self.client, self.clock)?;
        if !watch.lives.is_complete {
            return Ok(None);
        }
        (self.tell)(News::Lives(work.number, mem::take(&mut watch.lives).by_name));
        Ok(Some(due_in))
    }

    /// Waits for this time, or until there is a new order. Returns whether the screen still exists.
    fn rest(&self, work: &mut Work, rest: Duration) -> bool {
        let mut until = Instant::now() + rest;
        loop {
            match self.orders.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Order::Look(number, look)) => {
                    *work = Work::new(number, look);
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
                        work.restart();
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
        let time = |place: &PlaceDetail| if is_waiting { place.waited_for } else { place.held_for };
        let is_old = |time: f64| asked_at - time <= target.since + SAME_SECONDS;
        // Several owners may speak through one connection.
        let mut of_target = places.iter().filter(|place| place.connection == target.connection);
        if !of_target.any(|place| time(place).is_some_and(is_old)) {
            return Ok(Kicked::Changed);
        }
        Ok(if self.client.kick(&target.connection)? { Kicked::Yes } else { Kicked::Gone })
    }

    /// One lock. A server that can't look it up is asked for the page that contained it, and then for all.
    fn find(&self, name: &str, after: Option<&str>) -> Result<Option<LockDetail>, Error> {
        if after.is_some() && !self.client.has_feature("one_lock") {
            let page = self.client.locks_page(name, after)?;
            if let Some((_, detail)) = page.locks.into_iter().find(|(found, _)| found == name) {
                return Ok(Some(detail));
            }
        }
        one_lock(&self.client, name)
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
                "connections" => connections(&request),
                "keep_alive" => json!({ "result": "kept_alive" }),
                command => panic!("{command}"),
            };
            reply["id"] = request["id"].clone();
            stream.write_all(format!("{reply}\n").as_bytes())?;
        }
        Ok(())
    }

    /// Two pages, the first of them slow. The holder is on the second.
    fn connections(request: &Value) -> Value {
        assert_eq!((&request["detail"], &request["all"]), (&true.into(), &false.into()));
        let of = |name: &str, silent_for: f64| json!({ name: { "age": 100.0, "silent_for": silent_for, "unsent": 7 } });
        match request["after"].as_str() {
            None => {
                thread::sleep(SHOW_EVERY);
                json!({ "result": "connections", "value": of("127.0.0.1:8", 1.5), "next": "1" })
            }
            Some(_) => json!({ "result": "connections", "value": of("127.0.0.1:9", 4.25) }),
        }
    }

    fn of_one_lock(name: &str) -> Value {
        let holders = json!([{ "connection": "127.0.0.1:9", "held_for": 5.0 }]);
        json!({ "result": "locks", "value": { name: { "holders": holders, "waiters": [], "waiting": 0 } } })
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
        assert_eq!(numbers, [100]);
    }

    #[test]
    fn rows_have_the_silence_of_their_holders() {
        let (sender, orders) = channel();
        sender.send(look(1)).unwrap();
        let news = poll(serve(|_| Some(of_one_lock("a1"))), orders).recv_timeout(PATIENCE).unwrap();
        let News::All(1, picture) = news else { panic!("{news:?}") };
        let life = picture.rows[0].holder.as_ref().and_then(|holder| holder.life).unwrap();
        assert!((life.silent_for() - 4.25).abs() < 1e-6 && life.unsent == 7, "{life:?}");
        assert!((life.seen_at - life.since - 100.0).abs() < 1e-6, "{life:?}");
    }

    #[test]
    fn a_queue_and_the_connections_are_fetched_by_turns() {
        // Fetching the queue takes longer than the interval, so it is always due.
        let client = serve(|_| {
            thread::sleep(Duration::from_millis(120));
            Some(of_one_lock("a"))
        });
        let (sender, orders) = channel();
        sender.send(Order::Look(1, Look::AtOne { name: "a".to_owned(), after: None })).unwrap();
        let news = poll(client, orders);
        let next = || news.recv_timeout(PATIENCE).unwrap();
        assert!(matches!(next(), News::One(1, Some(_), _)));
        // Two pages of connections, and between them the queue.
        assert!(matches!(next(), News::One(1, Some(_), _)));
        let News::Lives(1, lives) = next() else { panic!("no connections") };
        assert_eq!(lives.len(), 2);
        assert!(matches!(next(), News::One(1, Some(_), _)));
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
