//! `pointsman-coordinator`: reads its file, starts logging, runs until it is told to stop.
//!
//! Exit codes: 0 stopped when asked, 1 failed, 2 the command line or the file is wrong.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use coordinator::config::Config;
use coordinator::runtime::Runtime;
use shared::telemetry::{self, Chain};
use tokio::signal::unix::{SignalKind, signal};

/// Pointsman's coordinator: hears every agent, proposes a failover when a site is lost, runs what was approved.
#[derive(Debug, Parser)]
#[command(name = "pointsman-coordinator", version, about)]
struct Arguments {
    /// The coordinator's file.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/pointsman/coordinator.toml"
    )]
    config: PathBuf,
    /// Reads the file, says everything that is wrong with it, and ends.
    #[arg(long)]
    check_config: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config = match Config::read(&arguments.config) {
        Ok(config) => config,
        Err(error) => return refuse(&Chain(&error).to_string()),
    };
    if let Err(error) = telemetry::start(&config.log, config.log_format) {
        return refuse(&format!(
            "{}: {}",
            arguments.config.display(),
            Chain(&error)
        ));
    }
    if arguments.check_config {
        say(&format!("{}: good", arguments.config.display()));
        return ExitCode::SUCCESS;
    }
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the coordinator ends");
            ExitCode::FAILURE
        }
    }
}

fn run(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stop = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        tracing::info!(
            site = %config.site,
            stack = %config.stack,
            version = env!("CARGO_PKG_VERSION"),
            "starting"
        );
        let coordinator = Box::pin(Runtime::open(config)).await?;
        Box::pin(coordinator.run(stop)).await?;
        Ok(())
    })
}

#[expect(clippy::print_stdout, reason = "the answer to --check-config")]
fn say(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "logging has not started")]
fn refuse(text: &str) -> ExitCode {
    eprintln!("{text}");
    ExitCode::from(2)
}
