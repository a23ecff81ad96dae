//! Operators' requests: read, answered from the core's views, or handed to the core and answered later.
//!
//! Every coordinator gets every request. What only reads is answered by the leader at once and by the others a
//! little later, so that a dead leader leaves nobody without an answer; what changes is answered by the leader
//! alone, and refused by another one only when that one was asked by its site's name.

mod delivery;

use std::collections::BTreeMap;

use bus::{Connection, Endpoint, Service, ServiceRequest, ServiceSpec, SubscribeError};
use decision::{Answer, Ask, Core, Now, RequestId};
use shared::clock::{Millis, Mono};
use shared::id::{Actor, ProposalId, RunId, SiteName, StackName};
use shared::subject::{self, Subject, Verb};
use tokio::task::JoinSet;

use self::delivery::{Format, Written, history};
use crate::answer;
use crate::reply::{Answerer, DoneReply, REPLY_SCHEMA, Refused, Reply};
use crate::request::{self, FOLLOWER_DELAY, Request, Wrong};

/// Requests that may wait for the core at once.
const PENDING_MAX: usize = 256;
/// How long an asker is remembered; no client waits longer.
const PATIENCE: Millis = Millis::seconds(60);
/// The header that names the operator.
pub const OPERATOR_HEADER: &str = "Pointsman-Operator";

/// What is known of the lead when a request comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Situation {
    /// Whether this process leads and its lease holds.
    pub leads: bool,
    /// The leader that renewed within a lease.
    pub live_leader: Option<SiteName>,
}

/// A change for the core to decide.
#[derive(Debug)]
pub struct Change {
    /// Ties the answer to it.
    pub request: RequestId,
    /// Who asks.
    pub actor: Actor,
    /// What.
    pub ask: Ask,
}

/// The desk at which operators are served.
#[derive(Debug)]
pub struct Desk {
    connection: Connection,
    stack: StackName,
    site: SiteName,
    service: Service,
    pending: BTreeMap<RequestId, Pending>,
    next: u64,
    answering: JoinSet<()>,
}

#[derive(Debug)]
struct Pending {
    asked: ServiceRequest,
    format: Format,
    since: Mono,
    proposal: Option<ProposalId>,
    run: Option<RunId>,
}

/// How a request came in.
#[derive(Debug, Clone, Copy)]
struct Incoming {
    verb: Verb,
    format: Format,
    /// True when it was sent to this site's coordinator by name.
    by_name: bool,
}

impl Desk {
    /// Starts the service, which `nats micro ls` shows.
    ///
    /// # Errors
    /// [`SubscribeError`] for a subject that cannot be subscribed to: a bug.
    pub async fn open(
        connection: Connection,
        stack: StackName,
        site: SiteName,
    ) -> Result<Self, SubscribeError> {
        let metadata = [("stack", stack.to_string()), ("site", site.to_string())];
        let spec = ServiceSpec {
            name: "pointsman".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description: format!("moves stack {stack} between sites; asked in {site}"),
            metadata: metadata
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        };
        let endpoint = |name: String, subject: Subject| Endpoint {
            name,
            subject,
            queue_group: None,
        };
        let endpoints = Verb::ALL.into_iter().flat_map(|verb| {
            let token = verb.token();
            [
                endpoint(token.to_owned(), Subject::operator(&stack, verb)),
                endpoint(
                    format!("{token}-json"),
                    Subject::operator_json(&stack, verb),
                ),
                endpoint(
                    format!("{token}-at"),
                    Subject::operator_at(&stack, &site, verb),
                ),
            ]
        });
        let service = Service::start(&connection, spec, endpoints.collect()).await?;
        Ok(Self {
            connection,
            stack,
            site,
            service,
            pending: BTreeMap::new(),
            next: 0,
            answering: JoinSet::new(),
        })
    }

    /// The next request; nothing when the connection was closed for good. Safe to cancel.
    pub async fn next(&mut self) -> Option<ServiceRequest> {
        self.service.next().await
    }

    /// Serves a request: answers it, or gives what the core has to decide.
    pub fn serve(
        &mut self,
        asked: ServiceRequest,
        core: &Core,
        now: Now,
        situation: &Situation,
    ) -> Option<Change> {
        while self.answering.try_join_next().is_some() {}
        let incoming = incoming(&asked)?;
        let from = self.answerer(now, situation);
        if incoming.verb.changes() && !situation.leads {
            if incoming.by_name {
                let reply = answer::refused(from, not_leader(&self.site, situation));
                self.send(asked, &reply, incoming.format, Millis(0));
            }
            return None;
        }
        // A follower that has looked at nothing yet knows of no leader either: it waits all the same.
        let at_once = situation.leads || incoming.by_name;
        let delay = if at_once { Millis(0) } else { FOLLOWER_DELAY };
        match request::read(
            incoming.verb,
            &asked.message.payload,
            &self.stack,
            core.durable(),
        ) {
            Err(wrong) => self.send(
                asked,
                &answer::refused(from, refused(wrong)),
                incoming.format,
                delay,
            ),
            Ok(Request::Change(ask)) => {
                return self.hand_over(asked, ask, from, incoming.format, now);
            }
            Ok(Request::History { limit }) => {
                self.send_history(asked, from, limit, incoming.format, delay);
            }
            Ok(question) => {
                let reply = answer::reply(&question, core, now, from);
                self.send(asked, &reply, incoming.format, delay);
            }
        }
        None
    }

    /// Sends the core's answer to whom it belongs.
    pub fn answer(
        &mut self,
        request: RequestId,
        answer: Answer,
        core: &Core,
        now: Now,
        situation: &Situation,
    ) {
        let Some(pending) = self.pending.remove(&request) else {
            tracing::debug!(request = request.0, "nobody waits for this answer any more");
            return;
        };
        let from = self.answerer(now, situation);
        let reply = match answer {
            Answer::Accepted {
                summary,
                differences,
            } => Reply::Done(DoneReply {
                from,
                summary,
                differences: differences.into_iter().map(Into::into).collect(),
                proposal: pending.proposal,
                run: pending.run.or_else(|| {
                    pending
                        .proposal
                        .and_then(|id| answer::run_of(core.durable()?, id))
                        .map(|run| run.id)
                }),
            }),
            Answer::Refused {
                rule,
                reason,
                safety,
            } => answer::refused(
                from,
                Refused {
                    rule,
                    reason,
                    safety,
                    problems: Vec::new(),
                },
            ),
        };
        self.send(pending.asked, &reply, pending.format, Millis(0));
    }

    /// Tells everybody who waits for the core that the lead was lost meanwhile.
    pub fn lead_lost(&mut self, now: Now, situation: &Situation) {
        for (_, pending) in std::mem::take(&mut self.pending) {
            let reason = "this coordinator lost the lead before the request was finished: whether it took effect is \
                          not known here; look with `pointsman status` before asking again";
            let reply = answer::refused(
                self.answerer(now, situation),
                Refused::new("lead-lost", reason),
            );
            self.send(pending.asked, &reply, pending.format, Millis(0));
        }
    }

    /// Forgets those who cannot be waiting any more.
    pub fn forget_old(&mut self, now: Mono) {
        self.pending
            .retain(|_, pending| now.since(pending.since) < PATIENCE);
    }

    /// Waits until every answer is on its way.
    pub async fn close(mut self) {
        while self.answering.join_next().await.is_some() {}
    }

    fn hand_over(
        &mut self,
        asked: ServiceRequest,
        ask: Ask,
        from: Answerer,
        format: Format,
        now: Now,
    ) -> Option<Change> {
        if self.pending.len() >= PENDING_MAX {
            let refused = Refused::new(
                "busy",
                format!("{PENDING_MAX} requests wait already; ask again shortly"),
            );
            self.send(asked, &answer::refused(from, refused), format, Millis(0));
            return None;
        }
        let named = asked
            .message
            .headers
            .get(OPERATOR_HEADER)
            .map(ToOwned::to_owned);
        let named = named.or_else(|| request::operator(&asked.message.payload));
        let actor = Actor::new(
            named
                .as_deref()
                .map(str::trim)
                .filter(|name| !name.is_empty())
                .unwrap_or("unnamed"),
        );
        self.next += 1;
        let request = RequestId(self.next);
        let (proposal, run) = about(&ask);
        self.pending.insert(
            request,
            Pending {
                asked,
                format,
                since: now.mono,
                proposal,
                run,
            },
        );
        Some(Change {
            request,
            actor,
            ask,
        })
    }

    fn send(&mut self, asked: ServiceRequest, reply: &Reply, format: Format, delay: Millis) {
        let written = Written::new(reply, format);
        self.answering.spawn(async move {
            tokio::time::sleep(delay.duration()).await;
            written.send(asked).await;
        });
    }

    fn send_history(
        &mut self,
        asked: ServiceRequest,
        from: Answerer,
        limit: u64,
        format: Format,
        delay: Millis,
    ) {
        let (connection, stream) = (self.connection.clone(), subject::audit_stream(&self.stack));
        self.answering.spawn(async move {
            tokio::time::sleep(delay.duration()).await;
            let reply = history(&connection, &stream, limit, from).await;
            Written::new(&reply, format).send(asked).await;
        });
    }

    fn answerer(&self, now: Now, situation: &Situation) -> Answerer {
        Answerer {
            schema: REPLY_SCHEMA,
            answered_by: self.site.clone(),
            leads: situation.leads,
            leader: situation.live_leader.clone(),
            as_of: now.wall,
        }
    }
}

/// The verb and the form of the reply: by the subject, or on the plain one by the header `Accept`.
fn incoming(asked: &ServiceRequest) -> Option<Incoming> {
    let (token, format, by_name) = if let Some(token) = asked.endpoint.strip_suffix("-json") {
        (token, Format::Json, false)
    } else if let Some(token) = asked.endpoint.strip_suffix("-at") {
        (token, accepted(asked).unwrap_or(Format::Json), true)
    } else {
        (
            asked.endpoint.as_str(),
            accepted(asked).unwrap_or(Format::Text),
            false,
        )
    };
    let verb = Verb::ALL.into_iter().find(|verb| verb.token() == token);
    if verb.is_none() {
        tracing::error!(
            endpoint = asked.endpoint,
            "a request came to an endpoint without a verb"
        );
    }
    verb.map(|verb| Incoming {
        verb,
        format,
        by_name,
    })
}

fn accepted(asked: &ServiceRequest) -> Option<Format> {
    let accept = asked.message.headers.get("Accept")?;
    if accept.contains("application/json") {
        Some(Format::Json)
    } else if accept.contains("text/plain") {
        Some(Format::Text)
    } else {
        None
    }
}

fn not_leader(site: &SiteName, situation: &Situation) -> Refused {
    let who = match &situation.live_leader {
        Some(leader) => {
            format!("the coordinator of {leader} leads; ask without a site, or ask at {leader}")
        }
        None => "it knows of no leader now; look with `pointsman status`".to_owned(),
    };
    Refused::new(
        "not-leader",
        format!("the coordinator of {site} does not lead and changes nothing; {who}"),
    )
}

fn refused(wrong: Wrong) -> Refused {
    match wrong {
        Wrong::Unknown { rule, reason } => Refused::new(rule, reason),
        Wrong::Problems(problems) => {
            let plural = if problems.len() == 1 {
                "problem"
            } else {
                "problems"
            };
            let mut refused = Refused::new(
                "bad-request",
                format!("{} {plural} in the request", problems.len()),
            );
            refused.problems = problems.into_iter().map(Into::into).collect();
            refused
        }
    }
}

fn about(ask: &Ask) -> (Option<ProposalId>, Option<RunId>) {
    match ask {
        Ask::Approve(request) => (Some(request.proposal), None),
        Ask::Reject { proposal, .. } => (Some(*proposal), None),
        Ask::Resume { run, .. } | Ask::Abandon { run, .. } => (None, Some(*run)),
        Ask::ResumePast(past) => (None, Some(past.run)),
        Ask::AcceptStore { .. }
        | Ask::Hold { .. }
        | Ask::Release { .. }
        | Ask::Automatic { .. }
        | Ask::Acknowledge { .. }
        | Ask::ApplyStack { .. } => (None, None),
    }
}
