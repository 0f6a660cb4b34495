//! What a client holds and asks for.

use std::collections::{BTreeSet, HashMap};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use super::Owner;
use super::error::{Error, Reason};
use super::lock_options::Mode;
use super::options::INTERVAL_MIN;
use super::owners::{Numbers, Who};
use crate::wire::answer::Answer;

/// All holds of a connection, and the requests for them.
#[derive(Debug, Default)]
pub(super) struct Holds {
    /// By a number that is never used again.
    all: HashMap<u64, Hold>,
    by_name: HashMap<String, Vec<u64>>,
    numbers: Numbers,
    /// When leases are to be renewed.
    renewals: BTreeSet<(Instant, u64)>,
    /// Those that were to be renewed, and were not because the program has not said that it is alive.
    owed: BTreeSet<u64>,
    last: u64,
}

/// What a `lock` is for.
#[derive(Debug)]
pub(super) struct Wanted {
    /// With the namespace.
    pub(super) names: Vec<String>,
    /// One of the names is enough.
    pub(super) is_any: bool,
    pub(super) mode: Mode,
    /// An owner of the program.
    pub(super) owner: Option<Owner>,
    /// The guard stays on this thread until its closure ends.
    pub(super) is_scoped: bool,
    pub(super) lease: Option<Duration>,
    /// Whether the client renews the lease.
    pub(super) is_renewed: bool,
}

/// A request for one or several names, or what it was granted.
#[derive(Debug)]
struct Hold {
    /// What is asked for, and later what is held of it.
    names: Vec<String>,
    is_any: bool,
    mode: Mode,
    who: Who,
    thread: ThreadId,
    is_granted: bool,
    /// Some of the names were lost.
    is_broken: bool,
    guards: u32,
    /// How many of the guards stay on the thread, within closures.
    scopes: u32,
    token: Option<u64>,
    sent_at: Instant,
    lease: Option<Lease>,
}

#[derive(Debug)]
struct Lease {
    length: Duration,
    /// Until then the lock is certainly held. None: for longer than can be represented.
    until: Option<Instant>,
    is_renewed: bool,
    renew_at: Option<Instant>,
}

/// How a request begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// It is held already, by this hold, which has one more guard.
    Nested(u64),
    /// Ask the server, for this owner.
    New(u64, Option<Owner>),
}

/// What to tell the server about a hold.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) names: Vec<String>,
    pub(super) owner: Option<Owner>,
    /// Some of the names were lost before.
    pub(super) is_broken: bool,
}

/// What the end of a guard means.
#[derive(Debug)]
pub(super) enum Given {
    /// Other guards remain.
    Inner,
    /// The locks are to be released.
    Last(Subject),
    /// The hold is gone.
    Gone,
}

impl Lease {
    fn interval(&self) -> Duration {
        (self.length / 3).max(INTERVAL_MIN)
    }
}

impl Hold {
    fn subject(&self) -> Subject {
        Subject { names: self.names.clone(), owner: self.who.owner(), is_broken: self.is_broken }
    }

    /// Whether it is what is wanted.
    fn serves(&self, wanted: &Wanted) -> bool {
        let has_names = if wanted.is_any {
            matches!(&self.names[..], [name] if wanted.names.contains(name))
        } else {
            self.names.len() == wanted.names.len() && self.names.iter().all(|name| wanted.names.contains(name))
        };
        has_names && !self.is_broken && self.mode == wanted.mode
    }

    fn is_lost(&self, now: Instant) -> bool {
        let until = self.lease.as_ref().and_then(|lease| lease.until);
        self.is_broken || until.is_some_and(|until| now >= until)
    }
}

impl Holds {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Everything is lost. Numbers of holds are not used again.
    pub(super) fn clear(&mut self) {
        *self = Holds { last: self.last, ..Holds::default() };
    }

    /// Begins a request, unless the asker holds what is wanted. It asks for nothing that it waits for or holds otherwise:
    /// the answer could be about a hold that is being released.
    pub(super) fn ask(&mut self, wanted: Wanted, has_owners: bool) -> Result<Asked, Error> {
        let thread = thread::current().id();
        let of_program = wanted.owner.clone().map(Who::Program);
        let is_own = |hold: &Hold| match &of_program {
            Some(who) => hold.who == *who,
            None => hold.scopes > 0 && hold.thread == thread && !matches!(hold.who, Who::Program(_)),
        };
        let own = self.on(&wanted.names).find(|(_, hold)| is_own(hold));
        if let Some((number, hold)) = own {
            if !(hold.is_granted && hold.serves(&wanted)) {
                return Err(refused(hold, &wanted));
            }
            self.nest(number, wanted.is_scoped);
            return Ok(Asked::Nested(number));
        }
        let who = match of_program {
            Some(who) => who,
            None if !has_owners && self.on(&wanted.names).next().is_some() => {
                return Err(Error::Unsupported { feature: "owner" });
            }
            None if !has_owners => Who::Connection,
            None if self.on(&wanted.names).any(|(_, hold)| matches!(hold.who, Who::Thread(of, _) if of == thread)) => {
                self.numbers.of_request()
            }
            None => self.numbers.of_thread(thread),
        };
        let owner = who.owner();
        Ok(Asked::New(self.begin(wanted, who, thread), owner))
    }

    /// Holds of these names, and requests for them.
    fn on<'a>(&'a self, names: &'a [String]) -> impl Iterator<Item = (u64, &'a Hold)> {
        let numbers = names.iter().filter_map(|name| self.by_name.get(name)).flatten();
        numbers.map(|number| (*number, &self.all[number]))
    }

    fn begin(&mut self, wanted: Wanted, who: Who, thread: ThreadId) -> u64 {
        self.last += 1;
        for name in &wanted.names {
            self.by_name.entry(name.clone()).or_default().push(self.last);
        }
        let is_renewed = wanted.is_renewed;
        let lease = wanted.lease.map(|length| Lease { length, until: None, is_renewed, renew_at: None });
        let hold = Hold {
            names: wanted.names,
            is_any: wanted.is_any,
            mode: wanted.mode,
            who,
            thread,
            is_granted: false,
            is_broken: false,
            guards: 1,
            scopes: u32::from(wanted.is_scoped),
            token: None,
            sent_at: Instant::now(),
            lease,
        };
        self.all.insert(self.last, hold);
        self.last
    }

    fn nest(&mut self, number: u64, is_scoped: bool) {
        let hold = self.all.get_mut(&number).expect("the hold was found");
        hold.guards += 1;
        hold.scopes += u32::from(is_scoped);
    }

    /// The server has granted a request.
    pub(super) fn grant(&mut self, number: u64, answer: &Answer) {
        let hold = self.all.get_mut(&number).expect("a request stays until it is answered");
        if hold.is_any {
            let others = hold.names.extract_if(.., |name| Some(&**name) != answer.name.as_deref()).collect();
            self.unlist(number, others);
        }
        let hold = self.all.get_mut(&number).expect("it was there");
        if hold.names.is_empty() {
            // The server names a lock that nobody asked for.
            self.end(number);
            return;
        }
        (hold.is_granted, hold.token) = (true, answer.token);
        let waited = Duration::try_from_secs_f64(answer.waited).unwrap_or_default();
        if let Some(length) = hold.lease.as_ref().map(|lease| lease.length) {
            // If the request has waited, no renewal is due yet.
            let from = hold.sent_at.checked_add(waited).unwrap_or(hold.sent_at);
            self.lease_from(number, from, length);
        }
    }

    /// The lease is `length` from now on, counted from when that was asked for.
    fn lease_from(&mut self, number: u64, from: Instant, length: Duration) {
        let hold = self.all.get_mut(&number).expect("the hold was found");
        let lease = hold.lease.get_or_insert(Lease { length, until: None, is_renewed: false, renew_at: None });
        (lease.length, lease.until) = (length, from.checked_add(length));
        if let Some(at) = lease.renew_at {
            self.renewals.remove(&(at, number));
        }
        lease.renew_at = from.checked_add(lease.interval()).filter(|_| lease.is_renewed);
        self.renewals.extend(lease.renew_at.map(|at| (at, number)));
    }

    /// When to renew the next lease.
    pub(super) fn next_renewal(&self) -> Option<Instant> {
        self.renewals.first().map(|(at, _)| *at)
    }

    /// The holds whose leases are to be renewed by now. They are due again a third of their leases later.
    pub(super) fn due(&mut self, now: Instant) -> Vec<u64> {
        let due: Vec<_> = self.renewals.iter().take_while(|(at, _)| *at <= now).copied().collect();
        for (at, number) in &due {
            self.renewals.remove(&(*at, *number));
            let lease = self.all.get_mut(number).and_then(|hold| hold.lease.as_mut()).expect("what is due has a lease");
            lease.renew_at = now.checked_add(lease.interval());
            self.renewals.extend(lease.renew_at.map(|at| (at, *number)));
        }
        due.into_iter().map(|(_, number)| number).collect()
    }

    /// These are due, and the program is to say when they are renewed.
    pub(super) fn owe(&mut self, due: Vec<u64>) {
        self.owed.extend(due);
    }

    /// The holds that are due since the program has last renewed its leases. Some may have ended.
    pub(super) fn take_owed(&mut self) -> BTreeSet<u64> {
        std::mem::take(&mut self.owed)
    }

    /// A renewal is about to be sent. Returns what it is about, and the lease that it will bring, as far as is known.
    pub(super) fn renew(
        &mut self,
        number: u64,
        length: Option<Duration>,
        now: Instant,
    ) -> Option<(Subject, Option<Duration>)> {
        let hold = self.all.get_mut(&number)?;
        let length = length.or(hold.lease.as_ref().map(|lease| lease.length));
        if let (Some(lease), Some(length)) = (&mut hold.lease, length)
            && let Some(until) = now.checked_add(length)
        {
            // A shorter one counts at once: the answer may be late.
            lease.until = Some(lease.until.map_or(until, |before| before.min(until)));
        }
        Some((hold.subject(), length))
    }

    /// The server has renewed a lease, as was asked for at `sent_at`.
    pub(super) fn renewed(&mut self, number: u64, sent_at: Instant, length: Option<Duration>, answer: &Answer) {
        let Some(hold) = self.all.get(&number) else { return };
        if !answer.names.is_empty() {
            let is_lost = |name: &&String| !answer.names.contains(*name);
            let lost: Vec<String> = hold.names.iter().filter(is_lost).cloned().collect();
            lost.iter().for_each(|name| self.lose_name(number, name));
        }
        if let Some(length) = length.filter(|_| self.all.contains_key(&number)) {
            self.lease_from(number, sent_at, length);
        }
    }

    /// A hold has ended that the program did not end. Says whether there was one.
    pub(super) fn lose(&mut self, name: &str, owner: Option<&Owner>) -> bool {
        let number = self.granted(name).find(|number| self.all[number].who.owner().as_ref() == owner);
        number.inspect(|number| self.lose_name(*number, name)).is_some()
    }

    fn granted<'a>(&'a self, name: &str) -> impl Iterator<Item = u64> + use<'a> {
        let numbers = self.by_name.get(name).into_iter().flatten().copied();
        numbers.filter(|number| self.all[number].is_granted)
    }

    /// One name of a hold is gone; with the last the hold is.
    fn lose_name(&mut self, number: u64, name: &str) {
        let hold = self.all.get_mut(&number).expect("the hold was found");
        let lost = hold.names.extract_if(.., |held| held == name).collect();
        hold.is_broken = true;
        let is_over = hold.names.is_empty();
        self.unlist(number, lost);
        if is_over {
            self.end(number);
        }
    }

    /// Nothing is left of a hold or of a request.
    pub(super) fn end(&mut self, number: u64) {
        let Some(hold) = self.all.remove(&number) else { return };
        self.numbers.give_back(&hold.who);
        if let Some(at) = hold.lease.and_then(|lease| lease.renew_at) {
            self.renewals.remove(&(at, number));
        }
        self.unlist(number, hold.names);
    }

    fn unlist(&mut self, number: u64, names: Vec<String>) {
        for name in names {
            // It is not, if a request had it twice, which the server refuses.
            let Some(numbers) = self.by_name.get_mut(&name) else { continue };
            numbers.retain(|listed| *listed != number);
            if numbers.is_empty() {
                self.by_name.remove(&name);
            }
        }
    }

    /// A guard ends. With the last one nothing is left of the hold.
    pub(super) fn give(&mut self, number: u64, is_scoped: bool) -> Given {
        let Some(hold) = self.all.get_mut(&number) else { return Given::Gone };
        hold.guards -= 1;
        hold.scopes -= u32::from(is_scoped);
        if hold.guards > 0 {
            return if hold.is_lost(Instant::now()) { Given::Gone } else { Given::Inner };
        }
        let subject = hold.subject();
        self.end(number);
        Given::Last(subject)
    }

    /// Gives up the name where this thread has asked for it, whatever guards there are.
    pub(super) fn give_name(&mut self, name: &str) -> Option<Subject> {
        let thread = thread::current().id();
        let number = self.granted(name).find(|number| self.all[number].thread == thread)?;
        let subject = Subject { names: vec![name.to_owned()], ..self.all[&number].subject() };
        self.lose_name(number, name);
        Some(subject)
    }

    /// The server has given up the holds of this owner of the program, or all. Requests are answered by themselves.
    pub(super) fn reset(&mut self, owner: Option<&Owner>) {
        let is_over =
            |hold: &Hold| hold.is_granted && owner.is_none_or(|owner| hold.who == Who::Program(owner.clone()));
        let over: Vec<u64> = self.all.iter().filter(|(_, hold)| is_over(hold)).map(|(number, _)| *number).collect();
        over.into_iter().for_each(|number| self.end(number));
    }

    /// What a granted request got: the names and the token. None: it is gone again.
    pub(super) fn granted_of(&self, number: u64) -> Option<(Vec<String>, Option<u64>)> {
        self.all.get(&number).map(|hold| (hold.names.clone(), hold.token))
    }

    pub(super) fn is_lost(&self, number: u64) -> bool {
        self.all.get(&number).is_none_or(|hold| hold.is_lost(Instant::now()))
    }

    /// Until when it is certain that the lock is held.
    pub(super) fn held_until(&self, number: u64) -> Option<Instant> {
        self.all.get(&number)?.lease.as_ref()?.until
    }
}

/// Why an asker that is on some of these names already may not ask for them.
fn refused(hold: &Hold, wanted: &Wanted) -> Error {
    let (reason, message) = if !hold.is_granted {
        (Reason::AlreadyQueued, "this owner waits for the lock already")
    } else if hold.mode != wanted.mode {
        (Reason::ModeConflict, "this owner holds the lock in another mode")
    } else {
        (Reason::AlreadyHeld, "this owner holds some of the locks already")
    };
    Error::Server { reason, message: message.to_owned() }
}
