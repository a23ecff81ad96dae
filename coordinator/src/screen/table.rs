//! Tables: columns as wide as their content, cells of several lines, never wider than the screen.

use super::WIDTH;
use super::text::{clean, width, wrap};

/// Blanks between two columns.
const GAP: usize = 2;
/// A column is not squeezed below this.
const COLUMN_MIN: usize = 8;

/// A table being filled.
#[derive(Debug, Clone)]
pub struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<Vec<String>>>,
}

impl Table {
    /// A table with these column heads.
    pub fn new(head: &[&'static str]) -> Self {
        Self {
            head: head.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row of one line each.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.tall_row(cells.map(|cell| vec![cell]));
    }

    /// Adds a row whose cells have any number of lines.
    pub fn tall_row<const N: usize>(&mut self, cells: [Vec<String>; N]) {
        self.rows.push(
            cells
                .into_iter()
                .map(|lines| lines.iter().map(|line| clean(line)).collect())
                .collect(),
        );
    }

    /// True without a row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table, each line begun with `indent`.
    pub fn render(&self, indent: &str) -> String {
        let widths = self.widths(WIDTH.saturating_sub(width(indent)));
        let head = self
            .head
            .iter()
            .map(|name| vec![(*name).to_owned()])
            .collect::<Vec<_>>();
        let mut text = String::new();
        for row in std::iter::once(&head).chain(&self.rows) {
            let cells: Vec<Vec<String>> = row
                .iter()
                .zip(&widths)
                .map(|(lines, room)| {
                    lines
                        .iter()
                        .flat_map(|line| wrap_cell(line, *room))
                        .collect()
                })
                .collect();
            let height = cells.iter().map(Vec::len).max().unwrap_or(0).max(1);
            for number in 0..height {
                let mut line = indent.to_owned();
                for (cell, room) in cells.iter().zip(&widths) {
                    let part = cell.get(number).map_or("", String::as_str);
                    line.push_str(part);
                    line.extend(std::iter::repeat_n(
                        ' ',
                        room.saturating_sub(width(part)) + GAP,
                    ));
                }
                text.push_str(line.trim_end());
                text.push('\n');
            }
        }
        text
    }

    /// The widest columns give way until the table fits.
    fn widths(&self, room: usize) -> Vec<usize> {
        let mut widths: Vec<usize> = self.head.iter().map(|name| width(name)).collect();
        for row in &self.rows {
            for (column, lines) in widths.iter_mut().zip(row) {
                *column = lines
                    .iter()
                    .map(|line| width(line))
                    .max()
                    .unwrap_or(0)
                    .max(*column);
            }
        }
        let gaps = GAP * widths.len().saturating_sub(1);
        while widths.iter().sum::<usize>() + gaps > room {
            match widths.iter_mut().max() {
                Some(widest) if *widest > COLUMN_MIN => *widest -= 1,
                _ => break,
            }
        }
        widths
    }
}

fn wrap_cell(line: &str, room: usize) -> Vec<String> {
    if width(line) <= room {
        vec![line.to_owned()]
    } else {
        wrap(line, room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_fits_the_screen_and_loses_nothing() {
        let mut table = Table::new(&["A", "B", "C"]);
        table.row(["x".to_owned(), "word ".repeat(40), "y\u{1b}z".to_owned()]);
        table.tall_row([
            vec!["1".to_owned(), "2".to_owned()],
            vec![],
            vec!["end".to_owned()],
        ]);
        let text = table.render("  ");
        assert!(text.lines().all(|line| width(line) <= WIDTH), "{text}");
        assert_eq!(text.matches("word").count(), 40);
        assert!(text.contains("y\\u{1b}z"));
        assert!(!table.is_empty());
    }

    #[test]
    fn narrow_cells_line_up() {
        let mut table = Table::new(&["SITE", "ROLE"]);
        table.row(["dc1".to_owned(), "primary".to_owned()]);
        assert_eq!(table.render(""), "SITE  ROLE\ndc1   primary\n");
    }
}
