//! The fields of a line: found, known to be well-formed, and not yet read.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::NESTING_MAX;
use crate::wire::reply::Reason;

/// A field with the value `null` counts as absent.
pub(super) fn present(raw: Option<&RawValue>) -> Option<&RawValue> {
    raw.filter(|raw| raw.get() != "null")
}

/// The value as a number, if it is one. That it fits a double was checked before.
pub(super) fn number(raw: &RawValue) -> Option<f64> {
    matches!(raw.get().as_bytes()[0], b'-' | b'0'..=b'9').then(|| raw.get().parse().ok()).flatten()
}

/// `2`, `2.0` and `2e0` are all the whole number 2. One beyond 64 bits saturates.
pub(super) fn whole_number(number: f64) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and saturates as said")]
    (number >= 0.0 && number.fract() == 0.0).then_some(number as u64)
}

/// The value of a field that has to be a string.
pub(super) enum Text<'a> {
    Absent,
    Is(Cow<'a, str>),
    Other,
}

impl<'a> Text<'a> {
    pub(super) fn read(raw: Option<&'a RawValue>) -> Self {
        let Some(raw) = present(raw) else { return Text::Absent };
        let Some(inner) = raw.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
            return Text::Other;
        };
        if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
            return Text::Is(Cow::Borrowed(inner));
        }
        // Only half of a surrogate pair can be wrong with it, and then the line is not well-formed.
        serde_json::from_str(raw.get()).map_or(Text::Other, |text| Text::Is(Cow::Owned(text)))
    }
}

/// What is wrong with a line, before its name and id are known.
#[derive(Clone)]
pub(super) struct Rejection {
    pub(super) reason: Reason,
    pub(super) message: Cow<'static, str>,
}

impl Rejection {
    fn invalid_json(message: impl Into<Cow<'static, str>>) -> Self {
        Rejection { reason: Reason::InvalidJson, message: message.into() }
    }

    pub(super) fn invalid_request(message: impl Into<Cow<'static, str>>) -> Self {
        Rejection { reason: Reason::InvalidRequest, message: message.into() }
    }
}

/// The fields of a line, as they are written. Of a key that comes twice, the last.
pub(super) struct Fields<'a> {
    /// Those that mean something to some command.
    known: [Option<&'a RawValue>; Field::ALL.len()],
    /// The first key that means nothing to any, and has a value.
    unknown: Option<&'a RawValue>,
}

/// A field that some command has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Command,
    Id,
    Name,
    Timeout,
    QueueMax,
    Prefix,
    Limit,
    After,
    Detail,
    Client,
    MaxIdle,
    Strict,
    All,
    Connection,
    Owner,
    Names,
    Token,
    Fence,
    Mode,
    Slots,
    Lease,
    Any,
    Priority,
    Deadlock,
    MinHold,
    LostDelay,
    Label,
    Notices,
    Progress,
    Hint,
    Session,
    Resume,
    User,
    Secret,
    To,
    ToOwner,
    Contended,
}

impl Field {
    /// All of them, in their order.
    const ALL: [(Field, &str); 37] = [
        (Field::Command, "command"),
        (Field::Id, "id"),
        (Field::Name, "name"),
        (Field::Timeout, "timeout"),
        (Field::QueueMax, "queue_max"),
        (Field::Prefix, "prefix"),
        (Field::Limit, "limit"),
        (Field::After, "after"),
        (Field::Detail, "detail"),
        (Field::Client, "client"),
        (Field::MaxIdle, "max_idle"),
        (Field::Strict, "strict"),
        (Field::All, "all"),
        (Field::Connection, "connection"),
        (Field::Owner, "owner"),
        (Field::Names, "names"),
        (Field::Token, "token"),
        (Field::Fence, "fence"),
        (Field::Mode, "mode"),
        (Field::Slots, "slots"),
        (Field::Lease, "lease"),
        (Field::Any, "any"),
        (Field::Priority, "priority"),
        (Field::Deadlock, "deadlock"),
        (Field::MinHold, "min_hold"),
        (Field::LostDelay, "lost_delay"),
        (Field::Label, "label"),
        (Field::Notices, "notices"),
        (Field::Progress, "progress"),
        (Field::Hint, "hint"),
        (Field::Session, "session"),
        (Field::Resume, "resume"),
        (Field::User, "user"),
        (Field::Secret, "secret"),
        (Field::To, "to"),
        (Field::ToOwner, "to_owner"),
        (Field::Contended, "contended"),
    ];

    /// Its key in a line.
    pub(super) fn key(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    fn of_key(key: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, name)| *name == key).map(|(field, _)| *field)
    }
}

const _: () = {
    let mut index = 0;
    while index < Field::ALL.len() {
        assert!(Field::ALL[index].0 as usize == index, "the fields are in their order");
        index += 1;
    }
};

impl Default for Fields<'_> {
    fn default() -> Self {
        Fields { known: [None; Field::ALL.len()], unknown: None }
    }
}

impl<'a> Fields<'a> {
    pub(super) fn get(&self, field: Field) -> Option<&'a RawValue> {
        self.known[field as usize]
    }

    /// Whether the line has this field, and not as `null`.
    pub(super) fn has(&self, field: Field) -> bool {
        present(self.get(field)).is_some()
    }

    /// The first field that is in the line and not among these.
    pub(super) fn other_than(&self, fields: &[Field]) -> Option<Cow<'a, str>> {
        if let Some(key) = self.unknown {
            // Half of a surrogate pair is not text, but a field that nobody knows all the same.
            return Some(if let Text::Is(key) = Text::read(Some(key)) { key } else { Cow::Borrowed(key.get()) });
        }
        let is_other = |(field, _): &&(Field, _)| self.has(*field) && !fields.contains(field);
        Field::ALL.iter().find(is_other).map(|(_, name)| Cow::Borrowed(*name))
    }

    /// Checks that the whole line is well-formed, including what is ignored.
    pub(super) fn read(line: &'a [u8]) -> Result<Self, Rejection> {
        let text = std::str::from_utf8(line).map_err(|_| Rejection::invalid_json("the line is not UTF-8"))?;
        let ill_formed = |error: serde_json::Error| Rejection::invalid_json(format!("the line is not JSON: {error}"));
        if !text.trim_ascii_start().starts_with('{') {
            let value: &RawValue = serde_json::from_str(text).map_err(ill_formed)?;
            check_skipped(value.get(), 0)?;
            return Err(Rejection::invalid_request("a request must be an object"));
        }
        let mut collector = Collector { fields: Fields::default(), rejection: None };
        let mut deserializer = serde_json::Deserializer::from_str(text);
        collector.collect(&mut deserializer).and_then(|()| deserializer.end()).map_err(ill_formed)?;
        collector.rejection.map_or(Ok(collector.fields), Err)
    }
}

/// serde's derive refuses repeated keys, so this is written by hand. Values stay raw: an error in one may be reported
/// only once the whole line is known to be well-formed.
struct Collector<'a> {
    fields: Fields<'a>,
    /// The first value that exceeds our limits on well-formed JSON.
    rejection: Option<Rejection>,
}

impl<'a> Collector<'a> {
    fn collect<D: Deserializer<'a>>(&mut self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for &mut Collector<'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        // Keys stay raw too: a key with an unpaired surrogate is an unknown field, so it is ignored.
        while let Some(key) = map.next_key::<&'a RawValue>()? {
            let value: &'a RawValue = map.next_value()?;
            if self.rejection.is_none() {
                self.rejection = check_skipped(value.get(), 1).err();
            }
            let field = match Text::read(Some(key)) {
                Text::Is(key) => Field::of_key(&key),
                Text::Absent | Text::Other => None,
            };
            match field {
                Some(field) => self.fields.known[field as usize] = Some(value),
                None => self.fields.unknown = self.fields.unknown.or(present(Some(value)).map(|_| key)),
            }
        }
        Ok(())
    }
}

/// A string that counts must be valid text, without unpaired surrogates. (Ignored strings are not checked.)
pub(super) fn check_surrogates(value: &RawValue) -> Result<(), Rejection> {
    if memchr::memchr(b'\\', value.get().as_bytes()).is_none() {
        return Ok(());
    }
    let decoded: Result<serde_json::Value, _> = serde_json::from_str(value.get());
    decoded.map(drop).map_err(|_| Rejection::invalid_json("an escape is an unpaired surrogate"))
}

/// serde_json steps over a value that nobody looks at without minding how deep it is or how large its numbers are. The
/// answer must not depend on whether a field is read, so both are checked here. `value` is known to be JSON, inside `depth`
/// others.
fn check_skipped(value: &str, mut depth: usize) -> Result<(), Rejection> {
    let bytes = value.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += 1;
                while bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
            }
            b'{' | b'[' => {
                depth += 1;
                if depth > NESTING_MAX {
                    return Err(Rejection::invalid_json("arrays and objects are nested deeper than 128"));
                }
            }
            b'}' | b']' => depth -= 1,
            b'-' | b'0'..=b'9' => {
                let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
                let length = bytes[at..].iter().take_while(|byte| is_part(byte)).count();
                if !value[at..at + length].parse::<f64>().is_ok_and(f64::is_finite) {
                    return Err(Rejection::invalid_json("a number does not fit a double"));
                }
                at += length;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    Ok(())
}
