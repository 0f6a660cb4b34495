//! The values of single fields, as their commands want them.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::fields::{Field, Fields, Rejection, Text, number, present, whole_number};
use super::{CLOSING_SECONDS_MAX, GRACE_SECONDS_MAX, ID_BYTES_MAX, LockName, NAMES_MAX, Names, WHOLE_NUMBER_MAX};
use crate::time::Span;
use crate::wire::Id;

/// The value of a field, if the line has it.
pub(super) type Value<T> = Result<Option<T>, Rejection>;

impl<'a> Fields<'a> {
    pub(super) fn text(&self, field: Field) -> Value<Cow<'a, str>> {
        match Text::read(self.get(field)) {
            Text::Absent => Ok(None),
            Text::Is(text) => Ok(Some(text)),
            Text::Other => Err(wrong(field, "must be a string")),
        }
    }

    pub(super) fn text_within(&self, field: Field, bytes_max: usize) -> Value<Cow<'a, str>> {
        match self.text(field)? {
            Some(text) if text.len() > bytes_max => Err(wrong(field, &format!("must have at most {bytes_max} bytes"))),
            text => Ok(text),
        }
    }

    pub(super) fn truth(&self, field: Field) -> Value<bool> {
        match present(self.get(field)).map(RawValue::get) {
            None => Ok(None),
            Some("false") => Ok(Some(false)),
            Some("true") => Ok(Some(true)),
            Some(_) => Err(wrong(field, "must be true or false")),
        }
    }

    /// One of the words, and what it stands for; `text` says which words there are.
    pub(super) fn word<T: Copy>(&self, field: Field, words: &[(&str, T)], text: &str) -> Value<T> {
        match Text::read(self.get(field)) {
            Text::Absent => Some(None),
            Text::Is(found) => words.iter().find(|(word, _)| *word == found).map(|(_, meaning)| Some(*meaning)),
            Text::Other => None,
        }
        .ok_or_else(|| wrong(field, text))
    }

    /// A whole number from the range; `range_text` says which, as in "from 1 to 9".
    pub(super) fn whole(&self, field: Field, range: RangeInclusive<u64>, range_text: &str) -> Value<u64> {
        let Some(raw) = present(self.get(field)) else { return Ok(None) };
        let whole = number(raw).and_then(whole_number).filter(|whole| range.contains(whole));
        whole.map(Some).ok_or_else(|| wrong(field, &format!("must be a whole number{range_text}")))
    }

    /// Any number of seconds; below 0 is 0.
    pub(super) fn seconds(&self, field: Field) -> Value<Span> {
        self.seconds_where(field, |_| true, "")
    }

    pub(super) fn seconds_above_0(&self, field: Field) -> Value<Span> {
        self.seconds_where(field, |seconds| seconds > 0.0, " above 0")
    }

    /// For how long a lock may be closed.
    pub(super) fn closing_seconds(&self, field: Field) -> Value<Span> {
        let range = 0.0..=f64::from(CLOSING_SECONDS_MAX);
        self.seconds_where(field, |seconds| range.contains(&seconds), " from 0 to 86400")
    }

    fn seconds_where(&self, field: Field, is_allowed: impl Fn(f64) -> bool, range_text: &str) -> Value<Span> {
        let Some(raw) = present(self.get(field)) else { return Ok(None) };
        let seconds = number(raw).filter(|seconds| is_allowed(*seconds));
        let span = seconds.map(Span::from_secs_f64);
        span.map(Some).ok_or_else(|| wrong(field, &format!("must be a number of seconds{range_text}")))
    }

    /// The grace of a session: the only member of an object that counts.
    pub(super) fn session(&self) -> Value<Span> {
        let Some(raw) = present(self.get(Field::Session)) else { return Ok(None) };
        let mut grace = None;
        each_member(raw, |key, value| {
            if matches!(Text::read(Some(key)), Text::Is(key) if key == "grace") {
                grace = number(value);
            }
        });
        let range = 0.0..=f64::from(GRACE_SECONDS_MAX);
        let grace = grace.filter(|seconds| range.contains(seconds));
        let message = "must be an object with a grace of 0 to 300 seconds";
        grace.map(|seconds| Some(Span::from_secs_f64(seconds))).ok_or_else(|| wrong(Field::Session, message))
    }

    /// An id, or what has the form of one.
    pub(super) fn id(&self, field: Field) -> Value<Id<Cow<'a, str>>> {
        if let Some(number) = self.get(field).and_then(number) {
            return match whole_number(number) {
                Some(number) if number <= WHOLE_NUMBER_MAX => Ok(Some(Id::Number(number))),
                _ => Err(wrong(field, "must be a whole number from 0 to 9007199254740991, or a string")),
            };
        }
        match Text::read(self.get(field)) {
            Text::Other => Err(wrong(field, "must be a string or a whole number")),
            Text::Absent | Text::Is(_) => Ok(self.text_within(field, ID_BYTES_MAX)?.map(Id::Text)),
        }
    }

    pub(super) fn token(&self) -> Value<u64> {
        self.whole(Field::Token, 0..=WHOLE_NUMBER_MAX, " from 0 to 9007199254740991")
    }

    pub(super) fn name(&self) -> Value<LockName<'a>> {
        self.text(Field::Name)?.map(LockName::new).transpose().map_err(Rejection::invalid_request)
    }

    pub(super) fn names(&self) -> Value<Names<'a>> {
        let Some(raw) = present(self.get(Field::Names)) else { return Ok(None) };
        let mut names = Vec::new();
        let mut fault = None;
        let is_array = each_element(raw, |element| {
            // More names than that are too many anyway.
            if fault.is_none() && names.len() <= NAMES_MAX {
                match element_name(element) {
                    Ok(name) => names.push(name),
                    Err(rejection) => fault = Some(rejection),
                }
            }
        });
        if !is_array {
            return Err(wrong(Field::Names, "must be an array of strings"));
        }
        fault.map_or_else(|| Names::several(names).map(Some).map_err(Rejection::invalid_request), Err)
    }
}

fn element_name(raw: &RawValue) -> Result<LockName<'_>, Rejection> {
    match Text::read(Some(raw)) {
        Text::Is(name) => LockName::new(name).map_err(Rejection::invalid_request),
        Text::Absent | Text::Other => Err(wrong(Field::Names, "must be an array of strings")),
    }
}

pub(super) fn wrong(field: Field, text: &str) -> Rejection {
    Rejection::invalid_request(format!("{} {text}", field.key()))
}

/// False if the value is not an array.
fn each_element<'a>(raw: &'a RawValue, use_element: impl FnMut(&'a RawValue)) -> bool {
    serde_json::Deserializer::from_str(raw.get()).deserialize_seq(Elements(use_element)).is_ok()
}

struct Elements<F>(F);

impl<'a, F: FnMut(&'a RawValue)> Visitor<'a> for Elements<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut array: A) -> Result<(), A::Error> {
        while let Some(element) = array.next_element()? {
            (self.0)(element);
        }
        Ok(())
    }
}

/// A value that is not an object has none.
fn each_member<'a>(raw: &'a RawValue, use_member: impl FnMut(&'a RawValue, &'a RawValue)) {
    let _ = serde_json::Deserializer::from_str(raw.get()).deserialize_map(Members(use_member));
}

struct Members<F>(F);

impl<'a, F: FnMut(&'a RawValue, &'a RawValue)> Visitor<'a> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut object: A) -> Result<(), A::Error> {
        while let Some((key, value)) = object.next_entry()? {
            (self.0)(key, value);
        }
        Ok(())
    }
}
