//! Columns as 0.2's ctr printed them: each cell but a row's last one is padded.

use std::fmt::Write;

/// Columns are at least `min_width` wide, and `gap` wider than their widest cell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Columns {
    pub(crate) min_width: usize,
    pub(crate) gap: usize,
}

/// The lists of containers and of checkpoints.
pub(crate) const LIST: Columns = Columns { min_width: 20, gap: 3 };
/// The stream of events, where each row has widths of its own.
pub(crate) const EVENTS: Columns = Columns { min_width: 31, gap: 1 };

// === impl Columns ===

impl Columns {
    /// Rows below each other, one line each.
    pub(crate) fn render<const COLUMNS: usize>(self, rows: &[[String; COLUMNS]]) -> String {
        let mut widths = [self.min_width; COLUMNS];
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count() + self.gap);
            }
        }
        let mut text = String::new();
        for row in rows {
            for (index, (cell, width)) in row.iter().zip(widths).enumerate() {
                let width = if index + 1 == COLUMNS { 0 } else { width };
                // Writing to a String cannot fail.
                let _ = write!(text, "{cell:<width$}");
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: [&str; 2]) -> [String; 2] {
        cells.map(str::to_owned)
    }

    #[test]
    fn short_cells_have_the_least_width_and_long_ones_a_gap() {
        let text = LIST.render(&[row(["ID", "PATH"]), row(["a", ""])]);
        assert_eq!(text, "ID                  PATH\na                   \n");
        let long = "x".repeat(18);
        let text = LIST.render(&[row(["ID", "PATH"]), row([&long, "/b"])]);
        assert_eq!(text, format!("{:<21}PATH\n{long}   /b\n", "ID"));
        let text = EVENTS.render(&[row(["TIME", "TYPE"])]);
        assert_eq!(text, format!("{:<31}TYPE\n", "TIME"));
    }
}
