//! Text scenarios: each line is something that happens or is asked; what the operator reads is compared byte
//! for byte with `expected/`. `POINTSMAN_GOLDEN=overwrite` writes it anew, for a person to review.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use decision::{Alarm, Announcement, Answer, ApprovalRequest, Ask, Output, Past, ProposalState};
use shared::clock::Millis;
use shared::refusal::Refusal;
use shared::stack::Mode;
use shared::wire::{DatabaseState, PromotionObstacle, Ticket};

use crate::asking::{self, overrides};
use crate::screen;
use crate::world::{
    Fault, Renews, Store, What, World, in_mode, node, powered_off, self_fencing, site, synchronous,
    two_standbys,
};

/// A scenario being told.
struct Telling {
    world: World,
    text: String,
    shown: usize,
    digest: Option<String>,
}

#[test]
fn every_script_reads_as_expected() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut scripts: Vec<PathBuf> = std::fs::read_dir(home.join("scripts"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    scripts.sort();
    assert!(scripts.len() >= 20, "{} scripts", scripts.len());
    let mut different = Vec::new();
    for script in scripts {
        let name = script.file_name().unwrap().to_string_lossy().into_owned();
        let told = tell(&name, &read(&script));
        let expected = home.join("expected").join(&name);
        if is_overwriting() {
            std::fs::create_dir_all(home.join("expected")).unwrap();
            std::fs::write(&expected, &told).unwrap();
        } else if read(&expected) != told {
            different.push(format!("{name}:\n{told}"));
        }
    }
    assert!(
        different.is_empty(),
        "POINTSMAN_GOLDEN=overwrite accepts this:\n{}",
        different.join("\n")
    );
}

/// True when the expected texts are to be written anew.
#[expect(
    clippy::disallowed_methods,
    reason = "the core reads nothing; its tests do"
)]
pub(crate) fn is_overwriting() -> bool {
    std::env::var_os("POINTSMAN_GOLDEN").is_some_and(|word| word == "overwrite")
}

/// A file's text; nothing when there is none.
#[expect(
    clippy::disallowed_methods,
    reason = "the core reads nothing; its tests do"
)]
pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn tell(name: &str, script: &str) -> String {
    let mut telling = Telling {
        world: World::new(),
        text: String::new(),
        shown: 0,
        digest: None,
    };
    for (number, line) in (1..).zip(script.lines()) {
        if line.starts_with('#') {
            writeln!(telling.text, "{line}").unwrap();
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.is_empty() {
            continue;
        }
        writeln!(telling.text, "> {line}").unwrap();
        let known = telling.say(&words, &format!("{name}:{number}"));
        assert!(known, "{name}:{number}: not understood: {line}");
        telling.show_news();
    }
    telling.text
}

impl Telling {
    fn say(&mut self, words: &[&str], place: &str) -> bool {
        self.happens(words) || self.asks(words) || self.shows(words) || self.expects(words, place)
    }

    /// Something happens in the world.
    #[expect(clippy::too_many_lines, reason = "one arm a word of the language")]
    fn happens(&mut self, words: &[&str]) -> bool {
        let world = &mut self.world;
        match *words {
            ["begin", leader] => world.begin(leader),
            ["pass", span] => world.pass(span.parse().unwrap()),
            ["lose", name] => {
                world.gone.insert(site(name));
            }
            ["return", name] => {
                world.gone.remove(&site(name));
                world.off_bus.remove(&site(name));
            }
            ["cut", a, b] => {
                world.cuts.extend([(site(a), site(b)), (site(b), site(a))]);
            }
            ["cut-way", from, to] => {
                world.cuts.insert((site(from), site(to)));
            }
            ["mend", a, b] => {
                world.cuts.remove(&(site(a), site(b)));
                world.cuts.remove(&(site(b), site(a)));
            }
            ["wall", from, to] => {
                world.walls.insert((site(from), site(to)));
            }
            ["lose-nats", name] => {
                world.off_bus.insert(site(name));
            }
            ["lose-agent", name] => world.agent(name).alive = false,
            ["lose-database", name] => world.database(name).state = DatabaseState::Down,
            ["stop-coordinator", name] => {
                world.stopped.insert(site(name));
            }
            ["restart-coordinator", name] => world.start(&site(name)),
            ["break-glass", name, epoch] => world.break_glass(name, epoch.parse().unwrap()),
            ["keep-back", name] => {
                world.kept_back.insert(site(name), Vec::new());
            }
            ["drain", name] => world.drain(&site(name)),
            ["stack", "self-fencing"] => *world = World::with(self_fencing()),
            ["stack", "automatic"] => *world = World::with(in_mode(Mode::Automatic)),
            ["stack", "shadow"] => *world = World::with(in_mode(Mode::Shadow)),
            ["keep-stack", name] => {
                world.keeps_stack.insert(site(name));
            }
            ["keep-rules", name] => world.agent(name).keeps_rules = true,
            // As a program does that does not know of it and writes the ticket.
            ["drop-switch"] => world.store.ticket.as_mut().unwrap().automatic_off = None,
            ["stop-renewals", name] => world.agent(name).renews = Renews::Never,
            ["no-deadman", name] => world.agent(name).renews = Renews::WithoutDeadman,
            ["stack", "powered-off"] => *world = World::with(powered_off()),
            // Written by an agent that nobody has heard since.
            ["promise", name, span] => {
                let bound = span.parse().unwrap();
                let ticket = world.store.ticket.as_mut().unwrap();
                let lease = ticket.leases.get_mut(&node(name)).unwrap();
                lease.promise.as_mut().unwrap().stop_bound_ms = bound;
            }
            ["stack", "two-standbys"] => *world = World::with(two_standbys()),
            ["pause-replay", name] => {
                let obstacles = vec![PromotionObstacle::ReplayPaused];
                world.database(name).obstacles = obstacles;
            }
            ["resume-replay", name] => world.database(name).obstacles.clear(),
            ["lead", name] => world.lead(&site(name)),
            ["nobody-leads"] => world.lose_lead(),
            ["twice"] => world.twice = true,
            ["store-shows", epoch, holder] => {
                let have = world.store.ticket.clone().unwrap();
                let epoch = shared::epoch::Epoch(epoch.parse().unwrap());
                world.ticket_lies = Some(Ticket {
                    epoch,
                    holder: site(holder),
                    ..have
                });
            }
            ["obeyed", name, epoch] => {
                world.agent(name).epoch = shared::epoch::Epoch(epoch.parse().unwrap());
            }
            ["stack", "synchronous"] => *world = World::with(synchronous()),
            ["commits-wait-for", names, ..] => {
                world.wait_for(names, words.get(2..).unwrap_or_default());
            }
            ["store-copied"] => world.copy = Some(world.store.clone()),
            ["store-restored"] => world.store = world.copy.clone().unwrap(),
            ["store-made-anew"] => world.store = Store::default(),
            ["lag", name, bytes] => world.database(name).lsn -= bytes.parse::<u64>().unwrap(),
            ["break-replication", name] => world.database(name).receiving = false,
            ["next", kind, "fails", ..] => self.fault(kind, What::Fails(words[3..].join(" "))),
            ["next", kind, "hangs"] => self.fault(kind, What::Hangs),
            ["next", kind, "is-refused-as-late"] => {
                let refusal = Refusal::PastDeadline {
                    age_ms: Millis(9_000),
                    valid_for_ms: Millis(6_000),
                };
                self.fault(kind, What::Refused(refusal));
            }
            ["next", kind, "is-refused-by-store"] => {
                let refusal = Refusal::GrantNotConfirmed {
                    reason: "no stream found".to_owned(),
                };
                self.fault(kind, What::Refused(refusal));
            }
            ["next", kind, "is-refused-as-automatic"] => {
                self.fault(kind, What::Refused(Refusal::AutomaticRefused));
            }
            ["next", kind, "is-refused-for-good"] => {
                self.fault(kind, What::Refused(Refusal::WrongDigest));
            }
            _ => return false,
        }
        true
    }

    fn fault(&mut self, kind: &str, what: What) {
        self.world.faults.push(Fault {
            kind: kind.to_owned(),
            what,
        });
    }

    /// An operator asks.
    fn asks(&mut self, words: &[&str]) -> bool {
        let reason = |from: usize| words.get(from..).unwrap_or_default().join(" ");
        let durable = self.world.core().durable().cloned();
        let newest = durable
            .as_ref()
            .and_then(|durable| durable.proposals.last().cloned());
        let run = durable.and_then(|durable| durable.run).map(|run| run.id);
        let ask = match (words, newest, run) {
            (["approve", ..], Some(proposal), _) => Ask::Approve(ApprovalRequest {
                proposal: proposal.id,
                digest: self
                    .digest
                    .take()
                    .unwrap_or_else(|| proposal.digest.short().to_owned()),
                attest_site_off: words
                    .contains(&"vouching")
                    .then(|| proposal.plan.from.to_string()),
                overrides: overrides(words),
                reason: if words.contains(&"silently") {
                    String::new()
                } else {
                    "the fire brigade is there".to_owned()
                },
            }),
            (["reject", ..], Some(proposal), _) => Ask::Reject {
                proposal: proposal.id,
                reason: reason(1),
            },
            (["resume", ..], _, Some(run)) => Ask::Resume {
                run,
                waive: None,
                reason: reason(1),
            },
            (["override", ..], _, Some(run)) => Ask::ResumePast(Past {
                run,
                overrides: overrides(words),
                attest_site_off: words.contains(&"vouching").then(|| "dc1".to_owned()),
                reason: "the fire brigade is there".to_owned(),
            }),
            (["waive", step, ..], _, Some(run)) => Ask::Resume {
                run,
                waive: Some(step.parse().unwrap()),
                reason: reason(2),
            },
            (["abandon", ..], _, Some(run)) => Ask::Abandon {
                run,
                reason: reason(1),
            },
            (["hold", ..], _, _) => Ask::Hold { reason: reason(1) },
            (["release", ..], _, _) => Ask::Release { reason: reason(1) },
            (["acknowledge", "cool-down", ..], _, _) => Ask::Acknowledge {
                alarm: Alarm::CoolDown,
                reason: reason(2),
            },
            (["acknowledge", ..], _, _) => Ask::Acknowledge {
                alarm: Alarm::BreakGlass,
                reason: reason(1),
            },
            (["remember-digest"], Some(proposal), _) => {
                self.digest = Some(proposal.digest.short().to_owned());
                return true;
            }
            (words, ..) => match asking::of_stack_and_store(&self.world, words) {
                Some(ask) => ask,
                None => return false,
            },
        };
        self.world.ask(ask);
        true
    }

    /// The operator looks.
    fn shows(&mut self, words: &[&str]) -> bool {
        let now = self.world.instant();
        let shown = match *words {
            ["show", "status"] => screen::status(&self.world.core().status(now)),
            ["show", "status", name] => screen::status(&self.world.cores[&site(name)].status(now)),
            ["show", "explain"] => screen::explain(&self.world.core().explain(now)),
            ["show", "shadow"] => screen::shadow(&self.world.core().durable().unwrap().shadow),
            ["show", "proposal"] => screen::proposal(
                self.world
                    .core()
                    .durable()
                    .unwrap()
                    .proposals
                    .last()
                    .unwrap(),
            ),
            _ => return false,
        };
        self.show_news();
        self.text.push_str(&shown);
        true
    }

    #[expect(clippy::too_many_lines, reason = "one arm a word of the language")]
    fn expects(&mut self, words: &[&str], place: &str) -> bool {
        let core = self.world.core();
        match *words {
            ["expect", "phase", word] => {
                let phase = self.world.phase().word();
                assert_eq!(phase, word, "{place}\n{}", self.text);
            }
            ["expect", "no", "proposal"] => {
                let open = core.durable().and_then(|durable| durable.open_proposal());
                assert!(open.is_none(), "{place}\n{}", self.text);
            }
            ["expect", "proposal", word] => {
                let state = core
                    .durable()
                    .and_then(|d| d.proposals.last())
                    .map_or("none", |p| p.state.word());
                assert_eq!(state, word, "{place}\n{}", self.text);
            }
            ["expect", "never", "proposed"] => {
                let proposals = core.durable().map(|durable| durable.proposals.len());
                assert_eq!(proposals, Some(0), "{place}\n{}", self.text);
            }
            ["expect", "finding", code] => {
                let status = core.status(self.world.instant());
                assert!(
                    status.findings.iter().any(|f| f.code.word() == code),
                    "{place}\n{}",
                    self.text
                );
            }
            ["expect", "automatic", "armed"] => {
                let view = core.status(self.world.instant()).automatic.unwrap();
                assert!(view.armed, "{place}: {}\n{}", view.summary, self.text);
            }
            [
                "expect",
                "automatic",
                word @ ("blocked" | "allowed"),
                "by",
                rule,
            ] => {
                let view = core.status(self.world.instant()).automatic.unwrap();
                let names: Vec<&str> = view.blocked.iter().map(|b| b.rule.as_str()).collect();
                let stands = names.contains(&rule) == (word == "blocked");
                assert!(stands, "{place}: {names:?}\n{}", self.text);
            }
            ["expect", "switch", word] => {
                let ticket = self.world.store.ticket.as_ref().unwrap();
                let off = ticket.automatic_off.is_some();
                assert_eq!(off, word == "off", "{place}\n{}", self.text);
            }
            ["expect", "live", name] => {
                let live = core.status(self.world.instant()).live_site;
                assert_eq!(live, Some(site(name)), "{place}\n{}", self.text);
            }
            ["expect", "writes", name] => {
                let agent = &self.world.agents[&node(name)];
                assert!(agent.database.as_ref().unwrap().writes(), "{place}");
            }
            ["expect", "epoch", number] => {
                assert_eq!(core.ticket().unwrap().epoch.to_string(), number, "{place}");
            }
            ["expect", "approved"] => {
                let approved =
                    |p: &decision::Proposal| matches!(p.state, ProposalState::Approved { .. });
                assert!(
                    core.durable().unwrap().proposals.iter().any(approved),
                    "{place}\n{}",
                    self.text
                );
            }
            _ => return false,
        }
        true
    }

    /// What was recorded and answered since the last line.
    fn show_news(&mut self) {
        let news: Vec<Output> = self.world.done[self.shown..].to_vec();
        self.shown = self.world.done.len();
        for output in news {
            let mut age = self.world.age().0;
            let line = match output {
                Output::Record(event) => {
                    age = World::age_of(event.at).0;
                    Some(format!("{}: {}", event.kind, event.summary))
                }
                Output::Announce(Announcement::Progress(event)) => {
                    age = World::age_of(event.at).0;
                    Some(format!("({})", event.summary))
                }
                Output::Announce(Announcement::Answer { answer, .. }) => Some(match answer {
                    Answer::Accepted { summary, .. } => format!("accepted: {summary}"),
                    Answer::Refused {
                        rule,
                        reason,
                        safety,
                    } => {
                        let kind = if safety {
                            "refused by safety rule"
                        } else {
                            "refused by rule"
                        };
                        format!("{kind} {rule}: {reason}")
                    }
                }),
                Output::Persist(_) | Output::Send(_) => None,
            };
            if let Some(line) = line {
                writeln!(
                    self.text,
                    "  [{:>4}.{}] {line}",
                    age / 1_000,
                    age % 1_000 / 100
                )
                .unwrap();
            }
        }
    }
}
