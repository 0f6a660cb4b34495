//! What is asked by HTTP, and what else happens, drawn from a seed.

use std::time::Duration;

use fastrand::Rng;

/// Names of locks, some of which begin in one of the ways that figures are kept for, or in two.
pub(crate) const NAMES: [&str; 5] = ["a:1", "a:2", "ab", "b", "ü"];
/// The prefixes that figures are kept for.
pub(crate) const PREFIXES: [&str; 3] = ["a", "a:", "b"];
/// Connections of the protocol.
pub(crate) const CLIENTS: usize = 5;
/// Connections by HTTP that ask for something; there are others, in crowds.
pub(crate) const SEATS: usize = 6;
/// Names that are waited for at once now and then: more than there are counters.
pub(crate) const FLOOD: usize = 300;
/// The name of a connection that never exists.
const NOBODY: &str = "10.9.9.9:1";
/// A name that `Host` may have.
pub(crate) const HOST: &str = "good.example";
/// The longest head.
const HEAD_BYTES_MAX: usize = 8192;
/// The longest body.
const BODY_BYTES_MAX: usize = 4096;

/// The users there may be. The first is known by a uid of the system as well.
pub(crate) const USERS: [(&str, &str); 4] = [
    ("ops", "admin = true\nlocks = [\"\"]\nuid = 1000\n"),
    ("graphs", "metrics = true\n"),
    ("worker", "locks = [\"\"]\n"),
    ("limited", "locks = [\"a:\"]\n"),
];
pub(crate) const OPS: usize = 0;
pub(crate) const GRAPHS: usize = 1;
pub(crate) const WORKER: usize = 2;
pub(crate) const LIMITED: usize = 3;

/// From where a connection comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Loopback,
    /// A UNIX socket; the uid is that of the first of the users.
    Unix,
    Far(u8),
}

#[derive(Debug)]
pub(crate) enum Act {
    Lock {
        client: usize,
        name: &'static str,
        is_shared: bool,
        timeout: Option<Duration>,
    },
    Unlock(usize, &'static str),
    Reset(usize),
    Leave(usize),
    /// One client holds very many locks, and another waits for all of them.
    Flood(usize, usize),
    Connect(usize, Place, bool),
    /// A handshake gets on: it is done, not one at all, or at its end.
    Shake(usize, Shaken),
    Vanish(usize),
    /// Requests in pieces of this many bytes.
    Ask(usize, Vec<Request>, usize),
    /// The beginning of a request, which ends before this part of 256 of it.
    Begin(usize, Request, usize),
    /// One byte more of it, or all.
    GoOn(usize, bool),
    /// From now on it takes next to nothing.
    Stall(usize),
    TakeAll(usize),
    /// Many from one address, which say nothing, or take no answer.
    Crowd {
        count: usize,
        place: Place,
        is_stalled: bool,
    },
    /// All that may ask something that may take long, at once.
    Together,
    Pass(Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shaken {
    Done,
    NotTls,
    Closed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A file of the page, by its path.
    Page(&'static str),
    Health,
    Metrics,
    Locks(&'static str),
    Connections,
    Stats,
    /// The name of a connection.
    Kick(String),
    Revoke(&'static str),
    Nothing,
    BadQuery,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The name of a user, with its secret, or that of another.
    User {
        user: usize,
        secret: usize,
    },
    Junk,
}

/// How the connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    KeepsAlive,
    Close,
    Http10,
}

/// What is as long as it may be, or a byte longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    Small,
    Head { is_over: bool },
    Body { is_over: bool },
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) what: What,
    pub(crate) method: &'static str,
    pub(crate) host: Option<&'static str>,
    pub(crate) origin: Option<&'static str>,
    pub(crate) claim: Option<Claim>,
    pub(crate) is_proxied: bool,
    pub(crate) is_marked: bool,
    pub(crate) is_json: bool,
    pub(crate) end: End,
    pub(crate) size: Size,
    /// Fields that must not be there, and the status that they lead to.
    pub(crate) bad: Option<(&'static str, u16)>,
}

/// `#` is the length of the body.
const BAD: [(&str, u16); 16] = [
    ("Transfer-Encoding: chunked", 400),
    ("Content-Length: #\r\nContent-Length: #", 400),
    ("Content-Length: +#", 400),
    ("Content-Length : #", 400),
    ("X: a\nY: b", 400),
    ("X: a\rY: b", 400),
    ("X: a\r\n folded", 400),
    ("X: a\0", 400),
    ("X: \x7f", 400),
    ("no field", 400),
    ("Host: localhost\r\nHost: localhost", 400),
    ("Authorization: Basic eDp5\r\nAuthorization: Basic eDp5", 400),
    ("Content-Length: 4097", 413),
    ("Content-Length: 99999999999999999999", 413),
    ("Expect: 100-continue", 417),
    ("", 431),
];

fn one_in(random: &mut Rng, count: u32) -> bool {
    random.u32(..count) == 0
}

fn pick<T: Clone>(random: &mut Rng, all: &[T]) -> T {
    all[random.usize(..all.len())].clone()
}

impl Request {
    /// `has_users`: whether it is better to say who asks. `clients`: the names of connections.
    pub(crate) fn draw(random: &mut Rng, has_users: bool, clients: &[String]) -> Self {
        let what = match random.u8(..16) {
            0 => What::Page(pick(random, &["/", "/page.css", "/page.js"])),
            1 => What::Health,
            2..=5 => What::Metrics,
            6..=7 => What::Locks(pick(random, &["", "a:", "b"])),
            8 => What::Connections,
            9..=10 => What::Stats,
            11..=12 if one_in(random, 4) => What::Kick(NOBODY.to_owned()),
            11..=12 => What::Kick(pick(random, clients)),
            13 => What::Revoke(pick(random, &NAMES)),
            14 => What::Nothing,
            _ => What::BadQuery,
        };
        let changes = matches!(what, What::Kick(_) | What::Revoke(_));
        let method = match random.u8(..12) {
            0 => "PUT",
            1..=2 if !changes => "HEAD",
            _ if changes => "POST",
            _ => "GET",
        };
        let host = [Some("localhost"), Some("127.0.0.1:80"), Some("[::1]:80"), Some(HOST), Some("evil.example"), None];
        let origin = [Some("http://localhost"), Some("http://evil.example"), Some("http://localhost:81"), Some("null")];
        let user = random.usize(..USERS.len());
        let claim = match random.u8(..12) {
            0 => Some(Claim::Junk),
            1 => Some(Claim::User { user, secret: random.usize(..USERS.len()) }),
            2..=9 if has_users => Some(Claim::User { user, secret: user }),
            _ => None,
        };
        let size = match random.u8(..24) {
            0 => Size::Head { is_over: random.bool() },
            1 | 2 if changes => Size::Body { is_over: random.bool() },
            _ => Size::Small,
        };
        Request {
            what,
            method,
            host: if one_in(random, 4) { pick(random, &host) } else { Some("localhost") },
            origin: if one_in(random, 6) { pick(random, &origin) } else { None },
            claim,
            is_proxied: one_in(random, 8),
            is_marked: !one_in(random, 8),
            is_json: !one_in(random, 8),
            end: if one_in(random, 6) { pick(random, &[End::Close, End::Http10]) } else { End::KeepsAlive },
            size,
            bad: (size == Size::Small && one_in(random, 8)).then(|| pick(random, &BAD)),
        }
    }

    /// One that is answered, if anybody may ask it at all.
    pub(crate) fn plain(what: What) -> Self {
        Request {
            what,
            method: "GET",
            host: Some("localhost"),
            origin: None,
            claim: None,
            is_proxied: false,
            is_marked: false,
            is_json: false,
            end: End::KeepsAlive,
            size: Size::Small,
            bad: None,
        }
    }

    pub(crate) fn path(&self) -> &'static str {
        match self.what {
            What::Page(path) => path,
            What::Health => "/health",
            What::Metrics => "/metrics",
            What::Locks(_) | What::BadQuery => "/api/locks",
            What::Connections => "/api/connections",
            What::Stats => "/api/stats",
            What::Kick(_) => "/api/kick",
            What::Revoke(_) => "/api/revoke",
            What::Nothing => "/nothing",
        }
    }

    pub(crate) fn changes(&self) -> bool {
        matches!(self.what, What::Kick(_) | What::Revoke(_))
    }

    pub(crate) fn body(&self) -> String {
        let body = match &self.what {
            What::Kick(name) => format!("{{\"connection\":{name:?}}}"),
            What::Revoke(name) => format!("{{\"name\":{name:?}}}"),
            _ => return String::new(),
        };
        match self.size {
            Size::Body { is_over } => {
                let left = BODY_BYTES_MAX + usize::from(is_over) - body.len();
                body + &" ".repeat(left)
            }
            _ => body,
        }
    }

    /// Its head and its body.
    pub(crate) fn text(&self, secret: &dyn Fn(usize) -> String) -> (String, String) {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        let body = self.body();
        let query = match self.what {
            What::Locks("") => String::new(),
            What::Locks(prefix) => format!("?prefix={}", prefix.replace(':', "%3A")),
            What::Connections => "?all=true".to_owned(),
            What::BadQuery => "?colour=red".to_owned(),
            _ => String::new(),
        };
        let version = if self.end == End::Http10 { "1.0" } else { "1.1" };
        let mut head = format!("{} {}{query} HTTP/{version}\r\n", self.method, self.path());
        let mut put = |field: String| head.extend([&field, "\r\n"]);
        match self.bad {
            Some(("", _)) => (0..65).for_each(|number| put(format!("X-{number}: y"))),
            Some((bad, _)) => put(bad.replace('#', &body.len().to_string())),
            None => {}
        }
        self.host.into_iter().for_each(|host| put(format!("Host: {host}")));
        self.origin.into_iter().for_each(|origin| put(format!("Origin: {origin}")));
        match self.claim {
            Some(Claim::User { user, secret: of }) => {
                put(format!("Authorization: Basic {}", STANDARD.encode(format!("{}:{}", USERS[user].0, secret(of)))));
            }
            Some(Claim::Junk) => put("Authorization: Bearer x".to_owned()),
            None => {}
        }
        for (is_there, field) in [
            (self.is_proxied, "X-Forwarded-For: 127.0.0.1"),
            (self.is_marked, "X-Officer: 1"),
            (self.is_json, "Content-Type: application/json"),
            (self.end == End::Close, "Connection: close"),
        ] {
            if is_there {
                put(field.to_owned());
            }
        }
        if self.changes() {
            put(format!("Content-Length: {}", body.len()));
        }
        if let Size::Head { is_over } = self.size {
            let left = HEAD_BYTES_MAX + usize::from(is_over) - head.len() - "X: \r\n\r\n".len();
            head.extend(["X: ", &"y".repeat(left), "\r\n"]);
        }
        (head + "\r\n", body)
    }
}

impl Act {
    pub(crate) fn draw(random: &mut Rng, has_users: bool, clients: &[String]) -> Self {
        let (client, seat, name) = (random.usize(..CLIENTS), random.usize(..SEATS), pick(random, &NAMES));
        let place = pick(random, &[Place::Loopback, Place::Loopback, Place::Unix, Place::Far(1), Place::Far(2)]);
        match random.u8(..100) {
            0..=19 => Act::Lock {
                client,
                name,
                is_shared: random.u8(..3) == 0,
                timeout: random.bool().then(|| Duration::from_millis(random.u64(..4) * 2_500)),
            },
            20..=27 => Act::Unlock(client, name),
            28 => Act::Reset(client),
            29 => Act::Leave(client),
            30 if one_in(random, 2) => Act::Flood(client, (client + random.usize(1..CLIENTS)) % CLIENTS),
            31..=42 => Act::Connect(seat, place, one_in(random, 4)),
            43..=45 => Act::Shake(seat, pick(random, &[Shaken::Done, Shaken::Done, Shaken::NotTls, Shaken::Closed])),
            46 => Act::Vanish(seat),
            47..=76 => {
                let count = if one_in(random, 5) { random.usize(1..4) } else { 1 };
                let requests = (0..count).map(|_| Request::draw(random, has_users, clients)).collect();
                Act::Ask(seat, requests, pick(random, &[usize::MAX, usize::MAX, 1000, 50, 7]))
            }
            77..=80 => Act::Begin(seat, Request::draw(random, has_users, clients), random.usize(..256)),
            81..=86 => Act::GoOn(seat, one_in(random, 3)),
            87 => Act::Stall(seat),
            88..=89 => Act::TakeAll(seat),
            90 => Act::Crowd { count: random.usize(1..90), place, is_stalled: random.bool() },
            91..=92 => Act::Together,
            _ => Act::Pass(match random.u8(..8) {
                0 => Duration::from_millis(random.u64(10_000..70_000)),
                1..=3 => Duration::from_millis(random.u64(1_000..8_000)),
                _ => Duration::from_millis(random.u64(1..1_000)),
            }),
        }
    }
}
