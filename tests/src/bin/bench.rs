//! `bench`: what Pointsman costs and how soon it acts. See `tests::bench`, and `tests/bench.sh`, which builds it.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::{Parser, Subcommand};
use tests::bench::crowd::{self, Rig};
use tests::bench::failover::{self, Failover};
use tests::bench::figures::Figures;
use tests::bench::{promotion, resting};
use tests::lab::loss::Loss;
use tests::lab::narrative::Narrative;
use tests::lab::world::{Lab, Setup};

/// Promotions of each kind.
const PROMOTIONS: usize = 5;

/// What Pointsman costs and how soon it acts, measured on the programs beside this one.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
struct Arguments {
    /// Write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Send the heartbeats of many agents until ended.
    #[command(hide = true)]
    Crowd {
        /// The NATS server.
        #[arg(long)]
        server: String,
        /// How many agents.
        #[arg(long)]
        agents: u32,
    },
}

// One thread: a child's death signal belongs to the thread that started it.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Part::Crowd { server, agents }) = arguments.part {
        return match crowd::send(&server, agents).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&format!("{error:#}"));
                ExitCode::FAILURE
            }
        };
    }
    let mut bench = Bench {
        figures: Figures::default(),
        failures: Vec::new(),
        started: Instant::now(),
    };
    bench.run().await;
    say(&format!("\n{}", bench.figures.text()));
    if let Some(path) = &arguments.report
        && let Err(error) = bench.figures.write(path)
    {
        bench.failures.push(format!("{error:#}"));
    }
    for failure in &bench.failures {
        complain(&format!("bench: {failure}"));
    }
    let missing = bench.figures.missing();
    if !missing.is_empty() {
        complain(&format!("bench: not measured: {}", missing.join(" ")));
    }
    ExitCode::from(u8::from(!bench.failures.is_empty() || !missing.is_empty()))
}

struct Bench {
    figures: Figures,
    failures: Vec<String>,
    started: Instant,
}

impl Bench {
    /// Every part to its end, whatever becomes of the others.
    async fn run(&mut self) {
        if cfg!(debug_assertions) {
            self.tell("this is a debug build: its figures mean nothing");
        }
        let rest_and_kill = Box::pin(self.rest_and_kill()).await;
        self.note("agents at rest, a killed site", rest_and_kill);
        let freeze = Box::pin(self.freeze()).await;
        self.note("a frozen site", freeze);
        let crowds = Box::pin(self.crowds()).await;
        self.note("thousands of agents", crowds);
    }

    async fn rest_and_kill(&mut self) -> Result<()> {
        self.tell("starting three sites");
        let mut lab = Box::pin(Lab::start(&Setup::default(), &Narrative::new(false))).await?;
        self.tell("a minute of nothing: memory, processor time and heartbeats of the agents");
        let resting = resting::measure(&lab).await?;
        self.figures.agent_rss_bytes = Some(resting.resident);
        self.figures.agent_anonymous_bytes = Some(resting.anonymous);
        self.figures.agent_cpu_s_per_min = Some(rounded(resting.cpu_seconds));
        self.figures.heartbeat_bytes = Some(resting.heartbeat);
        // Beside the lab, so that both kinds have the same company.
        self.tell(&format!(
            "{PROMOTIONS} promotions without and with Pointsman"
        ));
        let promotions = promotion::measure(&lab.nats.client_url("dc3")?, PROMOTIONS).await?;
        self.tell(&format!("{promotions:?}"));
        let bare = promotion::median(&promotions.bare)?.as_secs_f64();
        let step = promotion::median(&promotions.step)?.as_secs_f64();
        let recovery = promotion::median(&promotions.recovery)?.as_secs_f64();
        self.figures.bare_promote_ms = Some(rounded(bare * 1000.0));
        self.figures.promote_step_ms = Some(rounded(step * 1000.0));
        self.figures.promote_whole_ratio = Some(rounded(step / bare));
        self.figures.promote_ratio = Some(rounded(recovery / bare));
        self.tell("the live site is killed");
        let failover = Box::pin(failover::measure(&mut lab, Loss::Kill)).await?;
        self.figures.detect_over_window_ms_kill = Some(failover.detect_over_window_ms);
        self.keep(&failover);
        Ok(())
    }

    async fn freeze(&mut self) -> Result<()> {
        self.tell("starting three sites");
        let mut lab = Box::pin(Lab::start(&Setup::default(), &Narrative::new(false))).await?;
        self.tell("the live site is frozen");
        let failover = Box::pin(failover::measure(&mut lab, Loss::Freeze)).await?;
        self.figures.detect_over_window_ms_freeze = Some(failover.detect_over_window_ms);
        self.keep(&failover);
        Ok(())
    }

    /// The worse of two failovers counts.
    fn keep(&mut self, failover: &Failover) {
        self.tell(&format!("{failover:?}"));
        Figures::worse(
            &mut self.figures.approve_to_promote_ms,
            failover.approve_to_promote_ms,
        );
        Figures::worse(&mut self.figures.lab_promote_step_ms, failover.promote_ms);
    }

    async fn crowds(&mut self) -> Result<()> {
        self.tell("starting a NATS cluster and one coordinator");
        let mut rig = Rig::start().await?;
        self.tell("1,000 agents at 1 Hz");
        let load = rig.measure(1_000).await?;
        self.figures.coordinator_rss_bytes_1k = Some(load.resident);
        self.figures.coordinator_cores_1k = Some(rounded(load.cores));
        self.tell("10,000 agents at 1 Hz");
        let load = rig.measure(10_000).await?;
        self.figures.coordinator_rss_bytes_10k = Some(load.resident);
        self.figures.coordinator_cores_10k = Some(rounded(load.cores));
        self.figures.nats_cores_10k = Some(rounded(load.server_cores));
        Ok(())
    }

    fn note(&mut self, what: &str, ended: Result<()>) {
        if let Err(error) = ended {
            self.failures.push(format!("{what}: {error:#}"));
        }
    }

    fn tell(&self, line: &str) {
        say(&format!(
            "{:7.1} s  {line}",
            self.started.elapsed().as_secs_f64()
        ));
    }
}

/// To a thousandth.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Progress and results, for standard output.
fn say(text: &str) {
    drop(writeln!(std::io::stdout(), "{text}"));
}

/// What went wrong, for standard error.
fn complain(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}
