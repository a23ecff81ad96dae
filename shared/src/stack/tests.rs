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

/// The least that a stack file may say: no cluster, no workload, no route, no check.
const BARE: &str = r#"
schema = 1
name = "ess"
sites = { dc1 = { role = "primary" }, dc2 = { role = "standby" }, dc3 = { role = "witness" } }
[[database]]
name = "main"
member = [
    { site = "dc1", node = "dc1-db", address = "db1.example.org:5432" },
    { site = "dc2", node = "dc2-db", address = "db2.example.org:5432" },
]
"#;

fn keys_of_problems(text: &str) -> Vec<String> {
    let problems = Stack::parse("stack.toml", text).unwrap_err().problems;
    for problem in &problems {
        assert!(!problem.allowed.is_empty(), "{problem:?}");
    }
    problems.into_iter().map(|problem| problem.key).collect()
}

#[test]
fn a_cluster_of_an_unknown_site_is_a_problem_also_without_workloads() {
    Stack::parse("stack.toml", BARE).unwrap();
    let clusters = |line: &str| format!("{BARE}[clusters]\n{line}\n");
    Stack::parse("stack.toml", &clusters("dc2 = \"dc2-k8s\"")).unwrap();
    assert_eq!(
        keys_of_problems(&clusters("silence = \"7s\"")),
        ["clusters.silence"]
    );
}

#[test]
fn where_no_site_is_named_what_is_allowed_is_said_all_the_same() {
    let (start, rest) = BARE.split_once("sites =").unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    assert!(
        keys_of_problems(&format!("{start}{rest}"))
            .contains(&"database[0].member[0].site".to_owned())
    );
}
