//! Whole numbers as their decimal digits, in words of eight: read, kept and written without a loop.

/// The digits of a whole number below 10^16, the first in the lowest byte, and 0 after the last.
///
/// Most ids and owners are only compared and returned. As the text that they came as, that costs a few instructions; as a
/// number, reading one and writing it cost 15 and 30. Numbers are equal if and only if their digits are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digits {
    first: u64,
    rest: u64,
}

impl Digits {
    /// The number at the beginning of a word, and how many digits it has, if it has 1 to 15 and does not begin with 0. The
    /// second word is asked for only if the number may go on there.
    #[inline(always)]
    pub(super) fn at_start_of(first: u64, second: impl FnOnce() -> Option<u64>) -> Option<(Self, usize)> {
        if !matches!(first.to_le_bytes()[0], b'1'..=b'9') {
            return None;
        }
        let others = others_in(first);
        if others != 0 {
            return Some((Digits { first: first & before(others), rest: 0 }, others.trailing_zeros() as usize / 8));
        }
        let second = second()?;
        let others = others_in(second);
        let digits = 8 + others.trailing_zeros() as usize / 8;
        (others != 0).then(|| (Digits { first, rest: second & before(others) }, digits))
    }

    /// The digits at the beginning of a word, of which there are up to 7, and the first is not a superfluous 0.
    #[inline(always)]
    pub(super) fn short(word: u64, digits: usize) -> Self {
        Digits { first: word & ((1 << (8 * digits)) - 1), rest: 0 }
    }

    /// The same for eight digits and up to eight more at the beginning of another word.
    #[inline]
    pub(super) fn long(first: u64, rest: u64, digits: usize) -> Self {
        Digits { first, rest: if digits == 8 { rest } else { Digits::short(rest, digits).first } }
    }

    /// The number.
    #[inline]
    pub fn value(self) -> u64 {
        if self.first <= 0xff {
            return self.first & 0xf;
        }
        let first = number_in(self.first, length(self.first));
        if self.rest == 0 {
            return first;
        }
        let digits = length(self.rest);
        first * POWERS_OF_TEN[digits] + number_in(self.rest, digits)
    }

    /// Both words: the second is 0 for a number of up to eight digits.
    #[inline]
    pub(crate) fn words(self) -> [u64; 2] {
        [self.first, self.rest]
    }

    /// The digits, and how many there are.
    #[inline(always)]
    pub(super) fn text(self) -> ([u8; 16], usize) {
        let length = if self.rest == 0 { length(self.first) } else { 8 + length(self.rest) };
        let mut text = [0; 16];
        text[..8].copy_from_slice(&self.first.to_le_bytes());
        text[8..].copy_from_slice(&self.rest.to_le_bytes());
        (text, length)
    }

    /// Appends the number.
    #[inline(always)]
    pub(super) fn push_to(self, out: &mut Vec<u8>) {
        push_digits(out, self.first);
        if self.rest != 0 {
            push_digits(out, self.rest);
        }
    }

    /// Appends a key, with what is in front of it and its colon, and the number.
    #[inline(always)]
    pub(super) fn push_member<const KEY: usize>(self, out: &mut Vec<u8>, key: &[u8; KEY]) {
        if self.rest == 0 {
            push_short_member(out, key, self.first);
        } else {
            self.push_long_member(out, key);
        }
    }

    /// The same, for a number that mostly has more than eight digits.
    #[inline(always)]
    pub(super) fn push_long_member<const KEY: usize>(self, out: &mut Vec<u8>, key: &[u8; KEY]) {
        let (text, length) = self.text();
        let mut piece = [0; 32];
        piece[..KEY].copy_from_slice(key);
        piece[KEY..KEY + 16].copy_from_slice(&text);
        let end = out.len() + KEY + length;
        out.extend_from_slice(&piece[..KEY + 16]);
        out.truncate(end);
    }
}

/// Numbers of 16 digits that mostly rise by little, as tokens do: the first twelve digits are those of the number before,
/// and are kept. It takes 20 instructions then, in place of 90. Other numbers take a little longer than without this.
#[derive(Debug)]
pub struct Rising {
    /// The kept digits as a number of 16 digits, of which the last four are 0.
    start: u64,
    digits: Digits,
}

impl Default for Rising {
    fn default() -> Self {
        // No number with digits is near this.
        Rising { start: u64::MAX / 2, digits: Digits { first: 0, rest: 0 } }
    }
}

impl Rising {
    /// The digits of the next number.
    #[inline(always)]
    pub fn next(&mut self, number: u64) -> Digits {
        let last = number.wrapping_sub(self.start);
        if last < 10_000 {
            let Digits { first, rest } = self.digits;
            return Digits { first, rest: rest | four_digits(last) << 32 };
        }
        self.start_with(number)
    }

    #[inline(never)]
    fn start_with(&mut self, number: u64) -> Digits {
        let digits = Digits::from(number);
        if digits.rest >> 56 != 0 {
            self.start = number - number % 10_000;
            self.digits = self.start.into();
        }
        digits
    }
}

impl From<u64> for Digits {
    /// # Panics
    /// If the number has more than 16 digits. Ids and owners have at most 16.
    #[inline]
    fn from(number: u64) -> Self {
        let (high, low) = (number / EIGHT_DIGITS, number % EIGHT_DIGITS);
        if high == 0 {
            return Digits { first: without_zeros(eight_digits(low)), rest: 0 };
        }
        assert!(high < EIGHT_DIGITS, "a number of more than 16 digits");
        let (first, all) = (without_zeros(eight_digits(high)), eight_digits(low) | ZEROS);
        let free = 8 * (8 - length(first));
        if free == 0 {
            return Digits { first, rest: all };
        }
        Digits { first: first | all << (64 - free), rest: all >> free }
    }
}

/// Appends a key and a number, as [`Digits::push_member`] does.
#[inline(always)]
pub(super) fn push_member<const KEY: usize>(out: &mut Vec<u8>, key: &[u8; KEY], number: u64) {
    if number < EIGHT_DIGITS {
        push_short_member(out, key, without_zeros(eight_digits(number)));
    } else {
        out.extend_from_slice(key);
        push_long(out, number);
    }
}

/// A key and the text in a word, in one piece of a fixed length, of which the end is taken back: that costs less than two.
#[inline(always)]
fn push_short_member<const KEY: usize>(out: &mut Vec<u8>, key: &[u8; KEY], word: u64) {
    let mut piece = [0; 32];
    piece[..KEY].copy_from_slice(key);
    piece[KEY..KEY + 8].copy_from_slice(&word.to_le_bytes());
    let end = out.len() + KEY + length(word);
    out.extend_from_slice(&piece[..KEY + 8]);
    out.truncate(end);
}

/// Appends a whole number in decimal.
#[inline(always)]
pub fn push_u64(out: &mut Vec<u8>, number: u64) {
    if number < EIGHT_DIGITS {
        push_digits(out, without_zeros(eight_digits(number)));
    } else {
        push_long(out, number);
    }
}

#[inline(never)]
fn push_long(out: &mut Vec<u8>, number: u64) {
    let (high, low) = (number / EIGHT_DIGITS, number % EIGHT_DIGITS);
    if high < EIGHT_DIGITS {
        push_digits(out, without_zeros(eight_digits(high)));
    } else {
        push_long(out, high);
    }
    out.extend_from_slice(&(eight_digits(low) | ZEROS).to_le_bytes());
}

/// Appends the text in a word. Appending a fixed eight bytes costs less than appending a variable number.
#[inline(always)]
fn push_digits(out: &mut Vec<u8>, word: u64) {
    let end = out.len() + length(word);
    out.extend_from_slice(&word.to_le_bytes());
    out.truncate(end);
}

/// How many bytes of a word there are before those that are 0 at its end.
#[inline(always)]
pub(super) fn length(word: u64) -> usize {
    // A digit is not 0 without its lowest bit either; so it is known that there is something to be found.
    (word | 1).ilog2() as usize / 8 + 1
}

/// How many digits are at the beginning of a word, of which the first byte is the lowest.
#[inline(always)]
pub(super) fn digits_in(word: u64) -> usize {
    others_in(word).trailing_zeros() as usize / 8
}

/// The highest bit of each byte of a word that is not a digit. Above the lowest of them other bits may be set too, by a
/// carry.
#[inline(always)]
fn others_in(word: u64) -> u64 {
    // Digits become 0 to 9. Adding 118 sets the highest bit of all that is more.
    let values = word ^ ZEROS;
    (values | values.wrapping_add(each(118))) & each(0x80)
}

/// Ones up to the first byte that is no digit, of which [`others_in`] has found one.
#[inline(always)]
fn before(others: u64) -> u64 {
    (others ^ (others - 1)) >> 8
}

/// The number in the digits at the beginning of a word, of which there are 1 to 8.
#[inline(always)]
pub(super) fn number_in(word: u64, digits: usize) -> u64 {
    // Leading zeros in place of what comes after the digits, then pairs of digits, pairs of pairs, and all.
    let values = (word ^ ZEROS) << (8 * (8 - digits));
    let pairs = (values.wrapping_mul((10 << 8) + 1) >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul((100 << 16) + 1) >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul((10_000 << 32) + 1) >> 32
}

/// The digits of a number below [`EIGHT_DIGITS`] as values, one a byte, the first one lowest. The number is split in two,
/// then both parts at once, then all four. `high | low << bits` is written as `all << bits - high * ((base << bits) - 1)`,
/// which is the same in fewer steps.
#[inline]
fn eight_digits(number: u64) -> u64 {
    four_digits((number << 32) - number / 10_000 * ((10_000 << 32) - 1))
}

/// The same for two numbers below 10,000, one in each half of a word.
#[inline]
fn four_digits(fours: u64) -> u64 {
    // Below 10,000, a hundredth is 10,486 / 2^20; below 100, a tenth is 103 / 2^10.
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let pairs = (fours << 16) - hundreds * ((100 << 16) - 1);
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    (pairs << 8) - tens * ((10 << 8) - 1)
}

/// Eight values as text, without the zeros in front, but for the last.
#[inline(always)]
fn without_zeros(values: u64) -> u64 {
    let zeros = (values | (1 << 56)).trailing_zeros() / 8;
    (values | ZEROS) >> (8 * zeros)
}

/// The first number that has more than eight digits.
const EIGHT_DIGITS: u64 = 100_000_000;

pub(super) const POWERS_OF_TEN: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, EIGHT_DIGITS];

/// The digit 0, eight times.
const ZEROS: u64 = each(b'0');

const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_by_std() {
        let powers = (1..20).map(|exponent| 10_u64.pow(exponent));
        let edges = powers.flat_map(|power| [power - 1, power, power + 1, power / 2 * 3]);
        for number in (0..20_000).chain(edges).chain([12_345_678, 87_654_321, (1 << 53) - 1, u64::MAX]) {
            let mut out = Vec::new();
            push_u64(&mut out, number);
            assert_eq!(out, number.to_string().into_bytes());
        }
    }

    #[test]
    fn a_number_follows_its_key_however_long_it_is() {
        for digits in 1..=20_u32 {
            let number: u64 = "12345678901234567890"[..digits as usize].parse().unwrap();
            for number in [number, 10_u64.pow(digits - 1), 10_u64.pow(digits - 1) - 1] {
                let mut out = b"{".to_vec();
                push_member(&mut out, b"\"a\":", number);
                push_member(&mut out, b",\"owner\":", number);
                assert_eq!(String::from_utf8(out).unwrap(), format!(r#"{{"a":{number},"owner":{number}"#));
            }
        }
    }

    /// Numbers of every length: the ends of each, and some between them.
    fn numbers() -> impl Iterator<Item = u64> {
        let powers = (1..=16).map(|digits| 10_u64.pow(digits));
        powers.flat_map(|end| [end / 10, end / 10 + 1, end / 2, end / 3, end - 2, end - 1]).chain([0, 7])
    }

    #[test]
    fn digits_are_the_number_and_are_written_as_it_is() {
        for number in numbers() {
            let digits = Digits::from(number);
            assert_eq!(digits.value(), number);
            let (mut alone, mut short, mut long) = (Vec::new(), b"{".to_vec(), b"{".to_vec());
            digits.push_to(&mut alone);
            digits.push_member(&mut short, b",\"id\":");
            digits.push_long_member(&mut long, b",\"token\":");
            assert_eq!(String::from_utf8(alone).unwrap(), number.to_string());
            assert_eq!(String::from_utf8(short).unwrap(), format!(r#"{{,"id":{number}"#));
            assert_eq!(String::from_utf8(long).unwrap(), format!(r#"{{,"token":{number}"#));
        }
    }

    #[test]
    fn digits_are_read_up_to_any_other_byte() {
        let words = |text: &str, after: u8| {
            let mut bytes = [after; 24];
            bytes[..text.len()].copy_from_slice(text.as_bytes());
            [0, 8].map(|at| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()))
        };
        for number in numbers() {
            let text = number.to_string();
            for after in (0..=u8::MAX).filter(|after| !after.is_ascii_digit()) {
                let [first, second] = words(&text, after);
                let read = Digits::at_start_of(first, || Some(second));
                // A single 0 begins with 0 as well, and is left to whoever reads any number.
                let all = Some((number.into(), text.len())).filter(|_| number > 0 && text.len() < 16);
                assert_eq!(read, all, "{text} {after}");
                let alone = Digits::at_start_of(first, || None);
                assert_eq!(alone, all.filter(|_| text.len() < 8), "{text} {after}, and no second word");
            }
        }
        for text in ["", "01", "x1", "0123456789"] {
            let [first, second] = words(text, b',');
            assert_eq!(Digits::at_start_of(first, || Some(second)), None, "{text}");
        }
    }

    #[test]
    fn rising_numbers_have_their_own_digits_however_far_they_rise() {
        const LAST: u64 = 9_007_199_254_740_991;
        let mut rising = Rising::default();
        let near = |number: u64| (0..12).map(move |more| (number + more * 997).min(LAST));
        let starts =
            [1, 9_990, 99_999_999, 999_999_999_990_000, 999_999_999_999_999, 1_799_999_999_999_998, LAST - 9_999];
        let edges = [1_800_000_000_000_000, 1_800_000_000_009_999, 1_800_000_000_010_000];
        for number in starts.into_iter().flat_map(near).chain([5, LAST]).chain(edges) {
            assert_eq!(rising.next(number), number.into(), "{number}");
            let is_kept = number.wrapping_sub(rising.start) < 10_000;
            assert_eq!(is_kept, number >= 1_000_000_000_000_000, "{number} of 16 digits");
            assert_eq!(rising.next(number), number.into(), "{number}, again");
        }
    }
}
