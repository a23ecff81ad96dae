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
    /// Rows of the fault matrix that it covers.
    pub rows: Vec<u8>,
    /// Whether it is one of the few that every run of the tests plays.
    pub fast: bool,
    /// Whether it can only be shown where each site has a network namespace.
    pub needs_namespaces: bool,
    /// Rules of the stack file that differ from the usual ones.
    pub policy: PolicyLines,
    /// How the coordinators lead.
    pub lead: Lead,
    /// Programs whose files lie on a small disk of their own, such as `nats-dc1`.
    pub small_disks: Vec<String>,
    /// Programs whose wall clock may be set wrong, such as `agent-dc1-db`.
    pub false_clocks: Vec<String>,
    /// Whether leaders sign plans for break glass, and agents keep them.
    pub keeps_plans: bool,
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
        let mut scenario = Self::empty(name);
        scenario.take_all(name, text)?;
        ensure!(!scenario.title.is_empty(), "{name}.txt: no title");
        ensure!(!scenario.steps.is_empty(), "{name}.txt: no steps");
        Ok(scenario)
    }

    /// The settings of `with/NAME.txt`, without a title or steps.
    ///
    /// # Errors
    /// When there is no such file, or it has a mistake.
    pub fn settings(name: &str) -> Result<Self> {
        let mut settings = Self::empty(name);
        settings.take_in(name)?;
        Ok(settings)
    }

    fn empty(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            title: String::new(),
            rows: Vec::new(),
            fast: false,
            needs_namespaces: false,
            policy: PolicyLines::new(),
            lead: Lead::default(),
            small_disks: Vec::new(),
            false_clocks: Vec::new(),
            keeps_plans: false,
            allowed: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// Whether the lab is afterwards as it was before, so that another scenario may follow on it.
    pub fn leaves_as_it_was(&self) -> bool {
        let last = self.steps.last().map(|(_, _, step)| step);
        let unmoved = self
            .steps
            .iter()
            .any(|(_, _, step)| *step == Step::ExpectUnmoved);
        unmoved && matches!(last, Some(Step::ExpectUnmoved | Step::AwaitProtected(_)))
    }

    /// Whether it may follow `other` on the same lab.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let makes = |it: &Self| {
            let ground = (it.small_disks.clone(), it.false_clocks.clone());
            (it.policy.clone(), it.lead.clone(), ground, it.keeps_plans)
        };
        makes(self) == makes(other)
    }

    fn take_all(&mut self, name: &str, text: &str) -> Result<()> {
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if !line.is_empty() {
                let place = index + 1;
                self.take(place, line)
                    .with_context(|| format!("{name}.txt, line {place}"))?;
            }
        }
        Ok(())
    }

    /// Settings that several scenarios share.
    fn take_in(&mut self, name: &str) -> Result<()> {
        let path = super::directory().join("with").join(format!("{name}.txt"));
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("reading {}", path.display()))?;
        self.take_all(&format!("with/{name}"), &text)
    }

    fn take(&mut self, place: usize, line: &str) -> Result<()> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["title", text @ ..] => self.title = text.join(" "),
            ["rows", rows @ ..] if !rows.is_empty() => {
                for row in rows {
                    self.rows.push(row.parse().with_context(|| {
                        format!("found row {row:?}; allowed: a row of the fault matrix")
                    })?);
                }
            }
            ["fast"] => self.fast = true,
            ["keeps", "plans"] => self.keeps_plans = true,
            ["needs", "namespaces"] => self.needs_namespaces = true,
            [
                "small",
                "disk",
                kind @ ("database" | "agent" | "nats"),
                name,
            ] => {
                self.small_disks.push(format!("{kind}-{name}"));
                self.needs_namespaces = true;
            }
            ["false", "clock", kind @ ("agent" | "coordinator"), name] => {
                self.false_clocks.push(format!("{kind}-{name}"));
            }
            ["with", name] => self.take_in(name)?,
            ["policy", key, value] => {
                self.policy.retain(|(known, _)| known != key);
                self.policy.push(((*key).to_owned(), (*value).to_owned()));
            }
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
            [
                "policy" | "lead" | "may" | "rows" | "needs" | "with" | "small" | "false" | "keeps",
                ..,
            ] => bail!(
                "found {line:?}; allowed: rows N… | fast | needs namespaces | keeps plans | with NAME | policy KEY VALUE | \
                 small disk database|agent|nats NAME | false clock agent|coordinator NAME | \
                 lead lease SPAN renew SPAN | may log PROGRAM TEXT"
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
