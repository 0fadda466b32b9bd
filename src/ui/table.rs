//! Tables: aligned columns without lines, wrapped to the width of a terminal.

use comfy_table::{
    Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table as Grid, presets,
};

use crate::snippet::visible;

use super::style::{Painter, Style};

/// Rows under a heading.
#[derive(Debug, Clone)]
pub struct Table {
    heading: Vec<String>,
    alignment: Vec<Alignment>,
    rows: Vec<Vec<String>>,
}

/// The alignment of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alignment {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

impl Table {
    /// Returns a table with these column names, all aligned left.
    pub fn new<'a>(heading: impl IntoIterator<Item = &'a str>) -> Self {
        let heading: Vec<String> = heading.into_iter().map(str::to_owned).collect();
        Self {
            alignment: vec![Alignment::Left; heading.len()],
            heading,
            rows: Vec::new(),
        }
    }

    /// Aligns a column (from 0).
    #[must_use]
    pub fn align(mut self, column: usize, alignment: Alignment) -> Self {
        if let Some(present) = self.alignment.get_mut(column) {
            *present = alignment;
        }
        self
    }

    /// Adds a row, one text per column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Returns whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the text without a final line break. `width` is that of the terminal; `None` wraps nothing.
    pub fn render(&self, pen: Painter, width: Option<usize>) -> String {
        let mut grid = Grid::new();
        grid.load_style(presets::NOTHING);
        match width.and_then(|width| u16::try_from(width).ok()) {
            Some(width) => grid
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(width),
            None => grid.set_content_arrangement(ContentArrangement::Disabled),
        };
        grid.set_header(self.heading.iter().map(String::as_str));
        for row in &self.rows {
            grid.add_row(row.iter().map(|cell| Cell::new(visible(cell))));
        }
        for (column, alignment) in grid.column_iter_mut().zip(&self.alignment) {
            column.set_padding((0, 2));
            column.set_cell_alignment(match alignment {
                Alignment::Left => CellAlignment::Left,
                Alignment::Right => CellAlignment::Right,
            });
        }
        // The first column is never wrapped.
        if let Some(first) = grid.column_mut(0) {
            first.set_constraint(ColumnConstraint::ContentWidth);
        }
        let mut lines: Vec<String> = grid
            .lines()
            .map(|line| line.trim_end().to_owned())
            .collect();
        if let Some(heading) = lines.first_mut() {
            *heading = pen.write(Style::Strong, heading);
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_control_characters_do_not_reach_the_terminal() {
        let mut table = Table::new(["FILE", "ROWS"]).align(1, Alignment::Right);
        table.row(["trending-closet-items", "7"]);
        table.row(["a\x1b[31m\nb", "1,234"]);
        insta::assert_snapshot!(table.render(Painter::new(false), None), @r"
        FILE                    ROWS
        trending-closet-items      7
        a\u{1b}[31m\nb         1,234
        ");
    }

    #[test]
    fn a_narrow_terminal_wraps_any_column_but_the_first() {
        let mut table = Table::new(["SETTING", "FROM"]);
        table.row(["source.password_command", "the environment of the process"]);
        insta::assert_snapshot!(table.render(Painter::new(false), Some(45)), @r"
        SETTING                  FROM
        source.password_command  the environment of
                                 the process
        ");
    }
}
