//! Text that fits into a number of columns of a terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Marks omitted text. In ASCII: some terminals have no other characters, or show them wider.
const CUT: char = '~';

/// The number of columns that a text takes.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// The text in at most this many columns. If it is too wide, the middle is omitted: names with the same beginning
/// differ at the end.
pub(super) fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let Some(left) = columns.checked_sub(1) else { return String::new() };
    let end = left / 2;
    let begin = left - end;
    let mut fitted = String::new();
    let mut taken = 0;
    fitted.extend(text.chars().take_while(|character| {
        taken += character.width().unwrap_or(0);
        taken <= begin
    }));
    fitted.push(CUT);
    fitted.push_str(end_of(text, end));
    fitted
}

/// The text in at most this many columns. If it is too wide, the beginning is omitted.
pub(super) fn fit_end(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let Some(left) = columns.checked_sub(1) else { return String::new() };
    let mut fitted = String::from(CUT);
    fitted.push_str(end_of(text, left));
    fitted
}

/// As much of the end of a text as fits into this many columns.
fn end_of(text: &str, columns: usize) -> &str {
    let mut taken = 0;
    let tail = text.char_indices().rev().take_while(|(_, character)| {
        taken += character.width().unwrap_or(0);
        taken <= columns
    });
    let at = tail.last().map_or(text.len(), |(at, _)| at);
    &text[at..]
}

/// The text as lines of at most this many columns, broken between words where possible.
pub(super) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let word = fit(word, columns);
        let line = lines.last_mut().expect("there is always a line");
        if line.is_empty() {
            *line = word;
        } else if width(line) + 1 + width(&word) <= columns {
            line.push(' ');
            line.push_str(&word);
        } else {
            lines.push(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_too_wide_loses_its_middle() {
        for (text, columns, fitted) in [
            ("boss:17", 7, "boss:17"),
            ("boss:17", 6, "bos~17"),
            ("boss:17", 1, "~"),
            ("boss:17", 0, ""),
            ("\u{9f8d}\u{9f8d}\u{9f8d}", 6, "\u{9f8d}\u{9f8d}\u{9f8d}"),
            ("\u{9f8d}\u{9f8d}\u{9f8d}", 5, "\u{9f8d}~\u{9f8d}"),
            ("\u{9f8d}\u{9f8d}\u{9f8d}", 4, "\u{9f8d}~"),
            ("\u{9f8d}\u{9f8d}\u{9f8d}", 2, "~"),
            ("e\u{301}e\u{301}e\u{301}", 3, "e\u{301}e\u{301}e\u{301}"),
        ] {
            assert_eq!(fit(text, columns), fitted);
            assert!(width(&fit(text, columns)) <= columns);
        }
    }

    #[test]
    fn text_being_typed_loses_its_beginning() {
        for (text, columns, fitted) in [
            ("boss:17", 7, "boss:17"),
            ("boss:17", 4, "~:17"),
            ("boss:17", 1, "~"),
            ("boss:17", 0, ""),
            ("\u{9f8d}\u{9f8d}\u{9f8d}", 4, "~\u{9f8d}"),
        ] {
            assert_eq!(fit_end(text, columns), fitted);
        }
    }

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(wrap("kick it now, please", 8), ["kick it", "now,", "please"]);
        assert_eq!(wrap("abcdefghij k", 5), ["ab~ij", "k"]);
        assert_eq!(wrap("", 5), [""]);
        assert_eq!(wrap("ab", 0), [""]);
    }
}
