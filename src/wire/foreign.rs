//! Other protocols, by what a client of them sends first.
//!
//! A web page can make a browser send any bytes to a port of this machine, as the body of an HTTP request. Its header
//! lines would be answered with errors one by one, and the lines of its body executed. So a connection that begins like
//! one of another protocol is closed before anything of it is executed.

use std::fmt;

use super::line::is_blank;

/// A protocol that is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// HTTP, of any version, and what looks like it: RTSP, SIP, ICAP.
    Http,
    /// TLS: a ClientHello.
    Tls,
    /// The PROXY protocol of load balancers, version 1 or 2.
    Proxy,
    /// SOCKS, version 4 or 5.
    Socks,
    /// SMTP and its relatives: FTP, POP3, IMAP.
    Smtp,
    /// SSH.
    Ssh,
    /// STUN and TURN, which browsers speak over TCP as well.
    Stun,
    /// The protocol of Redis.
    Redis,
    /// Anything that is not encrypted, where it has to be.
    Clear,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Foreign::Http => "HTTP",
            Foreign::Tls => "TLS",
            Foreign::Proxy => "the PROXY protocol",
            Foreign::Socks => "SOCKS",
            Foreign::Smtp => "SMTP or FTP",
            Foreign::Ssh => "SSH",
            Foreign::Stun => "STUN",
            Foreign::Redis => "the protocol of Redis",
            Foreign::Clear => "in clear, without TLS",
        })
    }
}

/// What the beginning of a connection says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// Another protocol.
    Foreign(Foreign),
    /// Lines for us, whether or not they are requests.
    Ours,
    /// Too little has come to tell, and there is no line to execute.
    Unknown,
}

impl Beginning {
    /// Judges all that has come on a connection so far, but for blank lines that were dropped. A line over the limit is
    /// that, and nothing else, so that it makes no difference how the bytes are cut.
    pub fn of(bytes: &[u8], line_bytes_max: usize) -> Self {
        // HTTP servers skip blank lines before a request as well, so they don't count as a beginning.
        let mut rest = bytes;
        loop {
            let end = memchr::memchr(b'\n', rest);
            let line = &rest[..end.unwrap_or(rest.len())];
            if let Some(foreign) = binary(&line[..line.len().min(line_bytes_max)]) {
                return Beginning::Foreign(foreign);
            }
            let Some(end) = end else { return Beginning::Unknown };
            if line.len() > line_bytes_max {
                return Beginning::Ours;
            }
            if !is_blank(line) {
                return text(line).map_or(Beginning::Ours, Beginning::Foreign);
            }
            rest = &rest[end + 1..];
        }
    }
}

/// Protocols that need not send a line end at all.
fn binary(bytes: &[u8]) -> Option<Foreign> {
    match bytes {
        // A handshake record of SSL 3.0 to TLS 1.3.
        [0x16, 0x03, 0x00..=0x04, ..] => Some(Foreign::Tls),
        // SOCKS 4: connect or bind. SOCKS 5: the number of methods, and the methods.
        [0x04, 0x01 | 0x02, _, ..] | [0x05, 0x01..=0x09, _, ..] => Some(Foreign::Socks),
        // The magic cookie of RFC 8489.
        [0x00..=0x03, _, _, _, 0x21, 0x12, 0xa4, 0x42, ..] => Some(Foreign::Stun),
        _ => None,
    }
}

/// Protocols of lines.
fn text(line: &[u8]) -> Option<Foreign> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    // The signature of PROXY version 2 begins with two blank lines, and this one.
    if line == b"\0" {
        return Some(Foreign::Proxy);
    }
    // What some servers take for the same line, such as one after a space.
    let line = line.utf8_chunks().next()?.valid().trim_start_matches([' ', '\t', '\0']);
    if is_request_line(line) {
        return Some(Foreign::Http);
    }
    let mut words = line.split(' ');
    let first = words.next()?.to_ascii_uppercase();
    match first.as_str() {
        "PROXY" => Some(Foreign::Proxy),
        "EHLO" | "HELO" | "LHLO" | "STARTTLS" | "AUTH" | "USER" | "PASS" | "MAIL" | "QUIT" | "CAPA" => {
            Some(Foreign::Smtp)
        }
        _ if first.starts_with("SSH-") => Some(Foreign::Ssh),
        _ if first.strip_prefix('*').is_some_and(|count| count.parse::<u32>().is_ok()) => Some(Foreign::Redis),
        // IMAP: a tag, and a command.
        _ if words.next().is_some_and(|word| matches!(word, "CAPABILITY" | "LOGIN" | "STARTTLS" | "AUTHENTICATE")) => {
            Some(Foreign::Smtp)
        }
        _ => None,
    }
}

/// `GET / HTTP/1.1`, `PRI * HTTP/2.0`, `OPTIONS * RTSP/1.0`; of HTTP/0.9, which has no version, `GET /`. Any token is a
/// method: scripts in a browser may choose theirs.
fn is_request_line(line: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let Some((method, rest)) = line.split_once(' ') else { return false };
    if method.is_empty() || !method.bytes().all(is_token) {
        return false;
    }
    let version = rest.rsplit(' ').next().unwrap_or("");
    let has_version = version.split_once('/').is_some_and(|(name, number)| {
        !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphabetic())
            && number.starts_with(|digit: char| digit.is_ascii_digit())
    });
    has_version
        || matches!(
            method.to_ascii_uppercase().as_str(),
            "GET" | "POST" | "PUT" | "HEAD" | "OPTIONS" | "CONNECT" | "DELETE" | "PATCH"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGINNINGS: [(&[u8], Foreign); 25] = [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Foreign::Http),
        (b"POST / HTTP/1.1\r\nContent-Type: text/plain\r\n\r\n{\"command\":\"reset\"}\n", Foreign::Http),
        (b"\r\n\r\nPOST /x HTTP/1.1\r\n", Foreign::Http),
        (b"my-Method /{\"command\":\"ping\"} HTTP/1.0\n", Foreign::Http),
        (b"GET /\r\n", Foreign::Http),
        (b" \tPOST / HTTP/1.1\r\n", Foreign::Http),
        (b"\0POST / HTTP/1.1\r\n", Foreign::Http),
        (b"get /x http/1.1\r\n", Foreign::Http),
        (b"CONNECT 127.0.0.1:11500 HTTP/1.1\r\n", Foreign::Http),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Foreign::Http),
        (b"OPTIONS * RTSP/1.0\r\n", Foreign::Http),
        (b"\x16\x03\x01\x02\x00\x01\x00", Foreign::Tls),
        (b"\x16\x03\x03\x02\n{\"command\":\"reset\"}\n", Foreign::Tls),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 5 6\r\n{\"command\":\"reset\"}\n", Foreign::Proxy),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", Foreign::Proxy),
        (b"\x05\x01\x00", Foreign::Socks),
        (b"\x04\x01\x2c\xec\x7f\0\0\x01\0", Foreign::Socks),
        (b"EHLO example.com\r\n", Foreign::Smtp),
        (b"USER anonymous\r\n", Foreign::Smtp),
        (b"a1 LOGIN ann secret\r\n", Foreign::Smtp),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Foreign::Ssh),
        (b"\0\x03\0\x08\x21\x12\xa4\x42............", Foreign::Stun),
        (b"*1\r\n$4\r\nPING\r\n", Foreign::Redis),
        (b"STARTTLS\r\n", Foreign::Smtp),
        (b"QUIT\r\n", Foreign::Smtp),
    ];

    #[test]
    fn other_protocols_are_known_by_their_beginning_however_it_comes() {
        for (bytes, foreign) in BEGINNINGS {
            // In pieces: unknown first, then this protocol, and never ours.
            let mut was_known = false;
            for length in 0..=bytes.len() {
                match Beginning::of(&bytes[..length], 1000) {
                    Beginning::Unknown => assert!(!was_known, "{bytes:?}: forgotten with {length} bytes"),
                    beginning => {
                        assert_eq!(beginning, Beginning::Foreign(foreign), "{bytes:?}: {length} bytes");
                        was_known = true;
                    }
                }
            }
            assert!(was_known, "{bytes:?}");
        }
    }

    #[test]
    fn lines_for_us_are_ours_whether_or_not_they_are_requests() {
        for line in [
            &b"{\"command\":\"ping\"}\n"[..],
            b" \t{\"command\":\"lock\",\"name\":\"GET / HTTP/1.1\"}\n",
            b"hello\n",
            b"null\n",
            b"[1,2]\n",
            b"{\n",
            b"\xff\xfe\n",
            b"\0\x01\x02\x03\n",
            b"* 1\n",
            b"\"GET / HTTP/1.1\"\n",
            b"take 3/4\n",
            b"see /2\n",
            b"see a/b\n",
        ] {
            assert_eq!(Beginning::of(line, 1000), Beginning::Ours, "{line:?}");
        }
        for part in [&b""[..], b"\n\r\n", b"{\"command\":\"ping\"}", b"\x16", b"\x16\x03", b"\x05"] {
            assert_eq!(Beginning::of(part, 1000), Beginning::Unknown, "{part:?}");
        }
    }

    #[test]
    fn each_protocol_has_a_name_of_its_own() {
        let mut names: Vec<String> = BEGINNINGS.iter().map(|(_, foreign)| foreign.to_string()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 8, "{names:?}");
        assert!(names.iter().all(|name| !name.is_empty()));
    }

    #[test]
    fn a_line_over_the_limit_is_only_that() {
        for (line, decided_by) in [(&b"GET /\n"[..], 5), (b"\0\n", 1), (b"\x16\x03\x01...", 3), (b"\r\nGET /\n", 5)] {
            for line_bytes_max in 0..10 {
                let is_foreign = matches!(Beginning::of(line, line_bytes_max), Beginning::Foreign(_));
                assert_eq!(is_foreign, line_bytes_max >= decided_by, "{line:?} {line_bytes_max}");
            }
        }
    }
}
