//! What workloads and their pods do.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch};
use serde_json::{Value, json};
use tests::kubernetes::{Script, Timings, WorkloadName};
use tokio::time::{Instant, sleep};

use super::{
    DEADLINE, NAMESPACE, Workloads, client_of, params, ready, start, start_with, to, until,
    workloads,
};

#[tokio::test]
async fn pods_come_and_terminating_pods_stay_visible() {
    let terminate_after = Duration::from_secs(2);
    let standin = start_with(
        0,
        Timings {
            terminate_after,
            ..Timings::default()
        },
    )
    .await;
    let Workloads { web, synapse, pods } = workloads(&standin);
    web.patch_scale("web", &params(), &to(2)).await.unwrap();
    synapse
        .patch_scale("synapse", &params(), &to(2))
        .await
        .unwrap();
    let web_ready = until(&standin, "Deployment", "web", ready(2)).await;
    assert_eq!(
        web_ready["status"]["conditions"][1]["reason"],
        "NewReplicaSetAvailable"
    );
    until(&standin, "StatefulSet", "synapse", ready(2)).await;
    let of_synapse = ListParams::default().labels("app.kubernetes.io/instance=synapse");
    let names = |list: kube::core::ObjectList<Pod>| -> Vec<String> {
        list.items
            .into_iter()
            .filter_map(|pod| pod.metadata.name)
            .collect()
    };
    let running = pods.list(&of_synapse).await.unwrap();
    assert_eq!(names(running), ["synapse-0", "synapse-1"]);

    synapse
        .patch_scale("synapse", &params(), &to(0))
        .await
        .unwrap();
    let observed = |o: &Value| o["status"]["observedGeneration"] == o["metadata"]["generation"];
    until(&standin, "StatefulSet", "synapse", observed).await;
    let leaving = pods.list(&of_synapse).await.unwrap();
    assert_eq!(leaving.items.len(), 2);
    assert!(
        leaving
            .items
            .iter()
            .all(|pod| pod.metadata.deletion_timestamp.is_some())
    );
    until(&standin, "StatefulSet", "synapse", ready(0)).await;
    assert_eq!(
        names(pods.list(&of_synapse).await.unwrap()),
        Vec::<String>::new()
    );
    let others = pods
        .list(&ListParams::default().fields("metadata.name=synapse-0"))
        .await
        .unwrap();
    assert_eq!(others.items.len(), 0);
    assert_eq!(
        pods.list(&ListParams::default()).await.unwrap().items.len(),
        2
    );
    standin.stop().await;
}

#[tokio::test]
async fn pods_of_a_deleted_workload_are_collected() {
    let standin = start_with(2, Timings::default()).await;
    let Workloads { web, pods, .. } = workloads(&standin);
    until(&standin, "Deployment", "web", ready(2)).await;
    until(&standin, "StatefulSet", "synapse", ready(2)).await;
    web.delete("web", &DeleteParams::default()).await.unwrap();
    let deadline = Instant::now() + DEADLINE;
    while pods.list(&ListParams::default()).await.unwrap().items.len() != 2 {
        assert!(
            Instant::now() < deadline,
            "pods of a deleted workload stayed"
        );
        sleep(Duration::from_millis(10)).await;
    }
    standin.stop().await;
}

#[tokio::test]
async fn failing_pods_tell_why() {
    let standin = start().await;
    let Workloads { synapse, pods, .. } = workloads(&standin);
    let name = WorkloadName::new("StatefulSet", NAMESPACE, "synapse");
    let waiting = "/status/containerStatuses/0/state/waiting/reason";
    synapse
        .patch_scale("synapse", &params(), &to(1))
        .await
        .unwrap();
    for (script, pointer, expected) in [
        (Script::CrashLoop, waiting, "CrashLoopBackOff"),
        (Script::ImagePullBackoff, waiting, "ImagePullBackOff"),
        (
            Script::Unschedulable,
            "/status/conditions/0/reason",
            "Unschedulable",
        ),
        (
            Script::NeverReady,
            "/status/conditions/3/reason",
            "ContainersNotReady",
        ),
    ] {
        standin.set_script(name.clone(), script);
        until(&standin, "Pod", "synapse-0", |pod| {
            pod.pointer(pointer).and_then(Value::as_str) == Some(expected)
        })
        .await;
        assert!(!ready(1)(
            &standin
                .object("apps/v1", "StatefulSet", NAMESPACE, "synapse")
                .unwrap()
        ));
    }
    standin.set_script(name.clone(), Script::CrashLoop);
    let crashed = |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"] == 2;
    let pod = until(&standin, "Pod", "synapse-0", crashed).await;
    let exit = &pod["status"]["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!(exit["exitCode"], 1);
    standin.set_script(name.clone(), Script::Normal);
    until(&standin, "StatefulSet", "synapse", ready(1)).await;

    standin.set_script(name.clone(), Script::FailedCreate);
    pods.delete("synapse-0", &DeleteParams::default().grace_period(0))
        .await
        .unwrap();
    let events: Api<Event> = Api::default_namespaced(client_of(&standin.url));
    let about = ListParams::default().fields("involvedObject.name=synapse,reason=FailedCreate");
    let deadline = Instant::now() + DEADLINE;
    while events.list(&about).await.unwrap().items.is_empty() {
        assert!(Instant::now() < deadline, "no FailedCreate event");
        sleep(Duration::from_millis(10)).await;
    }
    standin.set_script(name, Script::StuckTerminating);
    until(&standin, "StatefulSet", "synapse", ready(1)).await;
    synapse
        .patch_scale("synapse", &params(), &to(0))
        .await
        .unwrap();
    sleep(Timings::default().terminate_after * 3).await;
    let stuck = pods.get("synapse-0").await.unwrap();
    assert!(stuck.metadata.deletion_timestamp.is_some());
    standin.stop().await;
}

#[tokio::test]
async fn changed_templates_and_stateful_order_roll_out() {
    let fast = Timings {
        observe_lag: Duration::from_millis(5),
        ready_after: Duration::from_millis(30),
        terminate_after: Duration::from_millis(30),
    };
    let standin = start_with(2, fast).await;
    let Workloads { web, synapse, .. } = workloads(&standin);
    for (kind, name) in [("Deployment", "web"), ("StatefulSet", "synapse")] {
        until(&standin, kind, name, ready(2)).await;
    }
    let newer = Patch::Merge(json!({"spec": {"template": {"metadata": {
        "annotations": {"restarted": "now"}}}}}));
    web.patch("web", &params(), &newer).await.unwrap();
    synapse.patch("synapse", &params(), &newer).await.unwrap();
    for (kind, name) in [("Deployment", "web"), ("StatefulSet", "synapse")] {
        until(&standin, kind, name, |o| {
            ready(2)(o) && o["status"]["updatedReplicas"] == 2
        })
        .await;
    }
    let settled = |o: &Value| o["status"]["currentRevision"] == o["status"]["updateRevision"];
    until(&standin, "StatefulSet", "synapse", settled).await;
    standin.stop().await;
}
