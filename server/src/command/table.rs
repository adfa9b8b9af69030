//! Aligned columns for people: numbers to the right, text to the left.

use std::fmt;

/// Longest cell that is printed whole.
const MAX_CELL: usize = 80;

/// Rows of text under headings.
#[derive(Debug)]
pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<S: Into<String>>(head: impl IntoIterator<Item = S>) -> Self {
        Self { head: head.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    pub(crate) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row.iter().map(|cell| clip(cell)).collect());
    }

    fn is_number(&self, column: usize) -> bool {
        let numeric = |cell: &String| {
            cell.is_empty() || cell.starts_with(|c: char| c.is_ascii_digit() || c == '-')
        };
        !self.rows.is_empty() && self.rows.iter().all(|row| row.get(column).is_none_or(numeric))
    }
}

/// One line, control characters shown as spaces, at most [`MAX_CELL`] characters.
fn clip(cell: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    if cell.chars().count() <= MAX_CELL {
        return cell.chars().map(clean).collect();
    }
    cell.chars().take(MAX_CELL - 1).map(clean).chain(['…']).collect()
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |at: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(at));
            cells.chain(self.head.get(at)).map(|c| c.chars().count()).max().unwrap_or(0)
        };
        let layout: Vec<(usize, bool)> =
            (0..self.head.len()).map(|at| (width(at), self.is_number(at))).collect();
        for row in std::iter::once(&self.head).chain(&self.rows) {
            for (at, (cell, (width, right))) in row.iter().zip(&layout).enumerate() {
                let gap = if at == 0 { "" } else { "  " };
                if *right {
                    write!(f, "{gap}{cell:>width$}")?;
                } else if at + 1 == row.len() {
                    write!(f, "{gap}{cell}")?;
                } else {
                    write!(f, "{gap}{cell:<width$}")?;
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// Nanoseconds as a person reads them.
pub(crate) fn duration(ns: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    let value = ns as f64;
    match ns.unsigned_abs() {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{:.1} µs", value / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", value / 1e6),
        _ => format!("{:.2} s", value / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_hostile_text_stays_on_its_line() {
        let mut table = Table::new(["name", "n"]);
        table.push(vec!["a\nb\u{1b}[31m".to_owned(), "5".to_owned()]);
        table.push(vec!["c".to_owned(), "12".to_owned()]);
        assert_eq!(table.to_string(), "name       n\na b [31m   5\nc         12\n");
    }

    #[test]
    fn durations() {
        assert_eq!(duration(999), "999 ns");
        assert_eq!(duration(1_500_000), "1.5 ms");
        assert_eq!(duration(2_000_000_000), "2.00 s");
    }
}
