//! The roles that connections have, and how they get them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq;

use super::Access;
use super::file::{Digest, Origin};
use super::rights::{Pace, Rights};
use crate::server::Credentials;
use crate::time::{Moment, Span};
use crate::wire::peer::Peer;
use crate::wire::reply::Reason;
use crate::wire::request::{LockName, Login, Operation, PlainOperation, Terms};

/// Names a role, for as long as somebody has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::server) struct RoleKey(u32);

impl RoleKey {
    /// The role of everybody while no users are configured.
    pub(in crate::server) const EVERYBODY: RoleKey = RoleKey(0);

    fn index(self) -> usize {
        self.0 as usize
    }
}

/// Who a connection is, as far as its socket tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Identity {
    Known(RoleKey),
    /// Nobody yet: it has to say.
    Stranger,
    /// It proves that it is several users at once.
    Several,
}

/// There is no such user, or that is not its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct LoginFailed;

/// Why a `lock` is refused to a role.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::server) enum Refusal {
    /// It may not lock that.
    Name,
    /// Its priority is over this.
    Priority(u8),
    /// It would close the lock for longer than this.
    Closing(Span),
    /// It makes too many requests.
    Pace,
}

impl Refusal {
    pub(in crate::server) fn reason(self) -> Reason {
        match self {
            Refusal::Name | Refusal::Priority(_) | Refusal::Closing(_) => Reason::NotAllowed,
            Refusal::Pace => Reason::TooManyRequests,
        }
    }

    pub(in crate::server) fn message(self) -> Cow<'static, str> {
        match self {
            Refusal::Name => "this user may not lock that".into(),
            Refusal::Priority(max) => format!("this user may ask for a priority of at most {max}").into(),
            Refusal::Closing(max) => {
                let seconds = Duration::from_nanos(max.as_nanos()).as_secs_f64();
                format!("this user may ask for a min_hold or lost_delay of at most {seconds} seconds").into()
            }
            Refusal::Pace => "this user makes more requests per second than it may".into(),
        }
    }
}

/// A user, those who don't say who they are, or everybody.
#[derive(Debug)]
struct Role {
    /// The user's name. None: it is not a user's.
    user: Option<Box<str>>,
    rights: Rights,
    is_restricted: bool,
    /// It is in the users file no longer.
    is_gone: bool,
    /// Connections that have it, until their sessions end.
    connections: usize,
    /// Sessions that can be resumed, with a connection or without.
    sessions: usize,
    pace: Pace,
}

impl Role {
    fn new(user: Option<Box<str>>, rights: Rights) -> Self {
        let is_restricted = rights.is_restricted();
        Role { user, rights, is_restricted, is_gone: false, connections: 0, sessions: 0, pace: Pace::default() }
    }

    fn is_unused(&self) -> bool {
        self.is_gone && self.connections == 0 && self.sessions == 0
    }
}

/// All roles, and what proves that somebody has one.
#[derive(Debug)]
pub(in crate::server) struct Roles {
    /// That of everybody is the first. A role keeps its place for as long as somebody has it, across reloads.
    roles: Vec<Role>,
    has_users: bool,
    anonymous: Option<(RoleKey, Vec<Origin>)>,
    by_digest: HashMap<Digest, RoleKey>,
    by_certificate: HashMap<String, RoleKey>,
    by_uid: HashMap<u32, RoleKey>,
    by_gid: HashMap<u32, RoleKey>,
}

impl Default for Roles {
    fn default() -> Self {
        Roles {
            roles: vec![Role::new(None, Rights::of_everybody())],
            has_users: false,
            anonymous: None,
            by_digest: HashMap::new(),
            by_certificate: HashMap::new(),
            by_uid: HashMap::new(),
            by_gid: HashMap::new(),
        }
    }
}

impl Roles {
    /// Takes the rules of a users file in place of those that were there. Whoever has a role keeps it, with its new rights,
    /// unless [`Roles::is_gone`]. `closings_of`: how many requests of a group may close their locks, or have.
    pub(in crate::server) fn set(&mut self, access: Access, closings_of: impl Fn(u32) -> usize) {
        self.has_users = access.has_users();
        self.anonymous = None;
        self.by_digest.clear();
        self.by_certificate.clear();
        self.by_uid.clear();
        self.by_gid.clear();
        for role in &mut self.roles[1..] {
            role.is_gone = true;
        }
        let Some(file) = access.file else { return };
        let mut places: HashMap<Box<str>, usize> = HashMap::new();
        for (index, role) in self.roles.iter().enumerate() {
            places.extend(role.user.clone().map(|user| (user, index)));
        }
        // Who was there before may have locks that are closed still, and those count.
        let nameless = (1..).zip(&self.roles[1..]).find(|(_, role)| role.user.is_none()).map(|(index, _)| index);
        // Who stays keeps its place, also if nobody is connected: those who are new must not take it.
        let users = file.users.iter().filter_map(|user| places.get(&user.name));
        for index in users.copied().chain(nameless.filter(|_| file.anonymous.is_some())) {
            self.roles[index].is_gone = false;
        }
        if let Some(rules) = file.anonymous {
            let key = match nameless {
                Some(index) => self.renew(index, rules.rights),
                None => self.place(None, rules.rights, &closings_of),
            };
            self.anonymous = Some((key, rules.from));
        }
        for user in file.users {
            let key = match places.get(&user.name) {
                Some(&index) => self.renew(index, user.rights),
                None => self.place(Some(user.name), user.rights, &closings_of),
            };
            self.by_digest.extend(user.digests.into_iter().map(|digest| (digest, key)));
            self.by_certificate.extend(user.certificates.into_iter().map(|name| (name, key)));
            self.by_uid.extend(user.uids.into_iter().map(|uid| (uid, key)));
            self.by_gid.extend(user.gids.into_iter().map(|gid| (gid, key)));
        }
    }

    fn renew(&mut self, index: usize, rights: Rights) -> RoleKey {
        let role = &mut self.roles[index];
        (role.is_gone, role.is_restricted, role.rights) = (false, rights.is_restricted(), rights);
        RoleKey(u32::try_from(index).expect("at most 10,000 users"))
    }

    fn place(&mut self, user: Option<Box<str>>, rights: Rights, closings_of: &impl Fn(u32) -> usize) -> RoleKey {
        let role = Role::new(user, rights);
        // Locks stay closed after their user is gone, and don't count against another one.
        let unused = (0..).zip(&self.roles).find(|(key, role)| role.is_unused() && closings_of(*key) == 0);
        let index = unused.map_or(self.roles.len(), |(key, _)| key as usize);
        match self.roles.get_mut(index) {
            Some(place) => *place = role,
            None => self.roles.push(role),
        }
        RoleKey(u32::try_from(index).expect("at most 10,000 users, and those that are on their way out"))
    }

    /// Whether there are users. Without, everybody is [`RoleKey::EVERYBODY`].
    pub(in crate::server) fn has_users(&self) -> bool {
        self.has_users
    }

    fn role(&self, key: RoleKey) -> &Role {
        &self.roles[key.index()]
    }

    /// Who a connection is, as far as its socket tells.
    pub(in crate::server) fn identify(&self, peer: Peer, credentials: &Credentials) -> Identity {
        if !self.has_users {
            return Identity::Known(RoleKey::EVERYBODY);
        }
        let by_name = credentials.names.iter().filter_map(|name| self.by_certificate.get(name));
        let by_uid = credentials.uid.and_then(|uid| self.by_uid.get(&uid));
        let by_gid = credentials.gid.and_then(|gid| self.by_gid.get(&gid));
        let mut known = by_name.chain(by_uid).chain(by_gid);
        match known.next() {
            Some(first) if known.all(|other| other == first) => Identity::Known(*first),
            Some(_) => Identity::Several,
            None => self.anonymous(peer).map_or(Identity::Stranger, Identity::Known),
        }
    }

    /// The role of those who don't say who they are, if there is one for this peer.
    pub(in crate::server) fn anonymous(&self, peer: Peer) -> Option<RoleKey> {
        self.anonymous.as_ref().filter(|_| self.is_anonymous(peer)).map(|(role, _)| *role)
    }

    fn is_anonymous(&self, peer: Peer) -> bool {
        let Some((_, from)) = &self.anonymous else { return false };
        from.iter().any(|origin| match origin {
            Origin::Unix => matches!(peer, Peer::Unix(_)),
            Origin::Loopback => !matches!(peer, Peer::Unix(_)) && peer.is_local(None),
            Origin::Anywhere => true,
        })
    }

    /// The role of the user with this secret. How long it takes tells neither which users there are nor what their secrets
    /// begin with: the digest is looked up first, whatever the name.
    pub(in crate::server) fn log_in(&self, login: &Login<'_>) -> Result<RoleKey, LoginFailed> {
        let digest = digest(&SHA256, login.secret.as_bytes());
        let digest = Digest::try_from(digest.as_ref()).expect("SHA-256 has 32 bytes");
        let key = *self.by_digest.get(&digest).ok_or(LoginFailed)?;
        let user = self.user(key).expect("a secret is a user's");
        let is_the_same = bool::from(user.as_bytes().ct_eq(login.user.as_bytes()));
        is_the_same.then_some(key).ok_or(LoginFailed)
    }

    /// The user of a role, if it is one's.
    pub(in crate::server) fn user(&self, key: RoleKey) -> Option<&str> {
        self.role(key).user.as_deref()
    }

    /// The role of a user.
    pub(in crate::server) fn of_user(&self, user: &str) -> Option<RoleKey> {
        let index = self.roles.iter().position(|role| !role.is_gone && role.user.as_deref() == Some(user))?;
        Some(RoleKey(u32::try_from(index).expect("few users")))
    }

    /// Whether it is that of a user who is gone, or of somebody who may no longer keep silent about who it is.
    pub(in crate::server) fn is_over(&self, key: RoleKey, peer: Peer) -> bool {
        let role = self.role(key);
        role.is_gone || (role.user.is_none() && self.has_users && !self.is_anonymous(peer))
    }

    /// Whether it is that of a user who is gone.
    pub(in crate::server) fn is_gone(&self, key: RoleKey) -> bool {
        self.role(key).is_gone
    }

    /// Whether it may end others, and see everything.
    pub(in crate::server) fn is_admin(&self, key: RoleKey) -> bool {
        self.role(key).rights.is_admin
    }

    /// Whether it may see the metrics.
    pub(in crate::server) fn may_see_metrics(&self, key: RoleKey) -> bool {
        let rights = &self.role(key).rights;
        rights.is_admin || rights.may_see_metrics
    }

    /// Whether some `lock` has to be refused to it, so that its requests must be looked at.
    pub(in crate::server) fn is_restricted(&self, key: RoleKey) -> bool {
        self.role(key).is_restricted
    }

    /// Whether it is shown everything that there is.
    pub(in crate::server) fn may_see_all(&self, key: RoleKey) -> bool {
        self.role(key).rights.see.has_everything()
    }

    /// Whether it is shown a lock of others.
    pub(in crate::server) fn may_see(&self, key: RoleKey, name: &str) -> bool {
        self.role(key).rights.see.has(name)
    }

    /// The group of a role in the engine, if the holds and waits of its connections are limited, and how many there may be.
    pub(in crate::server) fn group(&self, key: RoleKey) -> Option<(u32, usize)> {
        self.role(key).rights.quotas.locks_max.map(|locks_max| (key.0, locks_max))
    }

    /// The most connections that it may have, of `all` that the server may have.
    pub(in crate::server) fn connections_max(&self, key: RoleKey, all: usize) -> usize {
        self.role(key).rights.quotas.connections_max.unwrap_or_else(|| self.share_of(all))
    }

    /// Its group in the engine, and how many of its requests may close their lock, of `all` that the server may have of them.
    /// None: only the server's limit counts.
    pub(in crate::server) fn closing_share(&self, key: RoleKey, all: usize) -> Option<(u32, usize)> {
        let share = || self.role(key).rights.quotas.closing_locks_max.unwrap_or_else(|| self.share_of(all));
        self.has_users.then(|| (key.0, share()))
    }

    /// The most sessions that it may have, of `all` that the server may have.
    pub(in crate::server) fn sessions_max(&self, key: RoleKey, all: usize) -> usize {
        self.role(key).rights.quotas.sessions_max.unwrap_or_else(|| self.share_of(all))
    }

    /// What a user may have of something that the server has a limit on, unless the users file says so. Without users there
    /// is only the server's limit.
    fn share_of(&self, all: usize) -> usize {
        if self.has_users { (all / 2).max(1) } else { usize::MAX }
    }

    pub(in crate::server) fn connections(&self, key: RoleKey) -> usize {
        self.role(key).connections
    }

    pub(in crate::server) fn sessions(&self, key: RoleKey) -> usize {
        self.role(key).sessions
    }

    pub(in crate::server) fn on_connection(&mut self, key: RoleKey) {
        self.roles[key.index()].connections += 1;
    }

    pub(in crate::server) fn on_connection_end(&mut self, key: RoleKey) {
        self.roles[key.index()].connections -= 1;
    }

    pub(in crate::server) fn on_session(&mut self, key: RoleKey) {
        self.roles[key.index()].sessions += 1;
    }

    pub(in crate::server) fn on_session_end(&mut self, key: RoleKey) {
        self.roles[key.index()].sessions -= 1;
    }

    /// Counts a plain request of a restricted role. Returns why it is refused, if it is, and the name that this is about.
    pub(in crate::server) fn judge_plain<'a>(
        &mut self,
        key: RoleKey,
        operation: &PlainOperation<'a>,
        now: Moment,
    ) -> Option<(Refusal, &'a str)> {
        let is_in_pace = self.take(key, now);
        match operation {
            PlainOperation::Lock(lock) => self.judge_lock(key, std::iter::once(lock.name), None, is_in_pace),
            PlainOperation::Unlock { .. } | PlainOperation::KeepAlive => None,
        }
    }

    /// The same for a request of any kind about locks.
    pub(in crate::server) fn judge<'a>(
        &mut self,
        key: RoleKey,
        operation: &'a Operation<'_>,
        now: Moment,
    ) -> Option<(Refusal, &'a str)> {
        let is_in_pace = self.take(key, now);
        let one = |name: &'a LockName<'_>| std::iter::once(name.as_str());
        match operation {
            Operation::Lock(lock) => self.judge_lock(key, one(&lock.name), None, is_in_pace),
            Operation::LockWith(lock, terms) => self.judge_lock(key, one(&lock.name), Some(terms), is_in_pace),
            Operation::LockMany(request) => {
                self.judge_lock(key, request.names.iter().map(LockName::as_str), Some(&request.terms), is_in_pace)
            }
            _ => None,
        }
    }

    /// What the user may not do comes before what it may not do now, for all of the names.
    fn judge_lock<'a>(
        &self,
        key: RoleKey,
        mut names: impl Iterator<Item = &'a str> + Clone,
        terms: Option<&Terms<'_>>,
        is_in_pace: bool,
    ) -> Option<(Refusal, &'a str)> {
        let rights = &self.role(key).rights;
        let first = names.clone().next()?;
        if let Some(name) = names.find(|name| !rights.locks.has(name)) {
            return Some((Refusal::Name, name));
        }
        let refusal = match terms {
            Some(terms) if terms.priority > rights.priority_max => Refusal::Priority(rights.priority_max),
            Some(terms) if terms.min_hold.max(terms.lost_delay) > rights.min_hold_max => {
                Refusal::Closing(rights.min_hold_max)
            }
            _ if !is_in_pace => Refusal::Pace,
            _ => return None,
        };
        Some((refusal, first))
    }

    /// Counts a request. Returns whether the rate allows for it.
    fn take(&mut self, key: RoleKey, now: Moment) -> bool {
        let role = &mut self.roles[key.index()];
        role.rights.quotas.requests_per_second.is_none_or(|per_second| role.pace.take(per_second, now))
    }

    /// Panics if the connections and sessions that have a role are counted wrongly.
    #[cfg(feature = "unstable")]
    pub(in crate::server) fn check(&self, count: impl Fn(RoleKey) -> (usize, usize)) {
        for (index, role) in (0..).zip(&self.roles) {
            let counted = count(RoleKey(index));
            assert_eq!(counted, (role.connections, role.sessions), "who has the role {:?} is counted", role.user);
        }
    }
}
