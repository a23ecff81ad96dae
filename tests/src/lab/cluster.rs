//! The Kubernetes stand-in of one site, as a process of its own, and what is asked of it from outside.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::time::sleep;

use super::http;
use super::program;
use super::service::Service;
use super::workload::{NAMESPACE, WORKLOADS};
use crate::account::Account;
use crate::ground::Ground;
use crate::kubernetes::LoggedRequest;
use crate::process::Program;
use crate::scratch::create_directory;

const POLL: Duration = Duration::from_millis(50);

/// One cluster.
#[derive(Debug)]
pub struct Cluster {
    /// Its process.
    pub service: Service,
    address: SocketAddr,
    kubeconfig: PathBuf,
}

impl Cluster {
    /// Writes its files; starts nothing.
    ///
    /// # Errors
    /// When a file cannot be written or the program was not built.
    pub fn prepare(
        directory: &Path,
        (site, ground): (&str, &Ground),
        address: SocketAddr,
        live: bool,
    ) -> Result<Self> {
        create_directory(directory, &Account::Caller, 0o755)?;
        let mut state = String::new();
        for workload in WORKLOADS {
            let replicas = if live { workload.replicas } else { 0 };
            writeln!(state, "[[object]]\nkind = \"{}\"", workload.kind)?;
            writeln!(
                state,
                "namespace = \"{NAMESPACE}\"\nname = \"{}\"",
                workload.object
            )?;
            writeln!(state, "replicas = {replicas}\n")?;
        }
        let file = directory.join("state.toml");
        std::fs::write(&file, state).context("writing the cluster's state")?;
        let kubeconfig = directory.join("kubeconfig");
        let program = Program {
            name: format!("kubernetes-{site}"),
            executable: program::path("kube-standin")?,
            arguments: vec![
                "--listen".into(),
                address.to_string().into(),
                "--state".into(),
                file.into(),
                "--kubeconfig".into(),
                kubeconfig.clone().into(),
                "--namespace".into(),
                NAMESPACE.into(),
            ],
            environment: Vec::new(),
            directory: directory.to_owned(),
            log: directory.join("kubernetes.log"),
            account: Account::Caller,
            ground: ground.clone(),
        };
        Ok(Self {
            service: Service::new(program),
            address,
            kubeconfig,
        })
    }

    /// Its kubeconfig, written when it starts.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// When it ends or does not answer `within`.
    pub async fn wait_ready(&mut self, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        while let Err(error) = http::get(self.address, "/readyz").await {
            self.service.check_alive()?;
            ensure!(Instant::now() < deadline, "not ready: {error:#}");
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Wanted and ready pods of every workload, by object name.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn pods(&self) -> Result<BTreeMap<&'static str, (u64, u64)>> {
        let mut pods = BTreeMap::new();
        for workload in WORKLOADS {
            let object = http::get_json(self.address, &workload.path()).await?;
            let number = |pointer| object.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
            let counts = (number("/spec/replicas"), number("/status/readyReplicas"));
            pods.insert(workload.object, counts);
        }
        Ok(pods)
    }

    /// Gives an order to its saboteur, as JSON.
    ///
    /// # Errors
    /// When it does not obey.
    pub async fn sabotage(&self, order: &str) -> Result<()> {
        http::post(self.address, "/standin/sabotage", order)
            .await
            .map(drop)
    }

    /// Every request that reached it, oldest first.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn requests(&self) -> Result<Vec<LoggedRequest>> {
        let value = http::get_json(self.address, "/standin/requests").await?;
        serde_json::from_value(value).context("an unreadable request log")
    }
}
