//! A table that can be printed to a terminal and written as Markdown.

use std::fmt::Write as _;

/// Rows of cells below a heading, and lines that follow.
#[derive(Debug)]
pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
}

impl Table {
    pub(super) fn new(head: &[&str]) -> Self {
        Self {
            head: head.iter().map(|&cell| cell.to_owned()).collect(),
            rows: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub(super) fn add_note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Formats the table in columns, the first aligned left and the others right.
    pub(crate) fn to_text(&self) -> String {
        let lines = || std::iter::once(&self.head).chain(&self.rows);
        let width = |column: usize| {
            lines()
                .filter_map(|line| Some(line.get(column)?.chars().count()))
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let mut text = String::new();
        for line in lines() {
            for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
                let _ = if column == 0 {
                    write!(text, "{cell:<width$}")
                } else {
                    write!(text, "  {cell:>width$}")
                };
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        for note in &self.notes {
            let _ = writeln!(text, "{note}");
        }
        text
    }

    pub(crate) fn to_markdown(&self) -> String {
        let mut text = format!("| {} |\n|---|", self.head.join(" | "));
        text.push_str(&"--:|".repeat(self.head.len() - 1));
        text.push('\n');
        for row in &self.rows {
            let _ = writeln!(text, "| {} |", row.join(" | "));
        }
        if !self.notes.is_empty() {
            text.push('\n');
        }
        for note in &self.notes {
            // The output of a proxy can contain several lines.
            let _ = writeln!(text, "- {}", note.replace('\n', "\n  "));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        let mut table = Table::new(&["", "µs"]);
        table.row(vec!["nginx".to_owned(), "1.5".to_owned()]);
        table.row(vec!["a".to_owned(), "10.25".to_owned()]);
        table.add_note("so it is".to_owned());
        assert_eq!(
            table.to_text(),
            "          µs\nnginx    1.5\na      10.25\nso it is\n"
        );
        assert_eq!(
            table.to_markdown(),
            "|  | µs |\n|---|--:|\n| nginx | 1.5 |\n| a | 10.25 |\n\n- so it is\n"
        );
    }
}
