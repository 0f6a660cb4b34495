//! What all clones of a client, their guards and the reading thread share.

use std::io::ErrorKind;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::error::{Error, Reason};
use super::holds::Subject;
use super::link::{Link, LinkUser};
use super::options::Options;
use super::request::Request;
use super::session::{ANSWER_LOST, NOT_HELD};
use super::state::{Abandoned, CallKind, LinkState, State};
use super::stream::Stream;
use crate::wire::answer::Answer;

/// How often a `lock` whose time is over looks for whether the connection is lost.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The one connection of a client, and everything about it.
pub(super) struct Shared {
    pub(super) options: Options,
    state: Mutex<State>,
    /// The connection was lost, or there is something to do about that.
    changed: Condvar,
    /// The half that writes, with its epoch. A mutex of its own: a slow server must not hold up who only looks. It is
    /// locked before the state, and there exactly while the state's link is up.
    writer: Mutex<Writer>,
    /// Held while a connection is made, so that it is made once.
    connecting: Mutex<()>,
}

/// How much of the backlog is sent at a time: what the buffers of the system take, however busy the server is.
const BACKLOG_BYTES: usize = 8 << 10;

pub(super) type Writer = Option<(u64, Stream)>;

/// The right to send the next request. What is decided with it about the state is in the order in which the server hears
/// of it: who finds a lock released asks for it after the `unlock`.
pub(super) struct Turn<'a> {
    writer: MutexGuard<'a, Writer>,
    pub(super) state: MutexGuard<'a, State>,
    pub(super) epoch: u64,
}

impl Shared {
    pub(super) fn new(options: Options) -> Self {
        Shared {
            options,
            state: Mutex::new(State::new()),
            changed: Condvar::new(),
            writer: Mutex::new(None),
            connecting: Mutex::new(()),
        }
    }

    /// The state is consistent between any two statements that could panic, so poisoning does not matter.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn changed(&self) -> &Condvar {
        &self.changed
    }

    /// Sees to it that there is a connection: makes a new one if the last was lost while nothing hung on it. Returns the
    /// epoch that a call begins in.
    pub(super) fn ensure_link(self: &Arc<Self>) -> Result<u64, Error> {
        let check = || match &self.state().link {
            LinkState::Up | LinkState::Away { .. } => Ok(true),
            LinkState::Lost { was_busy: false, .. } => Ok(false),
            LinkState::Lost { error, .. } => Err(error.clone()),
        };
        if !check()? {
            let _connecting = self.connecting.lock().unwrap_or_else(PoisonError::into_inner);
            if !check()? {
                self.connect()?;
            }
        }
        Ok(self.state().epoch)
    }

    /// Closes the connection, if there is one, and makes a new one.
    pub(super) fn reconnect(self: &Arc<Self>) -> Result<(), Error> {
        let _connecting = self.connecting.lock().unwrap_or_else(PoisonError::into_inner);
        self.close("the program asked for a new one");
        self.connect()
    }

    fn connect(self: &Arc<Self>) -> Result<(), Error> {
        let before = self.state().epoch;
        let mut link = Link::connect(&self.options)?;
        let setup = |error: std::io::Error| Error::Connect {
            address: self.options.address.to_string(),
            message: error.to_string(),
            kind: error.kind(),
        };
        let writer = link.writer().map_err(setup)?;
        let epoch = {
            // Both at once: a call finds either no connection or one that it can write to.
            let mut slot = self.writer();
            let mut state = self.state();
            // Closed on purpose while this one was being made: that stays so.
            if state.epoch != before {
                let loss = state.loss();
                drop((slot, state));
                if link.session.is_some() {
                    link.end_session();
                }
                return Err(loss);
            }
            let epoch = state.connected(&mut link);
            *slot = Some((epoch, writer));
            epoch
        };
        link.read(Arc::clone(self), epoch).map_err(|error| {
            self.close("its thread could not be started");
            setup(error)
        })
    }

    /// Closes the connection on purpose: nobody is called back, and no new one is made until that is asked for.
    pub(super) fn close(&self, reason: &str) {
        let mut writer = self.writer();
        let mut state = self.state();
        let has_session = state.session.is_some();
        if !matches!(state.link, LinkState::Lost { .. }) {
            state.lose(Error::ConnectionLost { reason: reason.to_owned() });
        }
        if let LinkState::Lost { was_busy, .. } = &mut state.link {
            *was_busy = true;
        }
        state.epoch += 1;
        drop(state);
        match writer.take() {
            Some((_, mut stream)) if has_session => stream.end_session(),
            Some((_, stream)) => stream.shut_down(),
            None => {}
        }
        drop(writer);
        self.changed.notify_all();
    }

    fn lose_with_writer(&self, mut writer: MutexGuard<'_, Writer>, epoch: u64, error: &Error) {
        let mut state = self.state();
        if state.epoch != epoch || !matches!(state.link, LinkState::Up) {
            return;
        }
        let is_resumed = state.interrupt(error);
        if !is_resumed {
            state.lose(error.clone());
        }
        drop(state);
        if let Some((_, stream)) = writer.take() {
            stream.shut_down();
        }
        drop(writer);
        self.changed.notify_all();
        if !is_resumed {
            self.tell_lost(error);
        }
    }

    pub(super) fn tell_lost(&self, error: &Error) {
        if let Some(on_lost) = &self.options.on_lost {
            on_lost(error);
        }
    }

    /// The right to send, if the connection of this epoch is there, or its session.
    pub(super) fn turn(&self, epoch: u64) -> Result<Turn<'_>, Error> {
        let writer = self.writer();
        let state = self.state();
        state.check_link(epoch)?;
        Ok(Turn { writer, state, epoch })
    }

    /// Sends a request. The answer comes through the receiver, or never: then the connection was lost.
    pub(super) fn send(
        &self,
        turn: Turn<'_>,
        kind: CallKind,
        mut request: Request<'_>,
    ) -> Result<Receiver<Answer>, Error> {
        let Turn { writer, mut state, epoch } = turn;
        request.id = state.next_id();
        let line = request.line();
        // The server would close the connection for it, and the locks of all threads would be lost. (A release has to go
        // out at any price.)
        if line.len() > state.line_bytes_max && !matches!(kind, CallKind::Unlock(_)) {
            if let CallKind::Lock(hold) = kind {
                state.holds.end(hold);
            }
            let message = format!("a request has at most {} bytes", state.line_bytes_max);
            return Err(Error::Server { reason: Reason::LineTooLong, message });
        }
        let (sender, receiver) = sync_channel(1);
        let is_sent_now = state.call(request.id, kind, sender, &line);
        let has_session = state.session.is_some();
        drop(state);
        if !is_sent_now {
            // Who waits with the next connection until something is asked for finds it.
            self.changed.notify_all();
            return Ok(receiver);
        }
        match self.write_with(writer, epoch, &line) {
            // It is sent again with the next connection. If there is none, the receiver finds out.
            Err(_) if has_session => Ok(receiver),
            result => result.map(|()| receiver),
        }
    }

    /// Sends the request to release what is no longer in the state.
    pub(super) fn unlock(&self, turn: Turn<'_>, subject: &Subject) -> Result<Receiver<Answer>, Error> {
        self.send(
            turn,
            CallKind::Unlock(subject.certain_until),
            Request::about("unlock", &subject.names, subject.owner.as_ref()),
        )
    }

    /// Waits for the answer to a request. Errors that the server answers are errors here.
    pub(super) fn wait(&self, receiver: &Receiver<Answer>) -> Result<Answer, Error> {
        receiver.recv().map_err(|_| self.state().loss()).and_then(without_error)
    }

    /// Waits for the answer to a `lock`. While there is no connection to the server its timeout counts here.
    pub(super) fn wait_for_lock(
        &self,
        receiver: &Receiver<Answer>,
        epoch: u64,
        hold: u64,
        give_up: Option<Instant>,
    ) -> Result<Answer, Error> {
        let Some(give_up) = give_up.filter(|_| self.options.session.is_some()) else { return self.wait(receiver) };
        let mut wait = give_up.saturating_duration_since(Instant::now());
        loop {
            match receiver.recv_timeout(wait) {
                Ok(answer) => return without_error(answer),
                Err(RecvTimeoutError::Disconnected) => return Err(self.state().loss()),
                Err(RecvTimeoutError::Timeout) if self.abandon(epoch, hold)? => {
                    return Err(Error::TimedOut { queue: Vec::new() });
                }
                // The server is about to answer, or the connection about to be found lost.
                Err(RecvTimeoutError::Timeout) => wait = LOOK_AGAIN,
            }
        }
    }

    /// Gives up a `lock` without an answer, if there is no connection. What the server may have executed of it is taken
    /// back with the next one.
    fn abandon(&self, epoch: u64, hold: u64) -> Result<bool, Error> {
        let mut turn = self.turn(epoch)?;
        match turn.state.abandon(hold) {
            Abandoned::No => Ok(false),
            Abandoned::Unsent => Ok(true),
            Abandoned::Sent(subject) => self.unlock(turn, &subject).map(|_| true),
        }
    }

    /// Sends a request for which the server needs these features, and waits for its answer.
    pub(super) fn ask(
        self: &Arc<Self>,
        kind: CallKind,
        features: &[&'static str],
        request: Request<'_>,
    ) -> Result<Answer, Error> {
        let turn = self.turn(self.ensure_link()?)?;
        turn.state.check_features(features.iter().copied())?;
        let receiver = self.send(turn, kind, request)?;
        self.wait(&receiver)
    }

    pub(super) fn write_with(&self, mut writer: MutexGuard<'_, Writer>, epoch: u64, line: &[u8]) -> Result<(), Error> {
        let result = match writer.as_mut() {
            Some((of, stream)) if *of == epoch => stream.write_all(line),
            _ => return Err(self.state().loss()),
        };
        result.map_err(|error| {
            let reason = match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => "the server takes no requests".to_owned(),
                _ => error.to_string(),
            };
            let error = Error::ConnectionLost { reason };
            // Without letting go of the writer: the next thread would only try the same for as long again.
            self.lose_with_writer(writer, epoch, &error);
            error
        })
    }
}

fn without_error(answer: Answer) -> Result<Answer, Error> {
    match answer.result.as_str() {
        "error" => Err(Error::Server { reason: answer.reason, message: answer.message }),
        ANSWER_LOST => Err(Error::AnswerLost),
        NOT_HELD => Err(Error::NotHeld),
        _ => Ok(answer),
    }
}

/// What the reading thread needs.
impl LinkUser for Shared {
    /// Applies what the server says, and tells the program what it wants to know of it.
    fn answer(&self, epoch: u64, answer: Answer) {
        let mut state = self.state();
        if state.epoch != epoch {
            return;
        }
        let notice = state.answer(answer);
        drop(state);
        if let Some(notice) = notice {
            self.tell(epoch, notice);
        }
    }

    /// Whether the reading thread is to send keep-alives now.
    fn sends_keep_alives(&self) -> bool {
        !self.options.is_keep_alive_by_program || self.state().has_calls()
    }

    /// Sends a keep-alive on the connection of an epoch. If that fails the connection is lost.
    fn keep_alive(&self, epoch: u64) -> Result<(), Error> {
        let writer = self.writer();
        if let Some(session) = &mut self.state().session {
            session.keeps_alive();
        }
        let keep_alive = Request { command: "keep_alive", ..Request::default() };
        self.write_with(writer, epoch, &keep_alive.line())
    }

    /// Sends a part of the backlog.
    fn send_backlog(&self, epoch: u64) -> Result<bool, Error> {
        let Turn { writer, mut state, .. } = self.turn(epoch)?;
        let lines = state.take_backlog(BACKLOG_BYTES);
        let has_more = !state.backlog.is_empty();
        drop(state);
        self.write_with(writer, epoch, &lines)?;
        Ok(has_more)
    }

    /// Renews the leases that are due. Returns when the next ones are.
    fn renew_leases(&self, epoch: u64) -> Result<Option<Instant>, Error> {
        let mut state = self.state();
        let due = state.holds.due(Instant::now());
        if due.is_empty() {
            return Ok(state.holds.next_renewal());
        }
        drop(state);
        if self.sends_keep_alives() {
            self.renew_each(epoch, due)?;
        } else {
            self.state().holds.owe(due);
        }
        Ok(self.state().holds.next_renewal())
    }

    /// The connection of an epoch was found lost.
    fn lose(&self, epoch: u64, error: Error) {
        self.lose_with_writer(self.writer(), epoch, &error);
    }

    fn resume(&self, epoch: u64) -> Option<Link> {
        self.resume_session(epoch)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("options", &self.options).finish_non_exhaustive()
    }
}
