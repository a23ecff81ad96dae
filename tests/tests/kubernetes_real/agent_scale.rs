//! The real agent scales real objects with the role that `deploy/kubernetes` gives it, and nothing more.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hyper::Method;
use kube::Client;
use serde_json::{Value, json};
use shared::clock::Millis;
use shared::stack::WorkloadKind;
use shared::wire::{Action, CheckExpectation, Heartbeat, ReportState, ScaleTarget};
use tests::kubernetes::{Config, Fixture, Standin};

use crate::control_plane::{ControlPlane, exchange, until};
use crate::kubelet::Kubelet;
use crate::leader::{Leader, failure, proof};
use crate::stage::{Agent, Stage};
use crate::{NAMESPACE, control_plane};

/// How long pods take to end.
const TERMINATE: Duration = Duration::from_millis(1_500);
const ROLE: &str = include_str!("../../../deploy/kubernetes/agent-role.yaml");
const MERGE: &str = "application/merge-patch+json";

struct Scene {
    plane: ControlPlane,
    admin: Client,
    _kubelet: Kubelet,
    stage: Stage,
    _agent: Agent,
    leader: Leader,
}

impl Scene {
    /// A Deployment `web` and a StatefulSet `main` at zero, and an agent with the account of a manifest.
    async fn set(plane: ControlPlane, role: &str) -> Result<Self> {
        let admin = plane.admin().await?;
        for (path, object) in workloads().await? {
            let made = plane.post(&path, &object).await?;
            ensure!(made.status == 201, "{made:?}");
        }
        plane.apply(role).await?;
        let token = plane.token_of("pointsman-agent").await?;
        let stage = Stage::set("dc2").await?;
        let kubeconfig = stage.scratch.path().join("kubeconfig");
        std::fs::write(&kubeconfig, plane.kubeconfig(&token))?;
        // The agent runs under another account, which must be able to read what it is given.
        let authority = stage.scratch.path().join("authority.pem");
        let text = plane.kubeconfig(&token);
        let config: Value = serde_json::from_str(&text)?;
        let original = config.pointer("/clusters/0/cluster/certificate-authority");
        std::fs::copy(
            original.and_then(Value::as_str).context("no authority")?,
            &authority,
        )?;
        let mut config = config;
        config["clusters"][0]["cluster"]["certificate-authority"] = json!(authority);
        std::fs::write(&kubeconfig, config.to_string())?;
        let more = format!(
            "[kubernetes]\nkubeconfig = \"{}\"\n[[kubernetes.watch]]\nkind = \"Deployment\"\n\
             namespace = \"{NAMESPACE}\"\nobject = \"web\"\n",
            kubeconfig.display()
        );
        let mut agent = stage.agent("dc2", &more)?;
        agent.start()?;
        let leader = Leader::of(&stage, &agent).await?;
        let kubelet = Kubelet::start(admin.clone(), TERMINATE);
        Ok(Self {
            plane,
            admin,
            _kubelet: kubelet,
            stage,
            _agent: agent,
            leader,
        })
    }

    async fn reachable(&mut self) -> Result<()> {
        let up = |h: &Heartbeat| {
            h.cluster
                .as_ref()
                .is_some_and(|c| c.reachable && c.workloads.len() == 1)
        };
        self.leader
            .heartbeat_where("the cluster", up)
            .await
            .map(drop)
    }

    async fn scale(&mut self, replicas: u32, deadline: Millis) -> Result<ReportState> {
        let mut command = self
            .leader
            .command(Action::Scale {
                targets: targets(replicas),
            })
            .await?;
        command.deadline_ms = deadline;
        self.leader.carry_out(&command.sealed()).await
    }

    async fn pods(&self) -> Result<usize> {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods");
        let list = exchange(&self.admin, Method::GET, &path, "", String::new()).await?;
        Ok(list
            .body
            .get("items")
            .and_then(Value::as_array)
            .context("no list")?
            .len())
    }
}

/// The stand-in's own objects, as a client would make them: the real server must take them as they are.
pub(crate) async fn workloads() -> Result<Vec<(String, Value)>> {
    let standin = Standin::start(Config {
        fixture: fixture()?,
        ..Config::default()
    })
    .await?;
    let mut made = Vec::new();
    for (kind, plural, name) in [
        ("Deployment", "deployments", "web"),
        ("StatefulSet", "statefulsets", "main"),
    ] {
        let mut object = standin
            .object("apps/v1", kind, NAMESPACE, name)
            .context("no such object")?;
        let metadata =
            json!({"name": name, "namespace": NAMESPACE, "labels": object["metadata"]["labels"]});
        object["metadata"] = metadata;
        object
            .as_object_mut()
            .context("no object")?
            .remove("status");
        made.push((
            format!("/apis/apps/v1/namespaces/{NAMESPACE}/{plural}"),
            object,
        ));
    }
    standin.stop().await;
    Ok(made)
}

/// The objects of both servers.
pub(crate) fn fixture() -> Result<Fixture> {
    Ok(Fixture::from_toml(
        "[[object]]\nkind = \"Deployment\"\nnamespace = \"ess\"\nname = \"web\"\nreplicas = 0\n\
         [[object]]\nkind = \"StatefulSet\"\nnamespace = \"ess\"\nname = \"main\"\nreplicas = 0\n",
    )?)
}

fn targets(replicas: u32) -> Vec<ScaleTarget> {
    let target = |kind, object: &str| ScaleTarget {
        kind,
        namespace: NAMESPACE.to_owned(),
        object: object.to_owned(),
        replicas,
    };
    vec![
        target(WorkloadKind::Deployment, "web"),
        target(WorkloadKind::StatefulSet, "main"),
    ]
}

#[tokio::test]
async fn a_wave_is_scaled_up_and_stopped_with_the_least_privilege() -> Result<()> {
    let Some(plane) = control_plane("the agent on a real API server").await? else {
        return Ok(());
    };
    let mut scene = Box::pin(Scene::set(plane, ROLE)).await?;
    scene.reachable().await?;
    let expect = CheckExpectation::WorkloadsPresent {
        targets: targets(2),
    };
    let check = scene.leader.command(Action::Check { expect }).await?;
    let checked = proof(&scene.leader.carry_out(&check).await?)?;
    ensure!(checked.contains("wants 0"), "{checked}");

    let lines = proof(&scene.scale(2, Millis::seconds(40)).await?)?;
    ensure!(
        lines.contains("was 0, set to 2") && lines.contains("2 of 2"),
        "{lines}"
    );
    ensure!(scene.pods().await? == 4, "{} pods", scene.pods().await?);
    let ready = |h: &Heartbeat| {
        h.cluster
            .as_ref()
            .is_some_and(|c| c.workloads.iter().any(|w| w.ready == 2))
    };
    scene.leader.heartbeat_where("two ready", ready).await?;
    ensure!(
        scene.stage.ticket().await?.confirmations > 0,
        "scaled up without confirming"
    );
    let deployment = format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/web");
    let object = until(&scene.admin, &deployment, |_| true).await?;
    let writers = object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array)
        .context("no writers")?;
    let own = writers
        .iter()
        .find(|entry| entry["manager"] == "pointsman")
        .context("the agent wrote nothing")?;
    ensure!(own["subresource"] == "scale", "{own}");
    ensure!(
        own["fieldsV1"]["f:spec"] == json!({"f:replicas": {}}),
        "{own}"
    );

    let again = proof(&scene.scale(2, Millis::seconds(40)).await?)?;
    ensure!(again.contains("wants 2 already"), "{again}");

    let ended = scene.scale(0, Millis::seconds(40)).await?;
    let ReportState::Done { took_ms, .. } = &ended else {
        anyhow::bail!("{ended:?}")
    };
    let least = Millis::from_duration(TERMINATE);
    ensure!(
        *took_ms >= least,
        "stopped after {took_ms}, pods need {least} to end"
    );
    ensure!(
        scene.pods().await? == 0,
        "{} pods are left",
        scene.pods().await?
    );
    scene.plane.stop().await
}

#[tokio::test]
async fn what_the_role_does_not_allow_is_said_in_the_servers_words() -> Result<()> {
    let Some(plane) = control_plane("an agent without its role").await? else {
        return Ok(());
    };
    // The account alone, without role and binding.
    let account = ROLE.split("\n---\n").next().context("no account")?;
    let mut scene = Box::pin(Scene::set(plane, account)).await?;
    let ended = scene.scale(1, Millis::seconds(10)).await?;
    let reason = failure(&ended)?;
    let named = reason.contains("forbidden")
        && reason.contains("deployments/scale")
        && reason.contains("403");
    ensure!(named, "{reason}");

    // All of it but the pods: nothing can be called stopped whose pods cannot be counted.
    let (_, rest) = ROLE.split_once("\n---\n").context("one document only")?;
    let blind = rest.replace("resources: [\"pods\"]", "resources: [\"configmaps\"]");
    ensure!(blind != rest, "the role names no pods");
    scene.plane.apply(&blind).await?;
    let up = proof(&scene.scale(1, Millis::seconds(40)).await?);
    // With the count written, the rollout itself is seen without the pods once it is done.
    ensure!(
        up.is_ok() || up.is_err_and(|error| error.to_string().contains("pods is forbidden")),
        "scaling up"
    );
    let ended = scene.scale(0, Millis::seconds(4)).await?;
    let reason = failure(&ended)?;
    ensure!(reason.contains("pods is forbidden"), "{reason}");
    scene.plane.stop().await
}

#[tokio::test]
async fn a_count_that_somebody_else_changes_meanwhile_is_read_again() -> Result<()> {
    let Some(plane) = control_plane("an agent beside another writer").await? else {
        return Ok(());
    };
    let mut scene = Box::pin(Scene::set(plane, ROLE)).await?;
    scene.reachable().await?;
    // Somebody writes to the object all the time, so that a revision is stale as soon as it was read.
    let (admin, path) = (
        scene.admin.clone(),
        format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/web"),
    );
    let noise = tokio::spawn(async move {
        let (mut conflicts, started) = (0_u32, std::time::Instant::now());
        while started.elapsed() < Duration::from_secs(2) {
            let note = json!({"metadata": {"annotations": {"note": conflicts.to_string()}}});
            let written = exchange(&admin, Method::PATCH, &path, MERGE, note.to_string()).await?;
            ensure!(written.status == 200, "{written:?}");
            conflicts += 1;
        }
        anyhow::Ok(conflicts)
    });
    let lines = proof(&scene.scale(1, Millis::seconds(40)).await?)?;
    ensure!(
        lines.contains("set to 1") && lines.contains("1 of 1"),
        "{lines}"
    );
    let writes = noise.await??;
    ensure!(writes > 20, "only {writes} writes beside the agent");

    // Somebody sets the count back: it is told with that name, not waited out.
    let revert = tokio::spawn({
        let admin = scene.admin.clone();
        async move {
            let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/web");
            until(&admin, &path, |object| object["spec"]["replicas"] == 3).await?;
            let back = json!({"spec": {"replicas": 1}}).to_string();
            let path = format!("{path}?fieldManager=gitops");
            let written = exchange(&admin, Method::PATCH, &path, MERGE, back).await?;
            ensure!(written.status == 200, "{written:?}");
            anyhow::Ok(())
        }
    });
    let ended = scene.scale(3, Millis::seconds(20)).await?;
    revert.await??;
    let reason = failure(&ended)?;
    ensure!(reason.contains("reverted to 1 by \"gitops\""), "{reason}");
    scene.plane.stop().await
}
