//! `synchronous_standby_names`, read as PostgreSQL reads it: `FIRST n (a, b)`, `ANY n (a, b)`, `n (a, b)` or `a, b`.
//!
//! Must never: read a text that the server would refuse as anything but not understood.

/// The names, and how many of them must answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// How many.
    pub(super) needed: u32,
    /// The names, `*` for any.
    pub(super) names: Vec<String>,
}

/// A word of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A name as it stands, or a number.
    Bare(String),
    /// A name in double quotes.
    Quoted(String),
    /// One of `(`, `)`, `,`, `*`.
    Sign(char),
}

impl Rule {
    /// Nothing when it is not understood; no names for an empty text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let tokens = tokens(text)?;
        if tokens.is_empty() {
            return Some(Self {
                needed: 0,
                names: Vec::new(),
            });
        }
        let word = |token: &Token, word: &str| matches!(token, Token::Bare(found) if found.eq_ignore_ascii_case(word));
        let (counted, rest) = match tokens.as_slice() {
            [method, count, Token::Sign('('), rest @ ..]
                if word(method, "first") || word(method, "any") =>
            {
                (Some(count), rest)
            }
            [count, Token::Sign('('), rest @ ..] => (Some(count), rest),
            all => (None, all),
        };
        let Some(count) = counted else {
            let names = list(rest)?;
            return Some(Self { needed: 1, names });
        };
        let Token::Bare(count) = count else {
            return None;
        };
        let needed: u32 = count.parse().ok().filter(|count| *count > 0)?;
        let [list_tokens @ .., Token::Sign(')')] = rest else {
            return None;
        };
        let names = list(list_tokens)?;
        Some(Self { needed, names })
    }
}

/// Names between commas, at least one.
fn list(tokens: &[Token]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match (at % 2, token) {
            (0, Token::Bare(name) | Token::Quoted(name)) => names.push(name.clone()),
            (0, Token::Sign('*')) => names.push("*".to_owned()),
            (1, Token::Sign(',')) => {}
            _ => return None,
        }
    }
    (tokens.len() % 2 == 1).then_some(names)
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '(' | ')' | ',' | '*' => {
                tokens.push(Token::Sign(first));
                1
            }
            '"' => {
                let (name, end) = quoted(rest)?;
                tokens.push(Token::Quoted(name));
                end
            }
            _ => {
                let end = rest.find(|c| !is_bare(c)).unwrap_or(rest.len());
                let bare = rest.get(..end).filter(|bare| !bare.is_empty())?;
                tokens.push(Token::Bare(bare.to_owned()));
                end
            }
        };
        rest = rest.get(end..)?.trim_start();
    }
    Some(tokens)
}

/// A quoted name, in which a doubled quote is a quote, and where it ends. An empty one is refused.
fn quoted(text: &str) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut quotes = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = quotes.next() {
        if c != '"' {
            name.push(c);
        } else if quotes.next_if(|(_, next)| *next == '"').is_some() {
            name.push('"');
        } else {
            return (!name.is_empty()).then_some((name, at.saturating_add(1)));
        }
    }
    None
}

/// What a name without quotes may hold.
fn is_bare(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(u32, Vec<String>)> {
        Rule::parse(text).map(|rule| (rule.needed, rule.names))
    }

    #[test]
    fn what_the_server_takes_is_read_as_the_server_reads_it() {
        let cases: [(&str, u32, &[&str]); 16] = [
            ("", 0, &[]),
            ("  ", 0, &[]),
            ("dc2", 1, &["dc2"]),
            ("dc2, dc3", 1, &["dc2", "dc3"]),
            ("FIRST 1 (dc2)", 1, &["dc2"]),
            ("first 2 (dc2,dc3)", 2, &["dc2", "dc3"]),
            ("ANY 1 (dc2, dc3)", 1, &["dc2", "dc3"]),
            ("any 1(dc2)", 1, &["dc2"]),
            ("2 (dc2, dc3)", 2, &["dc2", "dc3"]),
            ("*", 1, &["*"]),
            ("ANY 1 (*)", 1, &["*"]),
            ("\"my-standby\"", 1, &["my-standby"]),
            ("\"a\"\"b\", c_1$", 1, &["a\"b", "c_1$"]),
            ("first", 1, &["first"]),
            ("any, first", 1, &["any", "first"]),
            ("\"FIRST\"", 1, &["FIRST"]),
        ];
        for (text, needed, names) in cases {
            let names = names.iter().map(ToString::to_string).collect();
            assert_eq!(read(text), Some((needed, names)), "{text:?}");
        }
    }

    #[test]
    fn what_the_server_refuses_is_not_understood() {
        for text in [
            "dc-2",
            "dc2,",
            ",dc2",
            "dc2 dc3",
            "FIRST (dc2)",
            "FIRST 0 (dc2)",
            "ANY one (dc2)",
            "FIRST 1 dc2",
            "FIRST 1 (dc2",
            "FIRST 1 ()",
            "1 (dc2))",
            "\"dc2",
            "\"\"",
            "a; b",
            "FIRST 1 (dc2) x",
            "()",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
