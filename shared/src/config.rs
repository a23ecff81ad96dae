//! Reading TOML so that every problem is found at once and said with its place.
//!
//! Every file of Pointsman (stack, agent, coordinator) is read through [`Section`]: a key that nobody asked
//! for is a problem, so is a value out of its range, and reading goes on after each of them.

use std::cell::RefCell;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use toml::{Table, Value};

use crate::clock::Millis;

/// One thing that is wrong with a file: where, what was found, what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, dotted, with the index of lists: `database[0].member[2].node`. Empty for the whole file.
    pub key: String,
    /// What was found there.
    pub found: String,
    /// What is allowed there.
    pub allowed: String,
}

/// Everything that is wrong with one file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems {
    /// The file, as the user named it.
    pub file: String,
    /// At least one problem.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = if self.key.is_empty() {
            "(file)"
        } else {
            &self.key
        };
        write!(f, "{key}: found {}; allowed: {}", self.found, self.allowed)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.problems.len() == 1 { "" } else { "s" };
        write!(f, "{}: {} problem{plural}", self.file, self.problems.len())?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

/// A file being read: it gathers the problems of all its sections.
#[derive(Debug)]
pub struct Document {
    file: String,
    table: Table,
    problems: RefCell<Vec<Problem>>,
}

impl Document {
    /// Parses a text as TOML.
    ///
    /// # Errors
    /// [`Problems`] with the line and column when the text is not TOML.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        match text.parse::<Table>() {
            Ok(table) => Ok(Self {
                file: file.to_owned(),
                table,
                problems: RefCell::default(),
            }),
            Err(error) => {
                let place = error.span().map_or(0, |span| span.start);
                let before = text.get(..place).unwrap_or(text);
                let line = before.matches('\n').count() + 1;
                let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
                let key = format!("line {line}, column {column}");
                let found = error.message().to_owned();
                let allowed = "a TOML document (https://toml.io)".to_owned();
                Err(Problems {
                    file: file.to_owned(),
                    problems: vec![Problem {
                        key,
                        found,
                        allowed,
                    }],
                })
            }
        }
    }

    /// The top of the file.
    pub fn top(&self) -> Section<'_> {
        Section {
            path: String::new(),
            table: Some(&self.table),
            asked: RefCell::default(),
            problems: &self.problems,
        }
    }

    /// Ends the reading: the value, or everything that was wrong.
    ///
    /// # Errors
    /// [`Problems`] when there was any, or when `value` could not be made.
    ///
    /// # Panics
    /// When no value was made although nothing was wrong: a bug of the reader.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Problems> {
        let problems = self.problems.into_inner();
        match value {
            Some(value) if problems.is_empty() => Ok(value),
            _ => {
                assert!(
                    !problems.is_empty(),
                    "a value is missing from {} and nobody said why",
                    self.file
                );
                Err(Problems {
                    file: self.file,
                    problems,
                })
            }
        }
    }
}

/// One table of a file. Ask for every key it may have, then call [`Section::finish`].
#[derive(Debug)]
pub struct Section<'a> {
    path: String,
    table: Option<&'a Table>,
    asked: RefCell<Vec<&'static str>>,
    problems: &'a RefCell<Vec<Problem>>,
}

impl<'a> Section<'a> {
    /// The dotted place of a key of this section.
    pub fn place(&self, key: &str) -> String {
        match (self.path.is_empty(), key.is_empty()) {
            (true, _) => key.to_owned(),
            (false, true) => self.path.clone(),
            (false, false) => format!("{}.{key}", self.path),
        }
    }

    /// Says that a key's value is wrong.
    pub fn problem(&self, key: &str, found: impl fmt::Display, allowed: impl fmt::Display) {
        self.problems.borrow_mut().push(Problem {
            key: self.place(key),
            found: found.to_string(),
            allowed: allowed.to_string(),
        });
    }

    /// True when the file has the key.
    pub fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// A text that must be there and parse.
    pub fn required<T: FromStr<Err: fmt::Display>>(
        &self,
        key: &'static str,
        allowed: &str,
    ) -> Option<T> {
        if !self.has(key) {
            self.ask(key);
            self.problem(key, "nothing", allowed);
            return None;
        }
        self.optional(key, allowed)
    }

    /// A text that, if there, must parse.
    pub fn optional<T: FromStr<Err: fmt::Display>>(
        &self,
        key: &'static str,
        allowed: &str,
    ) -> Option<T> {
        let value = self.ask(key)?;
        let Value::String(text) = value else {
            self.problem(key, shown(value), allowed);
            return None;
        };
        match text.parse() {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                let reason = error.to_string();
                let found = if reason.contains(&format!("{text:?}")) {
                    reason
                } else {
                    format!("{text:?} ({reason})")
                };
                self.problem(key, found, allowed);
                None
            }
        }
    }

    /// One of a few words; `default` when the key is absent.
    pub fn word<T: Copy>(
        &self,
        key: &'static str,
        words: &[(&str, T)],
        default: Option<T>,
    ) -> Option<T> {
        let allowed = || {
            words
                .iter()
                .map(|(word, _)| *word)
                .collect::<Vec<_>>()
                .join(" | ")
        };
        let Some(value) = self.ask(key) else {
            if default.is_none() {
                self.problem(key, "nothing", allowed());
            }
            return default;
        };
        let found = value
            .as_str()
            .and_then(|text| words.iter().find(|(word, _)| *word == text));
        if found.is_none() {
            self.problem(key, shown(value), allowed());
        }
        found.map(|(_, meaning)| *meaning)
    }

    /// A span of time in a range; `default` when the key is absent.
    pub fn span(
        &self,
        key: &'static str,
        default: Millis,
        range: RangeInclusive<Millis>,
    ) -> Option<Millis> {
        let allowed = format!(
            "a span from {} to {}, like {default}",
            range.start(),
            range.end()
        );
        if !self.has(key) {
            self.ask(key);
            return Some(default);
        }
        let span: Millis = self.optional(key, &allowed)?;
        if !range.contains(&span) {
            self.problem(key, span, allowed);
            return None;
        }
        Some(span)
    }

    /// A whole number in a range; `default` when the key is absent, required when there is none.
    pub fn number(
        &self,
        key: &'static str,
        default: Option<u64>,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        let allowed = format!("a whole number from {} to {}", range.start(), range.end());
        let Some(value) = self.ask(key) else {
            if default.is_none() {
                self.problem(key, "nothing", allowed);
            }
            return default;
        };
        let number = value
            .as_integer()
            .and_then(|n| u64::try_from(n).ok())
            .filter(|n| range.contains(n));
        if number.is_none() {
            self.problem(key, shown(value), allowed);
        }
        number
    }

    /// True or false; `default` when the key is absent.
    pub fn flag(&self, key: &'static str, default: bool) -> Option<bool> {
        let Some(value) = self.ask(key) else {
            return Some(default);
        };
        let flag = value.as_bool();
        if flag.is_none() {
            self.problem(key, shown(value), "true | false");
        }
        flag
    }

    /// A list of texts; empty when the key is absent.
    pub fn texts(&self, key: &'static str, allowed: &str) -> Vec<String> {
        let Some(value) = self.ask(key) else {
            return Vec::new();
        };
        let Some(list) = value.as_array() else {
            self.problem(key, shown(value), allowed);
            return Vec::new();
        };
        let mut texts = Vec::new();
        for (index, item) in list.iter().enumerate() {
            match item.as_str() {
                Some(text) => texts.push(text.to_owned()),
                None => self.problem(&format!("{key}[{index}]"), shown(item), allowed),
            }
        }
        texts
    }

    /// The table under a key; an empty one when the key is absent.
    #[must_use]
    pub fn section(&self, key: &'static str) -> Self {
        let table = match self.ask(key) {
            None => None,
            Some(Value::Table(table)) => Some(table),
            Some(other) => {
                self.problem(key, shown(other), format!("a table [{key}]"));
                None
            }
        };
        self.below(self.place(key), table)
    }

    /// The tables under a key that is written `[[key]]`; none when it is absent.
    pub fn sections(&self, key: &'static str) -> Vec<Self> {
        let allowed = || format!("tables [[{key}]]");
        let list = match self.ask(key) {
            None => return Vec::new(),
            Some(Value::Array(list)) => list,
            Some(other) => {
                self.problem(key, shown(other), allowed());
                return Vec::new();
            }
        };
        let mut sections = Vec::new();
        for (index, item) in list.iter().enumerate() {
            let name = format!("{key}[{index}]");
            if let Value::Table(table) = item {
                sections.push(self.below(self.place(&name), Some(table)));
            } else {
                self.problem(&name, shown(item), allowed());
            }
        }
        sections
    }

    /// The tables under a key, by the names the file gives them: `[key.name]`.
    pub fn named_sections(&self, key: &'static str) -> Vec<(String, Self)> {
        let section = self.section(key);
        let mut named = Vec::new();
        for (name, value) in section.table.into_iter().flatten() {
            if let Value::Table(table) = value {
                named.push((name.clone(), self.below(section.place(name), Some(table))));
            } else {
                let allowed = format!("a table [{}]", section.place(name));
                section.problem(name, shown(value), allowed);
            }
        }
        named
    }

    /// The texts under a key, by the names the file gives them: `key = { name = "text" }`.
    pub fn named_texts(&self, key: &'static str, allowed: &str) -> Vec<(String, String)> {
        let section = self.section(key);
        let mut named = Vec::new();
        for (name, value) in section.table.into_iter().flatten() {
            match value.as_str() {
                Some(text) => named.push((name.clone(), text.to_owned())),
                None => section.problem(name, shown(value), allowed),
            }
        }
        named
    }

    /// Ends the section: every key that nobody asked for is a problem.
    pub fn finish(self) {
        let asked = self.asked.borrow();
        for key in self.table.into_iter().flat_map(Table::keys) {
            if !asked.contains(&key.as_str()) {
                let mut known: Vec<&str> = asked.clone();
                known.sort_unstable();
                self.problem(key, "an unknown key", known.join(" | "));
            }
        }
    }

    fn ask(&self, key: &'static str) -> Option<&'a Value> {
        self.asked.borrow_mut().push(key);
        self.table.and_then(|table| table.get(key))
    }

    fn below(&self, path: String, table: Option<&'a Table>) -> Self {
        Self {
            path,
            table,
            asked: RefCell::default(),
            problems: self.problems,
        }
    }
}

/// A value as the file wrote it, cut so that a message stays a line.
fn shown(value: &Value) -> String {
    const SHOWN_LEN_MAX: usize = 80;
    let text = value.to_string().replace('\n', " ");
    if text.chars().count() > SHOWN_LEN_MAX {
        let cut: String = text.chars().take(SHOWN_LEN_MAX).collect();
        format!("{cut}…")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SiteName;

    #[test]
    fn all_problems_are_found_at_once() {
        let text = "site = \"DC1\"\nwait = \"9h\"\nextra = 1\n[[node]]\nname = 7\n";
        let document = Document::parse("x.toml", text).unwrap();
        let top = document.top();
        let site: Option<SiteName> = top.required("site", "a site name");
        let wait = top.span("wait", Millis::seconds(1), Millis(0)..=Millis::seconds(60));
        for node in top.sections("node") {
            node.required::<SiteName>("name", "a node name");
            node.finish();
        }
        top.number("limit", None, 1..=9);
        top.finish();
        let problems = document.finish(site.zip(wait)).unwrap_err();
        let keys: Vec<&str> = problems.problems.iter().map(|p| p.key.as_str()).collect();
        assert_eq!(keys, ["site", "wait", "node[0].name", "limit", "extra"]);
        assert!(problems.to_string().starts_with("x.toml: 5 problems\n"));
    }

    #[test]
    fn text_that_is_not_toml_names_line_and_column() {
        let problems = Document::parse("x.toml", "a = 1\nb = = 2\n").unwrap_err();
        assert_eq!(problems.problems[0].key, "line 2, column 5");
    }
}
