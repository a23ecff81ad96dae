//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;
use shared::clock::Millis;
use shared::id::{SiteName, StackName};

/// Pointsman: moves a service made of PostgreSQL and Kubernetes workloads between datacenters, by approval.
#[derive(Debug, Parser)]
#[command(
    name = "pointsman",
    version,
    about,
    after_help = "Exit codes: 0 ok, 1 failed, 2 usage or bad input, 3 degraded (status), 4 not authorised, \
                  5 unreachable or no quorum, 6 refused by a safety rule."
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// NATS servers, the nearest first.
    #[arg(
        long = "server",
        global = true,
        env = "POINTSMAN_SERVERS",
        value_delimiter = ',',
        default_value = "nats://127.0.0.1:4222",
        value_name = "URL"
    )]
    pub(crate) servers: Vec<String>,
    /// The stack.
    #[arg(long, global = true, env = "POINTSMAN_STACK", value_name = "NAME")]
    pub(crate) stack: Option<StackName>,
    /// A file with a JWT and a seed.
    #[arg(long, global = true, env = "POINTSMAN_CREDS", value_name = "FILE", conflicts_with_all = ["nkey", "user"])]
    pub(crate) creds: Option<PathBuf>,
    /// A file with an nkey seed.
    #[arg(
        long,
        global = true,
        env = "POINTSMAN_NKEY",
        value_name = "FILE",
        conflicts_with = "user"
    )]
    pub(crate) nkey: Option<PathBuf>,
    /// A NATS user name.
    #[arg(
        long,
        global = true,
        env = "POINTSMAN_USER",
        value_name = "NAME",
        requires = "password_file"
    )]
    pub(crate) user: Option<String>,
    /// The file that holds the user's password.
    #[arg(
        long,
        global = true,
        env = "POINTSMAN_PASSWORD_FILE",
        value_name = "FILE"
    )]
    pub(crate) password_file: Option<PathBuf>,
    /// PEM files of a mutual TLS connection.
    #[arg(
        long,
        global = true,
        env = "POINTSMAN_TLS_CA",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    pub(crate) tls_ca: Option<PathBuf>,
    /// The operator's certificate.
    #[arg(
        long,
        global = true,
        env = "POINTSMAN_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key"
    )]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The operator's private key.
    #[arg(
        long,
        global = true,
        env = "POINTSMAN_TLS_KEY",
        value_name = "FILE",
        requires = "tls_ca"
    )]
    pub(crate) tls_key: Option<PathBuf>,
    /// Prefix of reply subjects, as the server's permissions allow it.
    #[arg(long, global = true, env = "POINTSMAN_INBOX", value_name = "SUBJECT")]
    pub(crate) inbox: Option<String>,
    /// JSON on standard output instead of tables.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// How long an answer is waited for.
    #[arg(long, global = true, default_value = "5s", value_name = "SPAN")]
    pub(crate) timeout: Millis,
    /// When severities are coloured; the variable `NO_COLOR` switches colours off.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(crate) color: Color,
    /// Who asks, for the audit trail.
    #[arg(long, global = true, env = "POINTSMAN_OPERATOR", value_name = "NAME")]
    pub(crate) operator: Option<String>,
    /// Ask the coordinator of this site instead of the leader.
    #[arg(long, global = true, value_name = "SITE")]
    pub(crate) at: Option<SiteName>,
}

/// When colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How a switch is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// Off, at once and for agents too.
    Off,
    /// On again.
    On,
}

impl Switch {
    /// The word as a request carries it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On => "on",
        }
    }
}

/// Asks again and again.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Watch {
    /// Ask again after this span, until interrupted.
    #[arg(long, value_name = "SPAN", num_args = 0..=1, require_equals = true, default_missing_value = "2s")]
    pub(crate) watch: Option<Millis>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The stack file: what the service is made of and by which rules it moves.
    #[command(subcommand)]
    Stack(StackCommand),
    /// What is true now, how old that knowledge is, and what to do next.
    Status(Watch),
    /// The proposals, newest first.
    Proposals(Watch),
    /// One proposal whole, with its run.
    Show {
        /// The proposal: its id, the last eight characters of it, or `latest`.
        #[arg(default_value = "latest")]
        id: String,
        #[command(flatten)]
        watch: Watch,
    },
    /// Why there is, or is not, a proposal.
    Explain(Watch),
    /// Approve exactly one proposal, by its digest.
    Approve(Approve),
    /// Reject a proposal.
    Reject {
        /// The proposal.
        id: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Go on with a halted run.
    Resume {
        /// The run: its id, the last eight characters of it, or `latest`.
        #[arg(default_value = "latest")]
        id: String,
        /// Go on without this step, instead of trying it again.
        #[arg(long, value_name = "STEP")]
        waive: Option<u32>,
        #[command(flatten)]
        past: Past,
        /// Why.
        #[arg(long)]
        reason: String,
        /// Show the run's progress until it is over.
        #[arg(long)]
        follow: bool,
    },
    /// End a halted run where it stands.
    Abandon {
        /// The run.
        #[arg(default_value = "latest")]
        id: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Suspend proposals.
    Hold {
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// End a hold.
    Release {
        /// Why.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// End an alarm after looking at it: the store's ticket takes over what was done without it (`break-glass`), or
    /// automatic mode may act again after a run (`cool-down`).
    Acknowledge {
        /// The alarm.
        #[arg(value_parser = ["break-glass", "cool-down"])]
        alarm: String,
        /// What was found.
        #[arg(long)]
        reason: String,
    },
    /// Switch automatic mode off, at once and for agents too, or on again.
    Automatic {
        /// How.
        switch: Switch,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// What would have been proposed in shadow mode, and why.
    Shadow(Watch),
    /// The store that the coordinators decide by.
    #[command(subcommand)]
    Store(StoreCommand),
    /// The audit trail: who moved what, when and why.
    History {
        /// How many of the newest events.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=500))]
        limit: u64,
        #[command(flatten)]
        watch: Watch,
    },
    /// Events as they happen, until interrupted.
    WatchEvents,
    /// Make the store and the audit stream, beforehand; again at any time.
    Provision {
        /// Servers that keep a copy: one a site.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=5))]
        replicas: u8,
        /// The server that shall lead them: the witness site's.
        #[arg(long, value_name = "SERVER")]
        preferred_server: Option<String>,
    },
    /// A completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// What to do with a stack file.
#[derive(Debug, Subcommand)]
pub(crate) enum StackCommand {
    /// Put a file in force: shows what it changes, and asks.
    Apply {
        /// The file.
        file: PathBuf,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// The stack in force.
    Show,
    /// Check a file, and compare it with what is in force.
    Check {
        /// The file.
        file: PathBuf,
    },
}

/// What to do with the store.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Go on with a store that shows less than was seen of it, and say which site is live.
    Accept(AcceptStore),
}

/// An acceptance of the store.
#[derive(Debug, Args, Serialize)]
pub(crate) struct AcceptStore {
    /// The site that is live: it gets an epoch above every one that was seen.
    #[arg(long, value_name = "SITE")]
    live: SiteName,
    /// The stack's name, typed once more.
    #[arg(long, value_name = "STACK")]
    confirm: String,
    /// Why the store is to be believed.
    #[arg(long)]
    reason: String,
}

/// An approval.
#[derive(Debug, Args)]
pub(crate) struct Approve {
    /// The proposal: its id, the last eight characters of it, or `latest`.
    pub(crate) id: String,
    /// The digest that `pointsman show` printed, at least eight characters; needed with --yes.
    #[arg(long, value_name = "DIGEST")]
    pub(crate) digest: Option<String>,
    /// Vouch that this site is off.
    #[arg(long, value_name = "SITE")]
    pub(crate) attest_site_off: Option<String>,
    /// Override a rule by its name, with a reason; may be given several times.
    #[arg(long = "override", value_name = "RULE=REASON", value_parser = rule_and_reason)]
    pub(crate) overrides: Vec<(String, String)>,
    /// Why.
    #[arg(long)]
    pub(crate) reason: String,
    /// Do not ask.
    #[arg(long, requires = "digest")]
    pub(crate) yes: bool,
    /// Show the run's progress until it is over.
    #[arg(long)]
    pub(crate) follow: bool,
}

/// What is overridden when a halted run goes on.
#[derive(Debug, Args)]
pub(crate) struct Past {
    /// Override a rule by its name, with a reason; may be given several times.
    #[arg(long = "override", value_name = "RULE=REASON", value_parser = rule_and_reason, conflicts_with = "waive")]
    pub(crate) overrides: Vec<(String, String)>,
    /// Vouch that this site is off.
    #[arg(long, value_name = "SITE", conflicts_with = "waive")]
    pub(crate) attest_site_off: Option<String>,
}

fn rule_and_reason(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((rule, reason)) if !rule.trim().is_empty() && !reason.trim().is_empty() => {
            Ok((rule.trim().to_owned(), reason.trim().to_owned()))
        }
        _ => Err(
            "a rule's name and a reason are needed, like rpo=\"the lost rows are test rows\""
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn yes_needs_the_digest_and_an_override_its_reason() {
        let parse = |line: &str| Arguments::try_parse_from(line.split_whitespace()).map(|_| ());
        assert!(parse("pointsman approve latest --reason x --yes").is_err());
        assert!(parse("pointsman approve latest --reason x --yes --digest abcdabcd").is_ok());
        assert!(parse("pointsman approve latest --reason x --override rpo").is_err());
        assert!(parse("pointsman approve latest --reason x --override rpo=lab").is_ok());
        assert!(parse("pointsman automatic off --reason work").is_ok());
        assert!(parse("pointsman automatic off").is_err());
        assert!(parse("pointsman automatic --reason work").is_err());
        assert!(parse("pointsman automatic maybe --reason work").is_err());
        assert!(parse("pointsman acknowledge").is_err());
        assert!(parse("pointsman acknowledge cool-down --reason seen").is_ok());
        assert!(parse("pointsman shadow --watch=1s").is_ok());
        assert!(parse("pointsman store accept --live dc2 --confirm ess --reason x").is_ok());
        assert!(parse("pointsman store accept --live DC2 --confirm ess --reason x").is_err());
        assert!(parse("pointsman store accept --confirm ess --reason x").is_err());
        assert!(parse("pointsman store accept --live dc2 --reason x").is_err());
        assert!(parse("pointsman store accept --live dc2 --confirm ess").is_err());
        assert!(parse("pointsman status --watch=1s --json").is_ok());
        assert!(parse("pointsman status --timeout soon").is_err());
        assert!(parse("pointsman --stack UPPER status").is_err());
    }
}
