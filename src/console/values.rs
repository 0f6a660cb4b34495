//! Values of options that need their own parser.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// About 136 years. Longer times are capped at this: they mean the same, and a clock in nanoseconds can count to it.
const SECONDS_MAX: u64 = 1 << 32;

/// A time in seconds, fractions allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Seconds(pub(crate) Duration);

impl FromStr for Seconds {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let seconds: f64 = text.parse().map_err(|_| "not a number of seconds")?;
        if seconds.is_nan() || seconds < 0.0 {
            return Err("not a time: it must be 0 or more seconds");
        }
        let longest = Duration::from_secs(SECONDS_MAX);
        let time = Duration::try_from_secs_f64(seconds).map_or(longest, |time| time.min(longest));
        // Zero may mean "never", so a tiny value must not be rounded to it.
        Ok(Seconds(if seconds > 0.0 { time.max(Duration::from_nanos(1)) } else { time }))
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_secs_f64().fmt(f)
    }
}

/// A number of seconds greater than 0.
pub(crate) fn seconds_above_zero(text: &str) -> Result<Seconds, &'static str> {
    match text.parse()? {
        Seconds(Duration::ZERO) => Err("must be more than 0 seconds"),
        seconds => Ok(seconds),
    }
}

/// The time between two queries to a server: not so little that they are a burden.
pub(crate) fn interval(text: &str) -> Result<Seconds, &'static str> {
    match text.parse()? {
        Seconds(time) if time < Duration::from_millis(100) => Err("must be at least 0.1 seconds"),
        seconds => Ok(seconds),
    }
}

/// The permissions of a file, in octal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Mode(pub(crate) u32);

impl FromStr for Mode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("0o").unwrap_or(text);
        // from_str_radix takes a sign.
        let is_octal = digits.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
        match u32::from_str_radix(digits, 8) {
            Ok(mode) if is_octal && mode <= 0o777 => Ok(Mode(mode)),
            _ => Err("not an octal mode from 0000 to 0777, such as 0660"),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_have_fractions_and_saturate() {
        for (text, time) in [
            ("0", Duration::ZERO),
            ("-0", Duration::ZERO),
            ("60", Duration::from_secs(60)),
            ("0.25", Duration::from_millis(250)),
            ("1e-30", Duration::from_nanos(1)),
            ("1e300", Duration::from_secs(SECONDS_MAX)),
            ("1e999", Duration::from_secs(SECONDS_MAX)),
            ("5000000000", Duration::from_secs(SECONDS_MAX)),
        ] {
            assert_eq!(text.parse(), Ok(Seconds(time)), "{text}");
        }
        for text in ["", "x", "1s", "-1", "nan", "-inf"] {
            assert!(text.parse::<Seconds>().is_err(), "{text}");
        }
        assert!(seconds_above_zero("0.0").is_err());
        assert_eq!(seconds_above_zero("2"), Ok(Seconds(Duration::from_secs(2))));
        assert_eq!(Seconds(Duration::from_millis(1500)).to_string(), "1.5");
        assert_eq!(Seconds(Duration::from_secs(60)).to_string(), "60");
    }

    #[test]
    fn modes_are_octal() {
        for (text, mode) in [("0600", 0o600), ("660", 0o660), ("0o777", 0o777), ("0", 0)] {
            assert_eq!(text.parse(), Ok(Mode(mode)), "{text}");
        }
        for text in ["", "0800", "+600", "-1", "1000", "4755", "rw", "0x1ff", "77777777777777"] {
            assert!(text.parse::<Mode>().is_err(), "{text}");
        }
        assert_eq!(Mode(0o60).to_string(), "0060");
    }
}
