//! The `pointsman-agent` program.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use agent::config::AgentConfig;
use agent::deadman::Deadman;
use agent::glass::console;
use agent::{decode, runtime, start_gate};
use clap::{Parser, Subcommand};
use shared::clock::Millis;
use shared::codec::MESSAGE_BYTES_MAX;
use shared::telemetry::{self, Chain};
use tokio::runtime::Runtime;

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
    /// Tell whether the database beside this agent may be started: with 0 when it may, with 1 and the reason when it
    /// may not. For `ExecStartPre=` of the database's service.
    StartGate {
        /// The agent's file (TOML).
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// How long to wait for the store, and for a grant that is on its way.
        #[arg(long, value_name = "SPAN", default_value = "10s")]
        wait: Millis,
    },
    #[command(name = "break-glass")]
    BreakGlass(console::BreakGlass),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.tool {
        Some(Tool::Decode) => return decode_message(),
        Some(Tool::StartGate { config, wait }) => return start_gate(&config, wait),
        Some(Tool::BreakGlass(arguments)) => return ExitCode::from(console::run(&arguments)),
        None => {}
    }
    let Some(path) = arguments.config else {
        complain("pointsman-agent: --config FILE is needed (see --help)");
        return ExitCode::from(USAGE);
    };
    let config = match load(&path) {
        Ok(config) => config,
        Err(code) => return code,
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

fn load(path: &Path) -> Result<AgentConfig, ExitCode> {
    AgentConfig::load(path).map_err(|problems| {
        complain(&problems.to_string());
        ExitCode::from(USAGE)
    })
}

fn start_gate(path: &Path, wait: Millis) -> ExitCode {
    let config = match load(path) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let runtime = match current_thread() {
        Ok(runtime) => runtime,
        Err(code) => return code,
    };
    let decision = runtime.block_on(start_gate::inquiry::decide(&config, wait));
    runtime.shutdown_background();
    if decision.open {
        show(&format!("the database may be started: {}", decision.reason));
        ExitCode::SUCCESS
    } else {
        let reason = decision.reason;
        complain(&format!("the database may not be started: {reason}"));
        ExitCode::FAILURE
    }
}

fn current_thread() -> Result<Runtime, ExitCode> {
    // Few blocking threads: they serve name lookups and a look at a filesystem, and each costs memory.
    let built = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(32)
        .build();
    built.map_err(|error| {
        complain(&format!("pointsman-agent: no runtime: {error}"));
        ExitCode::FAILURE
    })
}

fn serve(config: AgentConfig) -> ExitCode {
    let runtime = match current_thread() {
        Ok(runtime) => runtime,
        Err(code) => return code,
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
