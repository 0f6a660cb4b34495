//! The table of the holders and waiters of one lock.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::list::{CLIENT_WIDTH_MIN, HOLDER_WIDTH_MAX, HOLDER_WIDTH_MIN, TIME_WIDTH};
use super::{Slot, Theme, mark};
use crate::client::PlaceDetail;
use crate::console::place::notes;
use crate::console::shown::{Count, Shown, Span};
use crate::top::circles::Circle;
use crate::top::life::Life;
use crate::top::model::{Queue, Seen};
use crate::top::row::Moment;
use crate::top::text::width;

const HEADS: [&str; 8] = ["PLACE", "CONNECTION", "FOR", "SILENT", "UNSENT", "AGE", "NOTES", "CLIENT"];
const PLACE: usize = 0;
const CONNECTION: usize = 1;
const FOR: usize = 2;
const SILENT: usize = 3;
const UNSENT: usize = 4;
const AGE: usize = 5;
const NOTES: usize = 6;
const CLIENT: usize = 7;
/// The columns that a narrow screen omits, first to last.
const DISPENSABLE: [usize; 4] = [AGE, UNSENT, SILENT, NOTES];
/// Narrower screens don't show tokens.
const TOKEN_COLUMNS_MIN: usize = 120;
const GAP: usize = 2;

type Cells = [String; HEADS.len()];

/// The holders first, then the waiters in order.
pub(super) fn draw(
    buffer: &mut Buffer,
    (queue, circles): (&Queue, &[Circle]),
    now: Moment,
    theme: Theme,
    head_at: Option<Rect>,
    at: Rect,
) {
    let Some(seen) = &queue.seen else { return };
    let all = rows(queue, circles, seen, now, usize::from(at.width) >= TOKEN_COLUMNS_MIN);
    let slots = slots(usize::from(at.width), &all);
    let put_row = |buffer: &mut Buffer, y: u16, cells: &Cells, style: Style| {
        for (index, slot) in &slots {
            slot.put(buffer, y, &cells[*index], style);
        }
    };
    if let Some(head_at) = head_at {
        put_row(buffer, head_at.y, &HEADS.map(str::to_owned), theme.head().add_modifier(Modifier::UNDERLINED));
    }
    let shown = (queue.rows.top..).zip(all.iter().skip(queue.rows.top).take(usize::from(at.height)));
    for (y, (index, cells)) in (at.y..).zip(shown) {
        let is_holder = index < seen.detail.holders.len();
        put_row(buffer, y, cells, if is_holder { theme.head() } else { Style::new() });
        if theme.is_live && index == queue.rows.selected {
            mark(buffer, y);
        }
    }
}

fn rows(queue: &Queue, circles: &[Circle], seen: &Seen, now: Moment, has_token: bool) -> Vec<Cells> {
    let all_notes = |place: &PlaceDetail| {
        let is_deadlock = circles.iter().any(|circle| circle.has_place(&queue.name, place));
        let of_life = queue.lives.get(&place.connection).and_then(|life| life.note(now));
        let notes = Some(notes(place, has_token, now - seen.at)).filter(|notes| !notes.is_empty());
        let all = [is_deadlock.then(|| "DEADLOCK".to_owned()), of_life, notes];
        all.into_iter().flatten().collect::<Vec<_>>().join(", ")
    };
    let cells = |first: String, place: &PlaceDetail| {
        let life = queue.lives.get(&place.connection);
        let of_life = |cell: &dyn Fn(&Life) -> String| life.map_or_else(|| "-".to_owned(), cell);
        let time = place.held_for.or(place.waited_for).unwrap_or(0.0) + (now - seen.at).max(0.0);
        [
            first,
            Shown(&place.connection).to_string(),
            Span::of_seconds(time).to_string(),
            of_life(&|life| Span::of_seconds(life.silent_for()).to_string()),
            of_life(&|life| Count(life.unsent).to_string()),
            of_life(&|life| Span::of_seconds(now - life.since).to_string()),
            all_notes(place),
            Shown(place.client.as_deref().unwrap_or("-")).to_string(),
        ]
    };
    let holders = seen.detail.holders.iter().map(|holder| cells("holder".to_owned(), holder));
    let waiters = (1..).zip(&seen.detail.waiters).map(|(position, waiter)| cells(Count(position).to_string(), waiter));
    let [_, hidden] = seen.detail.unlisted();
    let more = (hidden > 0).then(|| {
        let mut cells = Cells::default();
        (cells[PLACE], cells[CONNECTION]) = (Count(hidden).to_string(), "more, not listed".to_owned());
        cells
    });
    holders.chain(waiters).chain(more).collect()
}

/// The positions of the columns. The client gets the width that the others leave.
fn slots(columns: usize, all: &[Cells]) -> Vec<(usize, Slot)> {
    let widest = |index: usize| all.iter().map(|cells| width(&cells[index])).max().unwrap_or(0);
    let connection = widest(CONNECTION).clamp(HOLDER_WIDTH_MIN, HOLDER_WIDTH_MAX);
    let mut widths = [TIME_WIDTH; HEADS.len()];
    widths[PLACE] = 7;
    widths[CONNECTION] = connection.min((columns / 2).max(HOLDER_WIDTH_MIN));
    widths[UNSENT] = widest(UNSENT).max(width(HEADS[UNSENT]));
    widths[CLIENT] = CLIENT_WIDTH_MIN;
    let notes = widest(NOTES).min(columns / 3);
    widths[NOTES] = notes.max(width(HEADS[NOTES]));
    let mut shown: Vec<usize> = (0..HEADS.len()).filter(|index| *index != NOTES || notes > 0).collect();
    for dispensable in DISPENSABLE {
        if shown.iter().map(|index| widths[*index] + GAP).sum::<usize>() - GAP <= columns {
            break;
        }
        shown.retain(|index| *index != dispensable);
    }
    widths[CLIENT] = columns;
    let mut x = 0;
    let slot = |index: usize| {
        let width = widths[index].min(columns.saturating_sub(x));
        let is_number = matches!(index, PLACE | FOR | SILENT | UNSENT | AGE);
        let slot = Slot { x, width, is_number };
        x += width + GAP;
        (index, slot)
    };
    shown.into_iter().map(slot).collect()
}
