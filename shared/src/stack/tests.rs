use super::*;

/// A complete stack file, as the sample in `deploy/config` has it.
pub(crate) const GOOD: &str = include_str!("../../../deploy/config/stack.toml");

#[test]
fn the_sample_is_read_whole() {
    let stack = Stack::parse("stack.toml", GOOD).unwrap();
    assert_eq!(stack.first_primary().as_str(), "dc1");
    assert_eq!(stack.waves(), [1, 2]);
    assert_eq!(stack.nodes().len(), 5);
    assert_eq!(
        Stack::parse("stack.toml", GOOD).unwrap().digest(),
        stack.digest()
    );
}

#[test]
fn the_first_apply_shows_everything_and_the_same_file_nothing() {
    let stack = Stack::parse("stack.toml", GOOD).unwrap();
    assert!(difference(None, &stack).len() > 20);
    assert_eq!(difference(Some(&stack), &stack), []);
}

#[test]
fn a_changed_number_is_one_line_by_its_name() {
    let before = Stack::parse("stack.toml", GOOD).unwrap();
    let mut after = before.clone();
    after.workloads[0].replicas = 9;
    let lines: Vec<String> = difference(Some(&before), &after)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(lines, ["~ workloads.synapse-main.replicas = 1 -> 9"]);
}
