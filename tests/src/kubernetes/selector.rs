//! Label and field selectors: parsing, matching, and the text form which a Scale reports.
//!
//! A field selector is refused for fields the real server does not index; it never matches by
//! accident.

use serde_json::Value;

use super::field::{list, text};
use super::refusal::Refusal;

/// Restricts a list or a watch.
#[derive(Debug, Clone, Default)]
pub(super) struct Selector {
    labels: Vec<Term>,
    fields: Vec<(String, bool, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Term {
    key: String,
    rule: Rule,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Rule {
    Equals(String),
    Differs(String),
    In(Vec<String>),
    NotIn(Vec<String>),
    Present,
    Absent,
}

const INDEXED: &[(&str, &[&str])] = &[
    ("pods", &["spec.nodeName", "status.phase"]),
    (
        "events",
        &[
            "involvedObject.kind",
            "involvedObject.name",
            "involvedObject.namespace",
            "involvedObject.uid",
            "reason",
            "type",
        ],
    ),
];

impl Selector {
    /// Reads the two query parameters; empty text selects everything.
    ///
    /// # Errors
    /// 400 when a selector cannot be read or names a field that is not indexed for `plural`.
    pub(super) fn parse(plural: &str, labels: &str, fields: &str) -> Result<Self, Refusal> {
        let mut selector = Self::default();
        for part in split_outside_brackets(labels) {
            selector.labels.push(parse_term(part)?);
        }
        for part in fields
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let unreadable =
                || Refusal::bad_request(format!("unable to parse field selector: {part}"));
            let (key, wanted, value) = if let Some((key, value)) = part.split_once("!=") {
                (key, false, value)
            } else {
                let (key, value) = part.split_once('=').ok_or_else(unreadable)?;
                (key, true, value.trim_start_matches('='))
            };
            let indexed = matches!(key, "metadata.name" | "metadata.namespace")
                || INDEXED
                    .iter()
                    .any(|(name, keys)| *name == plural && keys.contains(&key));
            if !indexed {
                return Err(Refusal::bad_request(format!(
                    "field label not supported: {key}"
                )));
            }
            selector.fields.push((
                format!("/{}", key.replace('.', "/")),
                wanted,
                value.to_owned(),
            ));
        }
        Ok(selector)
    }

    /// Whether `object` is selected.
    pub(super) fn matches(&self, object: &Value) -> bool {
        let labels = object.pointer("/metadata/labels");
        self.fields
            .iter()
            .all(|(pointer, wanted, value)| (text(object, pointer) == value) == *wanted)
            && self.labels.iter().all(|term| term.matches(labels))
    }

    /// The selector in `spec.selector` of a workload.
    pub(super) fn of_workload(workload: &Value) -> Self {
        let mut labels = Vec::new();
        if let Some(pairs) = workload
            .pointer("/spec/selector/matchLabels")
            .and_then(Value::as_object)
        {
            for (key, value) in pairs {
                let value = value.as_str().unwrap_or("").to_owned();
                labels.push(Term {
                    key: key.clone(),
                    rule: Rule::Equals(value),
                });
            }
        }
        for expression in list(workload, "/spec/selector/matchExpressions") {
            let values: Vec<String> = list(expression, "/values")
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect();
            let rule = match text(expression, "/operator") {
                "In" => Rule::In(values),
                "NotIn" => Rule::NotIn(values),
                "Exists" => Rule::Present,
                _ => Rule::Absent,
            };
            labels.push(Term {
                key: text(expression, "/key").to_owned(),
                rule,
            });
        }
        labels.sort();
        Self {
            labels,
            fields: Vec::new(),
        }
    }

    /// Whether nothing is demanded of labels.
    pub(super) fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The text form, as in `status.selector` of a Scale.
    pub(super) fn to_text(&self) -> String {
        let terms: Vec<String> = self.labels.iter().map(Term::to_text).collect();
        terms.join(",")
    }
}

impl Term {
    fn matches(&self, labels: Option<&Value>) -> bool {
        let value = labels
            .and_then(|labels| labels.get(&self.key))
            .and_then(Value::as_str);
        match &self.rule {
            Rule::Equals(wanted) => value == Some(wanted),
            Rule::Differs(unwanted) => value != Some(unwanted),
            Rule::In(wanted) => value.is_some_and(|value| wanted.iter().any(|one| one == value)),
            Rule::NotIn(unwanted) => {
                value.is_none_or(|value| unwanted.iter().all(|one| one != value))
            }
            Rule::Present => value.is_some(),
            Rule::Absent => value.is_none(),
        }
    }

    fn to_text(&self) -> String {
        let key = &self.key;
        match &self.rule {
            Rule::Equals(value) => format!("{key}={value}"),
            Rule::Differs(value) => format!("{key}!={value}"),
            Rule::In(values) => format!("{key} in ({})", values.join(",")),
            Rule::NotIn(values) => format!("{key} notin ({})", values.join(",")),
            Rule::Present => key.clone(),
            Rule::Absent => format!("!{key}"),
        }
    }
}

fn split_outside_brackets(selector: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_u32, 0);
    for (at, letter) in selector.char_indices() {
        match letter {
            '(' => depth = depth.saturating_add(1),
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&selector[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&selector[start..]);
    parts
        .into_iter()
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect()
}

fn parse_term(part: &str) -> Result<Term, Refusal> {
    let unreadable = || Refusal::bad_request(format!("unable to parse requirement: {part}"));
    let term = |key: &str, rule: Rule| Term {
        key: key.trim().to_owned(),
        rule,
    };
    if let Some(open) = part.find('(') {
        let inner = part[open..]
            .strip_prefix('(')
            .and_then(|rest| rest.strip_suffix(')'))
            .ok_or_else(unreadable)?;
        let values = inner
            .split(',')
            .map(|value| value.trim().to_owned())
            .collect();
        let mut words = part[..open].split_whitespace();
        let key = words.next().ok_or_else(unreadable)?;
        return match words.next() {
            Some("in") => Ok(term(key, Rule::In(values))),
            Some("notin") => Ok(term(key, Rule::NotIn(values))),
            _ => Err(unreadable()),
        };
    }
    if let Some((key, value)) = part.split_once("!=") {
        return Ok(term(key, Rule::Differs(value.trim().to_owned())));
    }
    if let Some((key, value)) = part.split_once('=') {
        let value = value.trim_start_matches('=').trim();
        return Ok(term(key, Rule::Equals(value.to_owned())));
    }
    if let Some(key) = part.strip_prefix('!') {
        return Ok(term(key, Rule::Absent));
    }
    if part.contains(char::is_whitespace) {
        return Err(unreadable());
    }
    Ok(term(part, Rule::Present))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn label_selectors_match_as_kubernetes_matches() {
        let pod = json!({"metadata": {"name": "p", "labels": {"app": "web", "tier": "a"}}});
        for (selector, expected) in [
            ("app=web", true),
            ("app==web,tier!=b", true),
            ("app in (db, web),!gone", true),
            ("app notin (web)", false),
            ("tier,gone", false),
            ("gone!=x", true),
        ] {
            let parsed = Selector::parse("pods", selector, "").unwrap();
            assert_eq!(parsed.matches(&pod), expected, "{selector}");
        }
        assert!(Selector::parse("pods", "a b", "").is_err());
        assert!(Selector::parse("pods", "", "spec.hostname=x").is_err());
    }

    #[test]
    fn a_workload_selector_has_one_text_form() {
        let workload = json!({"spec": {"selector": {
            "matchLabels": {"b": "2", "a": "1"},
            "matchExpressions": [{"key": "c", "operator": "In", "values": ["x", "y"]}]}}});
        assert_eq!(
            Selector::of_workload(&workload).to_text(),
            "a=1,b=2,c in (x,y)"
        );
    }
}
