//! The small worlds with short horizons, and every seeded bug: the whole search is `cargo sim search`.

use tests::search::{Campaign, Flaw};

#[test]
fn no_invariant_breaks_within_short_horizons_and_every_seeded_bug_is_found() {
    let campaign = Campaign {
        quick: true,
        ..Campaign::default()
    };
    let mut lines = Vec::new();
    let mut traces = Vec::new();
    let summary = campaign.search(|found| {
        lines.push(found.to_string());
        if let Some((_, trace)) = found.first.as_ref().filter(|_| !found.seeded) {
            traces.extend(trace.clone());
        }
    });
    let (lines, traces) = (lines.join("\n"), traces.join("\n"));
    assert_eq!(summary.violations, 0, "{lines}\n{traces}");
    assert_eq!(summary.seeded, Flaw::ALL.len(), "{lines}");
    assert_eq!(summary.found, summary.seeded, "{lines}");
    assert_eq!(summary.incomplete, 0, "{lines}");
    assert!(summary.states > 1_000, "{lines}");
}
