//! Lines of bytes that come in pieces.

use officer::wire::line::LineScanner;

/// How the bytes of one input arrive, from its first line.
#[derive(Debug)]
pub struct Arrival<'a> {
    /// What arrives.
    pub bytes: &'a [u8],
    /// The lengths of the pieces, repeated. None: all at once.
    pieces: &'a [u8],
    /// The longest line.
    pub line_bytes_max: usize,
}

impl<'a> Arrival<'a> {
    /// A letter at the beginning selects a small limit on lines, which is reached more often. Each further byte is the
    /// length of a piece.
    pub fn of(data: &'a [u8]) -> Self {
        let end = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
        let (head, bytes) = (&data[..end], data.get(end + 1..).unwrap_or_default());
        match head.split_first() {
            Some((letter @ b'a'..=b'z', pieces)) => {
                Arrival { bytes, pieces, line_bytes_max: usize::from(letter - b'a') * 8 }
            }
            Some((_, pieces)) => Arrival { bytes, pieces, line_bytes_max: 64 << 10 },
            None => Arrival { bytes, pieces: &[], line_bytes_max: 64 << 10 },
        }
    }

    fn pieces(&self) -> Vec<&'a [u8]> {
        let (mut left, mut pieces) = (self.bytes, Vec::new());
        let mut lengths = self.pieces.iter().cycle();
        while !left.is_empty() {
            let length = lengths.next().map_or(left.len(), |length| usize::from(*length).clamp(1, left.len()));
            let (piece, rest) = left.split_at(length);
            pieces.push(piece);
            left = rest;
        }
        pieces
    }
}

/// The complete lines of some bytes, and the rest. None: a line over the limit came after them.
pub type Lines = (Vec<Vec<u8>>, Option<Vec<u8>>);

/// Found by the scanner, with the bytes kept as the server keeps them: after each piece only the rest.
pub fn scanned_in_pieces(arrival: &Arrival<'_>) -> Lines {
    let (mut lines, mut kept, mut scanner) = (Vec::new(), Vec::new(), LineScanner::default());
    for piece in arrival.pieces() {
        kept.extend_from_slice(piece);
        assert!(scanner.has_unscanned(&kept));
        if !scan(&mut scanner, &kept, arrival.line_bytes_max, &mut lines) {
            return (lines, None);
        }
        assert!(!scanner.has_unscanned(&kept));
        kept = scanner.rest(&kept).to_vec();
        scanner = scanner.rebased();
        assert!(kept.len() <= arrival.line_bytes_max, "memory grows with the line");
    }
    (lines, Some(kept))
}

/// Found by the scanner, with the bytes in one piece.
pub fn scanned_whole(arrival: &Arrival<'_>) -> Lines {
    let (mut lines, mut scanner) = (Vec::new(), LineScanner::default());
    let goes_on = scan(&mut scanner, arrival.bytes, arrival.line_bytes_max, &mut lines);
    (lines, goes_on.then(|| scanner.rest(arrival.bytes).to_vec()))
}

/// Found by splitting.
pub fn split(arrival: &Arrival<'_>) -> Lines {
    let mut lines: Vec<Vec<u8>> = arrival.bytes.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    match lines.iter().position(|line| line.len() > arrival.line_bytes_max) {
        Some(too_long) => {
            lines.truncate(too_long);
            (lines, None)
        }
        None => {
            let rest = lines.pop();
            (lines, rest)
        }
    }
}

/// Whether no line over the limit was found.
fn scan(scanner: &mut LineScanner, bytes: &[u8], line_bytes_max: usize, lines: &mut Vec<Vec<u8>>) -> bool {
    loop {
        match scanner.next_line(bytes, line_bytes_max) {
            Ok(Some(line)) => lines.push(line.to_vec()),
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}
