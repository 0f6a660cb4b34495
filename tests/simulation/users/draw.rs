//! A users file and what its users do, drawn from a seed.

use std::fmt::Write as _;
use std::time::Duration;

use fastrand::Rng;

pub(crate) const USERS: usize = 5;
pub(crate) const SEATS: usize = 6;
/// Of the whole server.
pub(crate) const CLOSING_LOCKS_MAX: usize = 6;
pub(crate) const STRANGERS_MAX: usize = 3;
/// Those with the first numbers are known by these users of the system as well.
const UIDS: [u32; 2] = [1_000, 1_001];
/// That of nobody.
const OTHER_UID: u32 = 7;

pub(crate) const NAMES: [&str; 9] = ["a", "a:", "a:1", "a:2", "ab", "b:1", "b:2", "c", "ü"];
const PREFIXES: [&str; 9] = ["a", "a:", "a:1", "a:11", "b", "b:2", "c", "ü", ""];

/// What a table says. None: nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rights {
    pub(crate) locks: Option<Vec<&'static str>>,
    pub(crate) see: Option<Vec<&'static str>>,
    pub(crate) is_admin: bool,
    pub(crate) priority_max: Option<u8>,
    /// In seconds.
    pub(crate) min_hold_max: Option<u64>,
    pub(crate) connections_max: Option<usize>,
    pub(crate) sessions_max: Option<usize>,
    pub(crate) locks_max: Option<usize>,
    pub(crate) requests_per_second: Option<u64>,
    pub(crate) closing_locks_max: Option<usize>,
}

/// A users file.
#[derive(Clone, Debug)]
pub(crate) struct File {
    /// By their numbers. None: there is no such user.
    pub(crate) users: Vec<Option<Rights>>,
    pub(crate) anonymous: Option<(Rights, &'static [Place])>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Unix,
    Loopback,
    Far,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// From where, and on a UNIX socket by whom: a user's number, if it is known by that. Elsewhere it may begin with a
    /// handshake.
    Connect(Place, Option<usize>, bool),
    /// The handshake of a connection gets on, or is done.
    Shake {
        is_done: bool,
    },
    Vanish,
    /// Says that it is a user, with the secret of one; with a lock in the same write.
    LogIn {
        user: usize,
        secret: usize,
        then: Option<&'static str>,
    },
    Hello,
    Session {
        grace: Duration,
    },
    /// With the secret of one of all sessions so far.
    Resume(usize),
    /// The priority of one that waits counts only where it is over a bound.
    Lock {
        name: &'static str,
        waits: bool,
        priority: u8,
        /// For how long it may leave its lock closed; as a `lost_delay`, or else as a `min_hold`. No such time is over when
        /// something else is.
        closing: Option<(Duration, bool)>,
    },
    LockAll {
        names: [&'static str; 2],
        is_any: bool,
    },
    Unlock(&'static str),
    Reset,
    Locks,
    LocksPage(&'static str),
    LocksOf(&'static str),
    MyLocks,
    Connections,
    Stats,
    Ping,
    Watch(&'static str),
    Unwatch,
    Revoke(&'static str),
    /// The connection of another seat.
    Kick(usize),
    KickUser(usize),
    Pass(Duration),
    Reload,
}

pub(crate) fn secret(user: usize) -> String {
    format!("the secret of {user}")
}

pub(crate) fn uid(user: Option<usize>) -> u32 {
    user.map_or(OTHER_UID, |user| UIDS[user])
}

fn prefixes(random: &mut Rng) -> Vec<&'static str> {
    (0..random.usize(0..4)).map(|_| PREFIXES[random.usize(..PREFIXES.len())]).collect()
}

fn sometimes<T>(random: &mut Rng, draw: impl FnOnce(&mut Rng) -> T) -> Option<T> {
    (random.u8(..4) == 0).then(|| draw(random))
}

impl Rights {
    fn draw(random: &mut Rng) -> Self {
        let is_admin = random.u8(..5) == 0;
        let locks = Some(prefixes(random)).filter(|_| random.u8(..8) > 0);
        let see = Some(prefixes(random)).filter(|_| random.bool());
        Rights {
            locks,
            see,
            is_admin,
            priority_max: sometimes(random, |random| random.u8(..7)),
            min_hold_max: sometimes(random, |random| random.u64(1..20)),
            connections_max: sometimes(random, |random| random.usize(1..4)),
            sessions_max: sometimes(random, |random| random.usize(1..3)),
            locks_max: sometimes(random, |random| random.usize(1..6)),
            requests_per_second: sometimes(random, |random| random.u64(1..8)),
            closing_locks_max: sometimes(random, |random| random.usize(1..5)),
        }
    }

    fn write(&self, out: &mut String) {
        let mut put = |key: &str, value: Option<String>| {
            value.into_iter().for_each(|value| writeln!(out, "{key} = {value}").expect("strings take all"));
        };
        put("locks", self.locks.as_ref().map(|prefixes| format!("{prefixes:?}")));
        put("see", self.see.as_ref().map(|prefixes| format!("{prefixes:?}")));
        put("admin", self.is_admin.then(|| "true".to_owned()));
        put("priority_max", self.priority_max.map(|value| value.to_string()));
        put("min_hold_max", self.min_hold_max.map(|value| value.to_string()));
        put("connections_max", self.connections_max.map(|value| value.to_string()));
        put("sessions_max", self.sessions_max.map(|value| value.to_string()));
        put("locks_max", self.locks_max.map(|value| value.to_string()));
        put("requests_per_second", self.requests_per_second.map(|value| value.to_string()));
        put("closing_locks_max", self.closing_locks_max.map(|value| value.to_string()));
    }
}

impl File {
    pub(crate) fn draw(random: &mut Rng) -> Self {
        let users = (0..USERS).map(|_| Some(Rights::draw(random))).collect();
        File { users, anonymous: File::draw_anonymous(random) }
    }

    fn draw_anonymous(random: &mut Rng) -> Option<(Rights, &'static [Place])> {
        let from: [&[Place]; 4] = [
            &[Place::Unix, Place::Loopback],
            &[Place::Unix],
            &[Place::Loopback],
            &[Place::Unix, Place::Loopback, Place::Far],
        ];
        let anonymous = Rights {
            connections_max: None,
            sessions_max: None,
            locks_max: None,
            requests_per_second: None,
            ..Rights::draw(random)
        };
        random.bool().then_some((anonymous, from[random.usize(..from.len())]))
    }

    /// Another file: rights have changed, and some users are gone, or back.
    pub(crate) fn redraw(&self, random: &mut Rng) -> Self {
        let user = |random: &mut Rng| Some(Rights::draw(random)).filter(|_| random.u8(..5) > 0);
        let users = (0..USERS).map(|_| user(random)).collect();
        let anonymous = if random.bool() { self.anonymous.clone() } else { File::draw_anonymous(random) };
        File { users, anonymous }
    }

    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        for (number, rights) in self.users.iter().enumerate() {
            let Some(rights) = rights else { continue };
            writeln!(out, "[users.u{number}]\nsecret_sha256 = \"{}\"", digest(&secret(number))).expect("as above");
            if let Some(uid) = UIDS.get(number) {
                writeln!(out, "uid = {uid}").expect("as above");
            }
            rights.write(&mut out);
        }
        if let Some((rights, from)) = &self.anonymous {
            let everywhere = from.contains(&Place::Far);
            let words = from.iter().filter(|place| **place != Place::Far);
            let words: Vec<String> = words.map(|place| format!("{place:?}").to_lowercase()).collect();
            let words = if everywhere { vec!["anywhere".to_owned()] } else { words };
            writeln!(out, "[anonymous]\nfrom = {words:?}").expect("as above");
            rights.write(&mut out);
        }
        out
    }
}

pub(crate) fn digest(secret: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, secret.as_bytes());
    digest.as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

impl Act {
    pub(crate) fn draw(random: &mut Rng) -> Self {
        let name = NAMES[random.usize(..NAMES.len())];
        let prefix = PREFIXES[random.usize(..PREFIXES.len())];
        let user = random.usize(..USERS);
        match random.u8(..67) {
            0..=5 => {
                let place = [Place::Unix, Place::Loopback, Place::Far][random.usize(..3)];
                let user = (place == Place::Unix && random.bool()).then(|| random.usize(..UIDS.len()));
                Act::Connect(place, user, place != Place::Unix && random.u8(..3) == 0)
            }
            6..=7 => Act::Vanish,
            8..=13 => Act::LogIn {
                user,
                secret: if random.u8(..6) == 0 { random.usize(..=USERS) } else { user },
                then: random.bool().then_some(name),
            },
            14 => Act::Hello,
            15..=17 => Act::Session { grace: Duration::from_millis([500, 300_000][random.usize(..2)]) },
            18..=21 => Act::Resume(random.usize(..8)),
            22..=36 => Act::Lock {
                name,
                waits: random.u8(..3) == 0,
                priority: if random.u8(..4) == 0 { random.u8(..8) } else { 0 },
                closing: (random.u8(..4) == 0).then(|| {
                    let seconds = if random.bool() { random.u64(..2) } else { random.u64(..25) };
                    (Duration::from_millis(1_000 * seconds + 50), random.bool())
                }),
            },
            37..=40 => Act::LockAll { names: [name, NAMES[random.usize(..NAMES.len())]], is_any: random.bool() },
            41..=45 => Act::Unlock(name),
            46 => Act::Reset,
            47..=48 => Act::Locks,
            49 => Act::LocksPage(prefix),
            50 => Act::LocksOf(name),
            51 => Act::MyLocks,
            52..=53 => Act::Connections,
            54 => Act::Stats,
            55 => Act::Ping,
            56..=57 => Act::Watch(prefix),
            58 => [Act::Unwatch, Act::Revoke(name)][random.usize(..2)],
            59 => Act::Revoke(name),
            60 => Act::Kick(random.usize(..SEATS)),
            61 => Act::KickUser(user),
            62 => Act::Pass(Duration::from_millis(random.u64(1..5) * 100)),
            63 => [Act::Reload, Act::Pass(Duration::from_millis(100))][random.usize(..2)],
            _ => Act::Shake { is_done: random.bool() },
        }
    }
}
