//! The terminal of progress bars: standard error without its last columns. A terminal echoes `^C` behind the bar. In
//! the margin it stays on the bar's line, and is erased with it; otherwise it begins a new line, and an old bar stays.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use console::Term;
use indicatif::TermLike;
use unicode_width::UnicodeWidthChar as _;

/// The columns of `^C`, and one for the cursor.
const MARGIN: u16 = 3;

#[derive(Debug)]
pub(super) struct BarTerminal {
    terminal: Term,
    /// The column of the cursor: lines are broken before the margin, where the terminal itself would not break them.
    column: AtomicUsize,
}

impl BarTerminal {
    pub(super) fn new() -> Self {
        Self {
            terminal: Term::buffered_stderr(),
            column: AtomicUsize::new(0),
        }
    }
}

impl TermLike for BarTerminal {
    fn width(&self) -> u16 {
        self.terminal.size().1.saturating_sub(MARGIN).max(1)
    }

    fn height(&self) -> u16 {
        self.terminal.size().0
    }

    fn move_cursor_up(&self, lines: usize) -> io::Result<()> {
        self.terminal.move_cursor_up(lines)
    }

    fn move_cursor_down(&self, lines: usize) -> io::Result<()> {
        self.terminal.move_cursor_down(lines)
    }

    fn move_cursor_right(&self, columns: usize) -> io::Result<()> {
        self.terminal.move_cursor_right(columns)
    }

    fn move_cursor_left(&self, columns: usize) -> io::Result<()> {
        self.terminal.move_cursor_left(columns)
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.column.store(0, Ordering::Relaxed);
        self.terminal.write_line(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        let width = usize::from(self.width());
        let mut column = self.column.load(Ordering::Relaxed);
        let mut broken = String::with_capacity(text.len());
        for letter in text.chars() {
            let columns = letter.width().unwrap_or_default();
            if column + columns > width {
                broken.push('\n');
                column = 0;
            }
            column += columns;
            broken.push(letter);
        }
        self.column.store(column, Ordering::Relaxed);
        self.terminal.write_str(&broken)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.column.store(0, Ordering::Relaxed);
        self.terminal.clear_line()
    }

    fn flush(&self) -> io::Result<()> {
        self.terminal.flush()
    }
}
