//! The table of break glass: whose plans are kept for the loss of the store.

use nkeys::KeyPair;
use shared::clock::Millis;
use shared::config::Section;

/// Break glass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlassConfig {
    /// Public nkeys of the coordinators whose plans are kept; at least one.
    pub trusted_keys: Vec<String>,
    /// An older plan needs rule `plan-age` to be overridden.
    pub plan_age_max: Millis,
}

pub(super) fn read(section: Section<'_>) -> Option<GlassConfig> {
    const ALLOWED: &str = "the public nkeys of coordinators, as their logs show them at the start";
    let keys = section.texts("trusted_keys", ALLOWED);
    if keys.is_empty() {
        section.problem("trusted_keys", "nothing", ALLOWED);
    }
    let mut good = true;
    for (index, key) in keys.iter().enumerate() {
        // A seed in this file, whole or cut, is a mistake that must not be repeated in a log. No public key begins so.
        let found = if key.starts_with('S') {
            Some("a secret seed, or part of one".to_owned())
        } else if KeyPair::from_public_key(key).is_err() {
            Some(format!("{:?}", key.chars().take(60).collect::<String>()))
        } else {
            None
        };
        if let Some(found) = found {
            good = false;
            section.problem(
                &format!("trusted_keys[{index}]"),
                found,
                "a public nkey, like UDXU4…",
            );
        }
    }
    let age = section.span(
        "plan_age_max",
        Millis::seconds(24 * 3_600),
        Millis::seconds(60)..=Millis::seconds(30 * 24 * 3_600),
    );
    section.finish();
    (good && !keys.is_empty()).then_some(())?;
    Some(GlassConfig {
        trusted_keys: keys,
        plan_age_max: age?,
    })
}
