//! What is called protected, and every obstacle that is not.

use crate::findings::{found, lose, seconds};
use crate::world::World;

#[test]
fn without_a_leader_nothing_is_called_protected() {
    let mut world = World::healthy("dc2");
    seconds(&mut world, 1);
    let status = world.core().status_unled(world.instant());
    assert!(
        status.summary.starts_with("nobody leads; "),
        "{}",
        status.summary
    );
    assert!(!status.readiness.protected);
    assert!(status.readiness.obstacles[0].contains("no coordinator is known to lead"));
}

#[test]
fn a_silent_cluster_agent_or_observer_is_an_obstacle() {
    let (_, screen) = found(|w| {
        w.agent("dc2-k8s").alive = false;
        seconds(w, 30);
    });
    assert!(screen.contains("UNPROTECTED"), "{screen}");
    assert!(
        screen.contains("obstacle: dc2-k8s: what is known of it is"),
        "{screen}"
    );
    let (_, screen) = found(|w| {
        lose(w, "dc3");
        seconds(w, 60);
    });
    assert!(screen.contains("UNPROTECTED"), "{screen}");
    assert!(
        screen.contains("obstacle: observer dc3 has no vote"),
        "{screen}"
    );
}
