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
    for line in SAMPLE.lines() {
        let key = line.strip_prefix("# ").and_then(|rest| rest.split_once(" = "));
        let is_key = key.is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        text.push_str(if is_key { &line[2..] } else { line });
        text.push('\n');
    }
    let problems = AgentConfig::parse("agent.toml", &text).unwrap_err();
    for problem in &problems.problems {
        assert_ne!(problem.found, "an unknown key", "{problem}");
    }
    // What contradicts itself when everything is switched on is said, and nothing else.
    let keys: Vec<&str> = problems.problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["nats", "postgres.host", "postgres.ssl_ca_file"]);
}

#[test]
fn the_smallest_file_has_no_modules() {
    let config = AgentConfig::parse("x", SMALLEST).unwrap();
    assert!(config.postgres.is_none() && config.kubernetes.is_none() && config.host.is_none());
    assert_eq!(config.nats.credentials, bus::Credentials::None);
    assert_eq!(config.limits.command_age_max, shared::clock::Millis::seconds(30));
}

/// Each text is put below the smallest file; the key named must be complained of.
#[test]
fn wrong_files_are_complained_of_by_key() {
    const POSTGRES: &str = "[postgres]\ndatabase = \"main\"\nuser = \"u\"\n";
    const HOOK: &str = "[[hook]]\nname = \"h\"\n";
    const PEER: &str = "[[peer]]\nsite = \"dc1\"\naddress = \"h:1\"\nchannel = \"http\"\n";
    let cases = [
        ("x = 1", "nats.x"),
        ("[postgress]", "postgress"),
        ("[postgres]", "postgres.database"),
        ("[postgres]\ndatabase = \"main\"", "postgres.user"),
        (&format!("{POSTGRES}database = \"x\""), "line"),
        (&format!("{POSTGRES}port = 0"), "postgres.port"),
        (&format!("{POSTGRES}port = \"5432\""), "postgres.port"),
        (&format!("{POSTGRES}host = \"h\"\nsocket = \"/s\""), "postgres.host"),
        (&format!("{POSTGRES}socket = \"s\""), "postgres.socket"),
        (&format!("{POSTGRES}sslmode = \"prefer\""), "postgres.sslmode"),
        (&format!("{POSTGRES}sslmode = \"require\""), "postgres.sslmode"),
        (&format!("{POSTGRES}ssl_ca_file = \"/c\""), "postgres.ssl_ca_file"),
        (&format!("{POSTGRES}pgdata = \"data\""), "postgres.pgdata"),
        (&format!("{POSTGRES}beat = \"yes\""), "postgres.beat"),
        (&format!("{POSTGRES}every = \"1\""), "postgres.every"),
        (&format!("{POSTGRES}every = \"1h\""), "postgres.every"),
        (&format!("{POSTGRES}follow_conninfo = \"host=evil\""), "postgres.follow_conninfo"),
        (&format!("{POSTGRES}follow_conninfo = \"user\""), "postgres.follow_conninfo"),
        (&format!("{POSTGRES}slot = \"A-b\""), "postgres.slot"),
        (&format!("{POSTGRES}stop_command = []"), "postgres.stop_command"),
        (&format!("{POSTGRES}stop_command = [\"systemctl\"]"), "postgres.stop_command"),
        (&format!("{POSTGRES}stop_command = \"/bin/true\""), "postgres.stop_command"),
        ("[kubernetes]", "kubernetes.kubeconfig"),
        ("[kubernetes]\nkubeconfig = \"/k\"\n[[kubernetes.watch]]\nkind = \"Pod\"", "kubernetes.watch[0].kind"),
        (
            "[kubernetes]\nkubeconfig = \"/k\"\n[[kubernetes.watch]]\nkind = \"Deployment\"\nnamespace = \"a/b\"",
            "kubernetes.watch[0].namespace",
        ),
        (&format!("{PEER}every = \"1s\"\ntimeout = \"2s\""), "peer[0].timeout"),
        ("[[peer]]\nsite = \"dc2\"\naddress = \"h:1\"\nchannel = \"http\"", "peer[0].site"),
        ("[[peer]]\nsite = \"dc1\"\naddress = \"h\"\nchannel = \"http\"", "peer[0].address"),
        ("[[peer]]\nsite = \"dc1\"\naddress = \"h:1\"\nchannel = \"icmp\"", "peer[0].channel"),
        ("[responder]\nlisten = \"localhost:1\"", "responder.listen"),
        ("[host]\nwatch = 7", "host.watch"),
        (HOOK, "hook[0].argv"),
        (&format!("{HOOK}argv = [\"sh\"]"), "hook[0].argv"),
        (&format!("{HOOK}argv = [\"/bin/sh\"]\n{HOOK}argv = [\"/bin/sh\"]"), "hook[1].name"),
        (&format!("{HOOK}argv = [\"/bin/sh\"]\ntimeout = \"0s\""), "hook[0].timeout"),
        (&format!("{HOOK}argv = [\"/bin/sh\"]\nenvironment = {{ POINTSMAN_EPOCH = \"1\" }}"), "hook[0].environment"),
        (&format!("{HOOK}argv = [\"/bin/sh\"]\nenvironment = {{ \"a b\" = \"1\" }}"), "hook[0].environment"),
        ("[limits]\nledger_commands = 7", "limits.ledger_commands"),
        ("[limits]\ncommand_age_max = \"1h\"", "limits.command_age_max"),
        ("[nats.tls]\nca_file = \"/c\"", "nats.tls.cert_file"),
        ("user = \"u\"", "nats"),
    ];
    for (text, key) in cases {
        let problems = AgentConfig::parse("x", &format!("{SMALLEST}{text}\n")).unwrap_err();
        let said = problems.to_string();
        let named = problems.problems.iter().any(|p| p.key == key || (key == "line" && p.key.starts_with("line")));
        assert!(named, "{text}: {said}");
        assert!(problems.problems.iter().all(|p| !p.allowed.is_empty()), "{said}");
    }
}

#[test]
fn wrong_tops_are_complained_of_by_key() {
    let cases = [
        ("", vec!["stack", "site", "node", "state_dir", "nats.servers"]),
        ("stack = \"E S\"\nsite = \"dc2\"\nnode = \"n\"\nstate_dir = \"s\"\n[nats]\nservers = [\"h:1\"]",
            vec!["stack", "state_dir", "nats.servers[0]"]),
        ("stack = 1\nsite = \"dc2\"\nnode = \"n\"\nstate_dir = \"/s\"\nlog = \"$(x)\"\nlog_format = \"xml\"\nnats = 1",
            vec!["stack", "log", "log_format", "nats", "nats.servers"]),
        ("stack = = 1", vec!["line 1, column 9"]),
    ];
    for (text, expected) in cases {
        let problems = AgentConfig::parse("x", text).unwrap_err();
        let keys: Vec<&str> = problems.problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(keys, expected, "{problems}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem() {
    let problems = AgentConfig::load(Path::new("/nonexistent/agent.toml")).unwrap_err();
    assert!(problems.to_string().contains("/nonexistent/agent.toml"));
}
