//! Scale, preconditions, generation, watches, access.

use std::time::Duration;

use futures_util::{Stream, StreamExt};
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::json;
use tests::kubernetes::{Config, Sabotage, Standin, Timings};
use tokio::time::{Instant, timeout};

use super::{
    DEADLINE, NAMESPACE, Workloads, client_of, params, ready, refusal, start, start_with, to,
    until, workloads,
};

#[tokio::test]
async fn scale_is_a_scale_for_both_kinds() {
    let standin = start().await;
    let Workloads { web, synapse, .. } = workloads(&standin);
    let before = web.get_scale("web").await.unwrap();
    // Zero is left out on the wire.
    assert_eq!(before.spec.as_ref().and_then(|spec| spec.replicas), None);
    let selector = before.status.and_then(|status| status.selector);
    assert_eq!(selector.as_deref(), Some("app.kubernetes.io/instance=web"));

    let after = web.patch_scale("web", &params(), &to(2)).await.unwrap();
    assert_eq!(after.spec.and_then(|spec| spec.replicas), Some(2));
    let after = synapse
        .patch_scale("synapse", &params(), &to(1))
        .await
        .unwrap();
    assert_eq!(after.spec.and_then(|spec| spec.replicas), Some(1));

    let mut scale = serde_json::to_value(synapse.get_scale("synapse").await.unwrap()).unwrap();
    scale["spec"]["replicas"] = json!(3);
    let scale = serde_json::from_value(scale).unwrap();
    let put = synapse
        .replace_scale("synapse", &PostParams::default(), &scale)
        .await
        .unwrap();
    assert_eq!(put.spec.and_then(|spec| spec.replicas), Some(3));
    let stored = synapse.get("synapse").await.unwrap();
    assert_eq!(stored.metadata.generation, Some(3));
    assert_eq!(stored.metadata.name.as_deref(), Some("synapse"));
    assert_eq!(
        refusal(web.get_scale("none").await),
        (404, "NotFound".to_owned())
    );
    let negative = Patch::Merge(json!({"spec": {"replicas": -1}}));
    let refused = refusal(web.patch_scale("web", &params(), &negative).await);
    assert_eq!(refused, (422, "Invalid".to_owned()));
    standin.stop().await;
}

#[tokio::test]
async fn a_stale_resource_version_is_a_conflict() {
    let standin = start().await;
    let Workloads { web, .. } = workloads(&standin);
    standin.sabotage(&Sabotage::PauseController { on: true });
    let read = web.get_scale("web").await.unwrap();
    let version = read.metadata.resource_version.clone().unwrap();
    let guarded = |replicas: u32| {
        Patch::Merge(json!({
            "metadata": {"resourceVersion": version}, "spec": {"replicas": replicas}}))
    };
    web.patch_scale("web", &params(), &guarded(1))
        .await
        .unwrap();
    let second = web.patch_scale("web", &params(), &guarded(2)).await;
    assert_eq!(refusal(second), (409, "Conflict".to_owned()));
    let put = web
        .replace_scale("web", &PostParams::default(), &read)
        .await;
    assert_eq!(refusal(put), (409, "Conflict".to_owned()));
    let stored = web.get("web").await.unwrap();
    assert_eq!(serde_json::to_value(stored).unwrap()["spec"]["replicas"], 1);
    standin.stop().await;
}

#[tokio::test]
async fn generation_grows_with_the_spec_alone_and_is_observed_later() {
    let lag = Duration::from_millis(400);
    let standin = start_with(
        0,
        Timings {
            observe_lag: lag,
            ..Timings::default()
        },
    )
    .await;
    let Workloads { web, .. } = workloads(&standin);
    until(&standin, "Deployment", "web", ready(0)).await;
    let note = Patch::Merge(json!({"metadata": {"annotations": {"a": "b"}}}));
    let noted = web.patch("web", &params(), &note).await.unwrap();
    assert_eq!(noted.metadata.generation, Some(1));

    let dry = PatchParams {
        dry_run: true,
        ..params()
    };
    web.patch_scale("web", &dry, &to(5)).await.unwrap();
    assert_eq!(web.get("web").await.unwrap().metadata.generation, Some(1));

    let asked = Instant::now();
    web.patch_scale("web", &params(), &to(1)).await.unwrap();
    web.patch_scale("web", &params(), &to(1)).await.unwrap();
    let stored = web.get("web").await.unwrap();
    assert_eq!(stored.metadata.generation, Some(2));
    let owner = stored.metadata.managed_fields.unwrap_or_default();
    let owner = owner.last().unwrap();
    assert_eq!(owner.manager.as_deref(), Some("pointsman"));
    assert_eq!(owner.subresource.as_deref(), Some("scale"));
    until(&standin, "Deployment", "web", |o| {
        o["status"]["observedGeneration"] == 2
    })
    .await;
    assert!(
        asked.elapsed() >= lag,
        "observed after {:?}",
        asked.elapsed()
    );
    standin.stop().await;
}

/// The next event that is no bookmark.
async fn next_event<K: Clone>(
    events: &mut (impl Stream<Item = kube::Result<WatchEvent<K>>> + Unpin),
) -> WatchEvent<K> {
    loop {
        let event = timeout(DEADLINE, events.next())
            .await
            .expect("an event in time");
        let event = event
            .expect("the stream is open")
            .expect("a readable event");
        if !matches!(event, WatchEvent::Bookmark(_)) {
            return event;
        }
    }
}

#[tokio::test]
async fn a_watch_sees_changes_bookmarks_and_410() {
    let standin = start().await;
    let client = client_of(&standin.url);
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let made: ConfigMap = serde_json::from_value(json!({
        "metadata": {"name": "m", "labels": {"watched": "yes"}}, "data": {"k": "1"}}))
    .unwrap();
    let start = maps
        .list(&ListParams::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    let only = WatchParams::default().labels("watched=yes").timeout(60);
    let mut events = Box::pin(maps.watch(&only, &start).await.unwrap());
    maps.create(&PostParams::default(), &made).await.unwrap();
    assert_eq!(
        refusal(maps.create(&PostParams::default(), &made).await),
        (409, "AlreadyExists".to_owned())
    );
    assert!(matches!(
        next_event(&mut events).await,
        WatchEvent::Added(_)
    ));
    maps.patch("m", &params(), &Patch::Merge(json!({"data": {"k": "2"}})))
        .await
        .unwrap();
    assert!(matches!(
        next_event(&mut events).await,
        WatchEvent::Modified(_)
    ));
    let unlabel = Patch::Merge(json!({"metadata": {"labels": {"watched": "no"}}}));
    maps.patch("m", &params(), &unlabel).await.unwrap();
    assert!(matches!(
        next_event(&mut events).await,
        WatchEvent::Deleted(_)
    ));
    let bookmark = timeout(DEADLINE, events.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(matches!(bookmark, WatchEvent::Bookmark(_)), "{bookmark:?}");

    standin.sabotage(&Sabotage::ForgetHistory);
    let mut stale = Box::pin(maps.watch(&only, &start).await.unwrap());
    let told = next_event(&mut stale).await;
    assert!(
        matches!(&told, WatchEvent::Error(status) if status.code == 410),
        "{told:?}"
    );
    standin.stop().await;
}

#[tokio::test]
async fn access_is_denied_as_reviewed() {
    let standin = start().await;
    let Workloads { web, .. } = workloads(&standin);
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client_of(&standin.url));
    let review: SelfSubjectAccessReview = serde_json::from_value(json!({"spec": {
        "resourceAttributes": {"verb": "patch", "group": "apps", "resource": "deployments",
            "subresource": "scale", "namespace": NAMESPACE}}}))
    .unwrap();
    let allowed = async || {
        let answer = reviews
            .create(&PostParams::default(), &review)
            .await
            .unwrap();
        answer.status.unwrap().allowed
    };
    assert!(allowed().await);
    standin.sabotage(&Sabotage::Forbid {
        verb: "patch".to_owned(),
        resource: "deployments/scale".to_owned(),
    });
    assert!(!allowed().await);
    let refused = refusal(web.patch_scale("web", &params(), &to(1)).await);
    assert_eq!(refused, (403, "Forbidden".to_owned()));
    web.get_scale("web").await.unwrap();
    standin.stop().await;
}

#[tokio::test]
async fn a_kubeconfig_with_a_token_opens_it_and_custom_kinds_are_served() {
    let standin = Standin::start(Config {
        token: Some("secret".to_owned()),
        ..Config::default()
    })
    .await
    .unwrap();
    let read = kube::config::Kubeconfig::from_yaml(&standin.kubeconfig("default")).unwrap();
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(read, &options)
        .await
        .unwrap();
    let client = Client::try_from(config).unwrap();
    assert_eq!(client.apiserver_version().await.unwrap().major, "1");
    let gvk = GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Application");
    let kind = ApiResource::from_gvk(&gvk);
    let applications: Api<DynamicObject> = Api::namespaced_with(client, "default", &kind);
    let mut application = DynamicObject::new("ess", &kind);
    application.data = json!({"spec": {"project": "default"}});
    applications
        .create(&PostParams::default(), &application)
        .await
        .unwrap();
    assert_eq!(
        applications.get("ess").await.unwrap().metadata.generation,
        Some(1)
    );

    let stranger = client_of(&standin.url);
    let pods: Api<Pod> = Api::default_namespaced(stranger);
    assert_eq!(refusal(pods.list(&ListParams::default()).await).0, 401);
    standin.stop().await;
}
