//! Workloads: done as `kubectl rollout status` judges it, stopped when no pod is left, reverted when somebody reverts.

use std::time::Duration;

use anyhow::{Result, ensure};
use shared::clock::Millis;
use shared::epoch::Epoch;
use shared::refusal::Refusal;
use shared::stack::WorkloadKind;
use shared::wire::{Action, CheckExpectation, ReportState, ScaleTarget};
use tests::kubernetes::{Config, Fixture, Sabotage, Script, Standin, Timings, WorkloadName};

use crate::leader::{Leader, failure, proof};
use crate::stage::{Agent, Stage};

const NAMESPACE: &str = "ess";

struct Scene {
    stage: Stage,
    standin: Standin,
    _agent: Agent,
    leader: Leader,
}

impl Scene {
    async fn set() -> Result<Self> {
        let stage = Stage::set("dc2").await?;
        let fixture = Fixture::from_toml(
            "[[object]]\nkind = \"Deployment\"\nnamespace = \"ess\"\nname = \"web\"\nreplicas = 0\n\
             [[object]]\nkind = \"StatefulSet\"\nnamespace = \"ess\"\nname = \"main\"\nreplicas = 0\n",
        )?;
        let timings = Timings {
            terminate_after: Duration::from_millis(800),
            ..Timings::default()
        };
        let standin = Standin::start(Config {
            fixture,
            timings,
            ..Config::default()
        })
        .await?;
        let kubeconfig = stage.scratch.path().join("kubeconfig");
        std::fs::write(&kubeconfig, standin.kubeconfig(NAMESPACE))?;
        let more = format!(
            "[kubernetes]\nkubeconfig = \"{}\"\n[[kubernetes.watch]]\nkind = \"Deployment\"\n\
             namespace = \"ess\"\nobject = \"web\"\n",
            kubeconfig.display()
        );
        let mut agent = stage.agent("dc2", &more)?;
        agent.start()?;
        let mut leader = Leader::of(&stage, &agent).await?;
        let up = |h: &shared::wire::Heartbeat| {
            h.cluster
                .as_ref()
                .is_some_and(|c| c.reachable && c.workloads.len() == 1)
        };
        leader.heartbeat_where("the cluster", up).await?;
        Ok(Self {
            stage,
            standin,
            _agent: agent,
            leader,
        })
    }

    async fn scale(&mut self, counts: [(WorkloadKind, &str, u32); 2]) -> Result<ReportState> {
        let command = self.leader.command(scale(&counts)).await?;
        self.leader.carry_out(&command).await
    }
}

fn scale(counts: &[(WorkloadKind, &str, u32)]) -> Action {
    let target = |(kind, object, replicas): &(WorkloadKind, &str, u32)| ScaleTarget {
        kind: *kind,
        namespace: NAMESPACE.to_owned(),
        object: (*object).to_owned(),
        replicas: *replicas,
    };
    Action::Scale {
        targets: counts.iter().map(target).collect(),
    }
}

fn both(replicas: u32) -> [(WorkloadKind, &'static str, u32); 2] {
    [
        (WorkloadKind::Deployment, "web", replicas),
        (WorkloadKind::StatefulSet, "main", replicas),
    ]
}

#[tokio::test]
async fn a_wave_is_scaled_up_and_stopped() -> Result<()> {
    let mut scene = Scene::set().await?;
    let Action::Scale { targets } = scale(&both(2)) else {
        anyhow::bail!("no scale")
    };
    let check = Action::Check {
        expect: CheckExpectation::WorkloadsPresent { targets },
    };
    let check = scene.leader.command(check).await?;
    ensure!(
        proof(&scene.leader.carry_out(&check).await?)?.contains("wants 0"),
        "check"
    );

    let ended = scene.scale(both(2)).await?;
    let lines = proof(&ended)?;
    ensure!(
        lines.contains("was 0, set to 2") && lines.contains("2 of 2"),
        "{lines}"
    );
    let ready = |h: &shared::wire::Heartbeat| {
        h.cluster
            .as_ref()
            .is_some_and(|c| c.workloads[0].ready == 2)
    };
    scene.leader.heartbeat_where("two ready", ready).await?;
    ensure!(
        scene.stage.ticket().await?.confirmations > 0,
        "scaled up without confirming"
    );

    // Stopping needs no grant, and waits for the terminating pods.
    let confirmations = scene.stage.ticket().await?.confirmations;
    let mut stop = scene.leader.command(scale(&both(0))).await?;
    stop.grant = None;
    let ended = scene.leader.carry_out(&stop.sealed()).await?;
    proof(&ended)?;
    let ReportState::Done { took_ms, .. } = ended else {
        anyhow::bail!("not done")
    };
    ensure!(
        took_ms >= Millis(700),
        "done after {took_ms}, with pods terminating"
    );
    ensure!(
        scene.stage.ticket().await?.confirmations == confirmations,
        "confirmed for stopping"
    );
    Ok(())
}

#[tokio::test]
async fn what_stands_in_the_way_is_said() -> Result<()> {
    let mut scene = Scene::set().await?;
    scene
        .stage
        .store_ticket("dc1", Epoch(2), Some(crate::stage::GRANT))
        .await?;
    let ended = scene.scale(both(1)).await?;
    ensure!(
        matches!(
            &ended,
            ReportState::Refused(Refusal::GrantNotConfirmed { .. })
        ),
        "{ended:?}"
    );
    scene
        .stage
        .store_ticket("dc2", Epoch(2), Some(crate::stage::GRANT))
        .await?;

    let web = WorkloadName::new("Deployment", NAMESPACE, "web");
    scene
        .standin
        .set_script(web.clone(), Script::ImagePullBackoff);
    let mut command = scene.leader.command(scale(&both(1))).await?;
    command.deadline_ms = Millis::seconds(3);
    let ended = scene.leader.carry_out(&command.sealed()).await?;
    ensure!(failure(&ended)?.contains("ImagePullBackOff"), "{ended:?}");
    scene.standin.set_script(web.clone(), Script::Normal);
    proof(&scene.scale(both(1)).await?)?;

    scene.standin.sabotage(&Sabotage::Revert {
        after_ms: 50,
        field_manager: "gitops".to_owned(),
        workload: Some(web),
        replicas: None,
    });
    let ended = scene.scale(both(2)).await?;
    ensure!(
        failure(&ended)?.contains("reverted to 1 by \"gitops\""),
        "{ended:?}"
    );

    let missing = scene
        .leader
        .command(scale(&[(WorkloadKind::Deployment, "nothing", 1)]))
        .await?;
    let ended = scene.leader.carry_out(&missing).await?;
    ensure!(failure(&ended)?.contains("does not exist"), "{ended:?}");
    Ok(())
}

#[tokio::test]
async fn a_lost_answer_is_no_failure() -> Result<()> {
    let mut scene = Scene::set().await?;
    scene
        .standin
        .sabotage(&Sabotage::LoseAnswers { requests: 4 });
    let ended = scene.scale(both(1)).await?;
    proof(&ended)?;
    let refuse = Sabotage::Refuse {
        code: 503,
        requests: Some(6),
        retry_after_seconds: None,
    };
    scene.standin.sabotage(&refuse);
    proof(&scene.scale(both(2)).await?)?;
    Ok(())
}
