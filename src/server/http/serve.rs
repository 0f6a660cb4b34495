//! From bytes to an answer: one request of one connection.

use super::answer::{Answer, Way};
use super::connection::Phase;
use super::head::{Head, skip_blank_lines};
use super::route::Route;
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
    /// The bytes that the request had are 0 if the connection is closed.
    Answer(Answer, Way, usize),
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
                self.finish(key, &answer, &Way::LAST);
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
            Verdict::Answer(answer, way, consumed) => {
                connection.consume(consumed);
                self.finish(key, &answer, &way);
                Step::Answered
            }
        }
    }

    fn judge_input(&mut self, key: HttpKey, input: &[u8], head_bytes: usize, may_be_long: &mut bool) -> Verdict {
        let head = match Head::parse(&input[..head_bytes]) {
            Ok(head) => head,
            Err(answer) => return Verdict::Answer(answer, Way::LAST, 0),
        };
        let bytes = head_bytes + head.body_bytes();
        let route = Route::find(head.path);
        let way = |allow, closes| Way { route, allow, has_body: head.method != "HEAD", closes };
        let answer = |answer, way: Way| Verdict::Answer(answer, way, if way.closes { 0 } else { bytes });
        // After a refusal the body is not waited for: whether it has come makes no difference to the answer.
        let refuse = |refusal, allow| answer(refusal, way(allow, head.closes || head.body_bytes() > 0));
        let Some(route) = route else {
            return refuse(Answer::text(404, "there is nothing under this path"), None);
        };
        if let Err(methods) = route.check_method(head.method) {
            return refuse(Answer::text(405, &format!("{} has the methods {methods}", head.path)), Some(methods));
        }
        if route == Route::Health {
            return answer(Answer::text(200, "ok"), way(None, head.closes));
        }
        if head.host.is_none() {
            return refuse(Answer::text(400, "Host is missing"), None);
        }
        let actor = match self.judge_request(key, &head, route) {
            Ok(actor) => actor,
            Err(refusal) if head.is_of_page => return refuse(refusal.without_challenge(), None),
            Err(refusal) => return refuse(refusal, None),
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
        let answered = self.answer_request(&actor, route, &head, &input[head_bytes..bytes]);
        answer(answered, way(None, head.closes))
    }

    /// Sends an answer.
    pub(super) fn finish(&mut self, key: HttpKey, answer: &Answer, way: &Way) {
        let now = self.connections.now;
        self.http.figures.on_answer(way.route, answer.status);
        let connection = self.http.known(key);
        // Nothing is left of the answer before it.
        answer.encode(way, &mut connection.output);
        let bytes = connection.output.len();
        self.http.unsent += bytes;
        self.http.enter(key, Phase::Answering { closes: way.closes }, now, &self.connections.limits);
        self.http.mark_dirty(key);
    }
}
