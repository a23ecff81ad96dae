//! Endpoints for operators, announced as a NATS micro service (`nats micro ls`).
//!
//! Only carries requests and answers, and counts them; it decides nothing about them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Value, json};
use shared::clock::UnixMillis;
use shared::subject::Subject;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::connection::Connection;
use crate::message::{Headers, RawMessage};
use crate::publish::{Publication, PublishError};
use crate::subscription::{RawSubscription, SubscribeError};

/// Requests that may wait for the service's owner; further ones wait in their subscription.
const WAITING: usize = 64;

/// What a service says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSpec {
    /// Name: letters, digits, `-` and `_`.
    pub name: String,
    /// Version as in semantic versioning.
    pub version: String,
    /// A sentence for operators.
    pub description: String,
    /// Anything else worth showing, such as the site.
    pub metadata: BTreeMap<String, String>,
}

/// One subject that a service answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Name: letters, digits, `-` and `_`.
    pub name: String,
    /// Subject it listens on.
    pub subject: Subject,
    /// With a group, one member answers; without, every instance does.
    pub queue_group: Option<String>,
}

/// A running service. Stops when dropped.
#[derive(Debug)]
pub struct Service {
    id: String,
    requests: mpsc::Receiver<ServiceRequest>,
    _tasks: JoinSet<()>,
}

/// A request to answer.
#[derive(Debug)]
pub struct ServiceRequest {
    /// Name of the endpoint it came to.
    pub endpoint: String,
    /// The request.
    pub message: RawMessage,
    connection: Connection,
    counts: Arc<Mutex<Counts>>,
    arrived: Instant,
}

#[derive(Debug, Default)]
struct Counts {
    requests: u64,
    errors: u64,
    last_error: String,
    nanos: u64,
}

/// What the announcement is made of.
#[derive(Debug)]
struct About {
    spec: ServiceSpec,
    id: String,
    started: String,
    endpoints: Vec<(Endpoint, Arc<Mutex<Counts>>)>,
}

impl Service {
    /// Starts listening and announcing.
    ///
    /// # Errors
    /// [`SubscribeError`] for a subject that cannot be subscribed to.
    pub async fn start(
        connection: &Connection,
        spec: ServiceSpec,
        endpoints: Vec<Endpoint>,
    ) -> Result<Self, SubscribeError> {
        let id = format!("{:016x}", rand::random::<u64>());
        let about = About {
            id: id.clone(),
            started: now(),
            endpoints: endpoints
                .into_iter()
                .map(|endpoint| (endpoint, Arc::default()))
                .collect(),
            spec,
        };
        let (sender, requests) = mpsc::channel(WAITING);
        let mut tasks = JoinSet::new();
        for (endpoint, counts) in &about.endpoints {
            let subscription = connection
                .subscribe_raw(&endpoint.subject, endpoint.queue_group.as_deref())
                .await?;
            let pump = Pump {
                connection: connection.clone(),
                endpoint: endpoint.name.clone(),
                counts: Arc::clone(counts),
                sender: sender.clone(),
            };
            tasks.spawn(pump.run(subscription));
        }
        let about = Arc::new(about);
        for verb in [Verb::Ping, Verb::Info, Verb::Stats] {
            for subject in verb.subjects(&about) {
                let subscription = connection.listen(&subject, None).await?;
                tasks.spawn(announce(
                    connection.clone(),
                    Arc::clone(&about),
                    verb,
                    subscription,
                ));
            }
        }
        Ok(Self {
            id,
            requests,
            _tasks: tasks,
        })
    }

    /// The next request; `None` when the connection was closed. Safe to cancel.
    pub async fn next(&mut self) -> Option<ServiceRequest> {
        self.requests.recv().await
    }

    /// The id that tells this instance from others of the same name.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl ServiceRequest {
    /// Answers.
    ///
    /// # Errors
    /// As [`Connection::publish_raw`].
    pub async fn respond(
        self,
        payload: impl Into<Bytes>,
        headers: &Headers,
    ) -> Result<Publication, PublishError> {
        self.count(None);
        self.answer(payload.into(), headers).await
    }

    /// Refuses, with a code (as in HTTP) and a sentence; both also go where the NATS CLI shows errors.
    ///
    /// # Errors
    /// As [`Connection::publish_raw`].
    pub async fn respond_error(
        self,
        code: u16,
        text: &str,
        payload: impl Into<Bytes>,
    ) -> Result<Publication, PublishError> {
        self.count(Some(text));
        let headers = Headers::new()
            .with("Nats-Service-Error", text)
            .with("Nats-Service-Error-Code", code.to_string());
        self.answer(payload.into(), &headers).await
    }

    async fn answer(&self, payload: Bytes, headers: &Headers) -> Result<Publication, PublishError> {
        match &self.message.reply {
            Some(reply) => self.connection.publish_raw(reply, payload, headers).await,
            // Who publishes instead of asking wants no answer.
            None => Ok(Publication::Published),
        }
    }

    fn count(&self, error: Option<&str>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.requests += 1;
        let nanos = u64::try_from(self.arrived.elapsed().as_nanos()).unwrap_or(u64::MAX);
        counts.nanos = counts.nanos.saturating_add(nanos);
        if let Some(error) = error {
            counts.errors += 1;
            error.clone_into(&mut counts.last_error);
        }
    }
}

/// Carries the requests of one endpoint to the service's owner.
struct Pump {
    connection: Connection,
    endpoint: String,
    counts: Arc<Mutex<Counts>>,
    sender: mpsc::Sender<ServiceRequest>,
}

impl Pump {
    async fn run(self, mut subscription: RawSubscription) {
        while let Some(message) = subscription.next().await {
            let request = ServiceRequest {
                endpoint: self.endpoint.clone(),
                message,
                connection: self.connection.clone(),
                counts: Arc::clone(&self.counts),
                arrived: Instant::now(),
            };
            if self.sender.send(request).await.is_err() {
                return;
            }
        }
    }
}

/// What a micro service can be asked about itself.
#[derive(Debug, Clone, Copy)]
enum Verb {
    Ping,
    Info,
    Stats,
}

impl Verb {
    fn subjects(self, about: &About) -> [String; 3] {
        let token = match self {
            Self::Ping => "PING",
            Self::Info => "INFO",
            Self::Stats => "STATS",
        };
        let name = &about.spec.name;
        [
            format!("$SRV.{token}"),
            format!("$SRV.{token}.{name}"),
            format!("$SRV.{token}.{name}.{}", about.id),
        ]
    }
}

async fn announce(
    connection: Connection,
    about: Arc<About>,
    verb: Verb,
    mut subscription: RawSubscription,
) {
    while let Some(message) = subscription.next().await {
        let Some(reply) = message.reply else { continue };
        let body = match verb {
            Verb::Ping => about.ping(),
            Verb::Info => about.info(),
            Verb::Stats => about.stats(),
        };
        if let Err(why) = connection
            .publish_json(&reply, &body, &Headers::new())
            .await
        {
            tracing::debug!("service announcement not sent: {why}");
        }
    }
}

impl About {
    fn ping(&self) -> Value {
        self.base("io.nats.micro.v1.ping_response")
    }

    fn info(&self) -> Value {
        let mut body = self.base("io.nats.micro.v1.info_response");
        body["description"] = self.spec.description.as_str().into();
        body["endpoints"] = self
            .endpoints
            .iter()
            .map(|(endpoint, _)| describe(endpoint))
            .collect();
        body
    }

    fn stats(&self) -> Value {
        let mut body = self.base("io.nats.micro.v1.stats_response");
        body["started"] = self.started.as_str().into();
        body["endpoints"] = self
            .endpoints
            .iter()
            .map(|(endpoint, counts)| {
                let counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
                let mut stats = describe(endpoint);
                stats["num_requests"] = counts.requests.into();
                stats["num_errors"] = counts.errors.into();
                stats["last_error"] = counts.last_error.as_str().into();
                stats["processing_time"] = counts.nanos.into();
                stats["average_processing_time"] = counts
                    .nanos
                    .checked_div(counts.requests)
                    .unwrap_or(0)
                    .into();
                stats
            })
            .collect();
        body
    }

    fn base(&self, kind: &str) -> Value {
        json!({
            "type": kind,
            "name": self.spec.name,
            "id": self.id,
            "version": self.spec.version,
            "metadata": self.spec.metadata,
        })
    }
}

fn describe(endpoint: &Endpoint) -> Value {
    json!({
        "name": endpoint.name,
        "subject": endpoint.subject.as_str(),
        "queue_group": endpoint.queue_group.as_deref().unwrap_or_default(),
        "metadata": {},
    })
}

fn now() -> String {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)).rfc3339()
}
