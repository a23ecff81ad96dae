//! `lab`: three sites on this machine, a failover that is watched, and scenarios. See `tests::lab`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use tests::lab::answers::{Answers, Lines};
use tests::lab::crash::{Survived, Whose, crash_all};
use tests::lab::kept::{Post, keep_logs};
use tests::lab::loss::Loss;
use tests::lab::narrative::Narrative;
use tests::lab::scenario::{self, Scenario};
use tests::lab::shown_run::{self, Declined, Play};
use tests::lab::traffic::Traffic;
use tests::lab::wiring::Door;
use tests::lab::world::{Lab, Setup};
use tokio::signal::unix::{SignalKind, signal};

/// The lab: three sites on this machine, made of the real programs.
#[derive(Debug, Parser)]
#[command(name = "lab", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the three sites, take dc1 away, and fail over to dc2.
    Up(Up),
    /// Take a kept lab down.
    Down,
    /// Whether a kept lab is up.
    Status,
    /// Run one scenario, or several.
    Scenario {
        /// Their names, as `lab scenarios` lists them.
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Kill whoever writes in a run before and after each of its writes.
    CrashPoints,
    /// List the scenarios, or run many.
    Scenarios {
        /// Run all of them.
        #[arg(long, conflicts_with = "fast")]
        all: bool,
        /// Run those that every run of the tests plays.
        #[arg(long)]
        fast: bool,
    },
}

#[derive(Debug, Clone, Args)]
struct Up {
    /// Approve without asking.
    #[arg(long)]
    yes: bool,
    /// Write the report as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// How dc1 is lost: kill (connections are refused) or freeze (they go silent).
    #[arg(long, default_value = "kill", value_name = "kill|freeze")]
    loss: Loss,
    /// After the run dc1 comes back; it must end quarantined.
    #[arg(long = "return")]
    returns: bool,
    /// What a database does that cannot renew its site's right to be live; when absent, stop with --return, else
    /// off.
    #[arg(long, value_name = "off|demote|stop", value_parser = ["off", "demote", "stop"])]
    self_fence: Option<String>,
    /// Whether commits in dc1 wait for the standby in dc2.
    #[arg(long, default_value = "asynchronous", value_name = "asynchronous|synchronous",
          value_parser = ["asynchronous", "synchronous"])]
    replication: String,
    /// Leave the lab up afterwards.
    #[arg(long)]
    keep: bool,
    /// This is the process that stays; it tells of itself in a directory.
    #[arg(long, hide = true, value_name = "DIRECTORY")]
    behind: Option<PathBuf>,
}

/// Interrupted, as shells count it.
const INTERRUPTED: u8 = 130;

// One thread: a child's death signal belongs to the thread that started it.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let narrative = Narrative::new(true);
    let ended = match arguments.command {
        Command::Up(up) => Box::pin(run(up, &narrative)).await,
        Command::Down => down(&narrative).await,
        Command::Status => status(&narrative),
        Command::Scenario { names } => Box::pin(play(&names, &narrative)).await,
        Command::CrashPoints => Box::pin(crash_points(&narrative)).await,
        Command::Scenarios { all, fast } => match (all, fast) {
            (false, false) => list(&narrative),
            (all, _) => match chosen(all) {
                Ok(names) => Box::pin(play(&names, &narrative)).await,
                Err(error) => Err(error),
            },
        },
    };
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            narrative.show(&format!("lab: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(up: Up, narrative: &Narrative) -> Result<u8> {
    if up.keep && up.behind.is_none() {
        return Post::of_user()?.start_behind(&again(&up), up.yes).await;
    }
    until_interrupted(whole(up, narrative), narrative).await
}

/// Runs it to its end, or until somebody wants it to end.
async fn until_interrupted(
    work: impl Future<Output = Result<u8>>,
    narrative: &Narrative,
) -> Result<u8> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let mut hangup = signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?;
    let ended = tokio::select! {
        ended = Box::pin(work) => ended,
        _ = terminate.recv() => Ok(INTERRUPTED),
        _ = interrupt.recv() => Ok(INTERRUPTED),
        _ = hangup.recv() => Ok(INTERRUPTED),
    };
    if matches!(ended, Ok(INTERRUPTED)) {
        narrative.show("\nlab: interrupted; everything of it was ended");
    }
    ended
}

/// The arguments with which this program stays in the background.
fn again(up: &Up) -> Vec<String> {
    let mut words = vec!["up".to_owned(), "--keep".to_owned(), "--loss".to_owned()];
    words.push(up.loss.word().to_owned());
    if up.yes {
        words.push("--yes".to_owned());
    }
    if up.returns {
        words.push("--return".to_owned());
    }
    if let Some(fence) = &up.self_fence {
        words.extend(["--self-fence".to_owned(), fence.clone()]);
    }
    words.extend(["--replication".to_owned(), up.replication.clone()]);
    if let Some(report) = &up.report {
        words.extend(["--report".to_owned(), report.display().to_string()]);
    }
    words
}

async fn whole(up: Up, narrative: &Narrative) -> Result<u8> {
    let claim = up
        .behind
        .clone()
        .map(|directory| Post::at(directory).claim())
        .transpose()?;
    let lines = (claim.is_some() || !up.yes).then(Lines::of_standard_input);
    let mut left_alone = lines.as_ref().map(Lines::ended);
    let mut answers = match lines {
        Some(lines) if !up.yes => Answers::Typed(lines),
        _ => Answers::Yes,
    };
    let shown = Box::pin(show(&up, &mut answers, narrative));
    let (lab, traffic, code) = match (&claim, left_alone.as_mut()) {
        (Some(_), Some(ended)) => tokio::select! {
            shown = shown => shown?,
            _ = ended.wait_for(|ended| *ended) => return Ok(INTERRUPTED),
        },
        _ => shown.await?,
    };
    // By reference: it is given up after everything that it speaks for is gone.
    if let Some(claim) = &claim {
        tell_where(&lab, narrative)?;
        claim.over(code)?;
        // Until somebody takes it down, by a signal.
        std::future::pending::<()>().await;
    }
    drop(traffic);
    drop(lab);
    Ok(code)
}

async fn show(up: &Up, answers: &mut Answers, narrative: &Narrative) -> Result<(Lab, Traffic, u8)> {
    narrative.head("three sites on this machine");
    let usual = if up.returns { "stop" } else { "off" };
    let play = Play {
        loss: up.loss,
        returns: up.returns,
        self_fence: up.self_fence.clone().unwrap_or_else(|| usual.to_owned()),
        replication: up.replication.clone(),
    };
    narrative.say(format!(
        "self-fencing is {}: {}",
        play.self_fence,
        match play.self_fence.as_str() {
            "off" if play.replication == "synchronous" => {
                "an old primary goes on, and what waits for dc2 acknowledges nothing"
            }
            "off" => "nothing stops an old primary but the operator, and its own agent once it is back",
            _ => "a database that cannot renew its site's right stops itself; the run waits for that",
        }
    ));
    let setup = Setup {
        policy: play.policy(),
        ..Setup::default()
    };
    let mut lab = Box::pin(Lab::start(&setup, narrative)).await?;
    narrative.keep_in(&lab.directory().join("narrative.txt"))?;
    let traffic = Traffic::start(&lab).await?;
    let shown = Box::pin(shown_run::show(
        &mut lab, &traffic, &play, answers, narrative,
    ))
    .await;
    let mut declined = false;
    let code = match shown {
        Ok(report) => {
            if let Some(path) = &up.report {
                report.write(path)?;
            }
            narrative.say(if report.whole {
                "the failover was whole"
            } else {
                "the failover was NOT whole"
            });
            u8::from(!report.whole)
        }
        Err(error) => {
            declined = error.is::<Declined>();
            narrative.say(format!("the failover did not come to its end: {error:#}"));
            1
        }
    };
    if code != 0 && !declined {
        let kept = keep_logs(lab.directory(), "run")?;
        narrative.say(format!("all logs are kept in {}", kept.display()));
    }
    Ok((lab, traffic, code))
}

fn tell_where(lab: &Lab, narrative: &Narrative) -> Result<()> {
    let nats = lab.wiring.own("dc3", Door::Nats)?;
    narrative.head("the lab stays up; look around with");
    narrative.show(&format!(
        "  export POINTSMAN_SERVERS={} POINTSMAN_STACK=lab",
        lab.operator.servers()
    ));
    narrative.show(&format!("  {} status", lab.operator.binary().display()));
    narrative.show(&format!("  {} history", lab.operator.binary().display()));
    narrative.show(&format!(
        "  nats -s nats://{nats} req pointsman.lab.status ''"
    ));
    narrative.show(&format!(
        "  nats -s nats://{nats} sub 'pointsman.lab.event.>'"
    ));
    for site in ["dc2", "dc3"] {
        let address = lab.database(site)?.address();
        let (host, port) = (address.ip(), address.port());
        narrative.show(&format!(
            "  psql -h {host} -p {port} -U client service    # {site}"
        ));
    }
    let kubeconfig = lab.cluster("dc2")?.kubeconfig().display().to_string();
    narrative.show(&format!(
        "  KUBECONFIG={kubeconfig} kubectl get deployments,statefulsets"
    ));
    narrative.show(&format!(
        "  ls {}    # every program's files and logs",
        lab.directory().display()
    ));
    narrative.show("take it down with\n  deploy/lab/run.sh down");
    Ok(())
}

async fn down(narrative: &Narrative) -> Result<u8> {
    let was_up = Post::of_user()?.take_down().await?;
    narrative.show(if was_up {
        "the lab is down"
    } else {
        "no kept lab is up"
    });
    Ok(0)
}

fn status(narrative: &Narrative) -> Result<u8> {
    let post = Post::of_user()?;
    let Some(holder) = post.holder()? else {
        narrative.show("no kept lab is up");
        return Ok(1);
    };
    let log = post.log();
    narrative.show(&format!(
        "a kept lab is up: process {holder}, log {}",
        log.display()
    ));
    Ok(0)
}

/// The names of all scenarios, or of those that every run of the tests plays.
fn chosen(all: bool) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for name in scenario::names()? {
        if all || Scenario::load(&name)?.fast {
            names.push(name);
        }
    }
    Ok(names)
}

async fn play(names: &[String], narrative: &Narrative) -> Result<u8> {
    let scenarios: Result<Vec<Scenario>> = names.iter().map(|name| Scenario::load(name)).collect();
    let scenarios = scenarios?;
    let played = async {
        let tally = Box::pin(scenario::run_all(scenarios, narrative)).await;
        narrative.show(&format!(
            "scenarios: passed={} failed={} skipped={}",
            tally.passed, tally.failed, tally.skipped
        ));
        Ok(u8::from(tally.failed > 0))
    };
    until_interrupted(played, narrative).await
}

/// A run in which the coordinators are killed, then one in which the agents are.
async fn crash_points(narrative: &Narrative) -> Result<u8> {
    let settings = Scenario::settings("crash-points")?;
    let setup = Setup {
        policy: settings.policy,
        lead: settings.lead,
        tapped: true,
        ..Setup::default()
    };
    let work = async {
        let (mut resumed, mut crashes, mut failed) = (0, 0, false);
        for whose in [Whose::Coordinator, Whose::Agent] {
            narrative.head(&format!("crash points: {whose:?}"));
            let mut lab = Box::pin(Lab::start(&setup, narrative)).await?;
            narrative.keep_in(&lab.directory().join("narrative.txt"))?;
            let mut survived = Survived::default();
            let crashed = Box::pin(crash_all(&mut lab, whose, &mut survived, narrative)).await;
            resumed += survived.resumed;
            crashes += survived.crashes;
            if let Err(error) = crashed {
                failed = true;
                let kept = keep_logs(lab.directory(), "crash-points")?;
                narrative.show(&format!(
                    "{error:#}\nall logs are kept in {}",
                    kept.display()
                ));
            }
        }
        narrative.show(&format!("crash_points: resumed={resumed}/{crashes}"));
        Ok(u8::from(failed || crashes == 0))
    };
    until_interrupted(work, narrative).await
}

fn list(narrative: &Narrative) -> Result<u8> {
    for name in scenario::names()? {
        let scenario = Scenario::load(&name)?;
        let rows: Vec<String> = scenario.rows.iter().map(u8::to_string).collect();
        let fast = if scenario.fast { "fast" } else { "" };
        narrative.show(&format!(
            "{name:<28} {fast:<4} {:<10} {}",
            rows.join(" "),
            scenario.title
        ));
    }
    Ok(0)
}
