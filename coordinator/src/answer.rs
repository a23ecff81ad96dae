//! From a request that only reads to its reply, by the core's views alone.

use decision::{Core, Durable, Now, Proposal, Run, ShadowAct, ShadowProposal};
use shared::id::ProposalId;
use shared::stack::{Stack, difference};

use crate::reply::{
    Answerer, CheckReply, ExplainReply, ProposalsReply, Refused, RefusedReply, Reply, ShadowReply,
    ShowReply, StackReply,
};
use crate::request::Request;

/// The reply to a request that changes nothing and needs nothing but the core.
pub fn reply(request: &Request, core: &Core, now: Now, from: Answerer) -> Reply {
    match request {
        Request::Status => {
            let led = from.leads || from.leader.is_some();
            let view = if led {
                core.status(now)
            } else {
                core.status_unled(now)
            };
            Reply::Status(Box::new(view))
        }
        Request::Explain => Reply::Explain(ExplainReply {
            from,
            explain: core.explain(now),
        }),
        Request::Proposals => proposals(core, from),
        Request::Shadow => shadow(core, from),
        Request::Show { proposal } => show(core, *proposal, from),
        Request::StackShow => stack_show(core, from),
        Request::StackCheck { stack } => stack_check(core, stack, from),
        Request::History { .. } | Request::Change(_) => refused(
            from,
            Refused::new("not-a-question", "this request is not answered by a view"),
        ),
    }
}

/// A refusal as a reply.
pub fn refused(from: Answerer, refused: Refused) -> Reply {
    Reply::Refused(RefusedReply { from, refused })
}

fn proposals(core: &Core, from: Answerer) -> Reply {
    let mut proposals: Vec<Proposal> = core
        .durable()
        .map(|d| d.proposals.clone())
        .unwrap_or_default();
    proposals.reverse();
    let open = core.durable().and_then(Durable::open_proposal);
    let summary = match (open, proposals.len()) {
        (Some(open), _) => format!("proposal {} waits for an operator", open.id.short()),
        (None, 0) => "there is no proposal".to_owned(),
        (None, _) => "no proposal is open".to_owned(),
    };
    Reply::Proposals(ProposalsReply {
        from,
        summary,
        proposals,
    })
}

fn shadow(core: &Core, from: Answerer) -> Reply {
    let kept = core.durable().map(|durable| durable.shadow.clone());
    let mut proposals = kept.unwrap_or_default();
    proposals.reverse();
    let acted = |one: &&ShadowProposal| matches!(one.automatic, ShadowAct::Acted { .. });
    let acts = proposals.iter().filter(acted).count();
    let summary = match proposals.len() {
        0 => "nothing would have been proposed so far".to_owned(),
        1 => format!(
            "one proposal would have been raised; automatic mode would have acted on {acts}"
        ),
        many => {
            format!(
                "{many} proposals would have been raised; automatic mode would have acted on {acts}"
            )
        }
    };
    Reply::Shadow(ShadowReply {
        from,
        summary,
        proposals,
    })
}

fn show(core: &Core, id: ProposalId, from: Answerer) -> Reply {
    let found = core.durable().and_then(|d| {
        d.proposal(id)
            .cloned()
            .map(|proposal| (proposal, run_of(d, id)))
    });
    if let Some((proposal, run)) = found {
        return Reply::Show(Box::new(ShowReply {
            from,
            proposal,
            run,
        }));
    }
    refused(
        from,
        Refused::new(
            "no-such-proposal",
            format!("there is no proposal {id} here"),
        ),
    )
}

/// The run that came from a proposal, if there is one.
pub fn run_of(durable: &Durable, id: ProposalId) -> Option<Run> {
    durable
        .run
        .iter()
        .chain(durable.past_runs.iter().rev())
        .find(|run| run.proposal == id)
        .cloned()
}

fn stack_show(core: &Core, from: Answerer) -> Reply {
    let Some((version, stack)) = core.stack() else {
        let reason = "no stack is in force; apply one with `pointsman stack apply FILE`";
        return refused(from, Refused::new("no-stack", reason));
    };
    Reply::Stack(Box::new(StackReply {
        from,
        version,
        digest: stack.digest(),
        stack: stack.clone(),
    }))
}

fn stack_check(core: &Core, stack: &Stack, from: Answerer) -> Reply {
    let in_force = core.stack();
    let differences: Vec<_> = difference(in_force.map(|(_, stack)| stack), stack)
        .into_iter()
        .map(Into::into)
        .collect();
    let summary = match (in_force, differences.len()) {
        (None, n) => format!(
            "the file is good; it would be the first version of stack {}, with {n} values",
            stack.name
        ),
        (Some((version, _)), 0) => {
            format!("the file is good and says what version {version} in force says")
        }
        (Some((version, _)), n) => {
            format!("the file is good; against version {version} in force {n} values differ")
        }
    };
    Reply::Check(CheckReply {
        from,
        summary,
        in_force: in_force.map(|(version, _)| version),
        differences,
        timing: stack.forecast(),
    })
}
