//! The figures, their aims, and how they are shown.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

/// Everything that is measured; nothing where it could not be. The order of its fields is that of its JSON.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Figures {
    /// Resident memory of the costliest database agent at rest, in bytes.
    pub agent_rss_bytes: Option<u64>,
    /// Its processor seconds in a minute.
    pub agent_cpu_s_per_min: Option<f64>,
    /// The longest heartbeat of a database agent, in bytes.
    pub heartbeat_bytes: Option<usize>,
    /// Resident memory of a coordinator under 10,000 agents, in bytes.
    pub coordinator_rss_bytes_10k: Option<u64>,
    /// Processors that it uses.
    pub coordinator_cores_10k: Option<f64>,
    /// From approval to the promotion's receipt, beyond the epoch wait, in milliseconds; the worse of two.
    pub approve_to_promote_ms: Option<i64>,
    /// The promote step less its proof's round trips, over a promotion without Pointsman, the middle ones of several.
    pub promote_ratio: Option<f64>,
    /// From the last heartbeat to the proposal, beyond the window, in milliseconds, when a site is killed.
    pub detect_over_window_ms_kill: Option<i64>,
    /// The same when it is frozen.
    pub detect_over_window_ms_freeze: Option<i64>,
    /// The agent's memory that is not mapped from a file, in bytes.
    pub agent_anonymous_bytes: Option<u64>,
    /// Resident memory of a coordinator under 1,000 agents, in bytes.
    pub coordinator_rss_bytes_1k: Option<u64>,
    /// Processors that it uses.
    pub coordinator_cores_1k: Option<f64>,
    /// Processors that nats-server uses under 10,000 agents.
    pub nats_cores_10k: Option<f64>,
    /// A promotion without Pointsman, the middle one, in milliseconds.
    pub bare_promote_ms: Option<f64>,
    /// The promote step, the middle one, in milliseconds.
    pub promote_step_ms: Option<f64>,
    /// The promote step with its proof's round trips, over a promotion without Pointsman.
    pub promote_whole_ratio: Option<f64>,
    /// The promote step within a whole failover, in milliseconds; the worse of two.
    pub lab_promote_step_ms: Option<u64>,
}

/// One line of the table.
struct Line {
    name: &'static str,
    value: Option<f64>,
    unit: Unit,
    aim: Option<f64>,
}

#[derive(Clone, Copy)]
enum Unit {
    Mebibytes,
    Bytes,
    Seconds,
    Cores,
    Millis,
    Times,
}

impl Figures {
    /// Keeps the greater of what is there and what comes.
    pub fn worse<T: PartialOrd>(kept: &mut Option<T>, found: T) {
        if kept.as_ref().is_none_or(|kept| *kept < found) {
            *kept = Some(found);
        }
    }

    /// Writes them as JSON.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("the figures as JSON")?;
        std::fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))
    }

    /// The figures that are missing.
    pub fn missing(&self) -> Vec<&'static str> {
        let lines = self.lines();
        lines
            .iter()
            .filter(|line| line.value.is_none())
            .map(|line| line.name)
            .collect()
    }

    /// The table for people: each figure beside its aim.
    pub fn text(&self) -> String {
        let mut out = format!("{:<30} {:>12}  {:>12}\n", "FIGURE", "MEASURED", "AIM");
        for line in self.lines() {
            let shown =
                |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| line.unit.show(v));
            let verdict = match (line.value, line.aim) {
                (None, _) => "NOT MEASURED",
                (Some(value), Some(aim)) if value > aim => "missed",
                (Some(_), Some(_)) => "met",
                (Some(_), None) => "",
            };
            let aim = line
                .aim
                .map_or_else(String::new, |_| format!("<= {}", shown(line.aim)));
            let row = format!(
                "{:<30} {:>12}  {aim:>12}  {verdict}",
                line.name,
                shown(line.value)
            );
            out.push_str(row.trim_end());
            out.push('\n');
        }
        out.push_str(
            "promote_ratio is without the proof's round trips, as its aim is; promote_whole_ratio is with them.\n",
        );
        out
    }

    fn lines(&self) -> Vec<Line> {
        let mut lines = self.promised();
        lines.extend(self.besides());
        lines
    }

    /// The figures that have aims since the beginning.
    fn promised(&self) -> Vec<Line> {
        let mebibytes = |n: Option<u64>| n.and_then(bytes);
        let size = self
            .heartbeat_bytes
            .and_then(|n| u32::try_from(n).ok())
            .map(f64::from);
        vec![
            line(
                "agent_rss_bytes",
                mebibytes(self.agent_rss_bytes),
                Unit::Mebibytes,
                Some(8.0),
            ),
            line(
                "agent_cpu_s_per_min",
                self.agent_cpu_s_per_min,
                Unit::Seconds,
                Some(0.1),
            ),
            line("heartbeat_bytes", size, Unit::Bytes, Some(512.0)),
            line(
                "coordinator_rss_bytes_10k",
                mebibytes(self.coordinator_rss_bytes_10k),
                Unit::Mebibytes,
                Some(100.0),
            ),
            line(
                "coordinator_cores_10k",
                self.coordinator_cores_10k,
                Unit::Cores,
                Some(0.3),
            ),
            line(
                "approve_to_promote_ms",
                millis(self.approve_to_promote_ms),
                Unit::Millis,
                Some(100.0),
            ),
            line("promote_ratio", self.promote_ratio, Unit::Times, Some(1.15)),
            line(
                "detect_over_window_ms_kill",
                millis(self.detect_over_window_ms_kill),
                Unit::Millis,
                Some(1000.0),
            ),
            line(
                "detect_over_window_ms_freeze",
                millis(self.detect_over_window_ms_freeze),
                Unit::Millis,
                Some(1000.0),
            ),
        ]
    }

    /// The figures that explain them.
    fn besides(&self) -> Vec<Line> {
        let mebibytes = |n: Option<u64>| n.and_then(bytes);
        let step = self.lab_promote_step_ms.and_then(|n| u32::try_from(n).ok());
        let step = step.map(f64::from);
        vec![
            line(
                "agent_anonymous_bytes",
                mebibytes(self.agent_anonymous_bytes),
                Unit::Mebibytes,
                None,
            ),
            line(
                "coordinator_rss_bytes_1k",
                mebibytes(self.coordinator_rss_bytes_1k),
                Unit::Mebibytes,
                None,
            ),
            line(
                "coordinator_cores_1k",
                self.coordinator_cores_1k,
                Unit::Cores,
                None,
            ),
            line("nats_cores_10k", self.nats_cores_10k, Unit::Cores, None),
            line("bare_promote_ms", self.bare_promote_ms, Unit::Millis, None),
            line("promote_step_ms", self.promote_step_ms, Unit::Millis, None),
            line("lab_promote_step_ms", step, Unit::Millis, None),
            line(
                "promote_whole_ratio",
                self.promote_whole_ratio,
                Unit::Times,
                None,
            ),
        ]
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Mebibytes => format!("{value:.2} MiB"),
            Self::Bytes => format!("{value:.0} B"),
            Self::Seconds => format!("{value:.3} s"),
            Self::Cores => format!("{value:.3}"),
            Self::Millis => format!("{value:.0} ms"),
            Self::Times => format!("{value:.2}"),
        }
    }
}

fn line(name: &'static str, value: Option<f64>, unit: Unit, aim: Option<f64>) -> Line {
    Line {
        name,
        value,
        unit,
        aim,
    }
}

/// Bytes in MiB.
fn bytes(n: u64) -> Option<f64> {
    u32::try_from(n / 1024)
        .ok()
        .map(|kib| f64::from(kib) / 1024.0)
}

fn millis(n: Option<i64>) -> Option<f64> {
    n.and_then(|n| i32::try_from(n).ok()).map(f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_said() {
        let mut figures = Figures::default();
        assert_eq!(figures.missing().len(), 17);
        figures.agent_rss_bytes = Some(9 << 20);
        figures.heartbeat_bytes = Some(400);
        let text = figures.text();
        let of = |name: &str| {
            text.lines()
                .find(|line| line.starts_with(name))
                .unwrap()
                .to_owned()
        };
        assert!(of("agent_rss_bytes").ends_with("missed"), "{text}");
        assert!(of("heartbeat_bytes").ends_with("met"), "{text}");
        assert!(of("promote_ratio").ends_with("NOT MEASURED"), "{text}");
    }

    #[test]
    fn the_keys_that_others_read_come_first() {
        let json = serde_json::to_string(&Figures::default()).unwrap();
        let keys = "agent_rss_bytes agent_cpu_s_per_min heartbeat_bytes coordinator_rss_bytes_10k \
                    coordinator_cores_10k approve_to_promote_ms promote_ratio detect_over_window_ms_kill \
                    detect_over_window_ms_freeze";
        let expected: Vec<String> = keys
            .split(' ')
            .map(|key| format!("\"{key}\":null"))
            .collect();
        assert!(
            json.starts_with(&format!("{{{}", expected.join(","))),
            "{json}"
        );
    }
}
