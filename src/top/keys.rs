//! What the keys do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::model::{Model, Over};
use super::poller::Order;
use super::row::{Moment, Sort};
use crate::console::shown::Shown;
use crate::wire::request::NAME_BYTES_MAX;

/// What remains to be done for a key after the model has handled it.
#[derive(Debug)]
pub(super) enum Action {
    Nothing,
    Order(Order),
    /// Redraw the whole screen.
    Redraw,
    /// Restore the terminal, and stop until the shell continues the program.
    Suspend,
    /// The program was stopped and continues: take over the terminal again.
    GoOn,
    Leave,
}

/// Handles a key that was read then, on a screen with this many rows of a table.
pub(super) fn press(model: &mut Model, key: KeyEvent, height: usize, read_at: Moment) -> Action {
    if key.kind == KeyEventKind::Release {
        return Action::Nothing;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c') => Action::Leave,
            KeyCode::Char('l') => Action::Redraw,
            KeyCode::Char('z') => Action::Suspend,
            // What some terminals send for Backspace.
            KeyCode::Char('h') if model.over == Over::Filter => press_in_filter(model, KeyCode::Backspace),
            KeyCode::Char('u') if model.over == Over::Filter => filter(model, String::new()),
            _ => Action::Nothing,
        };
    }
    match model.over {
        Over::Nothing => {
            model.clear_message();
            press_in_table(model, key.code, height, read_at)
        }
        Over::Help => {
            model.over = Over::Nothing;
            Action::Nothing
        }
        Over::Filter => press_in_filter(model, key.code),
        // It was typed before the question was on the screen, so it is not an answer to it.
        Over::Question { seen_at, .. } if is_yes(key.code) && seen_at.is_none_or(|seen_at| read_at <= seen_at) => {
            Action::Nothing
        }
        Over::Question { .. } => match std::mem::replace(&mut model.over, Over::Nothing) {
            Over::Question { target, .. } if is_yes(key.code) => {
                // Shown at once, so that a slow server does not look like a lost key.
                model.tell(format!("Asking the server to kick {}", Shown(&target.connection)), read_at);
                Action::Order(Order::Kick(target))
            }
            _ => Action::Nothing,
        },
    }
}

fn is_yes(code: KeyCode) -> bool {
    matches!(code, KeyCode::Char('y' | 'Y'))
}

/// Handles pasted text: its first line goes into a filter that is being typed; elsewhere it is ignored.
pub(super) fn paste(model: &mut Model, text: &str) -> Action {
    match model.over {
        Over::Filter => {
            let line: String = text.trim_start().chars().take_while(|character| !character.is_control()).collect();
            filter(model, format!("{}{line}", model.filter))
        }
        _ => Action::Nothing,
    }
}

fn press_in_table(model: &mut Model, code: KeyCode, height: usize, now: Moment) -> Action {
    let page = isize::try_from(height.max(1)).unwrap_or(isize::MAX);
    match code {
        KeyCode::Char('q') => return Action::Leave,
        KeyCode::Char('?') | KeyCode::F(1) => model.over = Over::Help,
        KeyCode::Up => model.go(-1, height),
        KeyCode::Down => model.go(1, height),
        KeyCode::PageUp => model.go(-page, height),
        KeyCode::PageDown | KeyCode::Char(' ') => model.go(page, height),
        KeyCode::Home => model.go(isize::MIN, height),
        KeyCode::End => model.go(isize::MAX, height),
        KeyCode::Char('k') => match model.target() {
            Some(target) => model.over = Over::Question { target, seen_at: None },
            None => model.tell("There is nobody to kick here".to_owned(), now),
        },
        _ if model.queue.is_some() => {
            if matches!(code, KeyCode::Esc | KeyCode::Enter | KeyCode::Backspace) {
                model.close_queue();
                return Action::Order(model.order());
            }
        }
        KeyCode::Enter if model.open_queue() => return Action::Order(model.order()),
        KeyCode::Char('h') => {
            model.switch_hottest();
            return Action::Order(model.order());
        }
        _ if model.hottest.is_some() => {
            if matches!(code, KeyCode::Esc | KeyCode::Backspace) {
                model.switch_hottest();
                return Action::Order(model.order());
            }
        }
        KeyCode::Esc if model.filter.is_empty() => return Action::Leave,
        KeyCode::Esc => return filter(model, String::new()),
        KeyCode::Char('/') => model.over = Over::Filter,
        KeyCode::Char('<' | ',') | KeyCode::Left => return sort(model, model.next_sort(-1)),
        KeyCode::Char('>' | '.') | KeyCode::Right => return sort(model, model.next_sort(1)),
        KeyCode::Char('r') => return sort(model, Sort { is_descending: !model.sort.is_descending, ..model.sort }),
        _ => {}
    }
    Action::Nothing
}

fn press_in_filter(model: &mut Model, code: KeyCode) -> Action {
    match code {
        KeyCode::Enter | KeyCode::Down => {
            model.over = Over::Nothing;
            Action::Nothing
        }
        KeyCode::Esc => {
            model.over = Over::Nothing;
            filter(model, String::new())
        }
        KeyCode::Backspace => {
            let mut text = model.filter.clone();
            text.pop();
            filter(model, text)
        }
        KeyCode::Char(character) => filter(model, format!("{}{character}", model.filter)),
        _ => Action::Nothing,
    }
}

fn filter(model: &mut Model, mut text: String) -> Action {
    // No name is longer, but pasted text may be.
    if let Some((end, _)) = text.char_indices().nth(NAME_BYTES_MAX) {
        text.truncate(end);
    }
    if text == model.filter {
        return Action::Nothing;
    }
    model.filter_by(text);
    Action::Order(model.order())
}

fn sort(model: &mut Model, sort: Sort) -> Action {
    if sort == model.sort {
        return Action::Nothing;
    }
    model.sort_by(sort);
    Action::Order(model.order())
}
