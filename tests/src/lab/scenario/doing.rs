//! What a scenario does to the lab.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::time::sleep;

use super::staging::{LOOK, SOON, Stage};
use super::step::{Deed, LinkStep, StoreStep, Target};
use crate::lab::disk::SmallDisk;
use crate::lab::duplicator::Duplicator;
use crate::lab::judgement::scalings;
use crate::lab::recorder::Recorder;
use crate::lab::service::Service;
use crate::lab::workload::WORKLOADS;
use crate::lab::{SITES, STACK, garbage, status};
use crate::nats_wire::Wire;
use crate::postgres::{MAINTENANCE, OWNER, SERVICE};
use crate::relay::Flow;

const ANSWER: Duration = Duration::from_secs(5);
const STORES: Duration = Duration::from_mins(1);
/// Time in which a replayed command would have shown.
const EFFECT: Duration = Duration::from_secs(3);
const RECEIVER: &str = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walreceiver'";
const LOOP: &str = "DO $$ BEGIN LOOP INSERT INTO stayer (at) VALUES (clock_timestamp()); COMMIT; \
     PERFORM pg_sleep(0.02); END LOOP; END $$";
/// The table of the packet filter that a scenario blocks with; no program of the lab uses it.
const TABLE: &str = "lab_fault";

/// What happens to a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    Kill,
    Start,
    Freeze,
    Thaw,
}

impl Stage {
    /// Takes a step that changes something.
    pub(super) async fn act(&mut self, deed: &Deed) -> Result<()> {
        match deed {
            Deed::Lose(site, loss) => {
                self.end_at_loss = self.lab.database(site)?.current_lsn().await.ok();
                self.lab.lose(site, *loss).await.map(drop)
            }
            Deed::Thaw(site) => self.lab.thaw(site).await,
            Deed::Return(site) => {
                let kept_down = self.lab.return_site(site).await?;
                if let Some(reason) = kept_down {
                    self.narrative.say(reason);
                }
                Ok(())
            }
            Deed::FreezeHost(site) => self.lab.freeze_all(site).await,
            Deed::Link(step) => self.link(step).await,
            Deed::Kill(target) => self.strike(Blow::Kill, target).await,
            Deed::Start(target) => self.strike(Blow::Start, target).await,
            Deed::Freeze(target) => self.strike(Blow::Freeze, target).await,
            Deed::ThawOne(target) => self.strike(Blow::Thaw, target).await,
            Deed::Block(site, from) => self.block(site, from).await,
            Deed::Unblock(site) => {
                let ground = self.lab.links.ground(site);
                let words = ["nft", "delete", "table", "inet", TABLE];
                ground.run(&words).await.map(drop)
            }
            Deed::Sabotage(site, order) => self.lab.cluster(site)?.sabotage(order).await,
            Deed::Store(step) => self.store(*step).await,
            Deed::Fill(disk) => self.disk(disk)?.fill(),
            Deed::Empty(disk) => self.disk(disk)?.empty(),
            Deed::Clock(program, offset) => {
                let clock = self.lab.clocks.get(program);
                clock
                    .context("this program has no clock of its own")?
                    .set(offset)
            }
            Deed::LoopBackend(site) => {
                let database = self.lab.database(site)?;
                let session = database.connect(OWNER, SERVICE).await?;
                self.looping = Some(tokio::spawn(async move {
                    // It ends with its backend.
                    drop(session.client().batch_execute(LOOP).await);
                }));
                Ok(())
            }
            Deed::DuplicateCommands => {
                self.duplicator = Some(Duplicator::start(self.lab.watcher()?).await?);
                Ok(())
            }
            Deed::RecordCommands => {
                self.recorder = Some(Recorder::start(self.lab.watcher()?).await?);
                Ok(())
            }
            Deed::ReplayCommands => self.replay().await,
            Deed::ApplyPolicy(key, value) => self.apply_policy(key, value).await,
            Deed::PublishGarbage => {
                let sent = garbage::publish(self.lab.watcher()?).await?;
                self.narrative.say(format!("{sent} messages of garbage"));
                Ok(())
            }
        }
    }

    /// The rules stand at the end of the file.
    async fn apply_policy(&self, key: &str, value: &str) -> Result<()> {
        let text = std::fs::read_to_string(&self.lab.stack_file)?;
        let other = |line: &&str| !line.starts_with(&format!("{key} = "));
        let mut changed: Vec<&str> = text.lines().filter(other).collect();
        let rule = format!("{key} = \"{value}\"");
        changed.push(&rule);
        let file = self.lab.stack_file.with_extension("changed.toml");
        std::fs::write(&file, changed.join("\n"))?;
        let file = file.display().to_string();
        let apply = ["stack", "apply", "--yes", &file].map(str::to_owned);
        // Whoever led may hang: the words are said again until another leads.
        self.operate(&apply, 0, "").await
    }

    fn disk(&self, name: &str) -> Result<&SmallDisk> {
        let disk = self.lab.disks.get(name);
        disk.with_context(|| format!("{name} has no small disk"))
    }

    async fn link(&self, step: &LinkStep) -> Result<()> {
        let links = &self.lab.links;
        match step {
            LinkStep::Cut(one, other) => links.cut(one, other).await,
            LinkStep::Heal(one, other) => links.heal(one, other).await,
            LinkStep::Isolate(site) => links.isolate(site).await,
            LinkStep::Rejoin(site) => links.rejoin(site).await,
            LinkStep::Drop(from, to) => {
                for (from, to) in ways(from, to) {
                    links.set(from, to, Flow::Silent).await?;
                }
                Ok(())
            }
            LinkStep::SlowAll(flow) => {
                for (from, to) in ways("all", "all") {
                    links.set(from, to, *flow).await?;
                }
                Ok(())
            }
            LinkStep::HealAll => {
                for (from, to) in ways("all", "all") {
                    links.set(from, to, Flow::OPEN).await?;
                }
                Ok(())
            }
        }
    }

    async fn strike(&mut self, blow: Blow, target: &Target) -> Result<()> {
        match target {
            Target::Agent(node) => {
                let agent = self.lab.agents.get_mut(node).context("no such agent")?;
                strike_service(blow, agent).await
            }
            Target::Coordinator(site) => self.strike_coordinator(blow, site).await,
            Target::Leader => {
                let site = self.name_leader(blow).await?;
                self.strike_coordinator(blow, &site).await
            }
            Target::Cluster(site) => {
                let cluster = self.lab.clusters.get_mut(site).context("no such cluster")?;
                strike_service(blow, &mut cluster.service).await
            }
            Target::Nats(site) => self.strike_nats(blow, site).await,
            Target::StoreLeader => {
                let site = self.name_store_leader(blow).await?;
                self.strike_nats(blow, &site).await
            }
            Target::Database(site) => {
                let database = self.lab.databases.get_mut(site);
                let database = database.context("no such database")?;
                match blow {
                    Blow::Kill => database.kill().await,
                    Blow::Start => database.launch(),
                    Blow::Freeze => database.freeze().await,
                    Blow::Thaw => {
                        database.thaw();
                        Ok(())
                    }
                }
            }
            Target::Postmaster(site) => {
                ensure!(blow == Blow::Kill, "a postmaster is only killed");
                self.lab.database(site)?.signal_postmaster(Signal::KILL)
            }
            Target::Receiver(site) => self.strike_receiver(blow, site).await,
        }
    }

    async fn strike_coordinator(&mut self, blow: Blow, site: &str) -> Result<()> {
        let coordinator = self.lab.coordinators.get_mut(site);
        strike_service(blow, coordinator.context("no such coordinator")?).await
    }

    async fn strike_nats(&mut self, blow: Blow, site: &str) -> Result<()> {
        let nats = &mut self.lab.nats;
        match blow {
            Blow::Kill => nats.kill(site).await,
            Blow::Start => nats.start(site),
            Blow::Freeze => nats.freeze(site).await,
            Blow::Thaw => nats.thaw(site),
        }
    }

    async fn strike_receiver(&mut self, blow: Blow, site: &str) -> Result<()> {
        let pid = match (blow, self.receivers.get(site)) {
            (Blow::Thaw, Some(pid)) => *pid,
            (Blow::Freeze | Blow::Kill, _) => {
                let database = self.lab.database(site)?;
                let session = database.connect(OWNER, MAINTENANCE).await?;
                session.one(RECEIVER, &[]).await?.try_get(0)?
            }
            (Blow::Start, _) | (Blow::Thaw, None) => bail!("no frozen receiver in {site}"),
        };
        self.receivers.insert(site.to_owned(), pid);
        let signal = match blow {
            Blow::Freeze => Signal::STOP,
            Blow::Kill => Signal::KILL,
            Blow::Thaw | Blow::Start => Signal::CONT,
        };
        let pid = Pid::from_raw(pid).context("an odd process number")?;
        kill_process(pid, signal).context("signalling the receiver")
    }

    /// Who leads now, or whom a blow hit before.
    async fn name_leader(&mut self, blow: Blow) -> Result<String> {
        if matches!(blow, Blow::Kill | Blow::Freeze) {
            let view = status::wait(self.lab.watcher()?, "led", SOON, |view| view.leads).await?;
            self.narrative.say(format!("{} leads", view.answered_by));
            self.leader = Some(view.answered_by.to_string());
        }
        self.leader.clone().context("no leader was named yet")
    }

    async fn name_store_leader(&mut self, blow: Blow) -> Result<String> {
        if matches!(blow, Blow::Kill | Blow::Freeze) {
            let leader = self.store_leader_now().await?;
            self.narrative.say(format!("the bucket is led in {leader}"));
            self.store_leader = Some(leader);
        }
        self.store_leader
            .clone()
            .context("no store leader was named yet")
    }

    /// The site whose server leads the bucket's group; after a change of links it may take seconds to have one.
    async fn store_leader_now(&self) -> Result<String> {
        let mut wire = Wire::connect(self.lab.watcher()?, ANSWER).await?;
        let verb = format!("STREAM.INFO.KV_POINTSMAN_{STACK}");
        let deadline = Instant::now() + SOON;
        loop {
            let found = wire.jetstream(&verb, &Value::Null, ANSWER).await;
            let leader = found.as_ref().ok().and_then(|found| {
                let name = found.pointer("/cluster/leader")?.as_str()?;
                name.strip_prefix("nats-")
            });
            if let Some(leader) = leader {
                return Ok(leader.to_owned());
            }
            ensure!(Instant::now() < deadline, "no leader: {found:?}");
            sleep(LOOK).await;
        }
    }

    async fn block(&self, site: &str, from: &str) -> Result<()> {
        let ground = self.lab.links.ground(site);
        let from = match from {
            "clients" => self.lab.links.outside(),
            site => Some(self.lab.links.ground(site).address()),
        };
        let from = from.context("only a site with a namespace has a packet filter")?;
        let from = from.to_string();
        let port = self.lab.database(site)?.address().port().to_string();
        ground.run(&["nft", "add", "table", "inet", TABLE]).await?;
        let chain = "{ type filter hook input priority -20 ; }";
        ground
            .run(&["nft", "add", "chain", "inet", TABLE, "in", chain])
            .await?;
        let rule = [
            "nft", "add", "rule", "inet", TABLE, "in", "ip", "saddr", &from, "tcp", "dport", &port,
            "drop",
        ];
        ground.run(&rule).await.map(drop)
    }

    async fn store(&mut self, step: StoreStep) -> Result<()> {
        if step == StoreStep::MadeAnew {
            let mut wire = Wire::connect(self.lab.watcher()?, ANSWER).await?;
            let verb = format!("STREAM.DELETE.KV_POINTSMAN_{STACK}");
            wire.jetstream(&verb, &Value::Null, ANSWER).await?;
            return self.lab.provision(&self.narrative).await;
        }
        let mut running = SITES.to_vec();
        running.retain(|site| self.lab.nats.is_started(site));
        for site in &running {
            self.lab.nats.kill(site).await?;
        }
        for site in &running {
            let home = self.lab.nats.directory(site)?;
            let (store, copy) = (home.join("store"), home.join("store.copied"));
            match step {
                StoreStep::Copied | StoreStep::MadeAnew => copy_all(&store, &copy).await?,
                StoreStep::Restored => {
                    std::fs::remove_dir_all(&store).context("removing a store")?;
                    copy_all(&copy, &store).await?;
                }
            }
        }
        for site in &running {
            self.lab.nats.start(site)?;
        }
        self.lab.nats.wait_ready(STORES).await
    }

    /// Sends every recorded command once more, and makes sure that nothing came of it.
    async fn replay(&mut self) -> Result<()> {
        let before = self.scaled().await?;
        let recorder = self.recorder.as_mut().context("nothing was recorded")?;
        let (sent, answered) = recorder.replay().await?;
        self.narrative
            .say(format!("{sent} commands replayed, {answered} answered"));
        ensure!(sent > 0, "no command was recorded");
        sleep(EFFECT).await;
        let after = self.scaled().await?;
        ensure!(
            before == after,
            "a replayed command was obeyed: {before:?} {after:?}"
        );
        self.lab.check_alive()
    }

    async fn scaled(&self) -> Result<Vec<usize>> {
        let requests = self.lab.cluster("dc2")?.requests().await?;
        let counts = WORKLOADS.iter().map(|it| scalings(&requests, it).len());
        Ok(counts.collect())
    }
}

/// Every direction from one site or all to another one or all.
fn ways<'a>(from: &'a str, to: &'a str) -> Vec<(&'a str, &'a str)> {
    let chosen = |word: &str, site: &str| word == "all" || word == site;
    let mut ways = Vec::new();
    for one in SITES.into_iter().filter(|site| chosen(from, site)) {
        let others = SITES.into_iter().filter(|site| chosen(to, site));
        ways.extend(others.filter(|site| *site != one).map(|other| (one, other)));
    }
    ways
}

async fn strike_service(blow: Blow, service: &mut Service) -> Result<()> {
    match blow {
        Blow::Kill => service.kill().await,
        Blow::Start => service.start(),
        Blow::Freeze => service.freeze().await,
        Blow::Thaw => {
            service.thaw();
            Ok(())
        }
    }
}

async fn copy_all(from: &Path, to: &Path) -> Result<()> {
    let mut copy = tokio::process::Command::new("cp");
    copy.arg("-a").arg(from).arg(to);
    crate::process::run(copy, STORES).await.map(drop)
}
