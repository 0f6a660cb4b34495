//! Bytes in, complete lines out, with a hard limit. Knows nothing about JSON.

/// A line, or the part of it that has arrived, is longer than the limit. Nothing after it can be trusted to be a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineTooLong;

/// Finds the lines in a buffer that somebody else owns, and remembers its position.
///
/// Invariant: `consumed <= scanned <= bytes.len()`, and no `\n` in `bytes[consumed..scanned]`: input that arrives byte
/// by byte is never scanned twice. Between calls, bytes may only be appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineScanner {
    consumed: usize,
    scanned: usize,
}

impl LineScanner {
    /// The next line without its `\n`, or nothing while there is none.
    ///
    /// # Errors
    /// [`LineTooLong`] when the line has more than `line_bytes_max` bytes before its `\n`, as soon as that is certain.
    pub fn next_line<'a>(&mut self, bytes: &'a [u8], line_bytes_max: usize) -> Result<Option<&'a [u8]>, LineTooLong> {
        let found = memchr::memchr(b'\n', &bytes[self.scanned..]);
        self.scanned = found.map_or(bytes.len(), |distance| self.scanned + distance);
        if self.scanned - self.consumed > line_bytes_max {
            return Err(LineTooLong);
        }
        if found.is_none() {
            return Ok(None);
        }
        let line = &bytes[self.consumed..self.scanned];
        self.scanned += 1;
        self.consumed = self.scanned;
        Ok(Some(line))
    }

    /// Skips a line that somebody else has recognised: the next one, of `len` bytes with its `\n`.
    pub fn step_over(&mut self, len: usize) {
        self.consumed += len;
        self.scanned = self.consumed;
    }

    /// The bytes that are not part of a returned line yet.
    pub fn rest<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.consumed..]
    }

    /// The same for a text that the bytes start with; empty if it ends earlier.
    #[inline]
    pub fn rest_of<'a>(&self, text: &'a str) -> &'a str {
        text.get(self.consumed..).unwrap_or("")
    }

    /// The scanner for the bytes that [`LineScanner::rest`] returned, once they are kept elsewhere.
    #[must_use]
    pub fn rebased(self) -> Self {
        LineScanner { consumed: 0, scanned: self.scanned - self.consumed }
    }

    /// Whether `bytes` contain anything that was not scanned yet. If not, the rest contains no complete line.
    pub fn has_unscanned(&self, bytes: &[u8]) -> bool {
        self.scanned < bytes.len()
    }
}

/// Whether the line is to be skipped: it contains only JSON white space.
pub fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `input` in pieces of `step` bytes, keeping only the rest between the pieces.
    fn lines_in_pieces(
        input: &[u8],
        step: usize,
        line_bytes_max: usize,
    ) -> (Vec<Vec<u8>>, Result<Vec<u8>, LineTooLong>) {
        let (mut lines, mut kept, mut scanner) = (Vec::new(), Vec::new(), LineScanner::default());
        for piece in input.chunks(step) {
            kept.extend_from_slice(piece);
            loop {
                match scanner.next_line(&kept, line_bytes_max) {
                    Ok(Some(line)) => lines.push(line.to_vec()),
                    Ok(None) => break,
                    Err(too_long) => return (lines, Err(too_long)),
                }
            }
            let rest = scanner.rest(&kept).to_vec();
            scanner = scanner.rebased();
            kept = rest;
            assert!(!scanner.has_unscanned(&kept));
            assert!(kept.len() <= line_bytes_max);
        }
        (lines, Ok(kept))
    }

    #[test]
    fn the_lines_are_the_same_however_the_bytes_are_cut() {
        let input = b"one\n\n{\"two\":2}\r\n\n\nthree";
        for step in 1..=input.len() {
            let (lines, rest) = lines_in_pieces(input, step, 100);
            assert_eq!(lines, [&b"one"[..], b"", b"{\"two\":2}\r", b"", b""]);
            assert_eq!(rest.unwrap(), b"three");
        }
    }

    #[test]
    fn a_line_of_exactly_the_limit_passes_and_one_byte_more_does_not() {
        for step in 1..20 {
            assert_eq!(lines_in_pieces(b"12345\n12345\n", step, 5).0.len(), 2);
            let (lines, rest) = lines_in_pieces(b"12345\n123456\n1\n", step, 5);
            assert_eq!((lines.len(), rest), (1, Err(LineTooLong)));
            assert_eq!(lines_in_pieces(b"123456", step, 5).1, Err(LineTooLong), "the end of the line need not arrive");
        }
    }

    #[test]
    fn only_json_white_space_is_blank() {
        assert!(is_blank(b""));
        assert!(is_blank(b" \t\r"));
        assert!(!is_blank(b"\x0b"));
        assert!(!is_blank("\u{a0}".as_bytes()));
        assert!(!is_blank(b" {"));
    }
}
