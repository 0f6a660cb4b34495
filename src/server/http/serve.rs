//! From bytes to an answer: one request of one connection.

use super::answer::Answer;
use super::connection::Phase;
use super::head::{Head, skip_blank_lines};
use super::route::{Found, Route};
use super::{HttpKey, outer};
use crate::server::{Server, Socket};

/// With more bytes of answers unsent, no further request is executed that may have a long one.
const UNSENT_BYTES_MAX: usize = 4 << 20;

/// What becomes of what a connection has sent.
enum Step {
    /// It is not a whole request yet.
    Incomplete,
    /// It is one, and has to wait for another turn.
    Waiting,
    /// It was answered.
    Answered,
}

/// What becomes of a request whose head is whole.
enum Verdict {
    /// There have to be this many bytes of it.
    Awaits(usize),
    Waiting,
    Answer {
        answer: Answer,
        /// The methods that the path has, if that is what is wrong.
        allow: Option<&'static str>,
        has_body: bool,
        /// The bytes that the request had. None: nothing is known of what follows, so that the connection is closed.
        consumed: Option<usize>,
    },
}

impl<S: Socket> Server<S> {
    /// Executes what was sent, after reading once if there is not enough.
    pub(super) fn serve_request(&mut self, key: HttpKey, may_be_long: &mut bool) {
        let mut step = self.step(key, may_be_long);
        if matches!(step, Step::Incomplete) {
            let has_come = self.http.read(key, &mut self.read_buffer);
            let Some(connection) = self.http.slots.get_mut(key) else { return };
            if has_come {
                if connection.phase == Phase::Idle {
                    self.http.enter(key, Phase::Reading, self.connections.now, &self.connections.limits);
                }
                step = self.step(key, may_be_long);
            }
        }
        let connection = self.http.known(key);
        match step {
            Step::Incomplete if connection.flags.is_readable => self.http.list(key),
            Step::Waiting => {
                connection.flags.is_waiting = true;
                self.http.list(key);
            }
            Step::Incomplete | Step::Answered => {}
        }
    }

    fn step(&mut self, key: HttpKey, may_be_long: &mut bool) -> Step {
        let connection = self.http.known(key);
        if connection.input.len() < connection.awaited {
            return Step::Incomplete;
        }
        skip_blank_lines(&mut connection.input);
        let head_bytes = match connection.scanner.scan(&connection.input) {
            Ok(None) => return Step::Incomplete,
            Ok(Some(head_bytes)) => head_bytes,
            Err(answer) => {
                self.finish(key, &answer, None, true, true);
                return Step::Answered;
            }
        };
        let input = std::mem::take(&mut connection.input);
        let verdict = self.judge_input(key, &input, head_bytes, may_be_long);
        let connection = self.http.known(key);
        connection.input = input;
        match verdict {
            Verdict::Awaits(bytes) => {
                connection.awaited = bytes;
                Step::Incomplete
            }
            Verdict::Waiting => Step::Waiting,
            Verdict::Answer { answer, allow, has_body, consumed } => {
                connection.consume(consumed.unwrap_or(0));
                self.finish(key, &answer, allow, has_body, consumed.is_none());
                Step::Answered
            }
        }
    }

    fn judge_input(&mut self, key: HttpKey, input: &[u8], head_bytes: usize, may_be_long: &mut bool) -> Verdict {
        let refuse = |answer, allow| Verdict::Answer { answer, allow, has_body: true, consumed: None };
        let head = match Head::parse(&input[..head_bytes]) {
            Ok(head) => head,
            Err(answer) => return refuse(answer, None),
        };
        let bytes = head_bytes + head.body_bytes();
        // After a refusal the body is not waited for: whether it has come makes no difference to the answer.
        let consumed = (!head.closes && head.body_bytes() == 0).then_some(bytes);
        let has_body = head.method != "HEAD";
        let refuse = |answer, allow| Verdict::Answer { answer, allow, has_body, consumed };
        let route = match Route::find(head.method, head.path) {
            Found::Route(route) => route,
            Found::Methods(methods) => {
                return refuse(Answer::text(405, &format!("{} has the methods {methods}", head.path)), Some(methods));
            }
            Found::Nothing => return refuse(Answer::text(404, "there is nothing under this path"), None),
        };
        let consumed = (!head.closes).then_some(bytes);
        if route == Route::Health {
            return Verdict::Answer { answer: Answer::text(200, "ok"), allow: None, has_body, consumed };
        }
        if head.host.is_none() {
            return refuse(Answer::text(400, "Host is missing"), None);
        }
        let actor = match self.judge_request(key, &head, route) {
            Ok(actor) => actor,
            Err(answer) if head.is_of_page => return refuse(answer.without_challenge(), None),
            Err(answer) => return refuse(answer, None),
        };
        if input.len() < bytes {
            return Verdict::Awaits(bytes);
        }
        if self.http.unsent > UNSENT_BYTES_MAX {
            return refuse(Answer::text(503, "too many answers are not taken yet"), None);
        }
        if !std::mem::take(may_be_long) {
            return Verdict::Waiting;
        }
        self.http.was_long = true;
        self.long_request_from = Some(outer(key));
        let answer = self.answer_request(&actor, route, &head, &input[head_bytes..bytes]);
        Verdict::Answer { answer, allow: None, has_body, consumed }
    }

    /// Sends an answer, the last one if it `closes`.
    pub(super) fn finish(&mut self, key: HttpKey, answer: &Answer, allow: Option<&str>, has_body: bool, closes: bool) {
        let now = self.connections.now;
        let connection = self.http.known(key);
        let before = connection.output.len();
        answer.encode(allow, has_body, closes, &mut connection.output);
        let bytes = connection.output.len() - before;
        self.http.unsent += bytes;
        self.http.enter(key, Phase::Answering { closes }, now, &self.connections.limits);
        self.http.mark_dirty(key);
    }
}
