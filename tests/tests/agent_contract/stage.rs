//! Bus, databases and agents of one test.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use bus::{Bucket, BucketSpec, Connection, Manner, Settings};
use shared::clock::UnixMillis;
use shared::epoch::Epoch;
use shared::id::{Nonce, SiteName, StackName};
use shared::subject::{self, key};
use shared::wire::Ticket;
use tests::account::Account;
use tests::ground::Ground;
use tests::nats_cluster::NatsCluster;
use tests::postgres::{AGENT, Installation, Postgres, Upstream};
use tests::process::{Process, Program};
use tests::relay::Links;
use tests::scratch::{Scratch, create_directory};
use uuid::Uuid;

use crate::leader::Leader;
use crate::{LONG, SITES, eventually};

/// The stack of all tests.
pub(crate) fn stack() -> StackName {
    StackName::new("ess").expect("a name")
}

/// The grant that the ticket holds.
pub(crate) const GRANT: Nonce = Nonce::new(Uuid::from_u128(0xA11CE));

/// Everything that one test runs on.
pub(crate) struct Stage {
    pub(crate) scratch: Scratch,
    pub(crate) nats: NatsCluster,
    pub(crate) links: Links,
    pub(crate) connection: Connection,
}

impl Stage {
    /// Three servers, and a ticket for `holder` at epoch 2.
    pub(crate) async fn set(holder: &str) -> Result<Self> {
        let scratch = Scratch::new()?;
        let links = Links::between(&SITES);
        let mut nats = NatsCluster::configure(scratch.path(), &SITES, &links).await?;
        nats.start_all()?;
        nats.wait_ready(LONG).await?;
        let servers = vec![nats.client_url("dc3")?];
        let settings = Settings::new("test-leader", servers, "_INBOX.dc3.coordinator");
        let connection = Connection::connect(settings, Manner::Command).await?;
        let bucket = BucketSpec {
            name: subject::bucket(&stack()),
            description: "test".to_owned(),
            history: 5,
            max_age: None,
            marker_age: None,
            max_value_bytes: 65_536,
            max_bytes: 16 * 1024 * 1024,
            replicas: 3,
        };
        // Just after the start a server may not yet count the others as online.
        eventually("the bucket", async || {
            let made = bus::provision(&connection, std::slice::from_ref(&bucket), &[], None).await;
            made.is_ok()
        })
        .await?;
        let stage = Self {
            scratch,
            nats,
            links,
            connection,
        };
        // The bucket's own group may still be electing its leader.
        eventually("the first ticket", async || {
            let stored = stage.store_ticket(holder, Epoch(2), Some(GRANT)).await;
            stored.is_ok()
        })
        .await?;
        Ok(stage)
    }

    /// Replaces the ticket.
    pub(crate) async fn store_ticket(
        &self,
        holder: &str,
        epoch: Epoch,
        grant: Option<Nonce>,
    ) -> Result<()> {
        let ticket = Ticket {
            summary: format!("epoch {epoch} for {holder}"),
            incarnation: Nonce::new(Uuid::from_u128(1)),
            epoch,
            holder: SiteName::new(holder)?,
            grant,
            changed_at: UnixMillis(0),
            confirmed_by: None,
            confirmations: 0,
            accepted: 0,
            leases: BTreeMap::new(),
            automatic_off: None,
        };
        self.put_ticket(&ticket).await
    }

    /// Replaces the ticket by this one.
    pub(crate) async fn put_ticket(&self, ticket: &Ticket) -> Result<()> {
        let bucket = Bucket::open(&self.connection, &subject::bucket(&stack())).await?;
        bucket.put(key::TICKET, serde_json::to_vec(ticket)?).await?;
        Ok(())
    }

    /// The ticket now.
    pub(crate) async fn ticket(&self) -> Result<Ticket> {
        let bucket = Bucket::open(&self.connection, &subject::bucket(&stack())).await?;
        let entry = bucket.entry(key::TICKET).await?.context("no ticket")?;
        Ok(serde_json::from_slice(&entry.value)?)
    }

    /// The revision of the ticket now: it grows with every write.
    pub(crate) async fn ticket_revision(&self) -> Result<u64> {
        let bucket = Bucket::open(&self.connection, &subject::bucket(&stack())).await?;
        let entry = bucket.entry(key::TICKET).await?.context("no ticket")?;
        Ok(entry.revision)
    }

    /// A running primary at dc1.
    pub(crate) async fn primary(&self) -> Result<Postgres> {
        let directory = self.scratch.path().join("pg-dc1");
        let mut primary = Postgres::primary(&Installation::find()?, &directory, "dc1").await?;
        primary.start(LONG).await?;
        Ok(primary)
    }

    /// A running standby at `site`.
    pub(crate) async fn standby(&self, site: &str, primary: &Postgres) -> Result<Postgres> {
        let upstream = Upstream {
            address: primary.address(),
            slot: site.to_owned(),
        };
        let directory = self.scratch.path().join(format!("pg-{site}"));
        let mut standby =
            Postgres::standby(&Installation::find()?, &directory, site, &upstream).await?;
        standby.start(LONG).await?;
        Ok(standby)
    }

    /// An agent at `site` that is not started.
    pub(crate) fn agent(&self, site: &str, more: &str) -> Result<Agent> {
        let node = format!("{site}-agent");
        let directory = self.scratch.path().join(&node);
        let account = Account::unprivileged()?;
        create_directory(&directory, &account, 0o755)?;
        let own = self.nats.client_url(site)?;
        let state = directory.join("state");
        let text = format!(
            "stack = \"ess\"\nsite = \"{site}\"\nnode = \"{node}\"\nstate_dir = \"{}\"\nlog = \"debug\"\n\
             {more}\n[nats]\nservers = [\"{own}\"]\nown_server_name = \"nats-{site}\"\n",
            state.display()
        );
        let config = directory.join("agent.toml");
        std::fs::write(&config, text)?;
        Ok(Agent {
            site: site.to_owned(),
            directory,
            config,
            account,
            process: None,
        })
    }

    /// A running agent beside a database, and the leader that commands it, once it has seen the database.
    pub(crate) async fn agent_of(
        &self,
        postgres: &Postgres,
        more: &str,
    ) -> Result<(Agent, Leader)> {
        let mut agent = self.agent(postgres.site(), &format!("{more}{}", database(postgres)))?;
        agent.start()?;
        let mut leader = Leader::of(self, &agent).await?;
        leader
            .heartbeat_where("a sample of the database", |h| {
                h.database.as_ref().is_some_and(|d| d.role.is_some())
            })
            .await
            .with_context(|| agent.log_tail())?;
        Ok((agent, leader))
    }
}

/// The agent's table for a database.
pub(crate) fn database(postgres: &Postgres) -> String {
    let (port, site) = (postgres.address().port(), postgres.site());
    let (data, binaries) = (
        postgres.data(),
        postgres.installation().binaries().to_owned(),
    );
    let (data, binaries) = (data.display(), binaries.display());
    format!(
        "[postgres]\ndatabase = \"main\"\nhost = \"127.0.0.1\"\nport = {port}\nuser = \"{AGENT}\"\n\
         pgdata = \"{data}\"\nbin_dir = \"{binaries}\"\n\
         follow_conninfo = \"user={AGENT} application_name={site} sslmode=disable\"\n"
    )
}

/// An agent program.
pub(crate) struct Agent {
    pub(crate) site: String,
    pub(crate) directory: PathBuf,
    pub(crate) config: PathBuf,
    account: Account,
    process: Option<Process>,
}

impl Agent {
    /// Its node name.
    pub(crate) fn node(&self) -> String {
        format!("{}-agent", self.site)
    }

    pub(crate) fn start(&mut self) -> Result<()> {
        self.start_under(self.account.clone())
    }

    /// With the right to change the packet filter.
    pub(crate) fn start_as_root(&mut self) -> Result<()> {
        self.start_under(Account::Caller)
    }

    fn start_under(&mut self, account: Account) -> Result<()> {
        let process = Process::spawn(&Program {
            name: self.node(),
            executable: binary()?,
            arguments: vec!["--config".into(), self.config.clone().into()],
            environment: BTreeMap::from([("RUST_BACKTRACE".to_owned(), "1".to_owned())])
                .into_iter()
                .collect(),
            directory: self.directory.clone(),
            log: self.directory.join("agent.log"),
            account,
            ground: Ground::LOOPBACK,
        })?;
        self.process = Some(process);
        Ok(())
    }

    pub(crate) fn process(&mut self) -> Result<&mut Process> {
        self.process.as_mut().context("the agent is not running")
    }

    /// Takes it away without warning.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.process
            .take()
            .context("the agent is not running")?
            .kill()
            .await
    }

    /// Ends it as its supervisor would.
    pub(crate) async fn terminate(&mut self) -> Result<()> {
        self.process
            .take()
            .context("the agent is not running")?
            .terminate(LONG)
            .await
    }

    pub(crate) fn log_tail(&self) -> String {
        tests::process::tail(&self.directory.join("agent.log"))
    }

    pub(crate) fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.directory.join("agent.log"))?)
    }
}

/// The program that was built beside this test.
pub(crate) fn binary() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let beside = own
        .parent()
        .and_then(Path::parent)
        .context("an odd target directory")?;
    let binary = beside.join("pointsman-agent");
    anyhow::ensure!(
        binary.is_file(),
        "{} is not built: cargo build --bins",
        binary.display()
    );
    Ok(binary)
}

/// A moment that is long for the agent and short for the test.
pub(crate) const MOMENT: Duration = Duration::from_millis(1_500);
