//! What a connection sends repeatedly, and the expected answers: both prepared in advance, so that during the
//! measurement a request is a slice to write, and an answer a slice to compare.

use std::ops::Range;

use clap::ValueEnum;

/// Protocol of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Protocol {
    /// Officer's own
    Officer,
    /// SET key value NX PX 30000, and DEL key
    Redis,
    /// add and delete of the text protocol
    Memcached,
    /// The answers of 'officer bench floor' to Officer's requests
    Floor,
}

/// The answer of a floor to every line: as long as Officer's answers to our requests.
pub(super) const FLOOR_LINE: &[u8] = b"{\"name\":\"bench:00000000\",\"result\":\"acquired\"}\n";

/// The name of a key, always of the same length.
fn key(number: usize) -> String {
    format!("bench:{number:08}")
}

/// A request and its expected answer.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) request: Vec<u8>,
    pub(super) reply: Vec<u8>,
}

impl Protocol {
    /// The name, as in the option.
    pub(super) fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// Takes a lock that is free, or will be.
    pub(super) fn lock(self, number: usize) -> Exchange {
        let key = key(number);
        let (request, reply) = match self {
            Protocol::Officer => (officer_request("lock", &key), officer_reply("acquired", &key)),
            Protocol::Floor => (officer_request("lock", &key), floor_line()),
            // What a Redis client sends to take a lock: a value of its own, and a lease.
            Protocol::Redis => {
                (redis_request(&["SET", &key, &format!("{number:016x}"), "NX", "PX", "30000"]), "+OK\r\n".to_owned())
            }
            Protocol::Memcached => (format!("add {key} 0 30 16\r\n{number:016x}\r\n"), "STORED\r\n".to_owned()),
        };
        Exchange { request: request.into_bytes(), reply: reply.into_bytes() }
    }

    /// Releases a lock that is held.
    pub(super) fn unlock(self, number: usize) -> Exchange {
        let key = key(number);
        let (request, reply) = match self {
            Protocol::Officer => (officer_request("unlock", &key), officer_reply("released", &key)),
            Protocol::Floor => (officer_request("unlock", &key), floor_line()),
            Protocol::Redis => (redis_request(&["DEL", &key]), ":1\r\n".to_owned()),
            Protocol::Memcached => (format!("delete {key}\r\n"), "DELETED\r\n".to_owned()),
        };
        Exchange { request: request.into_bytes(), reply: reply.into_bytes() }
    }
}

fn officer_request(command: &str, key: &str) -> String {
    format!("{{\"command\":\"{command}\",\"name\":\"{key}\"}}\n")
}

fn officer_reply(result: &str, key: &str) -> String {
    format!("{{\"name\":\"{key}\",\"result\":\"{result}\"}}\n")
}

fn floor_line() -> String {
    String::from_utf8(FLOOR_LINE.to_vec()).expect("it is ASCII")
}

fn redis_request(words: &[&str]) -> String {
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    request
}

/// A round of pairs, a lock and its unlock for each key, which is repeated.
///
/// All pairs have the same length, and so do their answers: a pair begins at its number times that length.
#[derive(Debug)]
pub(super) struct Script {
    /// The round, and as much of the next as is written at once, so that this is contiguous wherever it begins.
    requests: Box<[u8]>,
    round_request_len: usize,
    replies: Box<[u8]>,
    pub(super) first_key: usize,
    pub(super) lock_request_len: usize,
    pub(super) pair_request_len: usize,
    pub(super) lock_reply_len: usize,
    pub(super) pair_reply_len: usize,
}

impl Script {
    /// For these keys, of which there is at least one, with this many pairs in flight.
    pub(super) fn pairs(protocol: Protocol, keys: Range<usize>, in_flight: usize) -> Script {
        let (mut requests, mut replies) = (Vec::new(), Vec::new());
        let first_key = keys.start;
        let (lock, unlock) = (protocol.lock(keys.start), protocol.unlock(keys.start));
        for number in keys {
            for exchange in [protocol.lock(number), protocol.unlock(number)] {
                requests.extend(exchange.request);
                replies.extend(exchange.reply);
            }
        }
        let round_request_len = requests.len();
        let pair_request_len = lock.request.len() + unlock.request.len();
        for at in 0..in_flight * pair_request_len {
            requests.push(requests[at]);
        }
        Script {
            requests: requests.into(),
            round_request_len,
            replies: replies.into(),
            first_key,
            lock_request_len: lock.request.len(),
            pair_request_len,
            lock_reply_len: lock.reply.len(),
            pair_reply_len: lock.reply.len() + unlock.reply.len(),
        }
    }

    /// The requests from here on, as far as they are contiguous, which is at least what may be in flight.
    pub(super) fn requests_from(&self, position: usize) -> &[u8] {
        &self.requests[position % self.round_request_len..]
    }

    /// The expected answers from here on, as far as they are contiguous.
    pub(super) fn replies_from(&self, position: usize) -> &[u8] {
        &self.replies[position % self.replies.len()..]
    }

    /// The received line instead of the expected one, from its beginning: `heard` begins at `position`, and differs.
    pub(super) fn wrong_line(&self, position: usize, heard: &[u8]) -> Vec<u8> {
        let wanted = self.replies_from(position);
        let same = wanted.iter().zip(heard).take_while(|(wanted, heard)| wanted == heard).count();
        let at = position % self.replies.len() + same;
        let line_start = self.replies[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        [&self.replies[line_start..at], &heard[same..]].concat()
    }
}
