//! `pointsman-agent break-glass`: shows, asks, and has the running agent do it. It decides nothing.
//!
//! The agent does the work, not this program: one process holds the ledger, and it goes on watching while it acts.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use clap::Args;

use super::cache::PLAN_BYTES_MAX;
use super::judge::{Objection, Request, Rule};
use super::socket;
use super::speech::{Act, Ask, Ending, LINE_BYTES_MAX, Picture, Said};
use crate::config::AgentConfig;
use crate::report::bounded;

/// Exit codes, as `pointsman` has them.
const OK: u8 = 0;
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const UNREACHABLE: u8 = 5;
const REFUSED: u8 = 6;

/// Make this site live while the store (NATS) and the live site are both lost. Run it on the host of each agent of the
/// site, the database's first; it tells where to go on.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 usage, 5 the agent does not run, 6 refused by a rule."
)]
pub struct BreakGlass {
    /// The file of the agent on this host.
    #[arg(long, value_name = "FILE", env = "POINTSMAN_AGENT_CONFIG")]
    config: PathBuf,
    /// Another signed plan than the one that the agent keeps.
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Vouch that this site is off; asked for when it is not given.
    #[arg(long, value_name = "SITE")]
    attest_site_off: Option<String>,
    /// How you know that it is off.
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    reason: Option<String>,
    /// Who you are.
    #[arg(
        long,
        value_name = "NAME",
        env = "POINTSMAN_OPERATOR",
        required_unless_present = "dry_run"
    )]
    operator: Option<String>,
    /// The code that the host before this one printed.
    #[arg(long, value_name = "CODE")]
    continues: Option<String>,
    /// Override a rule by its name, with a reason; may be given several times.
    #[arg(long = "override", value_name = "RULE=REASON", value_parser = rule_and_reason)]
    overrides: Vec<(String, String)>,
    /// Do not ask.
    #[arg(long, requires = "attest_site_off", conflicts_with = "dry_run")]
    yes: bool,
    /// Show everything, look at the preconditions, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

fn rule_and_reason(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((rule, reason)) if !rule.trim().is_empty() && !reason.trim().is_empty() => {
            Ok((rule.trim().to_owned(), reason.trim().to_owned()))
        }
        _ => Err(
            "a rule's name and a reason are needed, like plan-age=\"nothing has changed since\""
                .to_owned(),
        ),
    }
}

/// Why it ended early.
struct Stopped {
    code: u8,
    why: String,
}

impl Stopped {
    fn new(code: u8, why: impl Into<String>) -> Self {
        Self {
            code,
            why: why.into(),
        }
    }
}

/// Runs it; gives the exit code.
pub fn run(arguments: &BreakGlass) -> u8 {
    match session(arguments) {
        Ok(code) => code,
        Err(stopped) => {
            complain(&stopped.why);
            stopped.code
        }
    }
}

fn session(arguments: &BreakGlass) -> Result<u8, Stopped> {
    let config = AgentConfig::load(&arguments.config)
        .map_err(|problems| Stopped::new(USAGE, problems.to_string()))?;
    if config.glass.is_none() {
        let why = format!(
            "{}: break glass is not available: the file has no [break_glass] with trusted_keys",
            arguments.config.display()
        );
        return Err(Stopped::new(REFUSED, why));
    }
    let plan = arguments.plan.as_deref().map(read_plan).transpose()?;
    let path = socket::path(&config.state_dir);
    let mut request = Request {
        attest_site_off: arguments.attest_site_off.clone().unwrap_or_default(),
        operator: arguments.operator.clone().unwrap_or_default(),
        reason: arguments.reason.clone().unwrap_or_default(),
        overrides: arguments
            .overrides
            .iter()
            .cloned()
            .collect::<BTreeMap<_, _>>(),
        continues: arguments.continues.clone(),
    };
    let ask = |act, request: &Request| Ask {
        act,
        request: request.clone(),
        plan: plan.clone(),
    };
    if arguments.dry_run {
        let code = converse(&path, &ask(Act::Check, &request), &mut None)?;
        if code == OK {
            show("dry run: nothing was changed, and nothing stands in the way");
        }
        return Ok(code);
    }
    let mut picture = None;
    let code = converse(&path, &ask(Act::Look, &request), &mut picture)?;
    let Some(picture) = picture.filter(|_| code == OK) else {
        return Ok(code);
    };
    if !picture.objections.is_empty() {
        show_objections(&picture.objections);
        return Ok(REFUSED);
    }
    if !arguments.yes {
        request.attest_site_off = vouch(&picture, arguments.attest_site_off.as_deref())?;
    }
    converse(&path, &ask(Act::Break, &request), &mut Some(picture))
}

fn read_plan(path: &Path) -> Result<String, Stopped> {
    let cannot = |why: String| Stopped::new(USAGE, format!("--plan {}: {why}", path.display()));
    let file = std::fs::File::open(path).map_err(|error| cannot(error.to_string()))?;
    let mut text = String::new();
    let read = file
        .take(PLAN_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|error| cannot(error.to_string()))?;
    if u64::try_from(read).is_ok_and(|read| read >= PLAN_BYTES_MAX) {
        return Err(cannot(format!("it has {PLAN_BYTES_MAX} bytes or more")));
    }
    // An agent's own file holds the signed plan beside the time at which it was taken.
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| cannot(error.to_string()))?;
    Ok(value.get("signed").unwrap_or(&value).to_string())
}

/// Asks for the site's name.
fn vouch(picture: &Picture, given: Option<&str>) -> Result<String, Stopped> {
    if !io::stdin().is_terminal() {
        let why = format!(
            "there is no terminal to ask at: give --attest-site-off {} and --yes",
            picture.from
        );
        return Err(Stopped::new(USAGE, why));
    }
    let mut out = io::stdout();
    let prompt = "\nTwo live sites destroy each other's history. Type the name of the site that you vouch is off, or Ctrl-C: ";
    drop(write!(out, "{prompt}"));
    drop(out.flush());
    let mut typed = String::new();
    io::stdin()
        .lock()
        .read_line(&mut typed)
        .map_err(|error| Stopped::new(FAILED, format!("standard input: {error}")))?;
    let typed = typed.trim().to_owned();
    match given {
        Some(given) if given != typed => Err(Stopped::new(
            REFUSED,
            format!("typed {typed:?}, and --attest-site-off says {given:?}: nothing was done"),
        )),
        Some(_) | None => Ok(typed),
    }
}

/// Asks the agent and shows what it says. A picture that was shown before is not shown again.
fn converse(path: &Path, ask: &Ask, picture: &mut Option<Picture>) -> Result<u8, Stopped> {
    let mut stream = UnixStream::connect(path).map_err(|error| {
        let why = format!(
            "{}: {error}: the agent does not run here, or has not started fully. Start it (it needs no NATS) and look at its \
             log: it is the one that acts",
            path.display()
        );
        Stopped::new(UNREACHABLE, why)
    })?;
    let broke = |error: io::Error| {
        let why = format!("the agent went away: {error}; look at its log, then run the same again");
        Stopped::new(FAILED, why)
    };
    let mut text = serde_json::to_vec(ask).map_err(|error| broke(error.into()))?;
    text.push(b'\n');
    stream.write_all(&text).map_err(broke)?;
    let mut lines = BufReader::new(stream);
    let mut ended = None;
    loop {
        let mut line = Vec::new();
        let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
        let read = (&mut lines)
            .take(limit)
            .read_until(b'\n', &mut line)
            .map_err(broke)?;
        if read == 0 {
            break;
        }
        let said: Said = serde_json::from_slice(&line).map_err(|error| broke(error.into()))?;
        if let Some(code) = hear(said, picture) {
            ended = Some(code);
        }
    }
    match (ended, ask.act) {
        (Some(code), _) => Ok(code),
        (None, Act::Look | Act::Check) if picture.is_some() => Ok(OK),
        (None, _) => Err(Stopped::new(
            FAILED,
            "the agent ended in the middle; look at its log, then run the same again: what is done is not done twice",
        )),
    }
}

/// Shows one thing that the agent said; the exit code, when it is the last.
fn hear(said: Said, known: &mut Option<Picture>) -> Option<u8> {
    match said {
        Said::Picture(picture) => {
            if known.is_none() {
                show_picture(&picture);
            }
            *known = Some(*picture);
            None
        }
        Said::Progress(text) => {
            show(&format!("  {}", bounded(&text)));
            None
        }
        Said::Step {
            number,
            title,
            outcome,
            detail,
            proof,
        } => {
            show(&bounded(&format!(
                "step {number} {outcome}: {title} ({detail})"
            )));
            for line in proof {
                show(&format!(
                    "    {}: {}",
                    bounded(&line.what),
                    bounded(&line.found)
                ));
            }
            None
        }
        Said::Refused(objections) => {
            show_objections(&objections);
            Some(REFUSED)
        }
        Said::Ended(ending) => Some(show_ending(&ending)),
    }
}

fn show_picture(picture: &Picture) {
    show(&format!(
        "BREAK GLASS at {}/{}: make {} live without the store, in epoch {}",
        picture.site, picture.node, picture.to, picture.epoch
    ));
    show(&format!("plan {}", picture.plan));
    show(&format!(
        "loss, as it was known then: {}",
        bounded(&picture.loss)
    ));
    show("\nsteps");
    for step in &picture.steps {
        let state = if step.state.is_empty() {
            String::new()
        } else {
            format!(" [{}]", step.state)
        };
        show(&format!(
            "  {:>2}. {} -- {}{state}",
            step.number,
            bounded(&step.title),
            step.place
        ));
    }
    show("\ntrue here, now");
    for truth in &picture.truths {
        show(&format!(
            "  {}: {}",
            bounded(&truth.what),
            bounded(&truth.found)
        ));
    }
    show("\nnot known without the store");
    for unknown in &picture.unknown {
        show(&format!("  {unknown}"));
    }
    show(&format!(
        "\nwait before the first effect at the first host: {}",
        picture.wait_ms.human()
    ));
}

fn show_objections(objections: &[Objection]) {
    show("\nREFUSED: nothing further is done");
    for objection in objections {
        let rule = objection.rule.word();
        let hint = if Rule::OVERRIDABLE.contains(&objection.rule) {
            format!(" (to override: --override {rule}=REASON)")
        } else {
            String::new()
        };
        show(&format!("  {rule}: {}{hint}", bounded(&objection.says)));
    }
}

fn show_ending(ending: &Ending) -> u8 {
    show(&format!("\n{}", bounded(&ending.summary)));
    if let Some(code) = &ending.code {
        show(&format!("code for the next host: {code}"));
    }
    for node in &ending.next {
        show(&format!(
            "go on at the host of agent {}/{}:",
            node.site, node.node
        ));
        for step in &node.steps {
            show(&format!("    {}", bounded(step)));
        }
        if let Some(code) = &ending.code {
            show(&format!(
                "  pointsman-agent break-glass --config FILE --continues {code} --attest-site-off SITE --reason TEXT --operator NAME"
            ));
        }
    }
    if ending.next.is_empty() && ending.done {
        show(
            "every step that the site needs is done. When the store is back: pointsman acknowledge break-glass --reason TEXT",
        );
    }
    for node in &ending.later {
        let (site, node, steps) = (&node.site, &node.node, node.steps.join("; "));
        show(&bounded(&format!(
            "for later, unless it was done: at {site}/{node}, {steps}"
        )));
    }
    if ending.done { OK } else { FAILED }
}

/// A result, for standard output. A reader that went away is no failure of ours.
fn show(text: &str) {
    drop(writeln!(io::stdout(), "{text}"));
}

fn complain(text: &str) {
    drop(writeln!(io::stderr(), "pointsman-agent: {text}"));
}
