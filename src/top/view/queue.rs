//! The table of the holders and waiters of one lock.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::list::{HOLDER_WIDTH_MAX, HOLDER_WIDTH_MIN, TIME_WIDTH};
use super::{Slot, Theme, mark};
use crate::client::PlaceDetail;
use crate::console::shown::{Shown, Span};
use crate::top::model::Queue;
use crate::top::row::Moment;
use crate::top::text::{Count, width};

/// The holders first, then the waiters in order.
pub(super) fn draw(buffer: &mut Buffer, queue: &Queue, now: Moment, theme: Theme, head_at: Option<Rect>, at: Rect) {
    let Some(seen) = &queue.seen else { return };
    let cells = |first: String, place: &PlaceDetail| {
        let time = place.held_for.or(place.waited_for).unwrap_or(0.0) + (now - seen.at).max(0.0);
        let client = place.client.as_deref().map_or_else(|| "-".to_owned(), |client| Shown(client).to_string());
        [first, Shown(&place.connection).to_string(), Span::of_seconds(time).to_string(), client]
    };
    let holders = seen.detail.holders.iter().map(|holder| cells("holder".to_owned(), holder));
    let waiters = (1..).zip(&seen.detail.waiters).map(|(position, waiter)| cells(Count(position).to_string(), waiter));
    let hidden = seen.detail.waiting.saturating_sub(seen.detail.waiters.len() as u64);
    let more =
        (hidden > 0).then(|| [Count(hidden).to_string(), "more, not listed".to_owned(), String::new(), String::new()]);
    let all: Vec<_> = holders.chain(waiters).chain(more).collect();
    let widest = all.iter().map(|cells| width(&cells[1])).max().unwrap_or(0);
    let columns = usize::from(at.width);
    let connection = widest.clamp(HOLDER_WIDTH_MIN, HOLDER_WIDTH_MAX).min((columns / 2).max(HOLDER_WIDTH_MIN));
    let widths = [7, connection, TIME_WIDTH, columns];
    let put_row = |buffer: &mut Buffer, y: u16, cells: &[String; 4], style: Style| {
        let mut x = 0;
        for (index, (text, width)) in cells.iter().zip(widths).enumerate() {
            let width = width.min(columns.saturating_sub(x));
            Slot { x, width, is_number: matches!(index, 0 | 2) }.put(buffer, y, text, style);
            x += width + 2;
        }
    };
    if let Some(head_at) = head_at {
        let head = ["PLACE", "CONNECTION", "FOR", "CLIENT"].map(str::to_owned);
        put_row(buffer, head_at.y, &head, theme.head().add_modifier(Modifier::UNDERLINED));
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
