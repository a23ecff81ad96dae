//! Starts what the agent's file switches on.

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::AgentConfig;
use crate::gate::{Identity, Modules};
use crate::probe::{self, Readings, responder};
use crate::runtime::AgentError;

/// What the gate needs to know of the modules.
pub(crate) fn modules(config: &AgentConfig) -> Modules {
    Modules {
        database: config
            .postgres
            .as_ref()
            .map(|postgres| postgres.database.clone()),
        pgdata: config
            .postgres
            .as_ref()
            .is_some_and(|postgres| postgres.pgdata.is_some()),
        kubernetes: config.kubernetes.is_some(),
        hooks: config.hooks.keys().cloned().collect(),
    }
}

/// Starts the probes and the responder.
pub(crate) async fn probes(
    config: &AgentConfig,
    identity: &Identity,
    tasks: &mut JoinSet<()>,
) -> Result<Readings, AgentError> {
    if let Some(responder) = config.responder {
        let address = responder.listen;
        let bound = responder::bind(address).await;
        let listener = bound.map_err(|source| AgentError::Responder { address, source })?;
        tasks.spawn(responder::run(listener, identity.clone()));
    }
    let mut readings = Readings {
        host: None,
        database: None,
        cluster: None,
        peers: Vec::new(),
    };
    if let Some(host) = config.host.clone() {
        let (writer, reader) = watch::channel(None);
        tasks.spawn(probe::host::run(host, writer));
        readings.host = Some(reader);
    }
    if let Some(postgres) = config.postgres.clone() {
        let (writer, reader) = watch::channel(None);
        tasks.spawn(probe::postgres::run(postgres, writer));
        readings.database = Some(reader);
    }
    if let Some(kubernetes) = config.kubernetes.clone() {
        let (writer, reader) = watch::channel(None);
        tasks.spawn(probe::kubernetes::run(kubernetes, writer));
        readings.cluster = Some(reader);
    }
    for peer in &config.peers {
        let (writer, reader) = watch::channel(None);
        tasks.spawn(probe::peer::run(peer.clone(), identity.clone(), writer));
        readings.peers.push(reader);
    }
    Ok(readings)
}
