//! The table of locks.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

use super::{Slot, Theme, mark};
use crate::console::place::{closed, notes};
use crate::console::shown::{Count, Shown, Span};
use crate::top::circles::Circle;
use crate::top::model::Model;
use crate::top::row::{Column, Moment, Row};
use crate::top::text::width;

/// Columns of numbers are as wide as their heads.
const HEADS: [(Column, &str); 7] = [
    (Column::Lock, "LOCK"),
    (Column::Holder, "HOLDER"),
    (Column::Client, "CLIENT"),
    (Column::Held, "HELD"),
    (Column::Silent, "SILENT"),
    (Column::Waiters, "WAITERS"),
    (Column::Longest, "LONGEST"),
];
/// The columns that a narrow screen omits, first to last.
const DISPENSABLE: [Column; 6] =
    [Column::Silent, Column::Client, Column::Longest, Column::Waiters, Column::Held, Column::Holder];
/// The widest time, except for those longer than 99 days: "59m59s".
pub(super) const TIME_WIDTH: usize = 6;
/// A name needs this many columns to be recognizable.
const LOCK_WIDTH_MIN: usize = 9;
/// What is left for a client's name when the lock's name needs the room.
pub(super) const CLIENT_WIDTH_MIN: usize = 12;
/// The width of an IPv4 address with its port.
pub(super) const HOLDER_WIDTH_MIN: usize = 15;
pub(super) const HOLDER_WIDTH_MAX: usize = 47;

/// What is special about a lock, on a screen with room for it: it can't be sorted by.
const NOTES: &str = "NOTES";
/// Narrower screens have no notes.
const NOTES_COLUMNS_MIN: usize = 90;

/// The head of a column.
pub(super) fn head_of(column: Column) -> &'static str {
    HEADS.iter().find(|(of, _)| *of == column).map_or("", |(_, head)| head)
}

/// The widths that the rows on the screen need.
#[derive(Clone, Copy, Debug)]
struct Needs {
    lock: usize,
    holder: usize,
    client: usize,
}

/// The positions of the columns. The lock gets what the others leave; if that is too little, the client gets less.
fn slots(columns: usize, needs: Needs) -> Vec<(Column, Slot)> {
    let gap = if columns < 100 { 1 } else { 2 };
    let mut shown = Column::ALL.to_vec();
    let holder = needs.holder.clamp(HOLDER_WIDTH_MIN, HOLDER_WIDTH_MAX).min((columns / 3).max(HOLDER_WIDTH_MIN));
    let mut client = needs.client.clamp(head_of(Column::Client).len(), (columns / 4).max(CLIENT_WIDTH_MIN));
    let width_of = |column: Column, client: usize| match column {
        Column::Lock => 0,
        Column::Holder => holder,
        Column::Client => client,
        Column::Held | Column::Silent => TIME_WIDTH,
        Column::Waiters | Column::Longest => head_of(column).len(),
    };
    let taken = |shown: &[Column], client: usize| {
        shown.iter().map(|column| width_of(*column, client) + gap).sum::<usize>() - gap
    };
    let missing = (taken(&shown, client) + needs.lock).saturating_sub(columns);
    client -= missing.min(client.saturating_sub(CLIENT_WIDTH_MIN));
    for dispensable in DISPENSABLE {
        if taken(&shown, client) + LOCK_WIDTH_MIN <= columns {
            break;
        }
        shown.retain(|column| *column != dispensable);
    }
    let lock = columns.saturating_sub(taken(&shown, client));
    let mut x = 0;
    let slot = |column: Column| {
        let width = if column == Column::Lock { lock } else { width_of(column, client) };
        let slot = Slot { x, width, is_number: column.is_number() };
        x += width + gap;
        (column, slot)
    };
    shown.into_iter().map(slot).collect()
}

/// Draws the heads and the rows.
pub(super) fn draw(buffer: &mut Buffer, model: &Model, now: Moment, theme: Theme, head_at: Option<Rect>, at: Rect) {
    let rows = model.list();
    let shown: Vec<Cells> =
        rows.iter().skip(model.rows.top).take(usize::from(at.height)).map(|row| Cells::of(row, model, now)).collect();
    let widest = |cell: fn(&Cells) -> &str| shown.iter().map(|cells| width(cell(cells))).max().unwrap_or(0);
    let columns = usize::from(at.width);
    let needs = Needs {
        lock: widest(|cells| &cells.lock),
        holder: widest(|cells| &cells.holder),
        client: widest(|cells| &cells.client),
    };
    let notes = widest(|cells| &cells.notes);
    let notes = if notes == 0 || columns < NOTES_COLUMNS_MIN { 0 } else { notes.clamp(NOTES.len(), columns / 3) };
    let slots = slots(if notes == 0 { columns } else { columns - notes - 2 }, needs);
    let notes = Slot { x: columns - notes, width: notes, is_number: false };
    if let Some(head_at) = head_at {
        notes.put(buffer, head_at.y, NOTES, theme.head().add_modifier(Modifier::UNDERLINED));
        for (column, slot) in &slots {
            let is_sorted = theme.is_live && *column == model.sort.column;
            let style = theme.head().add_modifier(if is_sorted { Modifier::REVERSED } else { Modifier::UNDERLINED });
            slot.put(buffer, head_at.y, head_of(*column), style);
        }
    }
    for (y, (index, cells)) in (at.y..).zip((model.rows.top..).zip(&shown)) {
        let style = match &rows[index] {
            _ if cells.is_deadlock => theme.alarm(),
            row if row.waiters > 0 => theme.colored(Color::Yellow),
            _ => Style::new(),
        };
        notes.put(buffer, y, &cells.notes, style);
        for (column, slot) in &slots {
            slot.put(buffer, y, cells.text(*column), style);
        }
        if theme.is_live && index == model.rows.selected {
            mark(buffer, y);
        }
    }
    let is_all = model.is_current && model.picture.as_ref().is_some_and(|picture| picture.is_complete);
    if rows.is_empty() && is_all && at.height > 0 {
        let nothing = match model.counts().locks {
            0 if model.prefix.is_empty() => "Nobody holds a lock.",
            0 => "Nobody holds a lock whose name starts with this.",
            _ => "No lock, holder or client contains the text of the filter.",
        };
        buffer.set_stringn(0, at.y, nothing, columns, Style::new());
    }
}

/// The texts of a row.
struct Cells {
    lock: String,
    holder: String,
    client: String,
    held: String,
    silent: String,
    waiters: String,
    longest: String,
    notes: String,
    is_deadlock: bool,
}

impl Cells {
    fn of(row: &Row, model: &Model, now: Moment) -> Self {
        let nobody = || "-".to_owned();
        let is_deadlock = model.circles().iter().any(|circle: &Circle| circle.has_lock(&row.name));
        let closed_for = row.closed_until.map(|until| until - now).filter(|left| *left > 0.0);
        let of_holder = row.holder.as_ref().map(|holder| notes(&holder.place, false, now - holder.seen_at));
        let life = row.holder.as_ref().and_then(|holder| holder.life);
        let of_life = life.and_then(|life| life.note(now));
        let of_holder = of_holder.filter(|notes| !notes.is_empty());
        let all_notes = [is_deadlock.then(|| "DEADLOCK".to_owned()), of_life, of_holder];
        let since = |since: Moment| Span::of_seconds(now - since).to_string();
        let others = match row.holders {
            0 | 1 => String::new(),
            holders => format!(" +{}", holders - 1),
        };
        let holder = row.holder.as_ref();
        Cells {
            lock: Shown(&row.name).to_string(),
            holder: holder.map_or_else(
                || closed_for.map_or_else(nobody, closed),
                |holder| format!("{}{others}", Shown(&holder.place.connection)),
            ),
            client: holder
                .and_then(|holder| holder.place.client.as_ref())
                .map_or_else(nobody, |client| Shown(client).to_string()),
            held: holder.map_or_else(nobody, |holder| since(holder.since)),
            silent: life.map_or_else(nobody, |life| Span::of_seconds(life.silent_for()).to_string()),
            waiters: Count(row.waiters).to_string(),
            longest: row.waited_since.map_or_else(nobody, since),
            notes: all_notes.into_iter().flatten().collect::<Vec<_>>().join(", "),
            is_deadlock,
        }
    }

    fn text(&self, column: Column) -> &str {
        match column {
            Column::Lock => &self.lock,
            Column::Holder => &self.holder,
            Column::Client => &self.client,
            Column::Held => &self.held,
            Column::Silent => &self.silent,
            Column::Waiters => &self.waiters,
            Column::Longest => &self.longest,
        }
    }
}
