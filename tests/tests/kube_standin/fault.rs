//! Storms, silence, lost answers, and a tool that reverts.

use std::time::Duration;

use kube::Error;
use serde_json::Value;
use tests::kubernetes::Sabotage;
use tokio::time::Instant;

use super::{Workloads, params, refusal, start, to, until, workloads};

#[tokio::test]
async fn storms_silence_and_lost_answers() {
    let standin = start().await;
    let Workloads { web, .. } = workloads(&standin);
    for (code, retry_after_seconds) in [(503, None), (429, Some(1))] {
        standin.sabotage(&Sabotage::Refuse {
            code,
            requests: Some(2),
            retry_after_seconds,
        });
        for _ in 0..2 {
            assert_eq!(
                refusal(web.patch_scale("web", &params(), &to(1)).await).0,
                code
            );
        }
        web.get_scale("web").await.unwrap();
    }
    assert_eq!(web.get("web").await.unwrap().metadata.generation, Some(1));

    standin.sabotage(&Sabotage::Hang { on: true });
    let asked = Instant::now();
    let hung = web.patch_scale("web", &params(), &to(1)).await;
    assert!(!matches!(hung, Err(Error::Api(_)) | Ok(_)), "{hung:?}");
    assert!(asked.elapsed() >= Duration::from_millis(1_900));
    standin.sabotage(&Sabotage::Calm);
    assert_eq!(web.get("web").await.unwrap().metadata.generation, Some(1));

    standin.sabotage(&Sabotage::LoseAnswers { requests: 1 });
    let unheard = web.patch_scale("web", &params(), &to(1)).await;
    assert!(
        !matches!(unheard, Err(Error::Api(_)) | Ok(_)),
        "{unheard:?}"
    );
    assert_eq!(web.get("web").await.unwrap().metadata.generation, Some(2));

    standin.sabotage(&Sabotage::Slow { delay_ms: 200 });
    let asked = Instant::now();
    web.get("web").await.unwrap();
    assert!(asked.elapsed() >= Duration::from_millis(200));
    let unanswered = standin
        .requests()
        .iter()
        .filter(|r| r.status.is_none())
        .count();
    assert_eq!(unanswered, 2);
    standin.stop().await;
}

#[tokio::test]
async fn a_reverter_puts_replicas_back_under_its_own_name() {
    let standin = start().await;
    let Workloads { synapse, .. } = workloads(&standin);
    standin.sabotage(&Sabotage::Revert {
        after_ms: 100,
        field_manager: "argocd-controller".to_owned(),
        workload: None,
        replicas: None,
    });
    synapse
        .patch_scale("synapse", &params(), &to(1))
        .await
        .unwrap();
    let reverted = |o: &Value| o["metadata"]["generation"] == 3 && o["spec"]["replicas"] == 0;
    let object = until(&standin, "StatefulSet", "synapse", reverted).await;
    let owner = &object["metadata"]["managedFields"][0];
    assert_eq!(owner["manager"], "argocd-controller");
    assert_eq!(owner["subresource"], Value::Null);
    standin.stop().await;
}
