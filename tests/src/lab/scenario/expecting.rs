//! What a scenario expects to find.

use anyhow::{Context, Result, ensure};
use decision::RunState;
use shared::id::SiteName;

use super::staging::{SOON, Stage};
use crate::lab::judgement::{judge, scalings};
use crate::lab::log_watch::{self, Allowance};
use crate::lab::status;
use crate::lab::workload::WORKLOADS;
use crate::postgres::{MAINTENANCE, OWNER, SERVICE};

/// The line of the newest timeline's history: where it left the one before.
const HISTORY: &str = "SELECT pg_read_file('pg_wal/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) || '.history')";

impl Stage {
    pub(super) async fn expect_whole(&mut self) -> Result<()> {
        let shown = self.lab.operator.show("latest").await?;
        let run = shown.run.context("the latest proposal has no run")?;
        let checks = judge(&self.lab, &self.traffic, &run).await;
        for check in &checks {
            let word = if check.holds { "ok" } else { "FAILED" };
            self.narrative
                .say(format!("{word} {}: {}", check.what, check.found));
        }
        let failed: Vec<_> = checks.iter().filter(|check| !check.holds).collect();
        ensure!(failed.is_empty(), "not whole: {failed:#?}");
        Ok(())
    }

    pub(super) async fn expect_unmoved(&mut self) -> Result<()> {
        let view = status::ask(self.lab.watcher()?).await?;
        let live = view.live_site.as_ref().map(SiteName::as_str);
        ensure!(
            live == Some("dc1"),
            "live is {live:?}: {}",
            status::summary(&view)
        );
        let epoch = view.epoch.map(|epoch| epoch.0);
        ensure!(epoch == Some(1), "epoch {epoch:?}");
        let moved = self
            .events
            .all()
            .into_iter()
            .skip(self.began)
            .find(|seen| seen.event.kind == "step-started");
        ensure!(moved.is_none(), "a step was started: {moved:?}");
        self.traffic.wait_more(20, SOON).await?;
        for site in ["dc2", "dc3"] {
            let written = self.traffic.accepted(site)?.len();
            ensure!(written == 0, "{site} accepted {written} writes");
        }
        let last = self.traffic.record().acknowledged.pop().map(|row| row.site);
        ensure!(
            last.as_deref() == Some("dc1"),
            "the last row was acknowledged by {last:?}"
        );
        Ok(())
    }

    pub(super) fn expect_no_overlap(&self) -> Result<()> {
        let overlap = self.traffic.overlap()?;
        ensure!(
            overlap.is_zero(),
            "two sites were writable for up to {overlap:?}"
        );
        Ok(())
    }

    /// What the old site had acknowledged into its WAL and the new one never had, against what was shown.
    pub(super) async fn expect_loss_within(&self, name: &str) -> Result<()> {
        let shown = self.proposal(name)?.loss.upper_bytes();
        let shown = shown.context("the proposal displays no bound")?.0;
        let end = self.end_at_loss.context("no site was lost")?;
        let session = self
            .lab
            .database("dc2")?
            .connect(OWNER, MAINTENANCE)
            .await?;
        let history: String = session.one(HISTORY, &[]).await?.try_get(0)?;
        let left = history
            .lines()
            .last()
            .and_then(|line| line.split('\t').nth(1));
        let left = left.with_context(|| format!("an odd history: {history}"))?;
        let left: shared::lsn::Lsn = left
            .parse()
            .map_err(|error| anyhow::anyhow!("{left}: {error}"))?;
        let lost = end.saturating_sub(left.0);
        let session = self.lab.database("dc2")?.connect(OWNER, SERVICE).await?;
        let rows = self.traffic.record().lost_in(&session).await?.len();
        self.narrative.say(format!(
            "lost: {rows} acknowledged rows, {lost} bytes of WAL; displayed: up to {shown} bytes"
        ));
        ensure!(lost <= shown, "{lost} bytes were lost, {shown} displayed");
        Ok(())
    }

    pub(super) async fn expect_nothing_lost(&self) -> Result<()> {
        let session = self.lab.database("dc2")?.connect(OWNER, SERVICE).await?;
        let record = self.traffic.record();
        let lost = record.lost_in(&session).await?;
        ensure!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        let acknowledged = record.acknowledged.len();
        self.narrative
            .say(format!("all {acknowledged} acknowledged rows are in dc2"));
        Ok(())
    }

    pub(super) fn expect_loss_shown(&self, name: &str) -> Result<()> {
        let loss = &self.proposal(name)?.loss;
        self.narrative.say(format!("loss: {}", loss.summary));
        let known = loss.known_bytes.context("the loss is not known")?;
        ensure!(known.0 > 0, "no loss is shown: {}", loss.summary);
        Ok(())
    }

    pub(super) async fn expect_halted(&self, text: &str) -> Result<()> {
        let shown = self.lab.operator.show("latest").await?;
        let run = shown.run.context("the latest proposal has no run")?;
        let halted = matches!(run.state, RunState::Halted { .. });
        let state = serde_json::to_string(&run.state).context("the run's state")?;
        ensure!(halted && state.contains(text), "the run is {state}");
        self.narrative.say(format!("halted: {state}"));
        Ok(())
    }

    pub(super) async fn expect_closed(&self, site: &str) -> Result<()> {
        let acknowledged = self.writes_are_acknowledged(site).await?;
        ensure!(!acknowledged, "{site} acknowledges writes");
        Ok(())
    }

    pub(super) fn expect_log(&self, times: usize, about: &Allowance) -> Result<()> {
        let counts = log_watch::count(&self.lab.logs(), about, &self.marks)?;
        ensure!(!counts.is_empty(), "no program {:?}", about.program);
        let wrong: Vec<_> = counts.iter().filter(|(_, count)| *count != times).collect();
        ensure!(wrong.is_empty(), "not {times} times but {wrong:?}");
        Ok(())
    }

    pub(super) async fn expect_copies(&mut self) -> Result<()> {
        let duplicator = self.duplicator.as_ref().context("nothing is duplicated")?;
        let (delivered, answered) = duplicator.counts();
        self.narrative.say(format!(
            "{delivered} commands delivered twice, {answered} copies answered"
        ));
        ensure!(
            answered >= 8,
            "only {answered} copies of {delivered} were answered"
        );
        let requests = self.lab.cluster("dc2")?.requests().await?;
        for workload in WORKLOADS {
            let scaled = scalings(&requests, &workload).len();
            ensure!(scaled == 1, "{} was scaled {scaled} times", workload.object);
        }
        Ok(())
    }
}
