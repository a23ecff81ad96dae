//! Holds the decision core against worlds that try to break it: histories from seeds, noise over years, and an
//! exhaustive search. Each prints one last line that scripts may read.

mod calibrate;
mod run;
mod search;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Simulations of Pointsman's core; without a subcommand, `run`.
#[derive(Debug, Parser)]
#[command(name = "sim", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: run::Arguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Plays histories of a faulty world from seeds; exit code 1 when an invariant did not hold.
    Run(run::Arguments),
    /// Plays years of stated noise and counts the proposals that it causes.
    Calibrate(calibrate::Arguments),
    /// Searches every state of a small world.
    Search(search::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        None => run::run(&arguments.run),
        Some(Command::Run(run)) => run::run(&run),
        Some(Command::Calibrate(calibrate)) => calibrate::run(&calibrate),
        Some(Command::Search(search)) => search::run(&search),
    }
}
