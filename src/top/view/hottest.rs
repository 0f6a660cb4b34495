//! The table of the locks that were waited for most.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::{Slot, Theme, mark};
use crate::console::shown::{Count, Shown, Span};
use crate::top::model::Hottest;

const HEADS: [&str; 3] = ["WAITED", "WAITS", "LOCK"];
/// Times and counts; the name takes what is left.
const NUMBER_WIDTH: usize = 9;

pub(super) fn draw(buffer: &mut Buffer, hottest: &Hottest, theme: Theme, head_at: Option<Rect>, at: Rect) {
    let put_row = |buffer: &mut Buffer, y: u16, cells: &[String; HEADS.len()], style: Style| {
        for (index, cell) in cells.iter().enumerate() {
            let x = index * (NUMBER_WIDTH + 1);
            let is_number = index < 2;
            let width = if is_number { NUMBER_WIDTH } else { usize::from(at.width).saturating_sub(x) };
            Slot { x, width, is_number }.put(buffer, y, cell, style);
        }
    };
    if let Some(head_at) = head_at {
        put_row(buffer, head_at.y, &HEADS.map(str::to_owned), theme.head().add_modifier(Modifier::UNDERLINED));
    }
    let shown = (hottest.rows.top..).zip(hottest.locks().iter().skip(hottest.rows.top));
    for (y, (index, lock)) in (at.y..at.y + at.height).zip(shown) {
        let waited = Span::of_seconds(lock.waited).to_string();
        let cells = [waited, Count(lock.waits).to_string(), Shown(&lock.name).to_string()];
        put_row(buffer, y, &cells, Style::new());
        if theme.is_live && index == hottest.rows.selected {
            mark(buffer, y);
        }
    }
}
