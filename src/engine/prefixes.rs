//! Figures of locks whose names begin in certain ways, as the operator has chosen them. A name that begins with several of the
//! prefixes counts for each.

use std::hash::BuildHasher;

use super::Engine;
use super::histogram::Histogram;
use crate::time::Span;

/// How often and for how long the locks of one prefix were waited for and held, since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrefixFigures {
    /// How the names begin.
    pub prefix: Box<str>,
    /// How long each grant was waited for.
    pub waits: Histogram,
    /// How long each hold that has ended lasted.
    pub holds: Histogram,
    /// Requests answered `timed_out`, those that never waited too.
    pub timeouts: u64,
}

/// Those of all prefixes.
#[derive(Debug, Default)]
pub(super) struct Prefixes(Vec<PrefixFigures>);

impl Prefixes {
    /// Whether nothing has to be counted.
    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[cold]
    #[inline(never)]
    pub(super) fn on_grant(&mut self, name: &str, waited: Span) {
        self.of(name).for_each(|figures| figures.waits.add(waited));
    }

    #[cold]
    #[inline(never)]
    pub(super) fn on_hold_end(&mut self, name: &str, held: Span) {
        self.of(name).for_each(|figures| figures.holds.add(held));
    }

    pub(super) fn on_timeout<'a>(&mut self, names: impl Iterator<Item = &'a str> + Clone) {
        for figures in &mut self.0 {
            let is_one = names.clone().any(|name| name.starts_with(&*figures.prefix));
            figures.timeouts += u64::from(is_one);
        }
    }

    fn of(&mut self, name: &str) -> impl Iterator<Item = &mut PrefixFigures> {
        self.0.iter_mut().filter(move |figures| name.starts_with(&*figures.prefix))
    }
}

impl<S: BuildHasher> Engine<S> {
    /// Figures are also kept for the locks whose names begin with each of these, of which there are few. To be set before the
    /// first request.
    pub fn set_prefixes(&mut self, prefixes: impl IntoIterator<Item = Box<str>>) {
        let begin = |prefix| PrefixFigures { prefix, ..PrefixFigures::default() };
        self.prefixes = Prefixes(prefixes.into_iter().map(begin).collect());
    }

    /// The figures of each prefix.
    pub fn prefix_figures(&self) -> &[PrefixFigures] {
        &self.prefixes.0
    }
}
