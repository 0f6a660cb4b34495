//! The figures of the server, as `stats` answers them.

use super::digits::push_u64;
use super::json::push_str;
use crate::time::Span;

/// The value of the reply to `stats`, written as it is put together.
#[derive(Clone, Debug, Default)]
pub struct StatsValue {
    /// The members of the object, with commas between them.
    text: Vec<u8>,
}

impl StatsValue {
    /// Adds a number.
    pub fn count(&mut self, name: &str, count: u64) {
        self.key(name);
        push_u64(&mut self.text, count);
    }

    /// Adds a length of time, in seconds.
    pub fn seconds(&mut self, name: &str, span: Span) {
        self.key(name);
        push_nanos(&mut self.text, span.as_nanos().into());
    }

    /// Adds an object of numbers.
    pub fn counts<'a>(&mut self, name: &str, counts: impl Iterator<Item = (&'a str, u64)>) {
        self.key(name);
        let mut inner = StatsValue::default();
        counts.for_each(|(name, count)| inner.count(name, count));
        inner.push_to(&mut self.text);
    }

    /// Adds counts of spans in buckets: `bounds` are the upper bounds of all but the last, `sum` is in nanoseconds.
    pub fn histogram(&mut self, name: &str, bounds: impl Iterator<Item = Span>, counts: &[u64], sum: u128) {
        self.key(name);
        let text = &mut self.text;
        text.extend_from_slice(b"{\"bounds\":");
        push_array(text, bounds, |text, bound| push_nanos(text, bound.as_nanos().into()));
        text.extend_from_slice(b",\"counts\":");
        push_array(text, counts.iter(), |text, count| push_u64(text, *count));
        text.extend_from_slice(b",\"sum\":");
        push_nanos(text, sum);
        text.push(b'}');
    }

    /// Adds locks and how they were waited for: for how long by all together, and by how many.
    pub fn hottest<'a>(&mut self, name: &str, rows: impl Iterator<Item = (&'a str, Span, u64)>) {
        self.key(name);
        push_array(&mut self.text, rows, |text, (name, waited, waits)| {
            let mut row = StatsValue::default();
            row.text.extend_from_slice(b"\"name\":");
            push_str(&mut row.text, name);
            row.seconds("waited", waited);
            row.count("waits", waits);
            row.push_to(text);
        });
    }

    fn key(&mut self, name: &str) {
        if !self.text.is_empty() {
            self.text.push(b',');
        }
        push_str(&mut self.text, name);
        self.text.push(b':');
    }

    /// Appends it as an object.
    pub(super) fn push_to(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        out.extend_from_slice(&self.text);
        out.push(b'}');
    }
}

fn push_array<T>(out: &mut Vec<u8>, items: impl Iterator<Item = T>, mut push: impl FnMut(&mut Vec<u8>, T)) {
    out.push(b'[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push(out, item);
    }
    out.push(b']');
}

/// Nanoseconds as seconds, with all their digits: the shortest spans that are counted are far below a millisecond.
pub fn push_nanos(out: &mut Vec<u8>, nanos: u128) {
    const SECOND: u128 = 1_000_000_000;
    push_u64(out, u64::try_from(nanos / SECOND).unwrap_or(u64::MAX));
    if !nanos.is_multiple_of(SECOND) {
        let digits = format!(".{:09}", nanos % SECOND);
        out.extend_from_slice(digits.trim_end_matches('0').as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_an_object_of_what_was_added() {
        let mut value = StatsValue::default();
        value.count("turns", 7);
        value.seconds("uptime", Span::from_nanos(1_500_000_000));
        value.counts("errors", [("one", 1), ("none", 0)].into_iter());
        value.counts("empty", std::iter::empty());
        value.histogram("wait", [100_000, 2_000_000_000].map(Span::from_nanos).into_iter(), &[1, 2, 3], 1 << 70);
        value.hottest("hottest", [("a\"b", Span::from_nanos(1_500_000_000), 2), ("c", Span::ZERO, 0)].into_iter());
        let mut out = Vec::new();
        value.push_to(&mut out);
        let text = concat!(
            r#"{"turns":7,"uptime":1.5,"errors":{"one":1,"none":0},"empty":{},"#,
            r#""wait":{"bounds":[0.0001,2],"counts":[1,2,3],"sum":1180591620717.411303424},"#,
            r#""hottest":[{"name":"a\"b","waited":1.5,"waits":2},{"name":"c","waited":0,"waits":0}]}"#
        );
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }

    #[test]
    fn seconds_have_all_digits_and_no_zeros_at_the_end() {
        for (nanos, text) in [
            (0, "0"),
            (1, "0.000000001"),
            (250_000_000, "0.25"),
            (3_600_000_000_000, "3600"),
            (u128::MAX, "18446744073709551615.768211455"),
        ] {
            let mut out = Vec::new();
            push_nanos(&mut out, nanos);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
