//! What only some requests bring: out of line, and kept for its memory when it is no longer needed.

use super::bundle::BundleKey;
use super::hint::Hint;
use crate::time::Span;
use crate::wire::{Id, IdRef};

/// What a place has beside the usual.
#[derive(Debug, Default)]
pub(super) struct PlaceExtras {
    /// The request's id, to be sent with the answer when the wait ends.
    pub(super) id: StoredId,
    /// How long the hold lasts unless it is renewed.
    pub(super) lease: Option<Span>,
    /// Of a waiter.
    pub(super) priority: u8,
    pub(super) min_hold: Span,
    pub(super) lost_delay: Span,
    /// With whom it is counted if its lock may stay closed.
    pub(super) closing_group: Option<u32>,
    /// Empty: none.
    pub(super) label: String,
    /// Whether the holder is told when somebody else wants the lock.
    pub(super) hint: Hint,
    /// Of a holder: it was handed the lock before others who had waited longer.
    pub(super) is_out_of_turn: bool,
    /// Of a holder: it has been reported as slow.
    pub(super) is_reported: bool,
    /// The wait for several locks that it is a part of.
    pub(super) bundle: Option<BundleKey>,
}

impl PlaceExtras {
    /// Whether its lock may stay closed after the hold. The server has a limit on such requests.
    pub(super) fn may_close(&self) -> bool {
        self.min_hold > Span::ZERO || self.lost_delay > Span::ZERO
    }

    /// Whether there is anything in it that a holder needs.
    pub(super) fn is_of_a_hold(&self) -> bool {
        self.lease.is_some()
            || self.may_close()
            || !self.label.is_empty()
            || self.hint != Hint::None
            || self.is_out_of_turn
            || self.is_reported
    }

    fn clear(&mut self) {
        let PlaceExtras {
            id,
            lease,
            priority,
            min_hold,
            lost_delay,
            closing_group,
            label,
            hint,
            is_out_of_turn,
            is_reported,
            bundle,
        } = self;
        id.clear();
        (*lease, *priority, *is_out_of_turn, *is_reported, *bundle) = (None, 0, false, false, None);
        (*min_hold, *lost_delay, *closing_group, *hint) = (Span::ZERO, Span::ZERO, None, Hint::None);
        label.clear();
    }
}

/// An id that is kept while its request waits.
#[derive(Debug, Default)]
pub(super) struct StoredId {
    form: Form,
    /// Kept for its memory.
    text: String,
}

#[derive(Clone, Copy, Debug, Default)]
enum Form {
    #[default]
    None,
    Number(u64),
    Text,
}

impl StoredId {
    pub(super) fn set(&mut self, id: Option<&IdRef<'_>>) {
        self.clear();
        self.form = match id {
            None => Form::None,
            Some(Id::Number(number)) => Form::Number(number.value()),
            Some(Id::Text(text)) => {
                self.text.push_str(text);
                Form::Text
            }
        };
    }

    pub(super) fn get(&self) -> Option<IdRef<'_>> {
        match self.form {
            Form::None => None,
            Form::Number(number) => Some(Id::Number(number.into())),
            Form::Text => Some(Id::Text(&self.text)),
        }
    }

    pub(super) fn clear(&mut self) {
        self.form = Form::None;
        self.text.clear();
    }
}

/// Extras that are kept for their memory.
const KEPT: usize = 1024;

/// Extras that were used before.
#[derive(Debug, Default)]
pub(super) struct Pool(#[expect(clippy::vec_box, reason = "the boxes are what is kept")] Vec<Box<PlaceExtras>>);

impl Pool {
    pub(super) fn take(&mut self) -> Box<PlaceExtras> {
        self.0.pop().unwrap_or_default()
    }

    pub(super) fn put(&mut self, mut extras: Box<PlaceExtras>) {
        if self.0.len() < KEPT {
            extras.clear();
            self.0.push(extras);
        }
    }
}
