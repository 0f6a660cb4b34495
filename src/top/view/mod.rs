//! The screen: a function of the state, the time and the size.
//!
//! From top to bottom: the counts and the server; the age of the picture, the order and the filter; the table; the last
//! line with the keys, or with a message. On a very low screen only the table remains. All marks are ASCII, which every
//! terminal has.

mod hottest;
mod list;
mod queue;
mod status;
#[cfg(test)]
mod tests;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

use self::status::{state, title};
use super::help;
use super::model::{Model, Over, question, short_question, shortest_question};
use super::row::Moment;
use super::text::{fit, fit_end, width, wrap};
use crate::console::shown::Shown;

/// The styles.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    /// Not with `NO_COLOR`.
    pub(super) has_color: bool,
    /// Not for a screen that is printed as text.
    pub(super) is_live: bool,
}

impl Theme {
    fn colored(self, color: Color) -> Style {
        if self.has_color { Style::new().fg(color) } else { Style::new() }
    }

    fn alarm(self) -> Style {
        self.colored(Color::Red).add_modifier(Modifier::BOLD)
    }

    fn head(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }
}

/// On narrower screens a question can't be shown completely.
const QUESTION_WIDTH_MIN: u16 = 20;

/// Rows of the table on a screen of this size.
pub(super) fn table_height(model: &Model, area: Rect, now: Moment) -> usize {
    let parts = Parts::of(area.height, &bottom(model, area, now));
    usize::from(parts.rows)
}

/// Whether a screen of this size shows enough of a question to answer it.
pub(super) fn has_room_for_question(area: Rect) -> bool {
    area.width >= QUESTION_WIDTH_MIN && area.height >= 3
}

/// How the lines of the screen are divided.
#[derive(Clone, Copy, Debug)]
struct Parts {
    /// Lines above the table: 2, or fewer.
    top: u16,
    has_head: bool,
    rows: u16,
    bottom: u16,
}

impl Parts {
    fn top_of(height: u16) -> u16 {
        if height >= 5 { 2 } else { 1.min(height) }
    }

    fn of(height: u16, bottom: &[String]) -> Self {
        let wanted = u16::try_from(bottom.len()).unwrap_or(u16::MAX);
        // The state has the highest priority, then one row, then the last line, then the heads.
        let top = Parts::top_of(height);
        let left = height - top;
        let bottom = wanted.min(left.saturating_sub(1));
        let left = left - bottom;
        let has_head = left >= 2;
        Parts { top, has_head, rows: left - u16::from(has_head), bottom }
    }
}

/// Draws everything.
pub(super) fn draw(buffer: &mut Buffer, model: &Model, theme: Theme, now: Moment) {
    let area = buffer.area;
    if area.is_empty() {
        return;
    }
    if model.over == Over::Help {
        return draw_help(buffer, theme);
    }
    let bottom = if theme.is_live { bottom(model, area, now) } else { Vec::new() };
    let parts = Parts::of(area.height, &bottom);
    let is_alarm = model.loss.is_some() || !model.circles().is_empty();
    let alarm = if is_alarm { theme.alarm() } else { Style::new() };
    let tops = match model.loss {
        // The only line of a very low screen shows the worst news.
        Some(_) if parts.top == 1 => [(state(model, now), alarm), Default::default()],
        _ => [(title(model, model.shown_at(now)), theme.head()), (state(model, now), alarm)],
    };
    for (y, (line, style)) in (0..parts.top).zip(tops) {
        put(buffer, y, &line, style);
    }
    let at = |y: u16, height: u16| Rect { y, height, ..area };
    let rows_at = at(parts.top + u16::from(parts.has_head), parts.rows);
    let head_at = parts.has_head.then(|| at(parts.top, 1));
    match (&model.queue, &model.hottest) {
        (Some(queue), _) => queue::draw(buffer, (queue, model.circles()), model.shown_at(now), theme, head_at, rows_at),
        (None, Some(hottest)) => hottest::draw(buffer, hottest, theme, head_at, rows_at),
        (None, None) => list::draw(buffer, model, model.shown_at(now), theme, head_at, rows_at),
    }
    let style = match model.over {
        Over::Question { .. } => theme.alarm(),
        _ if model.over == Over::Nothing && model.message(now).is_none() => theme.colored(Color::Cyan),
        _ => Style::new().add_modifier(Modifier::BOLD),
    };
    for (y, line) in (area.height - parts.bottom..area.height).zip(&bottom) {
        put(buffer, y, line, style);
    }
}

fn put(buffer: &mut Buffer, y: u16, line: &str, style: Style) {
    let columns = usize::from(buffer.area.width);
    buffer.set_stringn(0, y, line, columns, style);
}

/// The last lines.
fn bottom(model: &Model, area: Rect, now: Moment) -> Vec<String> {
    let columns = usize::from(area.width);
    match &model.over {
        Over::Question { target, .. } => {
            // Below the state and one row.
            let room = usize::from(area.height.saturating_sub(Parts::top_of(area.height) + 1));
            let questions = [question(target, model.shown_at(now)), short_question(target), shortest_question(target)];
            let lines = questions.iter().map(|question| wrap(question, columns)).find(|lines| lines.len() <= room);
            lines.unwrap_or_else(|| vec![fit(&shortest_question(target), columns)])
        }
        Over::Filter => vec![filter_line(&model.filter, columns)],
        Over::Nothing | Over::Help => match model.message(now) {
            Some(message) => wrap(message, columns),
            None if model.queue.is_some() => vec![hints(&help::QUEUE_HINTS, columns)],
            None if model.hottest.is_some() => vec![hints(&help::HOTTEST_HINTS, columns)],
            None => vec![hints(&help::LIST_HINTS, columns)],
        },
    }
}

/// The filter that is being typed. Its end, where the cursor is, has priority.
fn filter_line(filter: &str, columns: usize) -> String {
    let typed = fit_end(&Shown(filter).to_string(), columns.saturating_sub(2));
    let hint = "   Enter: keep it, Esc: no filter";
    let hint = if width(&typed) + 2 + width(hint) <= columns { hint } else { "" };
    format!("/{typed}_{hint}")
}

/// As many of the hints as fit; always including the last.
fn hints(hints: &[&str], columns: usize) -> String {
    let Some((last, others)) = hints.split_last() else { return String::new() };
    let mut line = String::new();
    for hint in others {
        if width(&line) + width(hint) + 2 + width(last) > columns {
            break;
        }
        line.push_str(hint);
        line.push_str("  ");
    }
    line.push_str(last);
    line
}

/// The position of a cell in its line.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Slot {
    x: usize,
    width: usize,
    /// Numbers are aligned to the right.
    is_number: bool,
}

impl Slot {
    fn put(self, buffer: &mut Buffer, y: u16, text: &str, style: Style) {
        let text = fit(text, self.width);
        let indent = if self.is_number { self.width - width(&text) } else { 0 };
        let Ok(x) = u16::try_from(self.x + indent) else { return };
        if x < buffer.area.width {
            buffer.set_stringn(x, y, text, self.width, style);
        }
    }
}

/// Marks the selected row.
fn mark(buffer: &mut Buffer, y: u16) {
    let row = Rect { x: 0, y, width: buffer.area.width, height: 1 };
    buffer.set_style(row, Style::new().add_modifier(Modifier::REVERSED));
}

fn draw_help(buffer: &mut Buffer, theme: Theme) {
    let columns = usize::from(buffer.area.width);
    let lines = help::lines(columns);
    for (y, line) in (0..buffer.area.height).zip(lines) {
        let style = if y == 0 { theme.head() } else { Style::new() };
        put(buffer, y, &line, style);
    }
}

/// The drawn screen, as lines of plain text.
pub(super) fn text(buffer: &Buffer) -> Vec<String> {
    let columns = usize::from(buffer.area.width);
    buffer
        .content
        .chunks(columns.max(1))
        .map(|cells| {
            let mut line = String::new();
            let mut x = 0;
            while let Some(cell) = cells.get(x) {
                line.push_str(cell.symbol());
                // A wide character also takes the next cell.
                x += width(cell.symbol()).max(1);
            }
            line.truncate(line.trim_end().len());
            line
        })
        .collect()
}
