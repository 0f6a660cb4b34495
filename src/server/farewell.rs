//! The line in the log at the end of a connection: who it was, why it ended, and what it held.

use std::fmt;
use std::time::Duration;

use super::Disconnect;
use crate::engine::{Engine, SessionKey};
use crate::time::Span;
use crate::wire::peer::Peer;
use crate::wire::transcript::Escaped;

/// Names that one line has of what was released, and of the queues that were left.
const NAMES_MAX: usize = 10;

/// Why a connection ends, kept until its session does.
#[derive(Debug)]
pub(super) struct Why {
    pub(super) text: String,
    /// The client closed it, or nobody knows who it was: nothing that anybody has to know of.
    pub(super) is_ordinary: bool,
    /// Its session ends as well, although it could be resumed.
    pub(super) ends_session: bool,
}

impl Why {
    pub(super) fn of(why: &Disconnect) -> Self {
        let is_ordinary = matches!(
            why,
            Disconnect::PeerClosed
                | Disconnect::AuthTimeout
                | Disconnect::HandshakeTimeout
                | Disconnect::StrangerEvicted
        );
        let ends_session = matches!(why, Disconnect::Kicked { .. } | Disconnect::UserGone);
        Why { text: why.to_string(), is_ordinary, ends_session }
    }
}

/// What is said of a session that is about to end. `Display` writes the line.
pub(super) struct Farewell<'a> {
    peer: Peer,
    why: &'a Why,
    /// The session goes on under this name, for so long.
    kept: Option<(Peer, Span)>,
    client: Option<&'a str>,
    holds: Vec<&'a str>,
    waits: Vec<&'a str>,
}

impl<'a> Farewell<'a> {
    pub(super) fn of(
        peer: Peer,
        why: &'a Why,
        kept: Option<(Peer, Span)>,
        engine: &'a Engine,
        session: SessionKey,
    ) -> Self {
        let (holds, waits): (Vec<_>, Vec<_>) = engine.locks_of(session).partition(|(_, is_held)| *is_held);
        let names = |locks: Vec<(&'a str, bool)>| locks.into_iter().map(|(name, _)| name).collect();
        Farewell { peer, why, kept, client: engine.summary(session).client, holds: names(holds), waits: names(waits) }
    }

    /// At info if something was lost, or went wrong; health checks come and go at debug.
    pub(super) fn level(&self) -> log::Level {
        let is_quiet = self.why.is_ordinary && self.kept.is_none() && self.holds.is_empty() && self.waits.is_empty();
        if is_quiet { log::Level::Debug } else { log::Level::Info }
    }
}

impl fmt::Display for Farewell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.peer)?;
        if let Some(client) = self.client {
            write!(f, " ({})", Escaped(client.as_bytes()))?;
        }
        write!(f, " ended: {}", self.why.text)?;
        let [holds, waits] = match self.kept {
            None => ["released", "left"],
            Some((name, grace)) => {
                let seconds = Duration::from_nanos(grace.as_nanos()).as_secs_f64();
                write!(f, "; {name} goes on for {seconds} s")?;
                ["keeps", "waits in"]
            }
        };
        write_names(f, holds, ["lock", "locks"], &self.holds)?;
        write_names(f, waits, ["queue", "queues"], &self.waits)
    }
}

fn write_names(f: &mut fmt::Formatter<'_>, verb: &str, [one, several]: [&str; 2], names: &[&str]) -> fmt::Result {
    if names.is_empty() {
        return Ok(());
    }
    write!(f, "; {verb} {} {}: ", names.len(), if names.len() == 1 { one } else { several })?;
    for (index, name) in names.iter().take(NAMES_MAX).enumerate() {
        write!(f, "{}{}", if index > 0 { ", " } else { "" }, Escaped(name.as_bytes()))?;
    }
    match names.len().checked_sub(NAMES_MAX) {
        None | Some(0) => Ok(()),
        Some(more) => write!(f, " and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, ErrorKind, Read, Write};

    use super::*;
    use crate::engine::TokenBlock;
    use crate::server::{Limits, Readiness, Server, Socket};
    use crate::time::Moment;

    /// Has something to read once, and takes everything.
    struct Says(&'static [u8]);

    impl Read for Says {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() { Err(ErrorKind::WouldBlock.into()) } else { self.0.read(buffer) }
        }
    }

    impl Write for Says {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Socket for Says {
        fn close_write(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_was_held_is_told_from_what_was_waited_for() {
        let mut server = Server::new(Limits::default(), TokenBlock::all());
        let mut connect = |number, lines| {
            let key = server.accept(Says(lines), Peer::Unix(number), Moment::START).expect("there is room");
            server.ready(key, Readiness { is_readable: true, ..Readiness::default() });
            server.turn(Moment::START);
            key
        };
        connect(1, b"{\"command\":\"lock\",\"name\":\"held by another\"}\n");
        let key = connect(
            2,
            b"{\"command\":\"lock\",\"name\":\"held\"}\n{\"command\":\"lock\",\"name\":\"held by another\"}\n",
        );
        let why = Why { text: "kicked".to_owned(), is_ordinary: false, ends_session: false };
        let session = server.connections.known(key).session.expect("it has not ended");
        assert_eq!(
            Farewell::of(Peer::Unix(2), &why, None, &server.engine, session).to_string(),
            "unix:2 ended: kicked; released 1 lock: held; left 1 queue: held by another"
        );
    }

    #[test]
    fn the_line_names_who_it_was_and_what_it_held() {
        let why = Why { text: "idle limit reached".to_owned(), is_ordinary: false, ends_session: false };
        let bare = Farewell { peer: Peer::Unix(7), why: &why, kept: None, client: None, holds: vec![], waits: vec![] };
        assert_eq!(bare.to_string(), "unix:7 ended: idle limit reached");
        let names: Vec<String> = (0..12).map(|number| format!("boss:{number}")).collect();
        let full = Farewell {
            client: Some("raid\n"),
            holds: names.iter().map(String::as_str).collect(),
            waits: vec!["deploy"],
            ..bare
        };
        assert_eq!(
            full.to_string(),
            "unix:7 (raid\\x0a) ended: idle limit reached; released 12 locks: boss:0, boss:1, boss:2, boss:3, boss:4, \
             boss:5, boss:6, boss:7, boss:8, boss:9 and 2 more; left 1 queue: deploy"
        );
    }

    #[test]
    fn only_the_ordinary_end_of_who_loses_nothing_is_quiet() {
        let [ordinary, other] =
            [true, false].map(|is_ordinary| Why { text: String::new(), is_ordinary, ends_session: false });
        let level =
            |why, kept, holds, waits| Farewell { peer: Peer::Unix(7), why, kept, client: None, holds, waits }.level();
        assert_eq!(level(&ordinary, None, vec![], vec![]), log::Level::Debug);
        let kept = Some((Peer::Unix(8), Span::ZERO));
        for level in [
            level(&other, None, vec![], vec![]),
            level(&ordinary, kept, vec![], vec![]),
            level(&ordinary, None, vec!["db"], vec![]),
            level(&ordinary, None, vec![], vec!["db"]),
        ] {
            assert_eq!(level, log::Level::Info);
        }
    }
}
