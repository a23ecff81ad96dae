//! The sample file, and a corpus of wrong ones.

use super::*;

const SAMPLE: &str = include_str!("../../../deploy/config/agent.toml");
const SMALLEST: &str = "stack = \"ess\"\nsite = \"dc2\"\nnode = \"n\"\nstate_dir = \"/s\"\n\
                        [nats]\nservers = [\"nats://h:4222\"]\n";

#[test]
fn the_sample_file_is_right() {
    let config = AgentConfig::parse("agent.toml", SAMPLE).unwrap();
    assert_eq!(config.peers.len(), 2);
    assert!(config.host.is_some() && config.kubernetes.is_some() && config.responder.is_some());
    assert_eq!(config.hooks.len(), 1);
    assert_eq!(config.postgres.unwrap().database.as_str(), "main");
}

/// Every commented key of the sample is one that the agent knows: they are switched on table by table.
#[test]
fn the_commented_keys_of_the_sample_are_known() {
    let mut text = String::new();
    for line in SAMPLE.replace("# [break_glass]", "[break_glass]").lines() {
        let key = line
            .strip_prefix("# ")
            .and_then(|rest| rest.split_once(" = "));
        let is_key =
            key.is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        text.push_str(if is_key { &line[2..] } else { line });
        text.push('\n');
    }
    let problems = AgentConfig::parse("agent.toml", &text).unwrap_err();
    for problem in &problems.problems {
        assert_ne!(problem.found, "an unknown key", "{problem}");
    }
    // What contradicts itself when everything is switched on is said, and nothing else.
    let keys: Vec<&str> = problems
        .problems
        .iter()
        .map(|problem| problem.key.as_str())
        .collect();
    assert_eq!(keys, ["nats", "postgres.host", "postgres.ssl_ca_file"]);
}

#[test]
fn the_smallest_file_has_no_modules() {
    let config = AgentConfig::parse("x", SMALLEST).unwrap();
    assert!(config.postgres.is_none() && config.kubernetes.is_none() && config.host.is_none());
    assert_eq!(config.nats.credentials, bus::Credentials::None);
    assert_eq!(
        config.limits.command_age_max,
        shared::clock::Millis::seconds(30)
    );
}

/// Puts a text below the smallest file; the key named must be complained of.
fn complained_of(text: &str, key: &str) {
    let problems = AgentConfig::parse("x", &format!("{SMALLEST}{text}\n")).unwrap_err();
    let said = problems.to_string();
    let is_named = |found: &str| found == key || (key == "line" && found.starts_with("line"));
    assert!(
        problems
            .problems
            .iter()
            .any(|problem| is_named(&problem.key)),
        "{text}: {said}"
    );
    assert!(
        problems
            .problems
            .iter()
            .all(|problem| !problem.allowed.is_empty()),
        "{said}"
    );
}

#[test]
fn wrong_database_tables_are_complained_of_by_key() {
    complained_of("[postgres]", "postgres.database");
    complained_of("[postgres]\ndatabase = \"main\"", "postgres.user");
    let cases = [
        ("database = \"x\"", "line"),
        ("port = 0", "postgres.port"),
        ("port = \"5432\"", "postgres.port"),
        ("host = \"h\"\nsocket = \"/s\"", "postgres.host"),
        ("socket = \"s\"", "postgres.socket"),
        ("sslmode = \"prefer\"", "postgres.sslmode"),
        ("sslmode = \"require\"", "postgres.sslmode"),
        ("ssl_ca_file = \"/c\"", "postgres.ssl_ca_file"),
        ("pgdata = \"data\"", "postgres.pgdata"),
        ("beat = \"yes\"", "postgres.beat"),
        ("every = \"1\"", "postgres.every"),
        ("every = \"1h\"", "postgres.every"),
        (
            "follow_conninfo = \"host=evil\"",
            "postgres.follow_conninfo",
        ),
        ("follow_conninfo = \"user\"", "postgres.follow_conninfo"),
        ("slot = \"A-b\"", "postgres.slot"),
        ("stop_command = []", "postgres.stop_command"),
        ("stop_command = [\"systemctl\"]", "postgres.stop_command"),
        ("stop_command = \"/bin/true\"", "postgres.stop_command"),
    ];
    for (text, key) in cases {
        let table = "[postgres]\ndatabase = \"main\"\nuser = \"u\"\n";
        complained_of(&format!("{table}{text}"), key);
    }
}

#[test]
fn wrong_cluster_and_peer_tables_are_complained_of_by_key() {
    let cluster = "[kubernetes]\nkubeconfig = \"/k\"\n[[kubernetes.watch]]\n";
    let peer = |site: &str, address: &str, channel: &str, more: &str| {
        format!(
            "[[peer]]\nsite = \"{site}\"\naddress = \"{address}\"\nchannel = \"{channel}\"\n{more}"
        )
    };
    let late = "every = \"1s\"\ntimeout = \"2s\"";
    let cases = [
        ("[kubernetes]".to_owned(), "kubernetes.kubeconfig"),
        (
            format!("{cluster}kind = \"Pod\""),
            "kubernetes.watch[0].kind",
        ),
        (
            format!("{cluster}kind = \"Deployment\"\nnamespace = \"a/b\""),
            "kubernetes.watch[0].namespace",
        ),
        (peer("dc1", "h:1", "http", late), "peer[0].timeout"),
        (peer("dc2", "h:1", "http", ""), "peer[0].site"),
        (peer("dc1", "h", "http", ""), "peer[0].address"),
        (peer("dc1", "h:1", "icmp", ""), "peer[0].channel"),
    ];
    for (text, key) in cases {
        complained_of(&text, key);
    }
}

#[test]
fn wrong_smaller_tables_are_complained_of_by_key() {
    let hook = |more: &str| format!("[[hook]]\nname = \"h\"\n{more}\n");
    let shell = "argv = [\"/bin/sh\"]\n";
    let cases = [
        ("x = 1".to_owned(), "nats.x"),
        ("user = \"u\"".to_owned(), "nats"),
        (
            "[nats.tls]\nca_file = \"/c\"".to_owned(),
            "nats.tls.cert_file",
        ),
        ("[postgress]".to_owned(), "postgress"),
        (
            "[responder]\nlisten = \"localhost:1\"".to_owned(),
            "responder.listen",
        ),
        ("[host]\nwatch = 7".to_owned(), "host.watch"),
        (
            "[limits]\nledger_commands = 7".to_owned(),
            "limits.ledger_commands",
        ),
        (
            "[limits]\ncommand_age_max = \"1h\"".to_owned(),
            "limits.command_age_max",
        ),
        (hook(""), "hook[0].argv"),
        (hook("argv = [\"sh\"]"), "hook[0].argv"),
        (format!("{}{}", hook(shell), hook(shell)), "hook[1].name"),
        (hook(&format!("{shell}timeout = \"0s\"")), "hook[0].timeout"),
        (
            hook(&format!(
                "{shell}environment = {{ POINTSMAN_EPOCH = \"1\" }}"
            )),
            "hook[0].environment",
        ),
        (
            hook(&format!("{shell}environment = {{ \"a b\" = \"1\" }}")),
            "hook[0].environment",
        ),
    ];
    for (text, key) in cases {
        complained_of(&text, key);
    }
}

#[test]
fn wrong_tops_are_complained_of_by_key() {
    let cases = [
        (
            "",
            vec!["stack", "site", "node", "state_dir", "nats.servers"],
        ),
        (
            "stack = \"E S\"\nsite = \"dc2\"\nnode = \"n\"\nstate_dir = \"s\"\n[nats]\nservers = [\"h:1\"]",
            vec!["stack", "state_dir", "nats.servers[0]"],
        ),
        (
            "stack = 1\nsite = \"dc2\"\nnode = \"n\"\nstate_dir = \"/s\"\nlog = \"$(x)\"\nlog_format = \"xml\"\nnats = 1",
            vec!["stack", "log", "log_format", "nats", "nats.servers"],
        ),
        ("stack = = 1", vec!["line 1, column 9"]),
    ];
    for (text, expected) in cases {
        let problems = AgentConfig::parse("x", text).unwrap_err();
        let keys: Vec<&str> = problems
            .problems
            .iter()
            .map(|problem| problem.key.as_str())
            .collect();
        assert_eq!(keys, expected, "{problems}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem() {
    let problems = AgentConfig::load(Path::new("/nonexistent/agent.toml")).unwrap_err();
    assert!(problems.to_string().contains("/nonexistent/agent.toml"));
}
