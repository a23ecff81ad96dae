//! Makes the buckets and streams before they are needed, and says where they differ from what is wanted.
//!
//! Can be run again at any time. Corrects only what is unsafe (reads from any replica) and what moves
//! with every election (who leads); every other difference is reported and left for a person.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::connection::Connection;
use crate::jetstream::{self, ApiError, Meaning};
use crate::settings::Manner;

/// Longest wait for a stream to be made, or for its leader to move.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two looks at a stream.
const LOOK: Duration = Duration::from_millis(150);

/// A wanted key-value bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketSpec {
    /// Its name, without the `KV_` of its stream.
    pub name: String,
    /// A sentence for operators.
    pub description: String,
    /// Values kept for each key, 1 to 64.
    pub history: u8,
    /// Age at which values expire; `None` for never.
    pub max_age: Option<Duration>,
    /// How long the marker of an expired value stays. With it the leader decides on expiry for all
    /// replicas; without it each goes by its own clock. `None` for no markers.
    pub marker_age: Option<Duration>,
    /// Largest value in bytes.
    pub max_value_bytes: u32,
    /// Largest total size in bytes.
    pub max_bytes: u64,
    /// Number of servers that keep a copy.
    pub replicas: u8,
}

/// A wanted append-only stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSpec {
    /// Its name.
    pub name: String,
    /// A sentence for operators.
    pub description: String,
    /// Subjects it stores.
    pub subjects: Vec<String>,
    /// Age at which records expire; `None` for never.
    pub max_age: Option<Duration>,
    /// Largest record in bytes.
    pub max_record_bytes: u32,
    /// Largest total size in bytes; the oldest records go first.
    pub max_bytes: u64,
    /// For how long a repeated id is recognised.
    pub duplicate_window: Duration,
    /// Number of servers that keep a copy.
    pub replicas: u8,
}

/// What provisioning did or found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProvisionNote {
    /// The stream was made.
    Created {
        /// The stream (a bucket's begins with `KV_`).
        stream: String,
    },
    /// The stream was there, just so.
    Unchanged {
        /// The stream.
        stream: String,
    },
    /// Reads from any replica were switched off.
    DirectReadsOff {
        /// The stream.
        stream: String,
    },
    /// The stream differs from what is wanted and was left as it is.
    Drift {
        /// The stream.
        stream: String,
        /// The setting, as JetStream names it.
        setting: String,
        /// What is wanted.
        wanted: String,
        /// What is there.
        found: String,
    },
    /// The preferred server leads the stream now.
    LeaderMoved {
        /// The stream.
        stream: String,
        /// The server.
        leader: String,
    },
    /// The preferred server does not lead the stream, and could not be made to.
    LeaderElsewhere {
        /// The stream.
        stream: String,
        /// The server that leads, if any.
        leader: Option<String>,
        /// Why it could not be moved.
        why: String,
    },
}

/// Why provisioning stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProvisionError {
    /// Only a connection of [`Manner::Command`] may be used, because it starts connected.
    #[error("not connected to the bus")]
    NotConnected,
    /// No majority of servers is in reach.
    #[error("no majority of the bus servers, {stream} cannot be checked or made")]
    NoQuorum {
        /// The stream.
        stream: String,
    },
    /// No answer in time; run again.
    #[error("no answer about {stream} in time; run it again")]
    TimedOut {
        /// The stream.
        stream: String,
    },
    /// The stream has another number of copies than wanted, so that losses would count differently.
    #[error(
        "{stream} has {found} copies, wanted are {wanted}; change it by hand after reading the runbook"
    )]
    Replicas {
        /// The stream.
        stream: String,
        /// Copies wanted.
        wanted: u8,
        /// Copies there are.
        found: u64,
    },
    /// JetStream refused.
    #[error("{stream}: {why}")]
    Refused {
        /// The stream.
        stream: String,
        /// What JetStream said.
        why: String,
    },
}

/// Makes what is missing, checks what is there, and moves the lead of all of it to `preferred_leader`
/// (a server name; the witness site's, so that a broken link between the other two cannot disturb it).
///
/// # Errors
/// [`ProvisionError`]; what was made before stays, and running it again goes on from there.
pub async fn provision(
    connection: &Connection,
    buckets: &[BucketSpec],
    streams: &[StreamSpec],
    preferred_leader: Option<&str>,
) -> Result<Vec<ProvisionNote>, ProvisionError> {
    if connection.manner() == Manner::Telemetry || !connection.is_connected() {
        return Err(ProvisionError::NotConnected);
    }
    let wanted: Vec<Value> = buckets
        .iter()
        .map(bucket_config)
        .chain(streams.iter().map(stream_config))
        .collect();
    let mut notes = Vec::new();
    for config in &wanted {
        let stream = Target {
            connection,
            name: config["name"].as_str().unwrap_or_default(),
        };
        match stream.info().await? {
            None => {
                stream.create(config).await?;
                notes.push(ProvisionNote::Created {
                    stream: stream.name.to_owned(),
                });
            }
            Some(info) => notes.extend(stream.compare(config, &info["config"]).await?),
        }
        if let Some(preferred) = preferred_leader {
            notes.extend(stream.lead_from(preferred).await?);
        }
    }
    Ok(notes)
}

/// One stream on its way to what is wanted.
struct Target<'a> {
    connection: &'a Connection,
    name: &'a str,
}

impl Target<'_> {
    async fn create(&self, config: &Value) -> Result<(), ProvisionError> {
        self.call("STREAM.CREATE", config).await?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.info().await?.is_some_and(|info| is_led(&info)) {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(ProvisionError::TimedOut {
            stream: self.name.to_owned(),
        })
    }

    async fn compare(
        &self,
        wanted: &Value,
        found: &Value,
    ) -> Result<Vec<ProvisionNote>, ProvisionError> {
        let copies = found["num_replicas"].as_u64().unwrap_or(0);
        let wanted_copies = wanted["num_replicas"]
            .as_u64()
            .and_then(|n| u8::try_from(n).ok())
            .unwrap_or(0);
        if copies != u64::from(wanted_copies) {
            let stream = self.name.to_owned();
            return Err(ProvisionError::Replicas {
                stream,
                wanted: wanted_copies,
                found: copies,
            });
        }
        let mut notes: Vec<ProvisionNote> = wanted
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(setting, _)| !matches!(setting.as_str(), "allow_direct" | "num_replicas"))
            .filter(|(setting, value)| !same(value, &found[setting.as_str()]))
            .map(|(setting, value)| ProvisionNote::Drift {
                stream: self.name.to_owned(),
                setting: setting.clone(),
                wanted: value.to_string(),
                found: found[setting.as_str()].to_string(),
            })
            .collect();
        if found["allow_direct"].as_bool() == Some(true) {
            let mut corrected = found.clone();
            corrected["allow_direct"] = Value::Bool(false);
            self.call("STREAM.UPDATE", &corrected).await?;
            notes.push(ProvisionNote::DirectReadsOff {
                stream: self.name.to_owned(),
            });
        }
        if notes.is_empty() {
            notes.push(ProvisionNote::Unchanged {
                stream: self.name.to_owned(),
            });
        }
        Ok(notes)
    }

    /// Moves the lead, if the stream has more than one copy and another server leads it.
    async fn lead_from(&self, preferred: &str) -> Result<Option<ProvisionNote>, ProvisionError> {
        let stream = self.name.to_owned();
        let leader = self.leader().await?;
        if leader.as_deref() == Some(preferred) {
            return Ok(None);
        }
        let ask = json!({ "placement": { "preferred": preferred } });
        match self.call("STREAM.LEADER.STEPDOWN", &ask).await {
            Ok(_) => {}
            Err(ProvisionError::Refused { why, .. }) => {
                return Ok(Some(ProvisionNote::LeaderElsewhere {
                    stream,
                    leader,
                    why,
                }));
            }
            Err(error) => return Err(error),
        }
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            tokio::time::sleep(LOOK).await;
            if self.leader().await?.as_deref() == Some(preferred) {
                return Ok(Some(ProvisionNote::LeaderMoved {
                    stream,
                    leader: preferred.to_owned(),
                }));
            }
        }
        let leader = self.leader().await?;
        Ok(Some(ProvisionNote::LeaderElsewhere {
            stream,
            leader,
            why: "the lead did not move in time".to_owned(),
        }))
    }

    async fn leader(&self) -> Result<Option<String>, ProvisionError> {
        let info = self.info().await?.unwrap_or(Value::Null);
        Ok(info["cluster"]["leader"].as_str().map(str::to_owned))
    }

    /// The stream as it is; `None` if a majority says that there is none.
    async fn info(&self) -> Result<Option<Value>, ProvisionError> {
        let what = format!("STREAM.INFO.{}", self.name);
        match jetstream::call(self.connection, &what, &Value::Null, PATIENCE).await {
            Ok(info) => Ok(Some(info)),
            Err(error) if error.meaning() == Meaning::NoSuchStream => Ok(None),
            Err(error) => Err(self.explain(&error)),
        }
    }

    async fn call(&self, verb: &str, body: &Value) -> Result<Value, ProvisionError> {
        let what = format!("{verb}.{}", self.name);
        jetstream::call(self.connection, &what, body, PATIENCE)
            .await
            .map_err(|error| self.explain(&error))
    }

    fn explain(&self, error: &ApiError) -> ProvisionError {
        let stream = self.name.to_owned();
        match error.meaning() {
            Meaning::NotConnected => ProvisionError::NotConnected,
            Meaning::NoQuorum => ProvisionError::NoQuorum { stream },
            Meaning::Unknown => ProvisionError::TimedOut { stream },
            Meaning::WrongRevision
            | Meaning::Underway
            | Meaning::NoSuchStream
            | Meaning::NoSuchMessage
            | Meaning::Other => ProvisionError::Refused {
                stream,
                why: error.to_string(),
            },
        }
    }
}

fn bucket_config(spec: &BucketSpec) -> Value {
    let mut config = json!({
        "name": format!("KV_{}", spec.name),
        "description": spec.description,
        "subjects": [format!("$KV.{}.>", spec.name)],
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "max_msgs_per_subject": spec.history,
        "max_msg_size": spec.max_value_bytes,
        "max_bytes": spec.max_bytes,
        "max_age": nanos(spec.max_age.unwrap_or_default()),
        "num_replicas": spec.replicas,
        "allow_rollup_hdrs": true,
        "deny_delete": true,
        "allow_direct": false,
    });
    if let Some(age) = spec.marker_age {
        config["allow_msg_ttl"] = Value::Bool(true);
        config["subject_delete_marker_ttl"] = nanos(age).into();
    }
    config
}

fn stream_config(spec: &StreamSpec) -> Value {
    json!({
        "name": spec.name,
        "description": spec.description,
        "subjects": spec.subjects,
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "max_msg_size": spec.max_record_bytes,
        "max_bytes": spec.max_bytes,
        "max_age": nanos(spec.max_age.unwrap_or_default()),
        "duplicate_window": nanos(spec.duplicate_window),
        "num_replicas": spec.replicas,
        "deny_delete": true,
        "deny_purge": true,
        "allow_direct": false,
    })
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// Whether a stream has a leader; one that is not clustered needs none.
fn is_led(info: &Value) -> bool {
    info["cluster"].is_null()
        || info["cluster"]["name"].is_null()
        || info["cluster"]["leader"]
            .as_str()
            .is_some_and(|leader| !leader.is_empty())
}

/// JetStream leaves out what is false, zero or empty.
fn same(wanted: &Value, found: &Value) -> bool {
    let blank = |value: &Value| {
        value.is_null() || *value == json!(false) || *value == json!(0) || *value == json!("")
    };
    wanted == found || (blank(wanted) && blank(found))
}
