//! What a client holds and asks for.

mod leases;
mod resumed;

use std::collections::{BTreeSet, HashMap};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use self::leases::Lease;
use super::callback::Callback;
use super::error::{Error, Reason};
use super::lock_options::{Mode, check_owner};
use super::owners::{Numbers, Who};
use super::state::Notice;
use super::{Loss, LostHold, Owner, Wanted};
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
    /// Those that are gone while there are guards for them.
    lost: HashMap<u64, Lost>,
    last: u64,
}

/// Why a hold is gone, and how many guards it has.
#[derive(Debug)]
struct Lost {
    because: Loss,
    guards: u32,
}

/// What a `lock` is for.
#[derive(Debug)]
pub(super) struct Wish {
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
    pub(super) has_fence: bool,
    pub(super) on_wanted: Option<Callback<Wanted>>,
    pub(super) on_queued: Option<Callback<u64>>,
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
    broken_by: Option<Loss>,
    guards: u32,
    /// How many of the guards stay on the thread, within closures.
    scopes: u32,
    has_fence: bool,
    token: Option<u64>,
    sent_at: Instant,
    lease: Option<Lease>,
    /// Somebody has wanted it since it was granted, as far as the server was asked to tell.
    is_wanted: bool,
    on_wanted: Option<Callback<Wanted>>,
    on_queued: Option<Callback<u64>>,
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
    /// Until when it is certain that they are held, if there is a lease.
    pub(super) certain_until: Option<Instant>,
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

impl Hold {
    fn subject(&self) -> Subject {
        let certain_until = self.lease.as_ref().and_then(|lease| lease.until);
        Subject { names: self.names.clone(), owner: self.who.owner(), is_broken: self.is_broken(), certain_until }
    }

    /// Whether it is what `wish` asks for.
    fn serves(&self, wish: &Wish) -> bool {
        let has_names = if wish.is_any {
            matches!(&self.names[..], [name] if wish.names.contains(name))
        } else {
            self.names.len() == wish.names.len() && self.names.iter().all(|name| wish.names.contains(name))
        };
        has_names && !self.is_broken() && self.mode == wish.mode
    }

    fn is_broken(&self) -> bool {
        self.broken_by.is_some()
    }

    /// Whether the lease may have run out.
    fn is_over(&self, now: Instant) -> bool {
        let until = self.lease.as_ref().and_then(|lease| lease.until);
        until.is_some_and(|until| now >= until)
    }

    fn lost_because(&self, now: Instant) -> Option<Loss> {
        self.broken_by.clone().or(self.is_over(now).then_some(Loss::Expired))
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

    /// Begins a request, unless the asker holds what `wish` asks for. It asks for nothing that it waits for or holds otherwise:
    /// the answer could be about a hold that is being released.
    pub(super) fn ask(&mut self, wish: Wish, has_owners: bool) -> Result<Asked, Error> {
        let thread = thread::current().id();
        let of_program = wish.owner.clone().map(Who::Program);
        let is_own = |hold: &Hold| match &of_program {
            Some(who) => hold.who == *who,
            None => hold.scopes > 0 && hold.thread == thread && !matches!(hold.who, Who::Program(_)),
        };
        let own = self.on(&wish.names).find(|(_, hold)| is_own(hold));
        if let Some((number, hold)) = own {
            if !(hold.is_granted && hold.serves(&wish)) {
                return Err(refused(hold, &wish));
            }
            self.nest(number, wish.is_scoped);
            return Ok(Asked::Nested(number));
        }
        let who = match of_program {
            Some(who) => who,
            None if !has_owners && self.on(&wish.names).next().is_some() => {
                return Err(Error::Unsupported { feature: "owner" });
            }
            None if !has_owners => Who::Connection,
            None if self.on(&wish.names).any(|(_, hold)| matches!(hold.who, Who::Thread(of, _) if of == thread)) => {
                self.numbers.of_request()
            }
            None => self.numbers.of_thread(thread),
        };
        let owner = who.owner();
        Ok(Asked::New(self.begin(wish, who, thread), owner))
    }

    /// Holds of these names, and requests for them.
    fn on<'a>(&'a self, names: &'a [String]) -> impl Iterator<Item = (u64, &'a Hold)> {
        let numbers = names.iter().filter_map(|name| self.by_name.get(name)).flatten();
        numbers.map(|number| (*number, &self.all[number]))
    }

    fn begin(&mut self, wish: Wish, who: Who, thread: ThreadId) -> u64 {
        self.last += 1;
        for name in &wish.names {
            self.by_name.entry(name.clone()).or_default().push(self.last);
        }
        let is_renewed = wish.is_renewed;
        let lease = wish.lease.map(|length| Lease { length, until: None, is_renewed, renew_at: None });
        let hold = Hold {
            names: wish.names,
            is_any: wish.is_any,
            mode: wish.mode,
            who,
            thread,
            is_granted: false,
            broken_by: None,
            guards: 1,
            scopes: u32::from(wish.is_scoped),
            has_fence: wish.has_fence,
            token: None,
            sent_at: Instant::now(),
            lease,
            is_wanted: false,
            on_wanted: wish.on_wanted,
            on_queued: wish.on_queued,
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

    /// The request is sent once more, because the server has not executed it.
    pub(super) fn sent_again(&mut self, number: u64, now: Instant) {
        if let Some(hold) = self.all.get_mut(&number) {
            hold.sent_at = now;
        }
    }

    /// A hold has ended that the program did not end. None: it is not known.
    pub(super) fn lose(
        &mut self,
        name: &str,
        owner: Option<&Owner>,
        because: Loss,
        token: Option<u64>,
    ) -> Option<LostHold> {
        let number = self.granted_to(name, owner)?;
        let token = token.or(self.all[&number].token);
        self.lose_name(number, name, because);
        Some(LostHold { name: name.to_owned(), token, owner: owner.and_then(of_program) })
    }

    /// Somebody wants a lock. Returns what the program is to be told.
    pub(super) fn wanted(
        &mut self,
        name: &str,
        owner: Option<&Owner>,
        token: Option<u64>,
        waiters: u64,
    ) -> Option<Notice> {
        let number = self.granted_to(name, owner)?;
        let hold = self.all.get_mut(&number).expect("the hold was found");
        hold.is_wanted = true;
        let (name, owner) = (name.to_owned(), owner.and_then(of_program));
        Some(Notice::Wanted(hold.on_wanted.clone()?, Wanted { name, owner, token, waiters }))
    }

    /// Whom to tell the place of a request in its queue.
    pub(super) fn on_queued(&self, number: u64) -> Option<Callback<u64>> {
        self.all.get(&number)?.on_queued.clone()
    }

    fn granted_to(&self, name: &str, owner: Option<&Owner>) -> Option<u64> {
        self.granted(name).find(|number| self.all[number].who.owner().as_ref() == owner)
    }

    fn granted<'a>(&'a self, name: &str) -> impl Iterator<Item = u64> + use<'a> {
        let numbers = self.by_name.get(name).into_iter().flatten().copied();
        numbers.filter(|number| self.all[number].is_granted)
    }

    /// One name of a hold is gone; with the last the hold is.
    fn lose_name(&mut self, number: u64, name: &str, because: Loss) {
        let hold = self.all.get_mut(&number).expect("the hold was found");
        let lost = hold.names.extract_if(.., |held| held == name).collect();
        hold.broken_by = Some(because.clone());
        let is_over = hold.names.is_empty();
        self.unlist(number, lost);
        if is_over {
            self.lose_all_of(number, because);
        }
    }

    /// A hold is gone, and its guards are still there. Nothing happens if that is known.
    pub(super) fn lose_all_of(&mut self, number: u64, because: Loss) {
        if let Some(hold) = self.all.get(&number) {
            self.lost.insert(number, Lost { because, guards: hold.guards });
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
        let Some(hold) = self.all.get_mut(&number) else {
            self.give_lost(number);
            return Given::Gone;
        };
        hold.guards -= 1;
        hold.scopes -= u32::from(is_scoped);
        if hold.guards > 0 {
            return if hold.lost_because(Instant::now()).is_some() { Given::Gone } else { Given::Inner };
        }
        let subject = hold.subject();
        self.end(number);
        Given::Last(subject)
    }

    /// A guard of a hold that is gone ends.
    fn give_lost(&mut self, number: u64) {
        let Some(lost) = self.lost.get_mut(&number) else { return };
        lost.guards -= 1;
        if lost.guards == 0 {
            self.lost.remove(&number);
        }
    }

    /// Gives up the name where this thread has asked for it, whatever guards there are.
    pub(super) fn give_name(&mut self, name: &str) -> Option<Subject> {
        let thread = thread::current().id();
        let number = self.granted(name).find(|number| self.all[number].thread == thread)?;
        let subject = Subject { names: vec![name.to_owned()], ..self.all[&number].subject() };
        self.lose_name(number, name, Loss::GivenUp);
        Some(subject)
    }

    /// The server has given up the holds of this owner of the program, or all. Requests are answered by themselves.
    pub(super) fn reset(&mut self, owner: Option<&Owner>) {
        let is_over =
            |hold: &Hold| hold.is_granted && owner.is_none_or(|owner| hold.who == Who::Program(owner.clone()));
        let over: Vec<u64> = self.all.iter().filter(|(_, hold)| is_over(hold)).map(|(number, _)| *number).collect();
        over.into_iter().for_each(|number| self.lose_all_of(number, Loss::GivenUp));
    }

    /// What a granted request got: the names and the token. None: it is gone again, and needs no guard.
    pub(super) fn granted_of(&mut self, number: u64) -> Option<(Vec<String>, Option<u64>)> {
        let granted = self.all.get(&number).map(|hold| (hold.names.clone(), hold.token));
        if granted.is_none() {
            self.give_lost(number);
        }
        granted
    }

    /// Why a hold is perhaps gone, although it has a guard.
    pub(super) fn lost_because(&self, number: u64) -> Option<Loss> {
        match self.all.get(&number) {
            Some(hold) => hold.lost_because(Instant::now()),
            None => Some(self.lost.get(&number).map_or(Loss::GivenUp, |lost| lost.because.clone())),
        }
    }

    pub(super) fn is_wanted(&self, number: u64) -> bool {
        self.all.get(&number).is_some_and(|hold| hold.is_wanted)
    }

    /// What a guard is about, and its token.
    pub(super) fn subject(&self, number: u64) -> Option<Subject> {
        self.all.get(&number).map(Hold::subject)
    }

    /// Until when it is certain that the lock is held.
    pub(super) fn held_until(&self, number: u64) -> Option<Instant> {
        self.all.get(&number)?.lease.as_ref()?.until
    }
}

/// Numbers of threads mean nothing to the program.
fn of_program(owner: &Owner) -> Option<Owner> {
    check_owner(owner).is_ok().then(|| owner.clone())
}

/// Why an asker that is on some of these names already may not ask for them.
fn refused(hold: &Hold, wish: &Wish) -> Error {
    let (reason, message) = if !hold.is_granted {
        (Reason::AlreadyQueued, "this owner waits for the lock already")
    } else if hold.mode != wish.mode {
        (Reason::ModeConflict, "this owner holds the lock in another mode")
    } else {
        (Reason::AlreadyHeld, "this owner holds some of the locks already")
    };
    Error::Server { reason, message: message.to_owned() }
}
