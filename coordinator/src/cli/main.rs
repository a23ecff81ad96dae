//! `pointsman`: the operator's command line. It asks coordinators and shows what they say; it decides nothing.

mod approving;
mod arguments;
mod changing;
mod events;
mod failure;
mod following;
mod link;
mod provision;
mod reading;
mod stacking;
mod terminal;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use serde_json::{Value, json};
use shared::subject::Verb;

use self::arguments::{Arguments, Command, Options, StackCommand, StoreCommand};
use self::failure::Failure;
use self::link::Link;
use self::terminal::Terminal;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let terminal = Terminal::new(arguments.options.color, arguments.options.json);
    let done = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime.block_on(Box::pin(run(arguments, terminal))),
        Err(error) => Err(Failure::Failed(format!("cannot start: {error}"))),
    };
    match done {
        Ok(code) => code,
        Err(failure) => {
            if terminal.json
                && let Failure::Refused(reply) = &failure
            {
                terminal.print(&coordinator::screen::json::line(reply));
            }
            Terminal::say(&failure.words());
            failure.code()
        }
    }
}

async fn run(arguments: Arguments, terminal: Terminal) -> Result<ExitCode, Failure> {
    let Arguments { options, command } = arguments;
    if let Command::Completions { shell } = command {
        clap_complete::generate(
            shell,
            &mut Arguments::command(),
            "pointsman",
            &mut std::io::stdout(),
        );
        return Ok(ExitCode::SUCCESS);
    }
    if let Command::Stack(StackCommand::Check { file }) = command {
        return Box::pin(stacking::check(&options, terminal, &file)).await;
    }
    if let Command::Stack(StackCommand::Apply { file, yes }) = command {
        return Box::pin(stacking::apply(&options, terminal, &file, yes)).await;
    }
    Box::pin(connected(&options, terminal, command)).await
}

async fn connected(
    options: &Options,
    terminal: Terminal,
    command: Command,
) -> Result<ExitCode, Failure> {
    let link = &Link::open(options, None).await?;
    let read = |verb, body, watch| Box::pin(reading::run(link, terminal, verb, body, watch));
    let change = |verb, body| Box::pin(changing::run(link, terminal, verb, body));
    match command {
        Command::Status(watch) => return read(Verb::Status, Value::Null, watch.watch).await,
        Command::Proposals(watch) => return read(Verb::Proposals, Value::Null, watch.watch).await,
        Command::Shadow(watch) => return read(Verb::Shadow, Value::Null, watch.watch).await,
        Command::Explain(watch) => return read(Verb::Explain, Value::Null, watch.watch).await,
        Command::Show { id, watch } => {
            return read(Verb::Show, reading::about(&id), watch.watch).await;
        }
        Command::History { limit, watch } => {
            return read(Verb::History, json!({ "limit": limit }), watch.watch).await;
        }
        Command::Stack(StackCommand::Show) => {
            return read(Verb::StackShow, Value::Null, None).await;
        }
        Command::Approve(approve) => {
            return Box::pin(approving::run(link, terminal, approve)).await;
        }
        Command::Resume {
            id,
            waive,
            past,
            reason,
            follow,
        } => {
            return Box::pin(changing::resume(
                link, terminal, &id, waive, past, &reason, follow,
            ))
            .await;
        }
        Command::Reject { id, reason } => {
            change(Verb::Reject, json!({ "proposal": id, "reason": reason })).await?;
        }
        Command::Abandon { id, reason } => {
            change(Verb::Abandon, json!({ "run": id, "reason": reason })).await?;
        }
        Command::Hold { reason } => {
            change(Verb::Hold, json!({ "reason": reason })).await?;
        }
        Command::Release { reason } => {
            change(Verb::Release, json!({ "reason": reason })).await?;
        }
        Command::Acknowledge { alarm, reason } => {
            let body = json!({ "alarm": alarm, "reason": reason });
            change(Verb::Acknowledge, body).await?;
        }
        Command::Automatic { switch, reason } => {
            let body = json!({ "switch": switch.word(), "reason": reason });
            change(Verb::Automatic, body).await?;
        }
        Command::Store(StoreCommand::Accept(accept)) => {
            change(Verb::StoreAccept, json!(accept)).await?;
        }
        Command::WatchEvents => Box::pin(events::watch(link, terminal)).await?,
        Command::Provision {
            replicas,
            preferred_server,
        } => {
            let preferred = preferred_server.as_deref();
            Box::pin(provision::run(link, terminal, replicas, preferred)).await?;
        }
        // Served without a connection, before.
        Command::Completions { .. }
        | Command::Stack(StackCommand::Apply { .. } | StackCommand::Check { .. }) => {}
    }
    Ok(ExitCode::SUCCESS)
}
