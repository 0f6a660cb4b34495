//! How names and times are shown to people.

use std::fmt::{self, Write};
use std::time::Duration;

/// Text from elsewhere, as one line that can't affect the terminal. Characters that would act on a terminal or a line
/// are written as Rust escapes, and so is the `\`, so that two names never look the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'a>(pub(crate) &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\\' => f.write_str("\\\\")?,
                character if is_acted_on(character) => {
                    character.escape_default().try_for_each(|part| f.write_char(part))?;
                }
                character => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// Control characters, line ends, and characters that are invisible, or change the direction or width of others, on
/// which terminals don't agree: includes everything that Unicode calls default-ignorable.
fn is_acted_on(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}')
        || matches!(character, '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(character, '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
        || matches!(character, '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}')
        || matches!(character, '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// A time in the two largest units.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span(pub(crate) Duration);

impl Span {
    /// A time as servers report it.
    pub(crate) fn of_seconds(seconds: f64) -> Self {
        Span(Duration::try_from_secs_f64(seconds).unwrap_or_default())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            // Truncated, not rounded: otherwise "10.0s" would appear.
            0..10 => write!(f, "{seconds}.{}s", self.0.subsec_millis() / 100),
            10..60 => write!(f, "{seconds}s"),
            60..3600 => write!(f, "{}m{:02}s", seconds / 60, seconds % 60),
            3600..86_400 => write!(f, "{}h{:02}m", seconds / 3600, seconds / 60 % 60),
            _ => write!(f, "{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
        }
    }
}

/// A number with thousands separators.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count(pub(crate) u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (index, digit) in digits.char_indices() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_act_on_a_terminal_are_escaped() {
        for (name, shown) in [
            ("boss:17", "boss:17"),
            ("größe \"ü\" 龍", "größe \"ü\" 龍"),
            ("a\nb\tc", r"a\nb\tc"),
            ("\x1b[2J\u{9b}", r"\u{1b}[2J\u{9b}"),
            ("a\u{202e}b\u{200b}", r"a\u{202e}b\u{200b}"),
            ("\u{2602}\u{fe0f}\u{3164}", "\u{2602}\\u{fe0f}\\u{3164}"),
            (r"a\nb", r"a\\nb"),
        ] {
            assert_eq!(Shown(name).to_string(), shown);
        }
    }

    #[test]
    fn times_have_two_units_at_most() {
        for (millis, shown) in [
            (0, "0.0s"),
            (9_999, "9.9s"),
            (10_000, "10s"),
            (59_999, "59s"),
            (60_000, "1m00s"),
            (3_599_000, "59m59s"),
            (3_600_000, "1h00m"),
            (86_399_000, "23h59m"),
            (266_400_000, "3d02h"),
        ] {
            assert_eq!(Span(Duration::from_millis(millis)).to_string(), shown);
        }
        assert_eq!(Span::of_seconds(-1.0).to_string(), "0.0s");
    }

    #[test]
    fn numbers_have_thousands_separators() {
        for (number, shown) in [(0, "0"), (999, "999"), (1000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(Count(number).to_string(), shown);
        }
    }
}
