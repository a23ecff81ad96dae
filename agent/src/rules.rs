//! The stack in force as this agent knows it: read from the store, and kept on its disk so that the rules are known
//! while the store does not answer.
//!
//! Rules authorise nothing, so a read is enough. What it must never do: go back to an older version than it kept.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bus::{Bucket, Change, Connection};
use shared::id::StackName;
use shared::stack::{STACK_SCHEMA, StackRecord};
use shared::subject::{self, key};
use shared::telemetry::Chain;
use tokio::sync::watch;

use crate::replacement;

/// Pause before the key is asked for again.
const RETRY: Duration = Duration::from_secs(1);
/// The key is read again after so long, whatever the watch shows: a watch may stay silent for ever.
const READ_EVERY: Duration = Duration::from_secs(10);
/// Largest file read, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The newest stack that is known.
pub(crate) type Known = watch::Receiver<Option<StackRecord>>;

/// Reads what an earlier process has kept, and watches the store from now on.
pub(crate) fn begin(
    connection: Connection,
    stack: StackName,
    state_dir: &Path,
    tasks: &mut tokio::task::JoinSet<()>,
) -> Known {
    let path = path(state_dir);
    let kept = read(&path, &stack);
    let (sender, receiver) = watch::channel(kept);
    let watching = Watching {
        connection,
        stack,
        path,
        sender,
        told_older: None,
        told_unread: false,
    };
    tasks.spawn(watching.run());
    receiver
}

/// What is kept on the disk, if it can be used.
pub(crate) fn kept(state_dir: &Path, stack: &StackName) -> Option<StackRecord> {
    read(&path(state_dir), stack)
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("stack.json")
}

struct Watching {
    connection: Connection,
    stack: StackName,
    path: PathBuf,
    sender: watch::Sender<Option<StackRecord>>,
    /// The older version last complained of.
    told_older: Option<u64>,
    told_unread: bool,
}

impl Watching {
    async fn run(mut self) {
        loop {
            if let Ok(bucket) = Bucket::open(&self.connection, &subject::bucket(&self.stack)).await
            {
                self.follow(&bucket).await;
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Until something fails.
    async fn follow(&mut self, bucket: &Bucket) {
        let Ok(mut changes) = bucket.watch(key::STACK).await else {
            return;
        };
        let mut reads = tokio::time::interval(READ_EVERY);
        loop {
            tokio::select! {
                change = changes.next() => match change {
                    Some(Change::Put { value, .. }) => self.take(&value).await,
                    Some(Change::Deleted { .. }) => {}
                    None => return,
                },
                _ = reads.tick() => match bucket.entry(key::STACK).await {
                    Ok(Some(entry)) => self.take(&entry.value).await,
                    Ok(None) => {}
                    Err(error) => tracing::debug!(error = %Chain(&error), "the stack cannot be read now"),
                },
            }
        }
    }

    async fn take(&mut self, value: &[u8]) {
        let record = match parse(value, &self.stack) {
            Ok(record) => record,
            Err(why) => {
                if !std::mem::replace(&mut self.told_unread, true) {
                    tracing::error!(
                        why,
                        "the stack in the store is not understood; the rules stay as they are"
                    );
                }
                return;
            }
        };
        let kept = self.sender.borrow().as_ref().map(|kept| kept.version);
        match kept {
            Some(kept) if kept == record.version => return,
            Some(kept) if kept > record.version => {
                if self.told_older.replace(record.version.0) != Some(record.version.0) {
                    tracing::warn!(
                        found = record.version.0,
                        kept = kept.0,
                        "the store shows an older stack version than this agent has kept; it is not believed"
                    );
                }
                return;
            }
            Some(_) | None => {}
        }
        let (path, text) = (self.path.clone(), record.clone());
        let written = tokio::task::spawn_blocking(move || write(&path, &text)).await;
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the stack was not kept on the disk"),
            Err(error) => tracing::error!(%error, "the stack was not kept on the disk"),
        }
        tracing::info!(version = record.version.0, "stack version known");
        self.sender.send_replace(Some(record));
    }
}

fn parse(value: &[u8], stack: &StackName) -> Result<StackRecord, String> {
    let record: StackRecord = serde_json::from_slice(value).map_err(|error| error.to_string())?;
    if record.schema != STACK_SCHEMA {
        return Err(format!(
            "its schema is {}, this version reads {STACK_SCHEMA}",
            record.schema
        ));
    }
    if record.stack.name != *stack {
        return Err(format!("it is of stack {}", record.stack.name));
    }
    Ok(record)
}

/// What was kept; nothing when there is none or it cannot be used, because the store tells it again.
fn read(path: &Path, stack: &StackName) -> Option<StackRecord> {
    let size = std::fs::metadata(path).ok()?.len();
    let text = if size > FILE_BYTES_MAX {
        Err("it is too large".to_owned())
    } else {
        std::fs::read(path).map_err(|error| error.to_string())
    };
    match text.and_then(|text| parse(&text, stack)) {
        Ok(record) => Some(record),
        Err(why) => {
            tracing::warn!(path = %path.display(), why, "the kept stack cannot be used; the store tells it again");
            None
        }
    }
}

fn write(path: &Path, record: &StackRecord) -> std::io::Result<()> {
    let mut text = serde_json::to_vec(record)?;
    text.push(b'\n');
    replacement::replace(path, &text)
}

#[cfg(test)]
mod tests {
    use shared::epoch::StackVersion;
    use shared::stack::Stack;

    use super::*;

    fn record(version: u64) -> StackRecord {
        let text = include_str!("../../deploy/config/stack.toml");
        StackRecord {
            schema: STACK_SCHEMA,
            summary: String::new(),
            version: StackVersion(version),
            stack: Box::new(Stack::parse("stack.toml", text).unwrap()),
        }
    }

    #[test]
    fn what_was_kept_is_read_back_and_garbage_is_not_believed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stack.json");
        let record = record(3);
        let name = record.stack.name.clone();
        assert_eq!(read(&path, &name), None);
        write(&path, &record).unwrap();
        assert_eq!(read(&path, &name), Some(record.clone()));
        assert_eq!(read(&path, &StackName::new("other").unwrap()), None);
        let newer = StackRecord {
            schema: STACK_SCHEMA + 1,
            ..record
        };
        write(&path, &newer).unwrap();
        assert_eq!(read(&path, &name), None);
        std::fs::write(&path, "{").unwrap();
        assert_eq!(read(&path, &name), None);
    }
}
