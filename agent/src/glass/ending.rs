//! What an operator is told at the end of a node's part: how it went, and where to go on. Pure.
//!
//! One node does not know what another one has done but for the code that it was given, so what the site serves
//! without is told apart from what it needs: otherwise an operator would be sent round for ever.

use shared::wire::ContingencyWork;

use super::broken::Broken;
use super::speech::{Ending, NextNode};
use super::stage::{Code, Place, place};
use crate::gate::Identity;

/// How far the steps are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reached {
    /// The last step of this node that changed something; 0 when there was none.
    pub(super) last: u32,
    /// The step that the code which was given stands for; 0 without one.
    pub(super) had: u32,
}

/// The words at the end.
pub(super) fn ending(
    broken: &Broken,
    identity: &Identity,
    reached: Reached,
    halted: Option<String>,
) -> Ending {
    let plan = &broken.plan;
    let last = reached.last.max(reached.had);
    let (mut next, mut later) = (Vec::new(), Vec::new());
    for step in &plan.steps {
        let changes =
            matches!(&step.work, ContingencyWork::Agent { action, .. } if action.changes());
        let list = if step.needed && changes {
            &mut next
        } else {
            &mut later
        };
        let is_next = step.needed && changes && step.number > last;
        let (site, node) = match place(plan, identity, step) {
            Place::Elsewhere(site, node) if is_next || !(step.needed && changes) => (site, node),
            Place::Here(_) if is_next && halted.is_none() => (&identity.site, &identity.node),
            Place::Elsewhere(..) | Place::Here(_) | Place::Vouched | Place::Wait => continue,
        };
        let is_check = step.number < first_change(broken);
        if !is_check {
            add(
                list,
                (site, node),
                format!("step {}: {}", step.number, step.title),
            );
        }
    }
    let code = Code::of(plan, broken.epoch, last).to_string();
    let summary = match &halted {
        Some(why) => format!("stopped: {why}; repair it and run the same again"),
        None => format!("this node's part is done in epoch {}", broken.epoch),
    };
    Ending {
        done: halted.is_none(),
        summary,
        epoch: broken.epoch,
        code: (reached.last > 0 && halted.is_none()).then_some(code),
        next,
        later,
    }
}

/// The number of the first step that changes something: what stands before it only looks whether it can be begun.
fn first_change(broken: &Broken) -> u32 {
    let mut steps = broken.plan.steps.iter();
    let first = steps.find(
        |step| matches!(&step.work, ContingencyWork::Agent { action, .. } if action.changes()),
    );
    first.map_or(0, |step| step.number)
}

fn add(
    list: &mut Vec<NextNode>,
    (site, node): (&shared::id::SiteName, &shared::id::NodeName),
    title: String,
) {
    match list.iter_mut().find(|n| (&n.site, &n.node) == (site, node)) {
        Some(known) => known.steps.push(title),
        None => list.push(NextNode {
            site: site.clone(),
            node: node.clone(),
            steps: vec![title],
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::{broken, identity, plan};
    use super::*;

    fn told(node: &str, last: u32, had: u32) -> (Vec<String>, Vec<String>) {
        let reached = Reached { last, had };
        let ending = ending(&broken(plan(), 1_003), &identity(node), reached, None);
        let nodes = |list: &[NextNode]| {
            let words = list
                .iter()
                .map(|next| format!("{} {}", next.node, next.steps.join(", ")));
            words.collect::<Vec<_>>()
        };
        (nodes(&ending.next), nodes(&ending.later))
    }

    #[test]
    fn an_operator_is_sent_on_until_the_site_has_what_it_needs_and_not_round_for_ever() {
        let follow = vec!["dc3-db step 7: the work of step 7".to_owned()];
        let scale = "dc2-k8s step 8: the work of step 8".to_owned();
        let route = "dc2-db step 9: the work of step 9".to_owned();
        assert_eq!(
            told("dc2-db", 6, 0),
            (vec![scale, route.clone()], follow.clone())
        );
        assert_eq!(told("dc2-k8s", 8, 6), (vec![route], follow.clone()));
        assert_eq!(told("dc2-db", 9, 8), (Vec::new(), follow));
        assert_eq!(told("dc3-db", 7, 9), (Vec::new(), Vec::new()));
    }

    #[test]
    fn a_node_that_halted_gives_no_code_and_is_not_sent_to_itself() {
        let reached = Reached { last: 6, had: 0 };
        let why = Some("step 9: no route".to_owned());
        let halted = ending(&broken(plan(), 1_003), &identity("dc2-db"), reached, why);
        assert!(!halted.done && halted.code.is_none());
        assert!(
            halted
                .next
                .iter()
                .all(|next| next.node.as_str() != "dc2-db")
        );
    }
}
