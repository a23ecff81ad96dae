//! From a text file to a scenario; every mistake is said with its line.

use anyhow::{Context, Result, bail, ensure};

use super::step::Step;
use crate::lab::coordinator_file::Lead;
use crate::lab::log_watch::Allowance;
use crate::lab::stack_file::PolicyLines;

/// One scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// Its file's name.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// Rules of the stack file that differ from the usual ones.
    pub policy: PolicyLines,
    /// How the coordinators lead.
    pub lead: Lead,
    /// Log lines that are no failure.
    pub allowed: Vec<Allowance>,
    /// Its steps, each with its line number and text.
    pub steps: Vec<(usize, String, Step)>,
}

impl Scenario {
    /// Reads the scenario of a name.
    ///
    /// # Errors
    /// When there is none, or its file has a mistake.
    pub fn load(name: &str) -> Result<Self> {
        let path = super::directory().join(format!("{name}.txt"));
        let known = super::names()?;
        ensure!(
            known.iter().any(|it| it == name),
            "found scenario {name:?}; allowed: {}",
            known.join(" | ")
        );
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("reading {}", path.display()))?;
        Self::parse(name, &text)
    }

    /// Reads a text.
    ///
    /// # Errors
    /// The first mistake with its line.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let mut scenario = Self {
            name: name.to_owned(),
            title: String::new(),
            policy: PolicyLines::new(),
            lead: Lead::default(),
            allowed: Vec::new(),
            steps: Vec::new(),
        };
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if !line.is_empty() {
                let place = index + 1;
                scenario
                    .take(place, line)
                    .with_context(|| format!("{name}.txt, line {place}"))?;
            }
        }
        ensure!(!scenario.title.is_empty(), "{name}.txt: no title");
        ensure!(!scenario.steps.is_empty(), "{name}.txt: no steps");
        Ok(scenario)
    }

    fn take(&mut self, place: usize, line: &str) -> Result<()> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["title", text @ ..] => self.title = text.join(" "),
            ["policy", key, value] => self.policy.push(((*key).to_owned(), (*value).to_owned())),
            ["lead", "lease", lease, "renew", renew] => {
                self.lead = Lead {
                    lease: (*lease).to_owned(),
                    renew: (*renew).to_owned(),
                };
            }
            ["may", "log", program, text @ ..] if !text.is_empty() => {
                self.allowed.push(Allowance {
                    program: (*program).to_owned(),
                    text: text.join(" "),
                });
            }
            ["policy" | "lead" | "may", ..] => bail!(
                "found {line:?}; allowed: policy KEY VALUE | lead lease SPAN renew SPAN | may log PROGRAM TEXT"
            ),
            _ => self
                .steps
                .push((place, line.to_owned(), Step::parse(line)?)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_of_the_tree_is_readable() {
        let names = crate::lab::scenario::names().unwrap();
        assert!(names.len() >= 10, "{names:?}");
        for name in names {
            Scenario::load(&name).unwrap();
        }
    }

    #[test]
    fn a_mistake_is_said_with_its_line() {
        let error = Scenario::parse("x", "title t\n\nlose dc1 by magic\n").unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("line 3") && text.contains("magic"), "{text}");
        assert!(Scenario::load("../x").is_err());
    }
}
