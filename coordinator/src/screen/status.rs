//! The status of a stack: one sentence, the sites, what was found, whether a failover would work, what is next.

use std::collections::BTreeSet;

use decision::{DatabaseView, Seen, SiteView, StatusView, StoreView};
use shared::id::SiteName;
use shared::stack::SiteRole;
use shared::wire::{DatabaseRole, DatabaseState, Severity};

use super::age;
use super::table::Table;
use super::text::paragraph;

/// The screen.
pub fn render(view: &StatusView) -> String {
    let mut text = paragraph("", "", &view.summary);
    text.push_str(&paragraph("", "  ", &about(view)));
    text.push_str(&paragraph(
        "",
        "  ",
        &format!("phase {}: {}", view.phase.word(), view.phase_why),
    ));
    if let Some(store) = &view.store {
        text.push_str(&halted(store));
    }
    if let Some(hold) = &view.hold {
        text.push_str(&paragraph("HOLD ", "     ", hold));
    }
    if !view.sites.is_empty() {
        text.push('\n');
        text.push_str(&sites(view).render(""));
        text.push_str(&without_vote(view));
    }
    text.push_str(&super::explain::leases(&view.leases));
    text.push_str(&super::explain::automatic(view.automatic.as_ref()));
    text.push_str(&findings(view));
    text.push_str(&readiness(view));
    if let Some(next) = &view.next {
        text.push('\n');
        text.push_str(&paragraph("next: ", "      ", next));
    }
    text
}

/// What was seen of the store and what it shows: nothing automatic is done while these are apart.
fn halted(store: &StoreView) -> String {
    let since = store
        .since
        .map_or_else(String::new, |at| format!("since {}: ", at.rfc3339()));
    let words =
        |seen: Option<Seen>| seen.map_or_else(|| "no ticket".to_owned(), |seen| seen.to_string());
    let first = format!("{since}{}", store.summary);
    let second = format!(
        "seen was {}, shown is {}; nothing is proposed, approved, ordered or granted until an operator accepts that",
        words(store.remembered),
        words(store.shown)
    );
    let mut text = paragraph("STORE ", "      ", &first);
    text.push_str(&paragraph("      ", "      ", &second));
    text
}

fn about(view: &StatusView) -> String {
    let stack = view
        .stack
        .as_ref()
        .map_or_else(|| "(none)".to_owned(), ToString::to_string);
    let version = view
        .stack_version
        .map_or_else(|| "-".to_owned(), |version| version.to_string());
    let epoch = view
        .epoch
        .map_or_else(|| "-".to_owned(), |epoch| epoch.to_string());
    let leader = match (&view.leader, view.leads) {
        (_, true) => format!("{} leads in term {}", view.answered_by, view.term),
        (Some(leader), false) => {
            format!(
                "answered by {}, which does not lead; {leader} led last, in term {}",
                view.answered_by, view.term
            )
        }
        (None, false) => format!(
            "answered by {}, which does not lead and knows no leader",
            view.answered_by
        ),
    };
    format!(
        "stack {stack}  version {version}  epoch {epoch}  {leader}  {}",
        view.as_of.rfc3339()
    )
}

fn sites(view: &StatusView) -> Table {
    let mut table = Table::new(&[
        "SITE",
        "ROLE",
        "LIVE",
        "SEEN-BY(age)",
        "DATABASE",
        "TL:LSN",
        "LAG(age)",
        "K8S(age)",
        "READY",
    ]);
    for site in &view.sites {
        let of_databases =
            |cell: fn(&DatabaseView) -> String| or_dash(site.databases.iter().map(cell).collect());
        table.tall_row([
            vec![site.site.to_string()],
            vec![role(site.role).to_owned()],
            vec![if site.live { "live" } else { "-" }.to_owned()],
            or_dash(seen_by(site)),
            of_databases(database),
            of_databases(position),
            of_databases(lag),
            vec![workloads(site)],
            vec![ready(view, site).to_owned()],
        ]);
    }
    table
}

fn seen_by(site: &SiteView) -> Vec<String> {
    let line = |seen: &decision::SeenByView| {
        let mark = if seen.silent { " SILENT" } else { "" };
        let vote = if seen.no_vote.is_some() {
            " (no vote)"
        } else {
            ""
        };
        format!("{} {}{mark}{vote}", seen.observer, age::known(seen.age_ms))
    };
    site.seen_by.iter().map(line).collect()
}

/// Why an observer has no vote, once for each reason.
fn without_vote(view: &StatusView) -> String {
    let seen = view.sites.iter().flat_map(|site| &site.seen_by);
    let reasons = seen.filter_map(|seen| {
        seen.no_vote
            .as_ref()
            .map(|why| (seen.observer.clone(), why.clone()))
    });
    let reasons: BTreeSet<(SiteName, String)> = reasons.collect();
    let sentence = |(observer, why): &(SiteName, String)| {
        paragraph("", "  ", &format!("no vote: {observer}: {why}"))
    };
    reasons.iter().map(sentence).collect()
}

fn database(view: &DatabaseView) -> String {
    let state = match (view.state, view.role) {
        (DatabaseState::Up, Some(DatabaseRole::Primary)) => "primary",
        (DatabaseState::Up, Some(DatabaseRole::Standby)) => match view.streaming {
            Some(true) => "streams",
            Some(false) => "standby, NOT streaming",
            None => "standby",
        },
        (DatabaseState::Up, _) => "up",
        (DatabaseState::NotServing, _) => "NOT SERVING",
        (DatabaseState::Denied, _) => "DENIED",
        (DatabaseState::Hung, _) => "HUNG",
        (DatabaseState::Down, _) => "DOWN",
        (DatabaseState::Unknown, _) => "unknown",
    };
    format!("{} {state}", view.database)
}

fn position(view: &DatabaseView) -> String {
    let timeline = view
        .timeline
        .map_or_else(|| "-".to_owned(), |timeline| timeline.to_string());
    let lsn = view
        .lsn
        .map_or_else(|| "-".to_owned(), |lsn| lsn.to_string());
    if view.timeline.is_none() && view.lsn.is_none() {
        "-".to_owned()
    } else {
        format!("{timeline}:{lsn}")
    }
}

fn lag(view: &DatabaseView) -> String {
    let age = view
        .age_ms
        .map_or_else(String::new, |age| format!(" ({})", age::short(age)));
    match (view.lag_bytes, view.lag_ms) {
        (Some(bytes), Some(ms)) => format!("{}/{}{age}", age::bytes(bytes), age::short(ms)),
        (Some(bytes), None) => format!("{}{age}", age::bytes(bytes)),
        (None, Some(ms)) => format!("{}{age}", age::short(ms)),
        (None, None) if view.age_ms.is_some() => format!("-{age}"),
        (None, None) => "-".to_owned(),
    }
}

fn workloads(site: &SiteView) -> String {
    site.workloads.as_ref().map_or_else(
        || {
            if site.role == SiteRole::Witness {
                "-"
            } else {
                "unknown"
            }
            .to_owned()
        },
        |w| {
            let age = age::short(w.age_ms);
            format!("{}/{} of {} ({age})", w.ready, w.wanted, w.declared)
        },
    )
}

fn ready(view: &StatusView, site: &SiteView) -> &'static str {
    match &view.readiness.target {
        Some(target) if *target == site.site => {
            if view.readiness.protected {
                "yes"
            } else {
                "NO"
            }
        }
        _ => "-",
    }
}

fn findings(view: &StatusView) -> String {
    if view.findings.is_empty() {
        return String::new();
    }
    let mut text = "\nfindings\n".to_owned();
    for finding in &view.findings {
        let first = format!("  {:<8} ", severity(finding.severity));
        let sentence = format!("{}: {}", finding.code, finding.sentence);
        text.push_str(&paragraph(&first, "           ", &sentence));
    }
    text
}

fn readiness(view: &StatusView) -> String {
    let readiness = &view.readiness;
    let state = if readiness.protected {
        "protected"
    } else {
        "UNPROTECTED"
    };
    let target = readiness
        .target
        .as_ref()
        .map_or_else(String::new, |site| format!(", {site} would become live"));
    let mut text = format!("\nreadiness: {state}{target}\n");
    if let Some(loss) = &readiness.loss {
        text.push_str(&paragraph("  loss if it happened now: ", "    ", loss));
    }
    for obstacle in &readiness.obstacles {
        text.push_str(&paragraph("  in the way: ", "    ", obstacle));
    }
    for sentence in &readiness.break_glass {
        text.push_str(&paragraph("  break glass: ", "    ", sentence));
    }
    text
}

/// The word for a site's role.
pub(super) const fn role(role: SiteRole) -> &'static str {
    match role {
        SiteRole::Primary => "primary",
        SiteRole::Standby => "standby",
        SiteRole::Witness => "witness",
    }
}

/// The word for a severity.
pub(super) const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "WARNING",
        Severity::Critical => "CRITICAL",
    }
}

fn or_dash(lines: Vec<String>) -> Vec<String> {
    if lines.is_empty() {
        vec!["-".to_owned()]
    } else {
        lines
    }
}
