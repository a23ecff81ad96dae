//! The coordinator's file: the sample is good, every wrong one is refused with place, found and allowed.

use std::process::Command;

use coordinator::config::Config;
use shared::clock::Millis;

const SAMPLE: &str = include_str!("../../../deploy/config/coordinator.toml");

#[test]
fn the_sample_is_good_and_its_comments_are_the_defaults() {
    let config = Config::parse("coordinator.toml", SAMPLE).unwrap();
    assert_eq!(
        (config.site.as_str(), config.lead.lease),
        ("dc2", Millis::seconds(15))
    );
    assert_eq!(config.nats.inbox, "_INBOX.dc2.coordinator");
    let mut filled = String::new();
    for line in SAMPLE.lines() {
        let is_default = [
            "log",
            "log_format",
            "inbox",
            "candidate_delay",
            "lease",
            "renew",
        ]
        .iter()
        .any(|key| line.starts_with(&format!("# {key} = ")));
        filled.push_str(if is_default {
            line.trim_start_matches("# ")
        } else {
            line
        });
        filled.push('\n');
    }
    assert_ne!(filled, SAMPLE);
    assert_eq!(Config::parse("coordinator.toml", &filled).unwrap(), config);
}

#[test]
fn every_key_of_the_sample_is_known() {
    let mut whole = SAMPLE
        .replace("# [nats.tls]", "[nats.tls]")
        .replace("# [break_glass]", "[break_glass]");
    for key in [
        "log",
        "log_format",
        "inbox",
        "nkey",
        "ca",
        "cert",
        "key",
        "candidate_delay",
        "lease",
        "renew",
        "signing_seed_file",
    ] {
        whole = whole.replace(&format!("\n# {key} = "), &format!("\n{key} = "));
    }
    let config = Config::parse("coordinator.toml", &whole).unwrap();
    assert!(config.nats.tls.is_some() && config.signing_seed_file.is_some());
    assert!(matches!(
        config.nats.credentials,
        bus::Credentials::NkeySeedFile(_)
    ));
}

/// What is replaced in the sample, by what, and what the refusal says.
const WRONG: [(&str, &str, &str); 16] = [
    (
        "site = \"dc2\" ",
        "site = \"DC2\" ",
        "site: found site \"DC2\" is not a name",
    ),
    (
        "site = \"dc2\" ",
        "",
        "site: found nothing; allowed: a name",
    ),
    (
        "stack = \"ess\" ",
        "stack = 7 ",
        "stack: found 7; allowed: a name",
    ),
    (
        "state_dir",
        "statedir",
        "statedir: found an unknown key; allowed: break_glass | lead | log",
    ),
    (
        "servers = [\"nats://127.0.0.1:4222\"]",
        "servers = []",
        "nats.servers: found nothing; allowed: at least one",
    ),
    (
        "servers = [\"nats://",
        "servers = [\"http://",
        "nats.servers: found \"http://127.0.0.1:4222\"",
    ),
    (
        "servers = [\"nats://127.0.0.1:4222\"]",
        "servers = 4",
        "nats.servers: found 4",
    ),
    (
        "# lease = \"15s\"",
        "lease = \"1s\"",
        "lead.lease: found 1s; allowed: a span from 5s to 2m",
    ),
    (
        "# lease = \"15s\"",
        "lease = \"6s\"",
        "lead.lease: found 6s; allowed: at least twice renew plus 3s, here 9s",
    ),
    ("# renew = \"3s\"", "renew = \"soon\"", "lead.renew: found"),
    (
        "# candidate_delay = \"0s\"",
        "candidate_delay = \"2h\"",
        "lead.candidate_delay: found 2h",
    ),
    (
        "# log_format = \"text\"",
        "log_format = \"xml\"",
        "log_format: found \"xml\"; allowed: text | json",
    ),
    (
        "# nkey = ",
        "user = \"u\"\nnkey = ",
        "allowed: at most one of credentials, nkey, user",
    ),
    (
        "# nkey = ",
        "password_file = \"p\"\n# nkey = ",
        "allowed: user and password_file together",
    ),
    (
        "# [nats.tls]",
        "[nats.tls]",
        "nats.tls.ca: found nothing; allowed: a PEM file",
    ),
    ("[lead]", "[lead", "line "),
];

#[test]
fn every_wrong_file_is_refused_with_place_found_and_allowed() {
    let home = tempfile::tempdir().unwrap();
    for (number, (from, to, wanted)) in WRONG.into_iter().enumerate() {
        assert!(SAMPLE.contains(from), "{from}");
        let file = home.path().join(format!("{number}.toml"));
        std::fs::write(&file, SAMPLE.replacen(from, to, 1)).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_pointsman-coordinator"))
            .args(["--check-config", "--config"])
            .arg(&file)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{to}: {said}");
        assert!(said.contains(wanted), "{to}: {said}");
    }
    let good = home.path().join("good.toml");
    std::fs::write(&good, SAMPLE).unwrap();
    let check = |path: &std::path::Path| {
        Command::new(env!("CARGO_BIN_EXE_pointsman-coordinator"))
            .args(["--check-config", "--config"])
            .arg(path)
            .output()
            .unwrap()
            .status
            .code()
    };
    assert_eq!(check(&good), Some(0));
    assert_eq!(check(&home.path().join("absent.toml")), Some(2));
}
