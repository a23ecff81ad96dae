//! How far a database came that another site has replaced: for whoever has to decide what becomes of it.
//!
//! Nothing is deleted and nothing is rewound here; the WAL that the new primary never had stays where it is.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use shared::wire::DatabaseSample;

use crate::clock;
use crate::config::PostgresConfig;
use crate::control_file;
use crate::ledger::Fenced;

const PATIENCE: Duration = Duration::from_secs(5);
/// Lines of `pg_controldata`, and what they are called in the note.
const LINES: [(&str, &str); 5] = [
    ("Database system identifier", "system_identifier"),
    ("Database cluster state", "state"),
    ("Latest checkpoint's TimeLineID", "timeline"),
    ("Latest checkpoint location", "latest_checkpoint"),
    ("Time of latest checkpoint", "latest_checkpoint_at"),
];

/// The last that was seen of the running database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LastSeen {
    pub(crate) sample: DatabaseSample,
    /// How long before it was stopped.
    pub(crate) before_ms: u64,
}

/// Writes `fenced.json` beside the ledger: why it is kept down, and how far it came.
pub(crate) async fn note(
    state_dir: &Path,
    config: &PostgresConfig,
    fenced: &Fenced,
    last: Option<&LastSeen>,
) -> Result<Value, String> {
    let control = control_file::read(config, PATIENCE).await;
    let control = control.map(|text| chosen(&text));
    let note = json!({
        "summary": format!("Pointsman keeps this database down: {}.", fenced.reason),
        "epoch": fenced.epoch,
        "at": clock::wall().rfc3339(),
        "control": control,
        "last_seen": last.map(|last| json!({
            "before_ms": last.before_ms,
            "timeline": last.sample.timeline,
            "flushed_lsn": last.sample.received_lsn.map(|lsn| lsn.to_string()),
            "standbys": last.sample.senders.iter().map(|sender| json!({
                "application": sender.application,
                "flushed_lsn": sender.flushed_lsn.map(|lsn| lsn.to_string()),
            })).collect::<Vec<_>>(),
        })),
        "next": "its WAL is kept; it may come up as a standby of the new primary, after a rewind or as a new copy",
    });
    let path = state_dir.join("fenced.json");
    let written = tokio::fs::write(&path, format!("{note:#}\n")).await;
    written
        .map(|()| note)
        .map_err(|error| format!("{}: {error}", path.display()))
}

fn chosen(text: &str) -> Value {
    let found = text.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        let (_, key) = LINES.iter().find(|(wanted, _)| *wanted == name)?;
        Some(((*key).to_owned(), Value::String(value.trim().to_owned())))
    });
    Value::Object(found.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_that_tell_how_far_it_came_are_chosen() {
        let text = "pg_control version number:            1300\n\
                    Database system identifier:           7310000000000000001\n\
                    Database cluster state:               in production\n\
                    Latest checkpoint location:           0/3000110\n\
                    Latest checkpoint's REDO location:    0/30000D8\n\
                    Latest checkpoint's TimeLineID:       1\n\
                    Time of latest checkpoint:            Wed 25 Nov 2026 10:00:00 AM UTC\n";
        let chosen = chosen(text);
        assert_eq!(chosen["state"], "in production");
        assert_eq!(chosen["latest_checkpoint"], "0/3000110");
        assert_eq!(chosen["timeline"], "1");
        assert_eq!(
            chosen["latest_checkpoint_at"],
            "Wed 25 Nov 2026 10:00:00 AM UTC"
        );
        assert_eq!(chosen.as_object().unwrap().len(), LINES.len());
    }
}
