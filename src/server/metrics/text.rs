//! The text format of Prometheus, version 0.0.4.

use crate::engine::Histogram;
use crate::time::Span;
use crate::wire::digits::push_u64;
use crate::wire::stats::push_nanos;

/// A label: its name and its value.
pub(super) type Label<'a> = (&'static str, &'a str);

/// What kind of metric it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Metrics, as they are written.
pub(super) struct Text<'a> {
    pub(super) out: &'a mut Vec<u8>,
}

impl Text<'_> {
    /// Begins a metric. Its samples follow at once.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        for text in ["# HELP ", name, " ", help, "\n# TYPE ", name, " ", kind, "\n"] {
            self.out.extend_from_slice(text.as_bytes());
        }
    }

    /// A sample that is a whole number.
    pub(super) fn sample(&mut self, name: &str, labels: &[Label<'_>], value: u64) {
        self.key(&[name], labels, None);
        push_u64(self.out, value);
        self.out.push(b'\n');
    }

    /// A sample in seconds.
    pub(super) fn seconds(&mut self, name: &str, labels: &[Label<'_>], span: Span) {
        self.key(&[name], labels, None);
        push_nanos(self.out, span.as_nanos().into());
        self.out.push(b'\n');
    }

    /// The samples of a histogram: of its buckets those that end at one of `bounds`, which have what is in those before them.
    pub(super) fn histogram(&mut self, name: &str, labels: &[Label<'_>], bounds: &[Span], histogram: &Histogram) {
        let mut below = 0;
        for (bound, count) in Histogram::bounds().zip(histogram.counts()) {
            below += count;
            if bounds.contains(&bound) {
                let mut shown = Vec::new();
                push_nanos(&mut shown, bound.as_nanos().into());
                self.bucket(name, labels, &shown, below);
            }
        }
        let all = histogram.counts().iter().sum();
        self.bucket(name, labels, b"+Inf", all);
        self.key(&[name, "_sum"], labels, None);
        push_nanos(self.out, histogram.sum());
        self.out.push(b'\n');
        self.key(&[name, "_count"], labels, None);
        push_u64(self.out, all);
        self.out.push(b'\n');
    }

    fn bucket(&mut self, name: &str, labels: &[Label<'_>], bound: &[u8], below: u64) {
        self.key(&[name, "_bucket"], labels, Some(bound));
        push_u64(self.out, below);
        self.out.push(b'\n');
    }

    fn key(&mut self, name: &[&str], labels: &[Label<'_>], bound: Option<&[u8]>) {
        name.iter().for_each(|part| self.out.extend_from_slice(part.as_bytes()));
        let labels = labels.iter().map(|(label, value)| (*label, value.as_bytes()));
        let mut before = b'{';
        for (label, value) in labels.chain(bound.map(|bound| ("le", bound))) {
            self.out.push(before);
            self.out.extend_from_slice(label.as_bytes());
            self.out.extend_from_slice(b"=\"");
            push_escaped(self.out, value);
            self.out.push(b'"');
            before = b',';
        }
        if before == b',' {
            self.out.push(b'}');
        }
        self.out.push(b' ');
    }
}

/// The value of a label may be any text: these three characters are written in two.
fn push_escaped(out: &mut Vec<u8>, value: &[u8]) {
    for byte in value {
        match byte {
            b'\\' => out.extend_from_slice(br"\\"),
            b'"' => out.extend_from_slice(br#"\""#),
            b'\n' => out.extend_from_slice(br"\n"),
            byte => out.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Text<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut Text { out: &mut out });
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn samples_have_labels_whose_values_are_escaped() {
        let text = written(|text| {
            text.family("a_total", Kind::Counter, "What it is.");
            text.sample("a_total", &[], 7);
            text.sample("a_total", &[("prefix", "a\\b\"c\nd{é")], 0);
            text.sample("a_total", &[("one", ""), ("two", "\"")], 1);
            text.seconds("b_seconds", &[], Span::from_nanos(1_250_000_000));
        });
        let expected = "# HELP a_total What it is.\n# TYPE a_total counter\na_total 7\n\
            a_total{prefix=\"a\\\\b\\\"c\\nd{é\"} 0\n\
            a_total{one=\"\",two=\"\\\"\"} 1\nb_seconds 1.25\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn buckets_have_what_is_in_those_before_them_and_the_last_has_all() {
        let mut histogram = Histogram::default();
        let seconds = |nanos: &[u64]| nanos.iter().map(|nanos| Span::from_nanos(*nanos)).collect::<Vec<_>>();
        for span in seconds(&[0, 90_000, 300_000, 1_000_000, 1_000_001, 4_000_000_000_000]) {
            histogram.add(span);
        }
        let text = written(|text| text.histogram("h", &[("p", "x")], &seconds(&[1_000_000, 2_500_000]), &histogram));
        let expected = "h_bucket{p=\"x\",le=\"0.001\"} 4\nh_bucket{p=\"x\",le=\"0.0025\"} 5\n\
            h_bucket{p=\"x\",le=\"+Inf\"} 6\nh_sum{p=\"x\"} 4000.002390001\nh_count{p=\"x\"} 6\n";
        assert_eq!(text, expected);
    }
}
