//! One nats-server, some coordinators, and the means to look at them; everything started ends with its owner.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use bus::{Connection, Headers, Manner, RawMessage, RequestError, Settings};
use coordinator::provisioning;
use serde_json::Value;
use shared::id::{SiteName, StackName};
use shared::subject::{Subject, Verb};
use tempfile::TempDir;

/// Longest wait for anything on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);
/// The lease that the coordinators of a rig are given.
pub(crate) const LEASE: Duration = Duration::from_secs(5);
/// How often they renew.
pub(crate) const RENEW: Duration = Duration::from_secs(1);
/// The sites of the sample stack.
pub(crate) const SITES: [&str; 3] = ["dc1", "dc2", "dc3"];
/// The sample stack file.
pub(crate) const STACK: &str = include_str!("../../../deploy/config/stack.toml");

/// A child process that is killed when it is dropped.
pub(crate) struct Guarded(pub(crate) Child);

/// A nats-server and what talks to it.
pub(crate) struct Rig {
    pub(crate) home: TempDir,
    pub(crate) port: u16,
    server: Option<Guarded>,
    extra: String,
}

/// A coordinator of one site.
pub(crate) struct Coordinator {
    pub(crate) site: &'static str,
    pub(crate) process: Guarded,
    log: PathBuf,
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // It may have ended before.
        let _killed = self.0.kill();
        let _waited = self.0.wait();
    }
}

impl Rig {
    /// A server with JetStream on a port of its own choice; `extra` goes into its file.
    pub(crate) async fn start(extra: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut rig = Self {
            home,
            port: 0,
            server: None,
            extra: extra.to_owned(),
        };
        rig.start_server().await;
        rig
    }

    pub(crate) async fn start_server(&mut self) {
        let home = self.home.path();
        let port = if self.port == 0 {
            -1
        } else {
            i32::from(self.port)
        };
        let file = home.join("nats.conf");
        let text = format!(
            "listen: \"127.0.0.1:{port}\"\nports_file_dir: \"{0}\"\nmax_payload: 1MB\n\
             jetstream {{ store_dir: \"{0}/js\", sync_interval: always, max_file_store: 1GB }}\n{1}\n",
            home.display(),
            self.extra
        );
        std::fs::write(&file, text).unwrap();
        let log = std::fs::File::create(home.join("nats.log")).unwrap();
        let child = Command::new(nats_server())
            .arg("-c")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("nats-server starts");
        let ports = home.join(format!("nats-server_{}.ports", child.id()));
        self.server = Some(Guarded(child));
        let found = until("the server's ports", async || {
            let text = std::fs::read_to_string(&ports).ok()?;
            let value: Value = serde_json::from_str(&text).ok()?;
            value["nats"][0]
                .as_str()?
                .rsplit(':')
                .next()?
                .parse::<u16>()
                .ok()
        })
        .await;
        self.port = found;
    }

    pub(crate) fn stop_server(&mut self) {
        self.server = None;
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// An operator's connection.
    pub(crate) async fn connect(&self) -> Connection {
        let settings = Settings::new("test", vec![self.url()], "_INBOX.test");
        let connected = until("a connection", async || {
            Box::pin(Connection::connect(settings.clone(), Manner::Command))
                .await
                .ok()
        });
        Box::pin(connected).await
    }

    /// Makes bucket and stream with one copy.
    pub(crate) async fn provision(&self, connection: &Connection) {
        let (bucket, audit) = (
            provisioning::bucket(&stack(), 1),
            provisioning::audit(&stack(), 1),
        );
        Box::pin(bus::provision(connection, &[bucket], &[audit], None))
            .await
            .unwrap();
    }

    /// Writes a coordinator's file; `nats` goes into its table of that name.
    pub(crate) fn coordinator_file(&self, site: &str, nats: &str) -> PathBuf {
        let file = self.home.path().join(format!("{site}.toml"));
        let text = format!(
            "stack = \"ess\"\nsite = \"{site}\"\nstate_dir = \"{}\"\n[nats]\nservers = [\"{}\"]\n{nats}\n\
             [lead]\nlease = \"{}s\"\nrenew = \"{}s\"\n",
            self.state_dir(site).display(),
            self.url(),
            LEASE.as_secs(),
            RENEW.as_secs()
        );
        std::fs::write(&file, text).unwrap();
        file
    }

    pub(crate) fn state_dir(&self, site: &str) -> PathBuf {
        self.home.path().join(format!("state-{site}"))
    }

    /// Starts a coordinator.
    pub(crate) fn coordinator(&self, site: &'static str, nats: &str) -> Coordinator {
        let file = self.coordinator_file(site, nats);
        let log = self.home.path().join(format!("{site}.log"));
        let out = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_pointsman-coordinator"))
            .arg("--config")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(out)
            .spawn()
            .unwrap();
        Coordinator {
            site,
            process: Guarded(child),
            log,
        }
    }

    /// All three, in a stack that is in force.
    pub(crate) async fn with_stack(&self) -> (Connection, Vec<Coordinator>) {
        let connection = self.connect().await;
        self.provision(&connection).await;
        let coordinators: Vec<Coordinator> = SITES
            .into_iter()
            .map(|site| self.coordinator(site, ""))
            .collect();
        leader(&connection).await;
        let request = serde_json::json!({ "file": "stack.toml", "text": STACK }).to_string();
        let done = ask(
            &connection,
            &Subject::operator_json(&stack(), Verb::StackApply),
            &request,
        )
        .await
        .unwrap();
        assert!(json(&done).get("refused").is_none(), "{}", text(&done));
        (connection, coordinators)
    }

    /// The CLI with a command line.
    pub(crate) fn cli(&self, line: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_pointsman"))
            .args(line)
            .env("POINTSMAN_SERVERS", self.url())
            .env("POINTSMAN_STACK", "ess")
            .env("POINTSMAN_OPERATOR", "alice")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    pub(crate) fn path(&self) -> &Path {
        self.home.path()
    }
}

impl Coordinator {
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Kills it without a warning.
    pub(crate) fn kill(mut self) -> String {
        self.process.0.kill().unwrap();
        self.process.0.wait().unwrap();
        self.log()
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) async fn stop(mut self) -> (Option<i32>, String) {
        let pid = i32::try_from(self.process.0.id()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = until("the coordinator's end", async || {
            self.process.0.try_wait().unwrap()
        })
        .await;
        (status.code(), self.log())
    }
}

pub(crate) fn stack() -> StackName {
    StackName::new("ess").unwrap()
}

/// Asks once.
pub(crate) async fn ask(
    connection: &Connection,
    subject: &Subject,
    body: &str,
) -> Result<RawMessage, RequestError> {
    let body = body.as_bytes().to_vec();
    Box::pin(connection.request_raw(subject, body, &Headers::new(), Duration::from_secs(3))).await
}

/// Asks one site's coordinator for its status.
pub(crate) async fn status_at(connection: &Connection, site: &str) -> Option<Value> {
    let subject = Subject::operator_at(&stack(), &SiteName::new(site).unwrap(), Verb::Status);
    ask(connection, &subject, "")
        .await
        .ok()
        .map(|answer| json(&answer))
}

/// Waits until exactly one leads, and gives its site and term.
pub(crate) async fn leader(connection: &Connection) -> (String, u64) {
    until("exactly one leader", async || {
        let mut leaders = Vec::new();
        for site in SITES {
            if let Some(status) = status_at(connection, site).await
                && status["leads"] == true
            {
                leaders.push((site.to_owned(), status["term"].as_u64().unwrap()));
            }
        }
        assert!(leaders.len() <= 1, "more than one leads: {leaders:?}");
        leaders.pop()
    })
    .await
}

pub(crate) fn text(answer: &RawMessage) -> String {
    String::from_utf8(answer.payload.to_vec()).expect("UTF-8")
}

pub(crate) fn json(answer: &RawMessage) -> Value {
    serde_json::from_str(&text(answer)).unwrap_or_else(|error| panic!("{error}: {}", text(answer)))
}

/// Waits for something, within [`PATIENCE`].
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "no {what} within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn nats_server() -> PathBuf {
    if let Some(named) = std::env::var_os("POINTSMAN_NATS_SERVER") {
        return named.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let cache = std::env::var_os("POINTSMAN_CACHE")
        .map_or_else(|| home.join(".cache/pointsman"), PathBuf::from);
    std::env::split_paths(&path)
        .chain([cache.join("bin")])
        .map(|directory| directory.join("nats-server"))
        .find(|candidate| candidate.is_file())
        .expect("nats-server on PATH, in POINTSMAN_CACHE/bin, or named by POINTSMAN_NATS_SERVER")
}
