use crate::clock::Millis;
use crate::stack::Stack;
use crate::stack::tests::GOOD;

/// The sample with a policy of its own.
fn with(policy: &str) -> Result<Stack, Vec<String>> {
    let (rest, _) = GOOD.split_once("[policy]").unwrap();
    Stack::parse("stack.toml", &format!("{rest}[policy]\n{policy}")).map_err(|problems| {
        let keys = problems.problems.into_iter();
        keys.map(|problem| problem.key).collect()
    })
}

const SAFE: &str = "mode = \"automatic\"\nfence_grade = \"lease_expired\"\n[policy.lease]\nself_fence = \"stop\"\n";

#[test]
fn the_defaults_of_every_kind_of_fencing_fit_together() {
    for policy in [
        "",
        "[policy.lease]\nself_fence = \"stop\"\n",
        "[policy.lease]\nself_fence = \"demote\"\nrollout = \"log-only\"\n",
        SAFE,
    ] {
        assert!(with(policy).is_ok(), "{policy}: {:?}", with(policy));
    }
}

#[test]
fn each_relation_is_kept_to_the_millisecond() {
    // The limit itself is refused or allowed; one step further is not.
    let cases = [
        (
            "deadman_after = \"35s\"",
            "deadman_after = \"35001ms\"",
            "policy.lease.deadman_after",
        ),
        (
            "demote_after = \"7s\"",
            "demote_after = \"7001ms\"",
            "policy.lease.demote_after",
        ),
        (
            "deadman_after = \"43s\"",
            "deadman_after = \"42s\"",
            "policy.epoch_wait",
        ),
        (
            "demote_after = \"31s\"\ndeadman_after = \"38s\"",
            "demote_after = \"30s\"\ndeadman_after = \"38s\"",
            "policy.epoch_wait",
        ),
    ];
    for (refused, allowed, key) in cases {
        let policy = |line: &str| format!("[policy.lease]\nself_fence = \"stop\"\n{line}\n");
        assert_eq!(
            with(&policy(refused)),
            Err(vec![key.to_owned()]),
            "{refused}"
        );
        assert!(
            with(&policy(allowed)).is_ok(),
            "{allowed}: {:?}",
            with(&policy(allowed))
        );
    }
}

#[test]
fn a_laboratory_may_use_seconds_and_is_warned() {
    let small = "epoch_wait = \"9s\"\n[policy.lease]\nself_fence = \"stop\"\nrenew_every = \"500ms\"\n\
                 attempt = \"1s\"\ndemote_after = \"3s\"\nstop_within = \"2s\"\ndeadman_after = \"6s\"\n";
    let stack = with(small).unwrap();
    let warnings = stack.forecast().warnings;
    assert!(
        warnings.iter().any(|line| line.contains("elections")),
        "{warnings:?}"
    );
    let automatic = format!("mode = \"automatic\"\n{small}");
    assert_eq!(
        with(&automatic),
        Err(vec!["policy.lease.demote_after".to_owned()])
    );
}

#[test]
fn automatic_mode_needs_something_that_stops_the_old_site() {
    let refused = with("mode = \"automatic\"\n").unwrap_err();
    assert_eq!(refused, ["policy.automatic.fence_grade", "policy.mode"]);
    let nobody = with(&format!(
        "{SAFE}[policy.automatic]\nfence_grade = \"attested\"\n"
    ));
    assert_eq!(nobody, Err(vec!["policy.automatic.fence_grade".to_owned()]));
    let logging = with(&format!("{SAFE}rollout = \"log-only\"\n")).unwrap_err();
    assert!(logging.contains(&"policy.mode".to_owned()), "{logging:?}");
}

#[test]
fn a_grade_without_a_fence_is_refused() {
    // The sample can power off dc1 only.
    let refused = with("fence_grade = \"powered_off\"\n");
    assert_eq!(refused, Err(vec!["policy.fence_grade".to_owned()]));
}

#[test]
fn the_forecast_adds_up_what_must_be_waited_for() {
    let stack = with(SAFE).unwrap();
    let forecast = stack.forecast();
    assert_eq!(forecast.approval.best_ms, Millis::seconds(7 + 15 + 45));
    let automatic = forecast.automatic.unwrap();
    assert_eq!(automatic.best_ms, Millis::seconds(7 + 120 + 45));
    assert!(automatic.worst_ms > automatic.best_ms);
    assert_eq!(with("").unwrap().forecast().automatic, None);
}
