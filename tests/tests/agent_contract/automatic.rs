//! Orders that nobody approved but automatic mode: taken only with the stack's leave, and not once it is switched off.

use anyhow::{Context, Result, ensure};
use shared::clock::UnixMillis;
use shared::epoch::StackVersion;
use shared::id::{Actor, DatabaseName, HookName};
use shared::refusal::Refusal;
use shared::stack::{LeasePolicy, Mode};
use shared::wire::{Action, AutomaticOff, Command, DatabaseRole, ReportState};

use crate::leader::{Leader, proof};
use crate::stage::Stage;
use crate::{LONG, eventually};

const HOOK: &str =
    "[[hook]]\nname = \"mark\"\nargv = [\"/bin/sh\", \"-c\", \"echo marked\"]\ntimeout = \"5s\"\n";

/// The order as automatic mode gives it, by a stack version.
async fn automatic(leader: &mut Leader, action: Action, version: u64) -> Result<Command> {
    let mut command = leader.command(action).await?;
    let approval = command.approval.as_mut().context("no approval")?;
    approval.automatic = true;
    approval.stack_version = Some(StackVersion(version));
    approval.operator = Actor::new("automatic");
    Ok(command.sealed())
}

fn mark() -> Result<Action> {
    Ok(Action::Hook {
        hook: HookName::new("mark")?,
        environment: std::collections::BTreeMap::new(),
    })
}

/// The refusal of an order, whether at the gate or after a look at the store.
async fn refused(leader: &mut Leader, command: &Command) -> Result<Refusal> {
    let state = match leader.send(command).await? {
        ReportState::Running { .. } => leader.ended(command).await?,
        other @ (ReportState::Done { .. }
        | ReportState::Failed { .. }
        | ReportState::Refused(_)
        | ReportState::Interrupted { .. }) => other,
    };
    match state {
        ReportState::Refused(refusal) => Ok(refusal),
        other @ (ReportState::Running { .. }
        | ReportState::Done { .. }
        | ReportState::Failed { .. }
        | ReportState::Interrupted { .. }) => anyhow::bail!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn an_order_of_automatic_mode_needs_the_stack_and_the_switch() -> Result<()> {
    let stage = Stage::set("dc2").await?;
    let mut primary = stage.primary().await?;
    let standby = stage.standby("dc2", &primary).await?;
    primary.wait_streaming(&["dc2"], LONG).await?;
    let (_agent, mut leader) = stage.agent_of(&standby, HOOK).await?;
    let seen = leader
        .heartbeat_where("a standby", |h| {
            let role = h.database.as_ref().and_then(|database| database.role);
            role == Some(DatabaseRole::Standby)
        })
        .await?;
    let database = seen.database.context("no database")?;
    let promote = Action::Promote {
        database: DatabaseName::new("main")?,
        system_identifier: database.system_identifier.context("no system identifier")?,
        timeline: database.timeline.context("no timeline")?,
        min_lsn: database.received_lsn.context("no position")?,
        slots: Vec::new(),
    };
    primary.kill().await?;

    // It knows no stack.
    let order = automatic(&mut leader, promote.clone(), 4).await?;
    let none = Refusal::AutomaticNotAllowed {
        ordered: Some(StackVersion(4)),
        known: None,
    };
    ensure!(leader.refused(&order).await? == none, "without a stack");
    stage.switch(Some("alice")).await?;
    let rules = LeasePolicy::default();
    stage.store_stack_in(4, rules, Mode::Automatic).await?;
    eventually("the stack at the agent", async || {
        let order = automatic(&mut leader, mark().expect("a name"), 4).await;
        let order = order.expect("a heartbeat");
        let said = refused(&mut leader, &order).await;
        said.is_ok_and(|refusal| refusal != none)
    })
    .await?;

    // It is switched off: nothing that changes is done, with or without a grant.
    let off = Refusal::AutomaticOff {
        by: Actor::new("alice"),
    };
    for action in [promote.clone(), mark()?] {
        let order = automatic(&mut leader, action, 4).await?;
        ensure!(refused(&mut leader, &order).await? == off, "switched off");
    }
    ensure!(standby.in_recovery().await?, "promoted without leave");
    ensure!(stage.ticket().await?.confirmations == 0, "confirmed");
    let operators = leader.command(mark()?).await?;
    let ended = leader.carry_out(&operators).await?;
    ensure!(proof(&ended)?.contains("marked"), "{ended:?}");

    // It is on again: only the version that the agent knows counts.
    stage.switch(None).await?;
    let older = automatic(&mut leader, mark()?, 3).await?;
    let other = Refusal::AutomaticNotAllowed {
        ordered: Some(StackVersion(3)),
        known: Some(StackVersion(4)),
    };
    ensure!(leader.refused(&older).await? == other, "another version");
    let order = automatic(&mut leader, mark()?, 4).await?;
    let ended = leader.carry_out(&order).await?;
    ensure!(proof(&ended)?.contains("marked"), "{ended:?}");
    let order = automatic(&mut leader, promote, 4).await?;
    let ended = leader.carry_out(&order).await?;
    ensure!(proof(&ended)?.contains("grant: confirmed"), "{ended:?}");
    Ok(())
}

impl Stage {
    /// Moves the switch of automatic mode in the ticket.
    async fn switch(&self, off_by: Option<&str>) -> Result<()> {
        let mut ticket = self.ticket().await?;
        ticket.automatic_off = off_by.map(|name| AutomaticOff {
            by: Actor::new(name),
            at: UnixMillis(0),
        });
        self.put_ticket(&ticket).await
    }
}
