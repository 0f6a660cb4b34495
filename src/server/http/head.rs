//! What the head of a request is, and what is refused of what HTTP has allowed over the years: everything that two programs
//! may read differently.

use super::answer::Answer;

/// The longest head, with the blank line at its end.
pub(super) const HEAD_BYTES_MAX: usize = 8 << 10;
/// The longest body.
pub(super) const BODY_BYTES_MAX: usize = 4 << 10;
/// The most fields of a head.
const FIELDS_MAX: usize = 64;

/// Looks for the end of a head, byte by byte and each of them once, however they come.
///
/// Invariant: nothing in `bytes[..scanned]` is the end of the head, or must not be in one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HeadScanner {
    scanned: usize,
}

impl HeadScanner {
    /// How long the head at the beginning of these bytes is. None: its end has not come. What it was called with before is
    /// still there, and more may follow it.
    ///
    /// # Errors
    /// The answer says what is wrong. It is the same for the same bytes, in whatever pieces they come.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, Answer> {
        // The rest of a blank line in front of the request may follow.
        if bytes == b"\r" {
            return Ok(None);
        }
        while let Some(&byte) = bytes.get(self.scanned) {
            let before = &bytes[..self.scanned];
            if byte == b'\n' && before.ends_with(b"\r\n\r") {
                return Ok(Some(self.scanned + 1));
            }
            check_byte(before, byte)?;
            self.scanned += 1;
            if self.scanned == HEAD_BYTES_MAX {
                return Err(Answer::text(431, "the head of the request is longer than 8 KiB"));
            }
        }
        Ok(None)
    }
}

/// Whether a byte may follow what comes before it in a head.
fn check_byte(before: &[u8], byte: u8) -> Result<(), Answer> {
    let is_after_return = before.last() == Some(&b'\r');
    match byte {
        _ if before.is_empty() && !is_token(byte) => Err(bad("this port speaks HTTP")),
        b'\n' if !is_after_return => Err(bad("a line ends with a line feed alone")),
        b'\n' | b'\r' if is_after_return == (byte == b'\n') => Ok(()),
        _ if is_after_return => Err(bad("a carriage return stands alone")),
        b' ' | b'\t' if before.ends_with(b"\r\n") => Err(bad("a field goes on in the next line")),
        b'\t' => Ok(()),
        0..=0x1f | 0x7f => Err(bad("the head has a control character")),
        _ => Ok(()),
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn bad(message: &str) -> Answer {
    Answer::text(400, message)
}

/// A head that can be acted upon.
#[derive(Debug, Default)]
pub(super) struct Head<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    /// What follows the `?`; empty without one.
    pub(super) query: &'a str,
    /// How long the body is. None: it is not said, and there is none.
    pub(super) content_length: Option<usize>,
    /// Nothing comes after the answer.
    pub(super) closes: bool,
    pub(super) host: Option<&'a str>,
    pub(super) origin: Option<&'a str>,
    pub(super) authorization: Option<&'a str>,
    pub(super) content_type: Option<&'a str>,
    /// It has come through a proxy, which says so.
    pub(super) is_proxied: bool,
    /// It has the field that no form of a page can have.
    pub(super) is_marked: bool,
    /// The same, from our own page, which says itself that it is not known who asks.
    pub(super) is_of_page: bool,
}

/// The field that shows that a request comes from a program: a page of another site can't add it unless it is allowed to.
pub(super) const MARK: &str = "X-Officer";

/// The value that our own page gives it.
const OF_PAGE: &[u8] = b"page";

/// Fields by which proxies tell for whom they ask.
const OF_PROXIES: [&str; 5] = ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via"];

impl<'a> Head<'a> {
    /// Reads a head of which [`HeadScanner::scan`] has found the end.
    ///
    /// # Errors
    /// The answer says what is wrong. Where the next request begins is unknown then.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Head<'a>, Answer> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(bytes) {
            Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
            Ok(_) => return Err(bad("the request is not valid HTTP")),
            Err(httparse::Error::TooManyHeaders) => return Err(Answer::text(431, "the request has too many fields")),
            Err(httparse::Error::Version) => return Err(bad("the first line does not end with HTTP/1.1")),
            Err(error) => return Err(bad(&format!("the request is not valid HTTP: {error}"))),
        }
        let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
            return Err(bad("the request is not valid HTTP"));
        };
        if !target.starts_with('/') {
            return Err(bad("the target of a request is a path"));
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut head = Head { method, path, query, closes: version == 0, ..Head::default() };
        for field in request.headers.iter() {
            head.take_field(field.name, field.value)?;
        }
        if head.body_bytes() > 0 && matches!(method, "GET" | "HEAD") {
            return Err(bad("a GET has no body"));
        }
        Ok(head)
    }

    pub(super) fn body_bytes(&self) -> usize {
        self.content_length.unwrap_or(0)
    }

    fn take_field(&mut self, name: &'a str, value: &'a [u8]) -> Result<(), Answer> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        let once = |place: &mut Option<&'a str>| match (str::from_utf8(value), place.is_some()) {
            (Ok(value), false) => {
                *place = Some(value.trim_matches([' ', '\t']));
                Ok(())
            }
            (_, true) => Err(bad(&format!("{name} is there twice"))),
            (Err(_), _) => Err(bad(&format!("{name} is not UTF-8"))),
        };
        if is("Host") {
            return once(&mut self.host);
        } else if is("Origin") {
            return once(&mut self.origin);
        } else if is("Authorization") {
            return once(&mut self.authorization);
        } else if is("Content-Type") {
            return once(&mut self.content_type);
        } else if is("Content-Length") {
            if self.content_length.is_some() {
                return Err(bad("Content-Length is there twice"));
            }
            self.content_length = Some(content_length(value)?);
        } else if is("Transfer-Encoding") {
            return Err(bad("Transfer-Encoding is not supported; send Content-Length"));
        } else if is("Expect") {
            return Err(Answer::text(417, "Expect is not supported; send the body at once"));
        } else if is("Connection") {
            let mut options = value.split(|byte| *byte == b',');
            self.closes |= options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"));
        } else if is(MARK) {
            self.is_marked = true;
            self.is_of_page |= value == OF_PAGE;
        } else if OF_PROXIES.iter().any(|known| is(known)) {
            self.is_proxied = true;
        }
        Ok(())
    }
}

/// Digits alone: what one program reads as a number, another may not.
fn content_length(value: &[u8]) -> Result<usize, Answer> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(bad("Content-Length is not a number"));
    }
    // What has too many digits to be read is too long as well.
    let length = str::from_utf8(value).ok().and_then(|value| value.parse().ok());
    length.filter(|length| *length <= BODY_BYTES_MAX).ok_or_else(|| Answer::text(413, "the body is longer than 4 KiB"))
}

/// Drops blank lines in front of a request, which some programs send after a body.
pub(super) fn skip_blank_lines(input: &mut Vec<u8>) {
    let blank = input.as_chunks::<2>().0.iter().take_while(|pair| **pair == *b"\r\n").count();
    input.drain(..2 * blank);
}
