//! What a turn does for connections by HTTP.

use super::HttpKey;
use super::answer::{Answer, Way};
use super::connection::Phase;
use crate::server::{Handshake, Server, Socket};
use crate::time::Moment;

impl<S: Socket> Server<S> {
    /// Reads from those that have sent something, and executes at most one request of each; of those that may take long, one
    /// in all, and only in every other turn, so that connections of the protocol get to theirs.
    #[cold]
    pub(in crate::server) fn serve_http(&mut self) {
        let mut may_be_long = !std::mem::take(&mut self.http.was_long);
        for key in std::mem::take(&mut self.http.listed) {
            let Some(connection) = self.http.slots.get_mut(key) else { continue };
            connection.flags.is_listed = false;
            if connection.flags.is_waiting && !may_be_long {
                self.http.list(key);
                continue;
            }
            connection.flags.is_waiting = false;
            match connection.phase {
                Phase::Handshaking => self.go_on_with_https(key),
                Phase::Idle | Phase::Reading => self.serve_request(key, &mut may_be_long),
                Phase::Lingering => self.http.drop_input(key, &mut self.read_buffer),
                Phase::Answering { .. } => {}
            }
        }
    }

    fn go_on_with_https(&mut self, key: HttpKey) {
        let now = self.connections.now;
        let connection = self.http.known(key);
        let outcome = connection.socket.handshake();
        self.connections.figures.on_handshake(&outcome);
        match outcome {
            Ok(Handshake::Done) => {
                connection.credentials = connection.socket.credentials();
                // The first request may have come with the last message.
                connection.flags.is_readable = true;
                self.http.enter(key, Phase::Idle, now, &self.connections.limits);
                self.http.list(key);
            }
            Ok(Handshake::Waiting) => {}
            Ok(Handshake::Later) => {
                // The time that it waits for us does not count.
                self.http.enter(key, Phase::Handshaking, now, &self.connections.limits);
                self.http.list(key);
            }
            Ok(Handshake::Closed) => self.http.remove(key),
            Ok(Handshake::NotTls) => self.finish(key, &Answer::text(400, "this port speaks HTTPS"), &Way::LAST),
            Err(error) => {
                log::info!("{}: the handshake for HTTPS failed: {error}", connection.peer);
                self.http.close_write(key, now, &self.connections.limits);
            }
        }
    }

    /// Closes those whose time is over.
    #[cold]
    pub(in crate::server) fn expire_http(&mut self, due_by: Moment) {
        while let Some(key) = self.http.deadlines.pop_due(due_by) {
            let now = self.connections.now;
            let connection = self.http.known(key);
            connection.deadline = None;
            match connection.phase {
                // Its request has come in time, and waits for us.
                Phase::Idle | Phase::Reading if connection.flags.is_waiting => {
                    self.http.enter(key, Phase::Reading, now, &self.connections.limits);
                }
                Phase::Reading if !connection.input.is_empty() => {
                    let answer = Answer::text(408, "the request has not come in time");
                    self.finish(key, &answer, &Way::LAST);
                }
                Phase::Handshaking => {
                    self.connections.figures.on_handshake_timeout();
                    self.http.remove(key);
                }
                _ => self.http.remove(key),
            }
        }
    }

    /// Writes to those that may take something.
    #[cold]
    pub(in crate::server) fn flush_http(&mut self) {
        for key in std::mem::take(&mut self.http.dirty) {
            if let Some(connection) = self.http.slots.get_mut(key) {
                connection.flags.is_dirty = false;
                self.http.flush(key, self.connections.now, &self.connections.limits);
            }
        }
    }
}
