//! Whether commits wait for the standby that would become live: the golden case, and everything that is almost it.

use decision::{Answer, FindingCode, RunState, Shown};
use shared::clock::Millis;
use shared::grade::FenceGrade;
use shared::wire::SyncCommit;

use crate::world::{World, site, synchronous};

/// A world whose primary waits for dc2's standby alone.
fn bound() -> World {
    let mut world = World::with(synchronous());
    world.begin("dc2");
    world.wait_for("FIRST 1 (dc2)", &["dc2"]);
    world.pass(Millis::seconds(10));
    world
}

fn findings(world: &World) -> Vec<String> {
    let status = world.core().status(world.instant());
    let of = |f: &&decision::FindingView| f.code == FindingCode::NotSynchronous;
    status
        .findings
        .iter()
        .filter(of)
        .map(|f| f.sentence.clone())
        .collect()
}

fn loss(world: &World) -> String {
    let status = world.core().status(world.instant());
    status.readiness.loss.unwrap_or_default()
}

#[test]
fn everything_that_is_almost_a_proof_is_named() {
    type Change = fn(&mut World);
    let cases: [(&str, Change); 14] = [
        ("is empty", |w| w.wait_for("", &[])),
        ("lets any standby answer", |w| w.wait_for("*", &["dc2"])),
        ("lets any standby answer", |w| {
            w.wait_for("ANY 1 (dc2, *)", &["dc2"]);
        }),
        ("lets \"dc3\" answer", |w| {
            w.wait_for("ANY 1 (dc2, dc3)", &["dc2", "dc3"]);
        }),
        ("lets \"dc3\" answer", |w| w.wait_for("dc3", &["dc3"])),
        ("lets \"standby2\" answer", |w| {
            w.wait_for("dc2, standby2", &["dc2"]);
        }),
        ("is not understood", |w| w.wait_for("FIRST 1 dc2", &["dc2"])),
        ("synchronous_commit is off", |w| commit(w, SyncCommit::Off)),
        ("synchronous_commit is local", |w| {
            commit(w, SyncCommit::Local);
        }),
        ("synchronous_commit is remote_write", |w| {
            commit(w, SyncCommit::RemoteWrite);
        }),
        ("synapse in every database has a weaker", |w| {
            let sync = w.database("dc1-db").sync.as_mut().unwrap();
            sync.exception = Some("synapse in every database".to_owned());
        }),
        ("more than one standby goes by", |w| {
            w.database("dc1-db").senders.push("DC2".to_owned());
        }),
        ("more than one standby goes by", |w| {
            w.database("dc3-db").application = Some("dc2".to_owned());
        }),
        ("does not say how it commits", |w| {
            w.database("dc1-db").sync = None;
        }),
    ];
    for (wanted, change) in cases {
        let mut world = bound();
        assert_eq!(findings(&world), Vec::<String>::new(), "{}", loss(&world));
        assert!(
            loss(&world).contains("no acknowledged commit"),
            "{}",
            loss(&world)
        );
        change(&mut world);
        world.pass(Millis::seconds(3));
        let found = findings(&world).join("\n");
        assert!(found.contains(wanted), "{wanted}: {found}");
        assert!(!loss(&world).contains("no acknowledged commit"), "{wanted}");
    }
}

fn commit(world: &mut World, level: SyncCommit) {
    world.database("dc1-db").sync.as_mut().unwrap().commit = level;
}

#[test]
fn other_forms_that_bind_are_proofs_too() {
    for names in [
        "dc2",
        "DC2",
        "1 (dc2)",
        "ANY 1 (\"dc2\")",
        "first 1 (dc2, DC2)",
    ] {
        let mut world = bound();
        world.wait_for(names, &["dc2"]);
        world.pass(Millis::seconds(3));
        assert_eq!(findings(&world), Vec::<String>::new(), "{names}");
    }
    let mut world = bound();
    commit(&mut world, SyncCommit::RemoteApply);
    world.pass(Millis::seconds(3));
    assert_eq!(findings(&world), Vec::<String>::new());
}

#[test]
fn what_was_written_before_commits_waited_must_have_arrived() {
    let mut world = World::with(synchronous());
    world.begin("dc2");
    world.database("dc2-db").receiving = false;
    world.pass(Millis::seconds(30));
    world.wait_for("dc2", &[]);
    world.pass(Millis::seconds(3));
    let found = findings(&world).join("\n");
    assert!(
        found.contains("has not yet all that was written before"),
        "{found}"
    );
    world.database("dc2-db").receiving = true;
    world.wait_for("dc2", &["dc2"]);
    world.pass(Millis::seconds(10));
    assert_eq!(findings(&world), Vec::<String>::new());
}

#[test]
fn commits_that_wait_for_nobody_are_told() {
    let mut world = bound();
    world.wait_for("FIRST 1 (dc2)", &[]);
    world.pass(Millis::seconds(3));
    let found = findings(&world).join("\n");
    assert!(found.contains("commits of database main wait"), "{found}");
    assert!(
        loss(&world).contains("no acknowledged commit"),
        "{}",
        loss(&world)
    );
}

#[test]
fn the_proof_stands_in_the_run_and_needs_no_attestation() {
    let mut world = bound();
    world.gone.insert(site("dc1"));
    world.pass(Millis::seconds(25));
    let proposal = world
        .core()
        .durable()
        .unwrap()
        .open_proposal()
        .cloned()
        .unwrap();
    assert_eq!(proposal.needs.attest_site_off, None);
    assert_eq!(proposal.loss.upper_bytes().unwrap().0, 0);
    let proofs = proposal.needs.proofs.join("\n");
    assert!(proofs.contains("acknowledges none"), "{proofs}");
    // Nobody vouches for anything, so that no step says so.
    let plan = serde_json::to_string(&proposal.plan).unwrap();
    assert!(plan.contains("checked before the grant"), "{plan}");
    assert!(!plan.contains("vouches"), "{plan}");
    world.approve();
    assert!(matches!(
        world.answers.last(),
        Some(Answer::Accepted { .. })
    ));
    world.pass(Millis::seconds(120));
    let past = world
        .core()
        .durable()
        .unwrap()
        .past_runs
        .last()
        .cloned()
        .unwrap();
    assert!(
        matches!(past.state, RunState::Completed { .. }),
        "{:?}",
        past.state
    );
    let shown: Vec<&Shown> = past.proofs.iter().map(|proof| &proof.shown).collect();
    assert!(
        matches!(shown.as_slice(), [Shown::Synchronous { .. }, ..]),
        "{shown:?}"
    );
    assert_eq!(shown[0].grade(), FenceGrade::LeaseExpired);
}

#[test]
fn an_asynchronous_policy_takes_no_proof_from_the_settings() {
    let mut world = World::healthy("dc2");
    world.wait_for("dc2", &["dc2"]);
    world.pass(Millis::seconds(10));
    assert!(!loss(&world).contains("no acknowledged commit"));
    assert_eq!(findings(&world), Vec::<String>::new());
}
