//! Tables for people: columns as wide as what is in them, words to the left, numbers to the right.

use std::fmt::{self, Write};

/// Between two columns.
const GAP: &str = "  ";

/// Rows of cells under a heading.
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

struct Column {
    title: &'static str,
    /// A number stands at the right.
    right: bool,
}

impl Table {
    /// A table with these titles; one that ends with `#` heads numbers.
    pub fn new(titles: &[&'static str]) -> Self {
        let column = |title: &&'static str| match title.strip_suffix('#') {
            Some(title) => Column { title, right: true },
            None => Column { title, right: false },
        };
        Self { columns: titles.iter().map(column).collect(), rows: Vec::new() }
    }

    /// Adds a row. Control characters, which a name from the network may have, are escaped.
    pub fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        let shown = |cell: String| if cell.is_empty() { "-".to_owned() } else { printable(cell) };
        self.rows.push(cells.into_iter().map(shown).collect());
    }
}

/// The same without control characters.
pub(super) fn printable(text: String) -> String {
    if !text.chars().any(char::is_control) {
        return text;
    }
    text.escape_debug().to_string()
}

/// A number, or `-` if it is not known.
pub(super) fn known(number: Option<impl fmt::Display>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

/// Several with commas between them.
pub(super) fn joined(items: impl IntoIterator<Item = impl fmt::Display>) -> String {
    let mut text = String::new();
    for item in items {
        let comma = if text.is_empty() { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{item}");
    }
    text
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |(at, column): (usize, &Column)| {
            let cells = self.rows.iter().map(|row| row[at].chars().count());
            cells.max().unwrap_or(0).max(column.title.len())
        };
        let widths: Vec<usize> = self.columns.iter().enumerate().map(width).collect();
        let line = |f: &mut fmt::Formatter<'_>, cells: &mut dyn Iterator<Item = &str>| {
            let mut line = String::new();
            for ((cell, column), width) in cells.zip(&self.columns).zip(&widths) {
                if column.right {
                    write!(line, "{cell:>width$}{GAP}")?;
                } else {
                    write!(line, "{cell:<width$}{GAP}")?;
                }
            }
            writeln!(f, "{}", line.trim_end())
        };
        line(f, &mut self.columns.iter().map(|column| column.title))?;
        self.rows.iter().try_for_each(|row| line(f, &mut row.iter().map(String::as_str)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let mut table = Table::new(&["TOPIC", "LAG#", "HOST"]);
        table.row(vec!["a-long-name".into(), "7".into(), "h".into()]);
        table.row(vec!["ü".into(), "12345".into(), String::new()]);
        let expected = "TOPIC          LAG  HOST\n\
                        a-long-name      7  h\n\
                        ü            12345  -\n";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn a_name_from_the_network_cannot_steer_the_terminal() {
        let mut table = Table::new(&["GROUP"]);
        table.row(vec!["a\u{1b}[2Jb\nc".into()]);
        assert_eq!(table.to_string(), "GROUP\na\\u{1b}[2Jb\\nc\n");
        assert_eq!((joined([1, 2, 3]), known(None::<i64>), known(Some(3))), ("1,2,3".into(), "-".into(), "3".into()));
    }
}
