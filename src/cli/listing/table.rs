//! A table whose rows are written as they arrive.

use std::io::{self, Write};

/// The width of the columns is that of the first rows; this many are kept until they are written.
const SAMPLE_ROWS: usize = 1000;
/// No column is wider than this. A wider cell shifts the rest of its row, and is never truncated: an incomplete name
/// can't be used.
const WIDTH_MAX: usize = 40;

/// A table of `N` columns.
#[derive(Debug)]
pub(super) struct Table<W, const N: usize> {
    out: W,
    /// Rows that wait for the widths, starting with the head.
    sample: Vec<[String; N]>,
    /// None until the sample is complete.
    widths: Option<[usize; N]>,
}

impl<W: Write, const N: usize> Table<W, N> {
    pub(super) fn new(out: W, head: [&str; N]) -> Self {
        Table { out, sample: vec![head.map(str::to_owned)], widths: None }
    }

    pub(super) fn row(&mut self, cells: [String; N]) -> io::Result<()> {
        match self.widths {
            Some(widths) => write_row(&mut self.out, &widths, &cells),
            None => {
                self.sample.push(cells);
                if self.sample.len() > SAMPLE_ROWS { self.write_sample() } else { Ok(()) }
            }
        }
    }

    /// Writes the rest. A table without rows is empty, without a head. Returns whether there were any rows.
    pub(super) fn finish(mut self) -> io::Result<bool> {
        let has_rows = self.widths.is_some() || self.sample.len() > 1;
        if self.widths.is_none() && has_rows {
            self.write_sample()?;
        }
        self.out.flush()?;
        Ok(has_rows)
    }

    fn write_sample(&mut self) -> io::Result<()> {
        let width = |column: usize| self.sample.iter().map(|row| width_of(&row[column])).max().unwrap_or(0);
        let widths = std::array::from_fn(|column| width(column).min(WIDTH_MAX));
        self.widths = Some(widths);
        // A column is without a head if there is nothing below it.
        if let Some((head, rows)) = self.sample.split_first_mut() {
            let is_empty = |column: usize| rows.iter().all(|row| row[column].is_empty());
            head.iter_mut().enumerate().filter(|(column, _)| is_empty(*column)).for_each(|(_, cell)| cell.clear());
        }
        self.sample.drain(..).try_for_each(|row| write_row(&mut self.out, &widths, &row))
    }
}

/// The number of characters. Those of East Asian scripts take two columns, so a table with them is ragged, but
/// complete.
fn width_of(cell: &str) -> usize {
    cell.chars().count()
}

fn write_row<const N: usize>(out: &mut impl Write, widths: &[usize; N], cells: &[String; N]) -> io::Result<()> {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        line.push_str(cell);
        let padding = width.saturating_sub(width_of(cell)) + 2;
        line.extend(std::iter::repeat_n(' ', padding));
    }
    writeln!(out, "{}", line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(rows: &[[&str; 2]]) -> String {
        let mut out = Vec::new();
        let mut table = Table::new(&mut out, ["LOCK", "HOLDER"]);
        for row in rows {
            table.row(row.map(str::to_owned)).unwrap();
        }
        assert_eq!(table.finish().unwrap(), !rows.is_empty());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        assert_eq!(written(&[["boss:17", "a"], ["größe", "b"]]), "LOCK     HOLDER\nboss:17  a\ngröße    b\n");
        assert_eq!(written(&[]), "");
    }

    #[test]
    fn a_very_wide_cell_is_complete_and_widens_no_other_row() {
        let wide = "x".repeat(100);
        let narrow = format!("LOCK{}  HOLDER", " ".repeat(36));
        assert_eq!(written(&[[&wide, "a"]]), format!("{narrow}\n{wide}  a\n"));
    }

    #[test]
    fn rows_after_the_sample_are_written_as_they_arrive() {
        let mut out = Vec::new();
        let mut table = Table::new(&mut out, ["A"]);
        for number in 0..SAMPLE_ROWS * 2 {
            table.row([number.to_string()]).unwrap();
            let kept = if number + 2 > SAMPLE_ROWS { 0 } else { number + 2 };
            assert_eq!(table.sample.len(), kept);
        }
        table.finish().unwrap();
        assert_eq!(out.split(|byte| *byte == b'\n').count(), SAMPLE_ROWS * 2 + 2);
    }
}
