//! The lease: renewed by writes, promised as it is kept, and the database stopped without it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use shared::clock::Millis;
use shared::epoch::{Epoch, StackVersion};
use shared::id::{DatabaseName, NodeName};
use shared::lsn::{Lsn, Timeline};
use shared::refusal::Refusal;
use shared::stack::{LeasePolicy, Rollout, SelfFence, StoreLoss};
use shared::wire::{Action, DatabaseRole, Heartbeat, LeaseStanding};
use tests::port;
use tests::postgres::{CLIENT, OWNER, Postgres, SERVICE};
use tests::writer::{Pace, RouteFile, Writer, prepare};

use crate::leader::Leader;
use crate::stage::{Agent, GRANT, Stage, database};
use crate::{LONG, eventually};

/// Short spans: one election of the store's leader does not fit in.
fn short(self_fence: SelfFence) -> LeasePolicy {
    LeasePolicy {
        self_fence,
        renew_every_ms: Millis(400),
        attempt_ms: Millis::seconds(4),
        demote_after_ms: Millis::seconds(5),
        stop_within_ms: Millis::seconds(15),
        deadman_after_ms: Millis::seconds(21),
        ..LeasePolicy::default()
    }
}

fn standing(heartbeat: &Heartbeat) -> Option<LeaseStanding> {
    heartbeat.lease.as_ref().map(|lease| lease.standing)
}

/// Starts the server as its supervisor would.
fn start_command(postgres: &Postgres) -> String {
    let program = postgres.installation().binary("pg_ctl");
    format!(
        "start_command = [\"{}\", \"-D\", \"{}\", \"-l\", \"{}\", \"-W\", \"start\"]\n",
        program.display(),
        postgres.data().display(),
        postgres.data().join("started.log").display()
    )
}

/// A primary at dc1 under a policy, its agent and its leader, once the lease is held.
struct Scene {
    stage: Stage,
    primary: Postgres,
    agent: Agent,
    leader: Leader,
}

impl Scene {
    async fn set(policy: LeasePolicy) -> Result<Self> {
        let stage = Stage::set("dc1").await?;
        stage.store_stack(1, policy).await?;
        let primary = stage.primary().await?;
        let mut agent = stage.agent(
            "dc1",
            &format!("{}{}", database(&primary), start_command(&primary)),
        )?;
        agent.start()?;
        let leader = Leader::of(&stage, &agent).await?;
        Ok(Self {
            stage,
            primary,
            agent,
            leader,
        })
    }

    async fn stands(&mut self, wanted: LeaseStanding) -> Result<Heartbeat> {
        let what = format!("{wanted:?}");
        self.leader
            .heartbeat_where(&what, |h| standing(h) == Some(wanted))
            .await
            .with_context(|| self.agent.log_tail())
    }

    async fn renewals(&self) -> Result<u64> {
        let node = NodeName::new("dc1-agent")?;
        let ticket = self.stage.ticket().await?;
        Ok(ticket.leases.get(&node).map_or(0, |lease| lease.renewals))
    }

    async fn renewed_again(&self, times: u64) -> Result<()> {
        let mut before = None;
        // While the store elects a leader, it does not answer.
        eventually("the ticket", async || {
            before = self.renewals().await.ok();
            before.is_some()
        })
        .await?;
        let before = before.unwrap_or_default();
        eventually("renewals", async || {
            let now = self.renewals().await;
            now.is_ok_and(|now| now >= before + times)
        })
        .await
        .with_context(|| self.agent.log_tail())
    }

    async fn stopped(&self) -> Result<()> {
        eventually("the end of the database", async || {
            self.primary.members().is_empty()
        })
        .await
        .with_context(|| self.agent.log_tail())
    }

    async fn logged(&self, what: &str) -> Result<()> {
        logged(&self.agent, what).await
    }
}

/// Whoever started it.
async fn accepting(postgres: &Postgres) -> Result<()> {
    let connected = async || postgres.connect(OWNER, SERVICE).await.is_ok();
    eventually("a database that accepts", connected)
        .await
        .with_context(|| tests::process::tail(&postgres.data().join("started.log")))
}

async fn logged(agent: &Agent, what: &str) -> Result<()> {
    let logged = async || agent.log().is_ok_and(|log| log.contains(what));
    eventually(what, logged)
        .await
        .with_context(|| agent.log_tail())
}

#[tokio::test]
async fn renewals_promise_what_is_in_force_and_survive_the_stores_leader() -> Result<()> {
    let policy = LeasePolicy {
        demote_after_ms: Millis::seconds(50),
        deadman_after_ms: Millis::seconds(70),
        ..short(SelfFence::Stop)
    };
    let mut scene = Scene::set(policy.clone()).await?;
    let sample = scene
        .stands(LeaseStanding::Held)
        .await?
        .lease
        .context("no lease")?;
    ensure!(sample.stack_version == StackVersion(1), "{sample:?}");
    scene.renewed_again(3).await?;
    let node = NodeName::new("dc1-agent")?;
    let promise = scene.stage.ticket().await?.leases[&node]
        .promise
        .context("no promise")?;
    ensure!(
        promise.stop_bound_ms == policy.stop_bound_ms() && !promise.deadman,
        "nothing guards the port here: {promise:?}"
    );

    let lost = scene.stage.move_leader_from(&["dc1", "dc3"]).await?;
    scene.stage.nats.kill(&lost).await?;
    scene.renewed_again(3).await?;
    ensure!(!scene.primary.members().is_empty(), "it was stopped");

    // A restart takes the lease up, and does not stop the database.
    scene.agent.terminate().await?;
    let ticket = scene.stage.ticket().await?;
    ensure!(
        ticket.leases[&node].promise.is_none(),
        "nobody keeps it now: {ticket:?}"
    );
    scene.agent.start()?;
    scene.logged("an earlier process kept a lease").await?;
    scene.stands(LeaseStanding::Held).await?;

    // Switched off: the promise is withdrawn by a write, and nothing is written any more.
    let off = LeasePolicy {
        self_fence: SelfFence::Off,
        ..policy
    };
    scene.stage.store_stack(2, off).await?;
    scene
        .leader
        .heartbeat_where("no lease", |h| h.lease.is_none())
        .await?;
    let ticket = scene.stage.ticket().await?;
    ensure!(ticket.leases[&node].promise.is_none(), "{ticket:?}");
    ensure!(!scene.primary.members().is_empty(), "it was stopped");
    Ok(())
}

#[tokio::test]
async fn a_site_that_is_cut_off_stops_its_database_in_time_and_starts_it_when_nobody_was_given_the_right()
-> Result<()> {
    let policy = short(SelfFence::Demote);
    let mut scene = Scene::set(policy.clone()).await?;
    scene.stands(LeaseStanding::Held).await?;
    let session = scene.primary.connect(OWNER, SERVICE).await?;
    prepare(&session).await?;
    let scratch = scene.stage.scratch.path();
    let route = RouteFile::new(scratch.join("route"));
    route.write(scene.primary.address())?;
    let journal = scratch.join("journal");
    let writer = Writer::start(route, Pace::default(), &journal, Instant::now())?;
    writer.wait_more(10, LONG).await?;

    scene.stage.links.isolate("dc1").await?;
    let cut = Instant::now();
    scene.logged("the database is being stopped").await?;
    scene
        .logged("the database was started again, read-only")
        .await?;
    let record = writer.stop().await?;
    let last = record.last_of("dc1").context("nothing was written")?;
    let bound = policy.demote_after_ms.duration() + policy.stop_within_ms.duration();
    ensure!(
        last.acknowledged <= cut + bound,
        "{:?} after the cut",
        last.acknowledged - cut
    );
    accepting(&scene.primary).await?;
    ensure!(scene.primary.in_recovery().await?, "it writes");
    let signal = std::fs::read_to_string(scene.primary.data().join("standby.signal"))?;
    ensure!(signal.contains("epoch 2"), "{signal}");

    // Nobody was given the right meanwhile: it is renewed, and the primary is itself again.
    scene.stage.links.rejoin("dc1").await?;
    scene
        .leader
        .heartbeat_where("a primary with a lease", |h| {
            let role = h.database.as_ref().and_then(|database| database.role);
            standing(h) == Some(LeaseStanding::Held) && role == Some(DatabaseRole::Primary)
        })
        .await
        .with_context(|| scene.agent.log_tail())?;
    // The heartbeat may show the server as it was before it was started again.
    accepting(&scene.primary).await?;
    let session = scene.primary.connect(CLIENT, SERVICE).await?;
    let last = record
        .acknowledged
        .iter()
        .map(|row| row.n)
        .max()
        .context("no row")?;
    let row = session
        .one("SELECT max(n) >= $1 FROM numbered_row", &[&last])
        .await?;
    ensure!(row.try_get::<_, bool>(0)?, "an acknowledged row is gone");
    scene.primary.kill().await
}

#[tokio::test]
async fn a_right_that_was_revoked_stops_the_database_and_a_later_one_does_not_start_it()
-> Result<()> {
    let mut scene = Scene::set(short(SelfFence::Stop)).await?;
    scene.stands(LeaseStanding::Held).await?;
    scene.stage.store_ticket("dc2", Epoch(3), None).await?;
    scene.stopped().await?;
    scene.stands(LeaseStanding::Fenced).await?;
    scene.logged("is not this site's any more").await?;
    // Somebody else may have been live in between: only an order makes it live again.
    scene
        .stage
        .store_ticket("dc1", Epoch(4), Some(GRANT))
        .await?;
    scene.stands(LeaseStanding::Held).await?;
    scene.logged("the database is not kept down").await?;
    ensure!(scene.primary.members().is_empty(), "it was started");
    Ok(())
}

#[tokio::test]
async fn a_policy_that_only_records_does_nothing() -> Result<()> {
    let policy = LeasePolicy {
        rollout: Rollout::LogOnly,
        ..short(SelfFence::Stop)
    };
    let mut scene = Scene::set(policy).await?;
    scene.stands(LeaseStanding::Recorded).await?;
    scene.renewed_again(2).await?;
    let ticket = scene.stage.ticket().await?;
    ensure!(
        ticket.leases.values().all(|lease| lease.promise.is_none()),
        "{ticket:?}"
    );
    scene.stage.links.isolate("dc1").await?;
    scene
        .logged("log-only: the database would be stopped now")
        .await?;
    let session = scene.primary.connect(CLIENT, SERVICE).await?;
    session.batch("CREATE TABLE still (n int)").await?;
    scene.stage.links.rejoin("dc1").await?;
    // The gap is what a roll-out is judged by.
    scene
        .leader
        .heartbeat_where("the gap", |h| {
            let gap = h.lease.as_ref().and_then(|lease| lease.worst_gap_ms);
            gap >= Some(Millis::seconds(5))
        })
        .await?;
    ensure!(
        !scene.agent.log()?.contains("the database is being stopped"),
        "it acted"
    );
    Ok(())
}

#[tokio::test]
async fn a_store_that_lost_writes_is_not_believed() -> Result<()> {
    let policy = LeasePolicy {
        demote_after_ms: Millis::seconds(120),
        deadman_after_ms: Millis::seconds(150),
        ..short(SelfFence::Stop)
    };
    let mut scene = Scene::set(policy).await?;
    scene.stands(LeaseStanding::Held).await?;
    scene
        .stage
        .store_ticket("dc1", Epoch(1), Some(GRANT))
        .await?;
    scene.stands(LeaseStanding::Regressed).await?;
    scene.logged("the store has lost writes").await?;
    let fence = Action::Fence {
        database: DatabaseName::new("main")?,
        system_identifier: shared::lsn::SystemIdentifier("1".to_owned()),
    };
    let command = scene.leader.command(fence).await?;
    let refusal = scene.leader.refused(&command).await?;
    ensure!(
        matches!(refusal, Refusal::StoreRegressed { .. }),
        "{refusal}"
    );
    ensure!(scene.renewals().await? == 0, "it wrote there");
    // What it had seen is there again.
    scene
        .stage
        .store_ticket("dc1", Epoch(2), Some(GRANT))
        .await?;
    scene.stands(LeaseStanding::Held).await?;
    Ok(())
}

/// Three databases whose agents answer each other.
struct Peers {
    stage: Stage,
    primary: Postgres,
    _standbys: Vec<Postgres>,
    agents: Vec<Agent>,
}

impl Peers {
    async fn set() -> Result<Self> {
        let stage = Stage::set("dc1").await?;
        let policy = LeasePolicy {
            store_loss: StoreLoss::Failsafe,
            ..short(SelfFence::Stop)
        };
        stage.store_stack(1, policy).await?;
        let primary = stage.primary().await?;
        let standbys = vec![
            stage.standby("dc2", &primary).await?,
            stage.standby("dc3", &primary).await?,
        ];
        let ports = [port::reserve()?, port::reserve()?, port::reserve()?];
        let key = stage.scratch.path().join("vow.key");
        std::fs::write(&key, "a key of at least thirty-two bytes")?;
        let mut agents = Vec::new();
        for (own, postgres) in std::iter::once(&primary).chain(&standbys).enumerate() {
            let others = crate::SITES.iter().zip(ports);
            let others = others.enumerate().filter(|(peer, _)| *peer != own);
            let peers: Vec<String> = others
                .map(|(_, (site, port))| {
                    format!(
                        "[[peer]]\nsite = \"{site}\"\nchannel = \"agent\"\naddress = \"127.0.0.1:{port}\"\n"
                    )
                })
                .collect();
            let more = format!(
                "vow_key_file = \"{}\"\n{}[responder]\nlisten = \"127.0.0.1:{}\"\n{}",
                key.display(),
                database(postgres),
                ports[own],
                peers.concat()
            );
            let mut agent = stage.agent(postgres.site(), &more)?;
            agent.start()?;
            agents.push(agent);
        }
        Ok(Self {
            stage,
            primary,
            _standbys: standbys,
            agents,
        })
    }

    fn vows(&self) -> usize {
        let log = self.agents[1].log().unwrap_or_default();
        log.matches("a vow is given").count()
    }
}

#[tokio::test]
async fn without_the_store_all_peers_keep_the_primary_and_one_that_is_silent_stops_it() -> Result<()>
{
    let mut scene = Peers::set().await?;
    for agent in &scene.agents {
        logged(agent, "stack version known").await?;
    }
    logged(&scene.agents[0], "the right to be live is renewed").await?;
    scene.stage.nats.kill("dc2").await?;
    scene.stage.nats.kill("dc3").await?;
    logged(&scene.agents[0], "kept by the word of all peers").await?;
    // Long enough for a lease that nobody vouches for to run out, counted by what happens in between.
    let before = scene.vows();
    let begun = Instant::now();
    eventually("vows for longer than the lease", async || {
        scene.vows() >= before + 10 && begun.elapsed() > Duration::from_secs(7)
    })
    .await?;
    ensure!(!scene.primary.members().is_empty(), "it was stopped");

    scene.agents[2].kill().await?;
    eventually("the end of the database", async || {
        scene.primary.members().is_empty()
    })
    .await
    .with_context(|| scene.agents[0].log_tail())?;
    ensure!(
        scene.agents[0].log()?.contains("no vow of dc3/dc3-agent"),
        "why it stopped"
    );

    // What was vowed binds, also the next process.
    scene.agents[1].kill().await?;
    scene.agents[1].start()?;
    for site in ["dc2", "dc3"] {
        scene.stage.nats.start(site)?;
    }
    scene.stage.nats.wait_ready(LONG).await?;
    let mut leader = Leader::of(&scene.stage, &scene.agents[1]).await?;
    let sample = leader
        .heartbeat_where("a standby", |h| {
            h.database.as_ref().is_some_and(|d| d.timeline.is_some())
        })
        .await?;
    let sample = sample.database.context("no database")?;
    let mut promote = leader
        .command(Action::Promote {
            database: DatabaseName::new("main")?,
            system_identifier: sample.system_identifier.context("no identifier")?,
            timeline: Timeline(1),
            min_lsn: Lsn(0),
            slots: Vec::new(),
        })
        .await?;
    promote.epoch = Epoch(3);
    promote.grant = promote.grant.map(|grant| shared::wire::Grant {
        epoch: Epoch(3),
        ..grant
    });
    let refusal = leader.refused(&promote.sealed()).await?;
    ensure!(
        matches!(refusal, Refusal::Promised { epoch: Epoch(2), left_ms } if left_ms > Millis(0)),
        "{refusal}"
    );
    Ok(())
}

#[tokio::test]
async fn a_pause_is_told_from_life_and_a_renewal_ends_it() -> Result<()> {
    let mut scene = Scene::set(short(SelfFence::Stop)).await?;
    scene.stands(LeaseStanding::Held).await?;
    // Longer than the lease, with the store in reach: it was lost, and the database goes down at once.
    scene.agent.process()?.freeze().await?;
    let renewals = scene.renewals().await?;
    let frozen = Instant::now();
    eventually("the end of the lease", async || {
        frozen.elapsed() > Duration::from_secs(6)
    })
    .await?;
    // One may have been under way.
    ensure!(scene.renewals().await? <= renewals + 1, "it was not frozen");
    scene.agent.process()?.signal(Signal::CONT)?;
    scene.logged("the database is being stopped").await?;
    // The same right is renewed afterwards, and the database started with it.
    scene.logged("was started again as the primary").await?;
    accepting(&scene.primary).await?;
    scene.stands(LeaseStanding::Held).await?;
    scene.primary.kill().await
}
