//! The coordinator's file: who it is, where NATS is, and how it leads.
//!
//! Read once at the start; every problem is said at once with its place. It never holds a secret, only the
//! names of the files that do.

mod glass;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bus::{Credentials, Settings, TlsFiles};
use shared::clock::Millis;
use shared::config::{Document, Problems, Section};
use shared::id::{SiteName, StackName};
use shared::telemetry::LogFormat;

/// What a holder of the lead gives away of its lease, so that its own end comes before anybody else's beginning.
pub const LEASE_MARGIN: Millis = Millis::seconds(3);

/// Messages that a subscription may hold while this process does something else: two seconds of ten thousand agents.
const EARS_CAPACITY: usize = 32_768;

const A_NAME: &str = "a name of a-z, 0-9 and '-', at most 63 characters";

/// A coordinator's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The stack it works for.
    pub stack: StackName,
    /// Its site.
    pub site: SiteName,
    /// Where it keeps its own copy of the audit trail.
    pub state_dir: PathBuf,
    /// Which log lines are written: a level, or `target=level` pairs.
    pub log: String,
    /// How they look.
    pub log_format: LogFormat,
    /// Where NATS is.
    pub nats: NatsConfig,
    /// How it leads.
    pub lead: LeadConfig,
    /// The seed that signs plans for break glass, if it makes any.
    pub signing_seed_file: Option<PathBuf>,
}

/// Where NATS is, and how this process proves who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsConfig {
    /// Addresses, the own site's first.
    pub servers: Vec<String>,
    /// Prefix of its reply subjects.
    pub inbox: String,
    /// How it proves who it is.
    pub credentials: Credentials,
    /// Mutual TLS, if used.
    pub tls: Option<TlsFiles>,
}

/// How the lead is won, kept and lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeadConfig {
    /// Waited before a free lead is taken: the preferred site's coordinator has the shortest.
    pub candidate_delay: Millis,
    /// A lead that was not renewed for so long is free.
    pub lease: Millis,
    /// How often a leader renews.
    pub renew: Millis,
}

/// Why a file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It could not be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It is wrong.
    #[error(transparent)]
    Problems(#[from] Problems),
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self::parse(&path.display().to_string(), &text)?)
    }

    /// Reads a text; `file` names it in messages.
    ///
    /// # Errors
    /// [`Problems`] with everything that is wrong.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let document = Document::parse(file, text)?;
        let top = document.top();
        let stack: Option<StackName> = top.required("stack", A_NAME);
        let site: Option<SiteName> = top.required("site", A_NAME);
        let state_dir = state_dir(&top);
        let log = if top.has("log") {
            top.optional("log", "a log filter, like info")
        } else {
            Some("info,async_nats=warn".to_owned())
        };
        let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
        let log_format = top.word("log_format", &formats, Some(LogFormat::Text));
        let nats = nats(top.section("nats"), site.as_ref());
        let lead = lead(top.section("lead"));
        let signing_seed_file = glass::read(&top);
        top.finish();
        let config = (|| {
            Some(Self {
                stack: stack?,
                site: site?,
                state_dir: state_dir?,
                log: log?,
                log_format: log_format?,
                nats: nats?,
                lead: lead?,
                signing_seed_file: signing_seed_file.ok()?,
            })
        })();
        document.finish(config)
    }

    /// The bus settings of one of this coordinator's connections, which `purpose` names for the server's lists.
    pub fn settings(&self, purpose: &str) -> Settings {
        let name = format!(
            "pointsman-coordinator/{}/{purpose}/{}",
            self.site,
            env!("CARGO_PKG_VERSION")
        );
        let mut settings = Settings::new(name, self.nats.servers.clone(), self.nats.inbox.clone());
        settings.credentials.clone_from(&self.nats.credentials);
        settings.tls.clone_from(&self.nats.tls);
        settings.subscription_capacity = EARS_CAPACITY;
        settings
    }
}

impl LeadConfig {
    /// How long a leader may act after the sending of its last accepted renewal.
    pub fn validity(&self) -> Duration {
        self.lease
            .duration()
            .saturating_sub(LEASE_MARGIN.duration())
    }
}

/// A service has no useful working directory, so only an absolute path says where it is.
fn state_dir(top: &Section<'_>) -> Option<PathBuf> {
    const ALLOWED: &str = "an absolute directory, like /var/lib/pointsman";
    let path: PathBuf = top.required("state_dir", ALLOWED)?;
    if path.is_absolute() {
        return Some(path);
    }
    top.problem(
        "state_dir",
        format!("{:?}", path.display().to_string()),
        ALLOWED,
    );
    None
}

fn nats(section: Section<'_>, site: Option<&SiteName>) -> Option<NatsConfig> {
    const SERVERS: &str = "at least one address, like [\"nats://127.0.0.1:4222\"]";
    let before = section.texts("servers", SERVERS);
    if before.is_empty() {
        section.problem("servers", "nothing", SERVERS);
    }
    let odd = |server: &&String| !(server.starts_with("nats://") || server.starts_with("tls://"));
    for server in before.iter().filter(odd) {
        section.problem(
            "servers",
            format!("{server:?}"),
            "addresses that begin with nats:// or tls://",
        );
    }
    let usual = site.map(|site| format!("_INBOX.{site}.coordinator"));
    let inbox = if section.has("inbox") {
        section.optional("inbox", "a subject prefix")
    } else {
        usual
    };
    let credentials = credentials(&section);
    let with_tls = section.has("tls");
    // Asked for in any case, so that the key is known.
    let below = section.section("tls");
    let files = if with_tls { tls(below) } else { None };
    section.finish();
    if with_tls && files.is_none() {
        return None;
    }
    Some(NatsConfig {
        servers: before,
        inbox: inbox?,
        credentials: credentials?,
        tls: files,
    })
}

fn credentials(section: &Section<'_>) -> Option<Credentials> {
    const ONE: &str = "at most one of credentials, nkey, user";
    let given: Vec<&str> = ["credentials", "nkey", "user"]
        .into_iter()
        .filter(|key| section.has(key))
        .collect();
    let creds: Option<PathBuf> = section.optional("credentials", "a file with a JWT and a seed");
    let nkey: Option<PathBuf> = section.optional("nkey", "a file with an nkey seed");
    let user: Option<String> = section.optional("user", "a user name");
    let password_file: Option<PathBuf> =
        section.optional("password_file", "a file that holds the password");
    if given.len() > 1 {
        section.problem(
            given.last().copied().unwrap_or_default(),
            given.join(" and "),
            ONE,
        );
        return None;
    }
    if section.has("user") != section.has("password_file") {
        section.problem(
            "password_file",
            "only one of the two",
            "user and password_file together",
        );
        return None;
    }
    let wrong = !given.is_empty() && creds.is_none() && nkey.is_none() && user.is_none();
    if wrong {
        return None;
    }
    Some(match (creds, nkey, user.zip(password_file)) {
        (Some(path), _, _) => Credentials::CredentialsFile(path),
        (_, Some(path), _) => Credentials::NkeySeedFile(path),
        (_, _, Some((user, password_file))) => Credentials::UserPassword {
            user,
            password_file,
        },
        _ => Credentials::None,
    })
}

fn tls(section: Section<'_>) -> Option<TlsFiles> {
    let ca = section.required("ca", "a PEM file");
    let cert = section.required("cert", "a PEM file");
    let key = section.required("key", "a PEM file");
    section.finish();
    Some(TlsFiles {
        ca: ca?,
        cert: cert?,
        key: key?,
    })
}

fn lead(section: Section<'_>) -> Option<LeadConfig> {
    let candidate_delay = section.span(
        "candidate_delay",
        Millis(0),
        Millis(0)..=Millis::seconds(60),
    );
    let lease = section.span(
        "lease",
        Millis::seconds(15),
        Millis::seconds(5)..=Millis::seconds(120),
    );
    let renew = section.span(
        "renew",
        Millis::seconds(3),
        Millis(200)..=Millis::seconds(30),
    );
    if let (Some(lease), Some(renew)) = (lease, renew) {
        let least = Millis(renew.0 * 2 + LEASE_MARGIN.0);
        if lease < least {
            let allowed = format!("at least twice renew plus {LEASE_MARGIN}, here {least}");
            section.problem("lease", lease, allowed);
        }
    }
    section.finish();
    Some(LeadConfig {
        candidate_delay: candidate_delay?,
        lease: lease?,
        renew: renew?,
    })
}
