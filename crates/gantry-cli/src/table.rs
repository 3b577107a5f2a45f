//! Tables as people read them: a header, columns as wide as their widest cell, three spaces between.

use std::fmt::Write;

/// Renders rows below a header; the last column is not padded.
pub(crate) fn render<const COLUMNS: usize>(header: [&str; COLUMNS], rows: &[[String; COLUMNS]]) -> String {
    let mut widths = header.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    line(&mut text, &header, &widths);
    for row in rows {
        line(&mut text, &row.each_ref().map(String::as_str), &widths);
    }
    text
}

fn line<const COLUMNS: usize>(text: &mut String, cells: &[&str; COLUMNS], widths: &[usize; COLUMNS]) {
    let start = text.len();
    for (cell, width) in cells.iter().zip(widths) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{cell:<width$}   ");
    }
    let end = text.trim_end().len().max(start);
    text.truncate(end);
    text.push('\n');
}

/// Makes text safe for one line of a terminal, and shortens it to `limit` characters.
pub(crate) fn cell(text: &str, limit: usize) -> String {
    let mut short: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(limit).collect();
    if text.chars().count() > limit {
        short.pop();
        short.push('\u{2026}');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["a".to_owned(), "long one".to_owned()], ["bbbbb".to_owned(), String::new()]];
        assert_eq!(render(["ID", "X"], &rows), "ID      X\na       long one\nbbbbb\n");
    }

    #[test]
    fn cells_are_one_line_and_bounded() {
        assert_eq!(cell("a\nb\u{1b}c", 10), "a b c");
        assert_eq!(cell("abcdef", 4), "abc\u{2026}");
        assert_eq!(cell("abcd", 4), "abcd");
    }
}
