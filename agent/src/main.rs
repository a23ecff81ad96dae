//! The `pointsman-agent` program.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use agent::config::AgentConfig;
use agent::deadman::Deadman;
use agent::{decode, runtime};
use clap::{Parser, Subcommand};
use shared::codec::MESSAGE_BYTES_MAX;
use shared::telemetry::{self, Chain};

/// Bad file or bad arguments.
const USAGE: u8 = 2;

/// Says once a second what it sees of this host, its database and its cluster, and carries out the commands of
/// Pointsman's coordinators.
#[derive(Debug, Parser)]
#[command(
    name = "pointsman-agent",
    version,
    args_conflicts_with_subcommands = true
)]
struct Arguments {
    /// The agent's file (TOML).
    #[arg(long, value_name = "FILE", env = "POINTSMAN_AGENT_CONFIG")]
    config: Option<PathBuf>,
    /// Check the file, print `ok` or everything that is wrong with it, and end.
    #[arg(long)]
    check_config: bool,
    #[command(subcommand)]
    tool: Option<Tool>,
}

#[derive(Debug, Subcommand)]
enum Tool {
    /// Read one wire message from standard input and print it as one line of JSON
    /// (`nats sub --translate "pointsman-agent decode" 'pointsman.*.hb.>'`).
    Decode,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Tool::Decode) = arguments.tool {
        return decode_message();
    }
    let Some(path) = arguments.config else {
        complain("pointsman-agent: --config FILE is needed (see --help)");
        return ExitCode::from(USAGE);
    };
    let config = match AgentConfig::load(&path) {
        Ok(config) => config,
        Err(problems) => {
            complain(&problems.to_string());
            return ExitCode::from(USAGE);
        }
    };
    if let Err(error) = telemetry::start(&config.log, config.log_format) {
        complain(&format!("{}: {}", path.display(), Chain(&error)));
        return ExitCode::from(USAGE);
    }
    if arguments.check_config {
        show("ok");
        // Not a fault of the file, and an agent without a deadman is better than none.
        if let Some(shortfall) = Deadman::shortfall(&config) {
            complain(&format!(
                "pointsman-agent: no deadman on this host: {shortfall}"
            ));
        }
        return ExitCode::SUCCESS;
    }
    serve(config)
}

fn serve(config: AgentConfig) -> ExitCode {
    // Few blocking threads: they serve name lookups and a look at a filesystem, and each costs memory.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(32)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("pointsman-agent: no runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(runtime::run(config));
    // A lookup that hangs must not hold up the end.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %Chain(&error), "agent cannot run");
            ExitCode::FAILURE
        }
    }
}

fn decode_message() -> ExitCode {
    let mut bytes = Vec::new();
    let limit = u64::try_from(MESSAGE_BYTES_MAX)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    if let Err(error) = std::io::stdin().take(limit).read_to_end(&mut bytes) {
        complain(&format!("pointsman-agent: standard input: {error}"));
        return ExitCode::FAILURE;
    }
    match decode::line(&bytes) {
        Ok(line) => {
            show(&line);
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&format!("pointsman-agent: {}", Chain(&error)));
            ExitCode::FAILURE
        }
    }
}

/// A result, for standard output. A reader that went away is no failure of ours.
fn show(text: &str) {
    drop(writeln!(std::io::stdout(), "{text}"));
}

/// A complaint, for standard error.
fn complain(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}
