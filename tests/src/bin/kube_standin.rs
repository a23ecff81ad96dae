//! `kube-standin`: one Kubernetes API stand-in as a process. See `tests::kubernetes`.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use tests::kubernetes::{Config, Fixture, Standin, Timings};
use tokio::signal::unix::{SignalKind, signal};

/// A Kubernetes API stand-in on loopback, for the lab and tests.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Objects to start with: JSON (Kubernetes objects), or TOML (short form) by its extension.
    #[arg(long)]
    state: Option<PathBuf>,
    /// Bearer token which every request must carry.
    #[arg(long)]
    token: Option<String>,
    /// Write a kubeconfig that reaches this process to a file.
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    /// Default namespace of that kubeconfig.
    #[arg(long, default_value = "default")]
    namespace: String,
    /// Milliseconds until a controller observes a changed spec.
    #[arg(long, default_value_t = 50)]
    observe_lag_ms: u64,
    /// Milliseconds from a pod's creation until it is ready.
    #[arg(long, default_value_t = 300)]
    ready_after_ms: u64,
    /// Milliseconds from a pod's deletion until it is gone.
    #[arg(long, default_value_t = 300)]
    terminate_after_ms: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let fixture = match &arguments.state {
        Some(path) => read_fixture(path)?,
        None => Fixture::default(),
    };
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let standin = Standin::start(Config {
        listen: arguments.listen,
        token: arguments.token,
        timings: Timings {
            observe_lag: Duration::from_millis(arguments.observe_lag_ms),
            ready_after: Duration::from_millis(arguments.ready_after_ms),
            terminate_after: Duration::from_millis(arguments.terminate_after_ms),
        },
        fixture,
        ..Config::default()
    })
    .await?;
    if let Some(path) = &arguments.kubeconfig {
        std::fs::write(path, standin.kubeconfig(&arguments.namespace))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    announce(&standin.url)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    standin.stop().await;
    Ok(())
}

/// The one line on stdout: whoever started the process waits for it.
fn announce(url: &str) -> anyhow::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "listening on {url}")?;
    out.flush()?;
    Ok(())
}

fn read_fixture(path: &Path) -> anyhow::Result<Fixture> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let is_toml = path
        .extension()
        .is_some_and(|extension| extension == "toml");
    let fixture = if is_toml {
        Fixture::from_toml(&text)
    } else {
        Fixture::from_json(&text)
    };
    fixture.with_context(|| format!("cannot use {shown}"))
}
