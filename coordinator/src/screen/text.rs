//! Texts on a screen: escaped, and broken at words.

use std::fmt::{Arguments, Write as _};

use super::WIDTH;

/// The text without anything that a terminal would obey: control characters, and those that turn or hide text,
/// are shown as `\u{1b}`.
pub fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) {
            // Writing to a String never fails.
            let _written = write!(clean, "{}", c.escape_unicode());
        } else {
            clean.push(c);
        }
    }
    clean
}

/// Adds to a text.
pub fn put(text: &mut String, more: Arguments<'_>) {
    // Writing to a String never fails.
    let _written = text.write_fmt(more);
}

/// The text on lines of at most [`WIDTH`] columns, each begun with `first` (the first line) or `rest`.
pub fn paragraph(first: &str, rest: &str, text: &str) -> String {
    let room = WIDTH.saturating_sub(width(first).max(width(rest)));
    let mut lines = String::new();
    for (number, line) in wrap(&clean(text), room).iter().enumerate() {
        lines.push_str(if number == 0 { first } else { rest });
        lines.push_str(line);
        // No blanks at the end of a line.
        lines.truncate(lines.trim_end_matches(' ').len());
        lines.push('\n');
    }
    lines
}

/// A clean text broken at blanks, so that no line is wider than `room`; a longer word is cut.
pub fn wrap(text: &str, room: usize) -> Vec<String> {
    let room = room.max(8);
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        loop {
            let line = lines.last_mut().map_or(0, |line| width(line));
            let gap = usize::from(line > 0);
            if line + gap + word.len() <= room {
                if let Some(last) = lines.last_mut() {
                    if gap > 0 {
                        last.push(' ');
                    }
                    last.extend(word.iter());
                }
                break;
            }
            if line > 0 {
                lines.push(String::new());
            } else {
                let rest = word.split_off(room);
                if let Some(last) = lines.last_mut() {
                    last.extend(word.iter());
                }
                lines.push(String::new());
                word = rest;
            }
        }
    }
    lines
}

/// Columns that a text takes.
pub fn width(text: &str) -> usize {
    text.chars().count()
}

/// Characters that change what a terminal shows instead of being shown.
pub(super) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        assert_eq!(
            clean("a\u{1b}[2Jb\n\u{9b}c\u{202e}d"),
            "a\\u{1b}[2Jb\\u{a}\\u{9b}c\\u{202e}d"
        );
        assert_eq!(clean("gr\u{fc}n"), "gr\u{fc}n");
    }

    #[test]
    fn no_line_is_wider_than_the_screen() {
        let long = format!("{} {} end", "word ".repeat(60), "x".repeat(250));
        let text = paragraph("  - ", "    ", &long);
        assert!(
            text.lines()
                .all(|line| width(line) <= WIDTH && !line.ends_with(' ')),
            "{text}"
        );
        assert!(text.lines().count() > 5);
        assert_eq!(text.matches('x').count(), 250, "nothing is lost");
        assert_eq!(paragraph("a: ", "   ", ""), "a:\n");
    }
}
