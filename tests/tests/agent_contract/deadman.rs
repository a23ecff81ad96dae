//! The deadman with a real database and a real agent that is stopped, killed and robbed of its table: in a network
//! namespace that the test makes for itself, and in which it runs again.

use std::io::Write as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use shared::clock::Millis;
use shared::stack::{LeasePolicy, SelfFence};
use tests::postgres::{CLIENT, Installation, OWNER, Postgres, SERVICE, Session};

use crate::stage::{Agent, Stage, database};
use crate::{LONG, eventually};

const INSIDE: &str = "POINTSMAN_TEST_NAMESPACE";

/// Short, and with the stop by the agent later than by the kernel only where it hangs.
fn policy() -> LeasePolicy {
    LeasePolicy {
        self_fence: SelfFence::Stop,
        renew_every_ms: Millis(500),
        attempt_ms: Millis(1_000),
        demote_after_ms: Millis::seconds(30),
        deadman_after_ms: Millis::seconds(6),
        ..LeasePolicy::default()
    }
}

/// The newest commit that was acknowledged, by the server's clock in milliseconds.
#[derive(Clone, Default)]
struct Acknowledged(Arc<AtomicU64>);

impl Acknowledged {
    fn at(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// Writes on one connection until it is told to end, or the connection fails.
    async fn write(self, session: Session) {
        let statement = "INSERT INTO seen DEFAULT VALUES \
                         RETURNING (extract(epoch FROM clock_timestamp()) * 1000)::int8";
        loop {
            match session.client().query_one(statement, &[]).await {
                Ok(row) => {
                    let at: i64 = row.get(0);
                    let at = u64::try_from(at).unwrap_or_default();
                    self.0.fetch_max(at, Ordering::SeqCst);
                }
                Err(_) => return,
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or_default()
}

struct Scene {
    _stage: Stage,
    primary: Postgres,
    agent: Agent,
}

impl Scene {
    async fn set() -> Result<Self> {
        let stage = Stage::set("dc1").await?;
        stage.store_stack(1, policy()).await?;
        let directory = stage.scratch.path().join("pg-dc1");
        let mut primary = Postgres::primary(&Installation::find()?, &directory, "dc1").await?;
        let socket = primary.data().display().to_string();
        primary.configure(&format!("unix_socket_directories = '{socket}'"))?;
        primary.start(LONG).await?;
        let session = primary.connect(OWNER, SERVICE).await?;
        session
            .batch("CREATE TABLE seen (n bigserial); GRANT ALL ON seen, seen_n_seq TO PUBLIC")
            .await?;
        drop(session);
        let table =
            database(&primary).replace("host = \"127.0.0.1\"", &format!("socket = \"{socket}\""));
        let mut agent = stage.agent("dc1", &format!("{table}[deadman]\n"))?;
        agent.start_as_root()?;
        let scene = Self {
            _stage: stage,
            primary,
            agent,
        };
        scene.is_armed().await?;
        Ok(scene)
    }

    fn table() -> String {
        let listed = Command::new("nft").args(["list", "ruleset"]).output();
        listed.map_or_else(
            |_| String::new(),
            |listed| String::from_utf8_lossy(&listed.stdout).into_owned(),
        )
    }

    async fn is_armed(&self) -> Result<()> {
        eventually("an armed deadman", async || {
            Self::table().contains("expires")
        })
        .await
        .with_context(|| self.agent.log_tail())
    }

    async fn writer(&self) -> Result<Acknowledged> {
        let acknowledged = Acknowledged::default();
        let session = self.primary.connect(CLIENT, SERVICE).await?;
        tokio::spawn(acknowledged.clone().write(session));
        eventually("a first commit", async || acknowledged.at() > 0).await?;
        Ok(acknowledged)
    }

    /// The last commit that an open connection got acknowledged was in time, and nobody gets in any more.
    async fn is_cut(&self, acknowledged: &Acknowledged, stopped_at: u64) -> Result<()> {
        eventually("the port is closed", async || {
            self.primary.connect(CLIENT, SERVICE).await.is_err()
        })
        .await?;
        let bound = policy().deadman_after_ms.0 + policy().deadman_within_ms.0;
        let after = acknowledged.at().saturating_sub(stopped_at);
        writeln!(
            std::io::stderr(),
            "last acknowledged commit {after} ms after the agent ended, bound {bound} ms"
        )?;
        ensure!(after > 0, "it went on until the kernel ended it");
        ensure!(after <= bound, "{after} ms is later than {bound} ms");
        Ok(())
    }
}

/// Runs the calling test again in a new network namespace; true inside of it.
fn in_own_namespace(test: &str) -> Result<bool> {
    if std::env::var_os(INSIDE).is_some() {
        let up = Command::new("ip")
            .args(["link", "set", "lo", "up"])
            .status()?;
        ensure!(up.success(), "no loopback");
        return Ok(true);
    }
    if !rustix::process::geteuid().is_root() {
        writeln!(
            std::io::stderr(),
            "skipped: {test} makes a network namespace, which needs root"
        )?;
        return Ok(false);
    }
    let ended = Command::new("unshare")
        .args(["--net", "--"])
        .arg(std::env::current_exe()?)
        .args(["--exact", &format!("deadman::{test}"), "--nocapture"])
        .env(INSIDE, "1")
        .output()?;
    let said = String::from_utf8_lossy(&ended.stdout);
    writeln!(std::io::stderr(), "{said}")?;
    let complaint = String::from_utf8_lossy(&ended.stderr);
    ensure!(
        ended.status.success() && said.contains("1 passed"),
        "{said}{complaint}"
    );
    Ok(false)
}

#[tokio::test]
async fn a_stopped_agent_and_a_killed_one_close_the_port_in_time() -> Result<()> {
    if !in_own_namespace("a_stopped_agent_and_a_killed_one_close_the_port_in_time")? {
        return Ok(());
    }
    let mut scene = Scene::set().await?;
    let acknowledged = scene.writer().await?;
    let stopped_at = wall_ms();
    scene.agent.process()?.signal(Signal::STOP)?;
    scene.is_cut(&acknowledged, stopped_at).await?;
    // It goes on, renews, and the port is opened again.
    scene.agent.process()?.signal(Signal::CONT)?;
    scene.is_armed().await?;
    let acknowledged = scene.writer().await?;
    let killed_at = wall_ms();
    scene.agent.kill().await?;
    scene.is_cut(&acknowledged, killed_at).await
}

#[tokio::test]
async fn a_flushed_ruleset_is_mended_before_the_agent_is_needed() -> Result<()> {
    if !in_own_namespace("a_flushed_ruleset_is_mended_before_the_agent_is_needed")? {
        return Ok(());
    }
    let mut scene = Scene::set().await?;
    let flushed = Command::new("nft").args(["flush", "ruleset"]).status()?;
    ensure!(flushed.success(), "no flush");
    scene.is_armed().await?;
    let acknowledged = scene.writer().await?;
    let stopped_at = wall_ms();
    scene.agent.process()?.signal(Signal::STOP)?;
    scene.is_cut(&acknowledged, stopped_at).await
}
