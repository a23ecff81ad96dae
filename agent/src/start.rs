//! Starts what the agent's file switches on.

use std::sync::Arc;

use shared::clock::Millis;
use shared::id::BootId;
use shared::telemetry::Chain;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::action::Scene;
use crate::config::AgentConfig;
use crate::deadman::Deadman;
use crate::gate::{Identity, Modules};
use crate::probe::{self, Readings, responder};
use crate::quarantine;
use crate::rules;
use crate::rules::Known;
use crate::runtime::{AgentError, TICK};
use crate::tenure::{Parts, Tenure};
use crate::vow::line::{KEY_LEN_MIN, Seal};
use crate::vower::Vower;

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

/// Starts the responder.
pub(crate) async fn responder(
    config: &AgentConfig,
    identity: &Identity,
    vower: Option<Arc<Vower>>,
    tasks: &mut JoinSet<()>,
) -> Result<(), AgentError> {
    if let Some(responder) = config.responder {
        let address = responder.listen;
        let bound = responder::bind(address).await;
        let listener = bound.map_err(|source| AgentError::Responder { address, source })?;
        tasks.spawn(responder::run(listener, identity.clone(), vower));
    }
    Ok(())
}

/// The key by which vows are sealed, if there is one.
pub(crate) fn seal(config: &AgentConfig) -> Result<Seal, AgentError> {
    let Some(path) = &config.vow_key_file else {
        return Ok(Seal::default());
    };
    let unfit = |why: String| AgentError::VowKey {
        path: path.clone(),
        why,
    };
    let text = std::fs::read(path).map_err(|error| unfit(error.to_string()))?;
    let key = text.trim_ascii().to_vec();
    if key.len() < KEY_LEN_MIN {
        let (found, needed) = (key.len(), KEY_LEN_MIN);
        return Err(unfit(format!(
            "it holds {found} bytes, at least {needed} are needed"
        )));
    }
    Ok(Seal::with(key))
}

/// The deadman of the agent's file; without a working one the agent runs all the same and promises none.
pub(crate) fn deadman(config: &AgentConfig) -> Deadman {
    Deadman::open(config).unwrap_or_else(|error| {
        tracing::error!(
            error = %Chain(&error),
            "there is no deadman: if this agent hangs, nothing stops the database"
        );
        Deadman::none()
    })
}

/// The stack in force, as this agent knows it.
pub(crate) fn rules(scene: &Scene, tasks: &mut JoinSet<()>) -> Known {
    let (connection, stack) = (scene.connection.clone(), scene.config.stack.clone());
    rules::begin(connection, stack, &scene.config.state_dir, tasks)
}

/// The lease of the database, and the vows that go with it; nothing without a database. Beside it, and beside a
/// cluster, the watch for a right that is another site's.
pub(crate) fn tenure(
    scene: &Scene,
    boot: BootId,
    readings: &Readings,
    rules: Known,
    tasks: &mut JoinSet<()>,
) -> Result<Option<(Tenure, Arc<Vower>)>, AgentError> {
    let config = &scene.config;
    let deadman = deadman(config);
    tasks.spawn(quarantine::watch::run(
        scene.clone(),
        deadman.clone(),
        rules.clone(),
    ));
    let (Some(postgres), Some(database)) = (config.postgres.clone(), readings.database.clone())
    else {
        return Ok(None);
    };
    let seal = seal(config)?;
    let vower = Arc::new(Vower::new(
        scene.identity.clone(),
        scene.ledger.clone(),
        Some(database.clone()),
        rules.clone(),
        seal.clone(),
    ));
    let parts = Parts {
        config: Arc::clone(config),
        identity: scene.identity.clone(),
        connection: scene.connection.clone(),
        ledger: scene.ledger.clone(),
        boot,
        database,
        rules,
        deadman,
        vower: Arc::clone(&vower),
        seal,
    };
    let tenure = Tenure::begin(parts, postgres, Millis::from_duration(TICK));
    Ok(Some((tenure, vower)))
}

/// Starts the probes.
pub(crate) fn probes(
    config: &AgentConfig,
    identity: &Identity,
    tasks: &mut JoinSet<()>,
) -> Readings {
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
    readings
}
