//! What a connection sends repeatedly, and the expected answers: both prepared in advance, so that during the
//! measurement a request is a slice to write, and an answer a slice to compare.

use clap::{Args, ValueEnum};

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

/// The protocols for what only Officer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OfficerProtocol {
    /// Officer's own
    Officer,
    /// The answers of 'officer bench floor' to Officer's requests
    Floor,
}

impl From<OfficerProtocol> for Protocol {
    fn from(protocol: OfficerProtocol) -> Self {
        match protocol {
            OfficerProtocol::Officer => Protocol::Officer,
            OfficerProtocol::Floor => Protocol::Floor,
        }
    }
}

/// What a request of Officer's has besides its command and its locks.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Load")]
pub(super) struct Fields {
    /// Send an id with every request
    #[arg(long)]
    pub(super) id: bool,

    /// Send an owner with every request: each pair that a connection has in flight has an owner of its own
    #[arg(long)]
    pub(super) owner: bool,

    /// Ask for a token with every lock
    #[arg(long)]
    pub(super) fence: bool,
}

impl Fields {
    /// Whether a protocol has them.
    pub(super) fn are_known_to(self, protocol: Protocol) -> bool {
        self == Fields::default() || matches!(protocol, Protocol::Officer | Protocol::Floor)
    }
}

/// Ids and owners begin with this number, so that all have the same length.
const FIRST_NUMBER: usize = 10_000_000;

/// The answer of a floor to every line: as long as Officer's answers to our requests.
pub(super) const FLOOR_LINE: &[u8] = b"{\"name\":\"bench:00000000\",\"result\":\"acquired\"}\n";

/// The name of a key, always of the same length.
pub(super) fn key(number: usize) -> String {
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

/// A lock and its unlock.
#[derive(Debug)]
pub(super) struct Pair {
    lock: Exchange,
    unlock: Exchange,
    /// Where the answer to the lock has a token, whose digits nobody can know in advance: they are left out.
    token_at: Option<usize>,
}

impl Pair {
    /// One lock. `number` is that of the pair on its connection, `owner` that of the owner there.
    pub(super) fn of_key(protocol: Protocol, of: usize, fields: Fields, number: usize, owner: usize) -> Pair {
        match protocol {
            Protocol::Officer | Protocol::Floor => {
                Pair::of_subject(protocol, &format!("\"name\":\"{}\"", key(of)), fields, number, owner)
            }
            Protocol::Redis | Protocol::Memcached => {
                Pair { lock: protocol.lock(of), unlock: protocol.unlock(of), token_at: None }
            }
        }
    }

    /// Several locks at once.
    pub(super) fn of_keys(
        protocol: OfficerProtocol,
        of: &[usize],
        fields: Fields,
        number: usize,
        owner: usize,
    ) -> Pair {
        let names: Vec<String> = of.iter().map(|of| format!("\"{}\"", key(*of))).collect();
        Pair::of_subject(protocol.into(), &format!("\"names\":[{}]", names.join(",")), fields, number, owner)
    }

    fn of_subject(protocol: Protocol, subject: &str, fields: Fields, number: usize, owner: usize) -> Pair {
        let owner = if fields.owner { format!(",\"owner\":{}", FIRST_NUMBER + owner) } else { String::new() };
        let id = |number| if fields.id { format!(",\"id\":{}", FIRST_NUMBER + number) } else { String::new() };
        let [lock_id, unlock_id] = [id(2 * number), id(2 * number + 1)];
        let (fence, token) = if fields.fence { (",\"fence\":true", ",\"token\":") } else { ("", "") };
        let request = |command, fence, id: &str| format!("{{\"command\":\"{command}\",{subject}{owner}{fence}{id}}}\n");
        let until_token = format!("{{{subject},\"result\":\"acquired\"{token}");
        let (acquired, released, token_at) = if protocol == Protocol::Floor {
            (floor_line(), floor_line(), None)
        } else {
            let acquired = format!("{until_token}{owner}{lock_id}}}\n");
            let released = format!("{{{subject},\"result\":\"released\"{owner}{unlock_id}}}\n");
            (acquired, released, fields.fence.then_some(until_token.len()))
        };
        let exchange = |request: String, reply: String| Exchange { request: request.into(), reply: reply.into() };
        Pair {
            lock: exchange(request("lock", fence, &lock_id), acquired),
            unlock: exchange(request("unlock", "", &unlock_id), released),
            token_at,
        }
    }
}

/// A round of pairs, which is repeated.
///
/// All pairs have the same length, and so do their answers: a pair begins at its number times that length. The digits of
/// tokens count for nothing in this.
#[derive(Debug)]
pub(super) struct Script {
    /// The round, and as much of the next as is written at once, so that this is contiguous wherever it begins.
    requests: Box<[u8]>,
    round_request_len: usize,
    replies: Box<[u8]>,
    /// Where in the answers to a pair the token is missing.
    token_at: Option<usize>,
    pub(super) first_key: usize,
    pub(super) lock_request_len: usize,
    pub(super) pair_request_len: usize,
    pub(super) lock_reply_len: usize,
    pub(super) pair_reply_len: usize,
}

impl Script {
    /// Of these pairs, of which there is at least one, with this many in flight. The first key is that of the first pair.
    pub(super) fn new(first_key: usize, pairs: &[Pair], in_flight: usize) -> Script {
        let (mut requests, mut replies) = (Vec::new(), Vec::new());
        for exchange in pairs.iter().flat_map(|pair| [&pair.lock, &pair.unlock]) {
            requests.extend_from_slice(&exchange.request);
            replies.extend_from_slice(&exchange.reply);
        }
        let Pair { lock, unlock, token_at } = &pairs[0];
        let round_request_len = requests.len();
        let pair_request_len = lock.request.len() + unlock.request.len();
        for at in 0..in_flight * pair_request_len {
            requests.push(requests[at]);
        }
        Script {
            requests: requests.into(),
            round_request_len,
            replies: replies.into(),
            token_at: *token_at,
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

    /// The expected answers from here on, as far as they are contiguous and without a token in between.
    pub(super) fn replies_from(&self, position: usize) -> &[u8] {
        let replies = &self.replies[position % self.replies.len()..];
        match self.token_at {
            None => replies,
            Some(token_at) => {
                let at = position % self.pair_reply_len;
                let until_token = if at < token_at { token_at - at } else { self.pair_reply_len - at };
                &replies[..until_token]
            }
        }
    }

    /// Whether the digits of a token are next.
    pub(super) fn is_at_token(&self, position: usize) -> bool {
        self.token_at.is_some_and(|token_at| position % self.pair_reply_len == token_at)
    }

    /// The received line instead of the expected one, from its beginning: `heard` begins at `position`, and differs.
    /// `token` is the last that was received.
    pub(super) fn wrong_line(&self, position: usize, token: &[u8], heard: &[u8]) -> Vec<u8> {
        let wanted = self.replies_from(position);
        let same = if self.is_at_token(position) && token.is_empty() {
            // Whatever follows comes in place of the token.
            0
        } else {
            wanted.iter().zip(heard).take_while(|(wanted, heard)| wanted == heard).count()
        };
        let at = position % self.replies.len() + same;
        let line_start = self.replies[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let line = &self.replies[line_start..at];
        let is_lock = line_start % self.pair_reply_len == 0;
        match self.token_at {
            Some(token_at) if is_lock && line.len() >= token_at => {
                [&line[..token_at], token, &line[token_at..], &heard[same..]].concat()
            }
            _ => [line, &heard[same..]].concat(),
        }
    }
}
