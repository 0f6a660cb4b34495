//! The edge to the system: the poll, the listeners, signals and the only clock. It moves events to the server and decides
//! nothing that a test over memory sockets would miss.

mod alarm;
mod config;
pub mod descriptors;
#[cfg(test)]
mod directory;
mod error;
mod listen;
mod listeners;
mod manager;
mod outside;
mod protection;
mod regular;
mod reload;
mod signals;
mod silence;
mod socket;
mod stats_line;
#[cfg(test)]
mod tests;
#[cfg(not(feature = "unstable"))]
mod tls;
#[cfg(feature = "unstable")]
#[doc(hidden)]
pub mod tls;
mod tokens;
mod users;

use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Interest, Poll, Token, Waker};

pub use self::config::{Config, METRICS_PREFIXES_MAX};
pub use self::error::{ReloadError, RunError};
pub use self::listen::{BindError, Listen, TcpOptions};
pub use self::reload::Reload;
pub use self::tls::{ClientAuth, TlsError, TlsOptions};
pub use self::tokens::TokensError;
pub use self::users::UsersError;
pub use crate::server::{ADMIN_PLACES, BadUsers, HTTP_CONNECTIONS_MAX, Limits};

#[cfg(feature = "cli")]
pub(crate) use self::config::TURN_ACCEPTS_MAX;
#[cfg(feature = "cli")]
pub(crate) use self::listen::Listener;
pub(crate) use self::socket::Socket;

use self::alarm::Alarm;
use self::listeners::Listeners;
use self::manager::Manager;
use self::protection::Protection;
use self::signals::Signals;
use self::stats_line::StatsLine;
use self::tls::TlsServer;
use self::tokens::{TokenSource, Tokens};
use crate::engine::ConnectionKey;
use crate::server::{Outside, Readiness, Server};
use crate::slots::Key;
use crate::time::{Moment, Span};

/// How often the server is told what only the process knows.
const OUTSIDE_INTERVAL: Duration = Duration::from_secs(1);

/// Connections' tokens are their keys, which never come near these: there are no 2^32 - 1 slots.
const SIGNALS: Token = Token(usize::MAX);
const ALARM: Token = Token(usize::MAX - 1);
const TOKENS: Token = Token(usize::MAX - 2);
/// The others are below it.
const FIRST_LISTENER: Token = Token(usize::MAX - 3);

// A key is 64 bits and travels through a token.
const _: () = assert!(usize::BITS >= 64, "Officer needs a 64-bit system");

/// Events taken from one poll. What is left comes with the next: a turn has to end, for its replies to be written. With
/// 1,024 the longest turn while 15,000 connections end takes a third longer than with these.
const EVENTS_MAX: usize = 256;

/// How long replies that are already decided may take to be written at the end.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(500);

/// A server that listens.
#[derive(Debug)]
pub struct Net {
    poll: Poll,
    listeners: Listeners,
    protection: Protection,
    signals: Signals,
    alarm: Alarm,
    manager: Manager,
    tokens: Tokens,
    server: Server<Socket>,
    start: Instant,
    /// The time of the last turn.
    last_turn: Moment,
    stats: Option<StatsLine>,
    /// When the process was started, since 1970.
    started: Span,
    /// When the server is told again what only the process knows. Never, if nobody can ask for it.
    outside_due: Moment,
    is_reloaded: bool,
    /// As it was at the start, for reloads.
    config: Config,
}

/// What is known of a poll that has returned, but for its events.
#[derive(Clone, Copy, Debug)]
struct Polled {
    /// It began at this time or later.
    begun: Moment,
    /// A signal ended it, so it reported nothing whatever was ready.
    is_interrupted: bool,
}

impl Net {
    /// Binds the addresses and starts to listen, or takes the sockets that a service manager has passed to this process.
    /// Clients can connect from here on; they are served by [`Net::run`].
    ///
    /// # Errors
    /// [`BindError`], which says what to do.
    pub fn bind(config: Config) -> Result<Self, BindError> {
        Net::bind_with(config, tokens::source, tokens::LEFT_MIN)
    }

    /// With tokens of a source that is opened for a state directory, as [`Tokens::begin`] takes it.
    fn bind_with(
        config: Config,
        open_source: impl FnOnce(Option<&Path>) -> Result<Box<dyn TokenSource>, TokensError>,
        tokens_left_min: u64,
    ) -> Result<Self, BindError> {
        config.check()?;
        let access = config.access()?;
        let protection = Protection::of(&config, &access);
        let mut listeners = Listeners::bind(&config)?;
        protection.check(listeners.places())?;
        let limits = Limits { silent_after: Some(config.tcp.silent_after()), ..config.limits.clone() };
        let poll = Poll::new()?;
        listeners.register(poll.registry())?;
        let mut signals = Signals::listen()?;
        poll.registry().register(signals.source(), SIGNALS, Interest::READABLE)?;
        let alarm = Alarm::new(poll.registry(), ALARM)?;
        // The last step: a start that fails uses up no block.
        let source = open_source(config.state_dir.as_deref())?;
        let waker = Waker::new(poll.registry(), TOKENS)?;
        let (tokens, block) = Tokens::begin(source, waker, tokens_left_min)?;
        let mut server = Server::new(limits, block);
        server.set_access(access);
        server.set_http_hosts(&config.http_hosts);
        server.set_metrics_prefixes(config.metrics_prefixes.iter().map(|prefix| prefix.as_str().into()));
        let outside_due = first_outside(&listeners);
        Ok(Net {
            poll,
            listeners,
            protection,
            signals,
            alarm,
            manager: Manager::of_environment(),
            tokens,
            server,
            start: Instant::now(),
            last_turn: Moment::START,
            stats: config.stats.then(StatsLine::default),
            started: outside::wall_clock(),
            outside_due,
            is_reloaded: true,
            config,
        })
    }

    /// Fails as [`Net::bind`] would, as far as that can be told while the server that this one replaces still runs. That
    /// one listens on `old` addresses, if they are known, without their schemes.
    #[cfg(feature = "cli")]
    pub(crate) fn check(config: &Config, old: Option<&[String]>) -> Result<(), BindError> {
        if let Some(directory) = &config.state_dir {
            tokens::check(directory)?;
        }
        config.check()?;
        let protection = Protection::of(config, &config.access()?);
        protection.check(Listeners::check(config, old)?.into_iter())
    }

    /// Where it listens: `ip:port`, with the port that the system chose if it was 0, or the path of the socket. Listeners
    /// beside others, and those that clients reach by TLS or HTTP, have URLs: `tls://ip:port`, `unix:path`.
    pub fn addresses(&self) -> Vec<String> {
        let places: Vec<_> = self.listeners.places().collect();
        match places.as_slice() {
            [place] if place.is_plain() => vec![place.address()],
            places => places.iter().map(ToString::to_string).collect(),
        }
    }

    /// Those of its addresses where anybody on other machines can take locks, as URLs.
    #[cfg(feature = "cli")]
    pub(crate) fn open_addresses(&self) -> Vec<String> {
        let places = self.listeners.places().filter(|place| self.protection.is_open_to_all_at(place));
        places.map(|place| place.to_string()).collect()
    }

    /// Serves clients until SIGTERM or SIGINT, or until `on_reload` breaks, which is called when a reload begins, at SIGHUP,
    /// and when it is over. A service manager that started this process is told that it is ready, that it is alive, and when
    /// it ends.
    ///
    /// # Errors
    /// [`RunError`], after which all locks are free.
    pub fn run(&mut self, mut on_reload: impl FnMut(Reload<'_>) -> ControlFlow<()>) -> Result<(), RunError> {
        self.tokens.log_source();
        self.manager.ready(&self.addresses().join(", "));
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            let polled = self.wait(&mut events)?;
            let now = self.now();
            self.last_turn = now;
            let (mut is_told_to_end, mut reported) = (false, 0);
            for event in &events {
                reported += 1;
                match event.token() {
                    SIGNALS => is_told_to_end |= self.take_signals(&mut on_reload).is_break(),
                    ALARM => self.alarm.went_off(),
                    // The end of the turn has a look.
                    TOKENS => {}
                    token if self.listeners.has(token) => self.listeners.announced(token),
                    token => self.server.ready(connection_key(token), readiness(event)),
                }
            }
            if is_told_to_end {
                return Ok(self.shut_down("told to end", &mut events)?);
            }
            // With as many events as there is room for, others may be left.
            self.server.polled(polled.begun, !polled.is_interrupted && reported < EVENTS_MAX);
            self.listeners.begin_turn();
            self.listeners.accept(&mut self.server, self.poll.registry(), self.config.turn_accepts_max, now);
            if now >= self.outside_due {
                self.tell_outside(now);
            }
            let start = self.start;
            self.server.turn_by(now, &|| moment(start));
            self.server.ended(self.now());
            if self.server.wants_tokens()
                && let Err(error) = self.renew_tokens(now)
            {
                self.shut_down("no tokens are left", &mut events)?;
                return Err(error);
            }
            self.manager.tell_alive_if_due(now);
            if let Some(stats) = &mut self.stats {
                stats.log_if_due(now, self.server.stats(), self.server.connections());
            }
        }
    }

    /// Tells the server what only the process knows. A few microseconds, and once a second is enough for everybody.
    #[cold]
    fn tell_outside(&mut self, now: Moment) {
        self.outside_due = now.after(OUTSIDE_INTERVAL.into());
        self.server.set_outside(Outside {
            is_open: self.listeners.places().any(|place| self.protection.is_open_to_all_at(&place)),
            is_reloaded: self.is_reloaded,
            certificate_expires: self.listeners.tls().and_then(TlsServer::expires),
            process: outside::process(self.started),
        });
    }

    fn now(&self) -> Moment {
        moment(self.start)
    }

    /// Sleeps until something happens, or something is due.
    fn wait(&mut self, events: &mut Events) -> io::Result<Polled> {
        let accept_at = self.listeners.due(&self.server);
        let stats_at = self.stats.as_ref().map(|stats| stats.due);
        let next = [accept_at, stats_at, self.manager.due(), self.tokens.due()]
            .into_iter()
            .fold(self.server.next_turn(), |next, due| {
                due.map_or(next, |due| Some(next.map_or(due, |next| next.min(due))))
            });
        match next {
            Some(at) if at <= self.last_turn => return self.poll(events, Some(Duration::ZERO)),
            Some(at) => self.alarm.set(at, || moment(self.start))?,
            None => {}
        }
        self.poll(events, None)
    }

    fn poll(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<Polled> {
        // It begins now, but the time of the last turn is known without a look at the clock.
        let begun = self.last_turn;
        let is_interrupted = match self.poll.poll(events, timeout) {
            Ok(()) => false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                events.clear();
                true
            }
            Err(error) => return Err(error),
        };
        Ok(Polled { begun, is_interrupted })
    }

    /// Has the next block of tokens reserved, and takes it when it is.
    fn renew_tokens(&mut self, now: Moment) -> Result<(), RunError> {
        let block = self.tokens.renew(self.server.tokens_left(), now)?;
        block.into_iter().for_each(|block| self.server.add_tokens(block));
        Ok(())
    }

    /// Breaks when a signal came that asks us to end.
    fn take_signals(&mut self, on_reload: &mut impl FnMut(Reload<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
        let asked = self.signals.take();
        if asked.end {
            return ControlFlow::Break(());
        }
        if asked.hangup {
            self.manager.reloading();
            on_reload(Reload::Begins)?;
            let result = self.reload();
            on_reload(Reload::Over(result.as_ref().err()))?;
            self.manager.reloaded(&self.addresses().join(", "), result.is_ok());
        }
        ControlFlow::Continue(())
    }

    /// What an operator should know about the certificate and key for TLS, each a line.
    #[cfg(feature = "cli")]
    pub(crate) fn tls_warnings(&self) -> Vec<String> {
        self.listeners.tls().map(|tls| tls.warnings().to_vec()).unwrap_or_default()
    }

    /// Writes what is decided, as far as the peers read it in time. Clients that are not yet accepted find the port closed.
    fn shut_down(&mut self, why: &str, events: &mut Events) -> io::Result<()> {
        log::info!("{why}: writing what is decided, then closing {} connections", self.server.connections());
        self.manager.stopping();
        let until = Instant::now() + SHUTDOWN_GRACE;
        self.server.shut_down();
        self.server.turn(self.now());
        while self.server.unsent() > 0 && Instant::now() < until {
            self.poll(events, Some(Duration::from_millis(10)))?;
            for event in events.iter() {
                let token = event.token();
                if ![SIGNALS, ALARM, TOKENS].contains(&token) && !self.listeners.has(token) {
                    self.server.ready(connection_key(token), readiness(event));
                }
            }
            self.listeners.begin_turn();
            self.server.turn(self.now());
        }
        Ok(())
    }
}

fn connection_key(token: Token) -> ConnectionKey {
    Key::from_bits(token.0 as u64)
}

fn readiness(event: &Event) -> Readiness {
    // The next read or write returns the error, so both are tried.
    let is_error = event.is_error();
    Readiness {
        is_readable: event.is_readable() || is_error,
        is_writable: event.is_writable() || event.is_write_closed() || is_error,
        is_read_closed: event.is_read_closed(),
    }
}

/// When the server is told first what only the process knows: metrics are the only ones to show it, and are asked for by HTTP.
fn first_outside(listeners: &Listeners) -> Moment {
    if listeners.places().any(|place| place.is_http()) { Moment::START } else { Moment::NEVER }
}

/// Now, on the clock that began at the server's start.
fn moment(start: Instant) -> Moment {
    Moment::START.after(Span::from(start.elapsed()))
}
