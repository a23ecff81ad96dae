//! The `[nats]` table: how the bus is reached, and who this agent is there.

use bus::{Credentials, Settings, TlsFiles};
use shared::config::Section;
use shared::id::{NodeName, SiteName};

use super::{Maybe, Said, absolute, optional_absolute, optional_filled};

/// Messages kept for a subscription: commands are few, memory is small.
const SUBSCRIPTION_CAPACITY: usize = 64;

/// The bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsConfig {
    /// Server addresses, the own site's first.
    pub servers: Vec<String>,
    /// Name that the own site's server gives itself. Another name while connected is told in heartbeats.
    pub own_server_name: Option<String>,
    /// Who this agent is.
    pub credentials: Credentials,
    /// TLS files.
    pub tls: Option<TlsFiles>,
}

impl NatsConfig {
    /// The settings of the agent's connection.
    pub fn settings(&self, site: &SiteName, node: &NodeName) -> Settings {
        let version = env!("CARGO_PKG_VERSION");
        let name = format!("pointsman-agent/{site}/{node}/{version}");
        let inbox = format!("_INBOX.{site}.{node}");
        let mut settings = Settings::new(name, self.servers.clone(), inbox);
        settings.credentials.clone_from(&self.credentials);
        settings.tls.clone_from(&self.tls);
        settings.subscription_capacity = SUBSCRIPTION_CAPACITY;
        settings
    }
}

pub(super) fn read(section: Section<'_>) -> Option<NatsConfig> {
    let servers = read_servers(&section);
    let own = optional_filled(
        &section,
        "own_server_name",
        "the server_name of the own site's nats-server",
    );
    let credentials = read_credentials(&section);
    let tls = read_tls(&section);
    section.finish();
    Some(NatsConfig {
        servers: servers?,
        own_server_name: own.ok()?,
        credentials: credentials?,
        tls: tls.ok()?,
    })
}

fn read_servers(section: &Section<'_>) -> Option<Vec<String>> {
    const ALLOWED: &str =
        "one or more of nats://host:port or tls://host:port, the own site's first";
    let servers = section.texts("servers", ALLOWED);
    if servers.is_empty() {
        section.problem("servers", "nothing", ALLOWED);
        return None;
    }
    let mut right = true;
    for (index, server) in servers.iter().enumerate() {
        let address = server
            .strip_prefix("nats://")
            .or_else(|| server.strip_prefix("tls://"));
        if address.is_none_or(|a| a.parse::<shared::stack::Address>().is_err()) {
            section.problem(&format!("servers[{index}]"), format!("{server:?}"), ALLOWED);
            right = false;
        }
    }
    right.then_some(servers)
}

fn read_credentials(section: &Section<'_>) -> Option<Credentials> {
    let seed = optional_absolute(section, "nkey_seed_file", "an absolute path");
    let file = optional_absolute(section, "credentials_file", "an absolute path");
    let user = optional_filled(section, "user", "a user name");
    let password = optional_absolute(section, "password_file", "an absolute path");
    match (seed.ok()?, file.ok()?, user.ok()?, password.ok()?) {
        (None, None, None, None) => Some(Credentials::None),
        (Some(path), None, None, None) => Some(Credentials::NkeySeedFile(path)),
        (None, Some(path), None, None) => Some(Credentials::CredentialsFile(path)),
        (None, None, Some(user), Some(password_file)) => Some(Credentials::UserPassword {
            user,
            password_file,
        }),
        _ => {
            section.problem(
                "",
                "credentials that do not fit together",
                "one of nkey_seed_file | credentials_file | user with password_file | none",
            );
            None
        }
    }
}

fn read_tls(section: &Section<'_>) -> Maybe<TlsFiles> {
    let present = section.has("tls");
    let tls = section.section("tls");
    if !present {
        return Ok(None);
    }
    let ca = absolute(&tls, "ca_file", "an absolute path to PEM certificates");
    let cert = absolute(
        &tls,
        "cert_file",
        "an absolute path to this agent's PEM certificate",
    );
    let key = absolute(&tls, "key_file", "an absolute path to this agent's PEM key");
    tls.finish();
    let files = ca
        .zip(cert)
        .zip(key)
        .map(|((ca, cert), key)| TlsFiles { ca, cert, key });
    files.map(Some).ok_or(Said)
}
