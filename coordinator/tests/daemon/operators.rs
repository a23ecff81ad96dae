//! What operators ask and get: the same facts as text and as JSON, refusals with a name, changes by the leader only.

use std::process::Output;
use std::time::Duration;

use bus::{Bucket, Headers};
use serde_json::Value;
use shared::id::SiteName;
use shared::subject::{Subject, Verb};

use crate::rig::{Rig, SITES, STACK, ask, json, leader, stack, text, until};

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

fn assert_plain(text: &str) {
    let odd = text.chars().find(|c| c.is_control() && *c != '\n');
    assert_eq!(odd, None, "{text:?}");
}

fn assert_snake_case(value: &Value) {
    match value {
        Value::Object(map) => {
            for (key, below) in map {
                let good = key
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c));
                assert!(good, "{key}");
                assert_snake_case(below);
            }
        }
        Value::Array(list) => list.iter().for_each(assert_snake_case),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn status_is_text_and_json_and_says_the_same() {
    let rig = Rig::start("").await;
    let (connection, _coordinators) = rig.with_stack().await;
    let (site, _) = leader(&connection).await;
    let plain = Subject::operator(&stack(), Verb::Status);
    let screen = text(&ask(&connection, &plain, "").await.unwrap());
    assert_plain(&screen);
    assert!(
        screen.contains(&format!("{site} leads in term")),
        "{screen}"
    );
    assert!(
        screen.lines().all(|line| line.chars().count() <= 100),
        "{screen}"
    );
    let accept = Headers::new().with("Accept", "application/json");
    let asked = connection
        .request_raw(&plain, Vec::new(), &accept, Duration::from_secs(3))
        .await
        .unwrap();
    for answer in [
        &asked,
        &ask(
            &connection,
            &Subject::operator_json(&stack(), Verb::Status),
            "",
        )
        .await
        .unwrap(),
    ] {
        let status = json(answer);
        assert_plain(&text(answer));
        assert_snake_case(&status);
        assert_eq!(
            (&status["answered_by"], &status["leads"]),
            (&Value::from(site.as_str()), &Value::from(true))
        );
        assert_eq!(status["stack_version"], 1);
    }
    for verb in [
        Verb::Proposals,
        Verb::Explain,
        Verb::Shadow,
        Verb::StackShow,
        Verb::History,
    ] {
        let answer = ask(&connection, &Subject::operator_json(&stack(), verb), "")
            .await
            .unwrap();
        assert_eq!(json(&answer)["leads"], true, "{verb:?}: {}", text(&answer));
        assert_plain(&text(
            &ask(&connection, &Subject::operator(&stack(), verb), "")
                .await
                .unwrap(),
        ));
    }
}

#[tokio::test]
async fn a_follower_changes_nothing_and_names_the_leader() {
    let rig = Rig::start("").await;
    let (connection, _coordinators) = rig.with_stack().await;
    let (leads, _) = leader(&connection).await;
    let changing: Vec<Verb> = Verb::ALL
        .into_iter()
        .filter(|verb| verb.changes())
        .collect();
    assert_eq!(changing.len(), 10, "{changing:?}");
    for site in SITES.into_iter().filter(|site| *site != leads) {
        let show = Subject::operator_at(&stack(), &SiteName::new(site).unwrap(), Verb::Proposals);
        until("a follower that has seen the leader", async || {
            let answer = json(&ask(&connection, &show, "").await.ok()?);
            (answer["leader"] == leads.as_str()).then_some(())
        })
        .await;
        for verb in &changing {
            let subject = Subject::operator_at(&stack(), &SiteName::new(site).unwrap(), *verb);
            let refused = json(
                &ask(&connection, &subject, "{\"reason\": \"x\"}")
                    .await
                    .unwrap(),
            );
            assert_eq!(refused["refused"]["rule"], "not-leader", "{refused}");
            assert!(
                refused["refused"]["reason"]
                    .as_str()
                    .unwrap()
                    .contains(&format!("{leads} leads")),
                "{refused}"
            );
        }
        let refused = rig.cli(&["hold", "--reason", "x", "--at", site]);
        assert_eq!(code(&refused), 1, "{}", err(&refused));
        assert!(err(&refused).contains("not-leader"));
    }
    let held = rig.cli(&["hold", "--reason", "planned work\u{1b}[2J"]);
    assert_eq!(code(&held), 0, "{}", err(&held));
    until("the hold at every coordinator", async || {
        for site in SITES {
            let status: Value =
                serde_json::from_str(&out(&rig.cli(&["status", "--json", "--at", site]))).ok()?;
            let hold = status["hold"].as_str()?;
            assert!(hold.contains("alice"), "{hold}");
        }
        Some(())
    })
    .await;
    let history = rig.cli(&["history"]);
    assert!(
        out(&history).contains("alice suspended proposals") || out(&history).contains("hold"),
        "{}",
        out(&history)
    );
    assert_plain(&out(&history));
    let own = std::fs::read_to_string(rig.state_dir(&leads).join("audit.jsonl")).unwrap();
    let events: Vec<Value> = own
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        events
            .iter()
            .any(|event| event["kind"] == "hold" && event["actor"] == "alice"),
        "{own}"
    );
    assert_plain(&own);
}

#[tokio::test]
async fn a_bad_stack_file_is_refused_with_every_problem_and_a_good_one_applied_once() {
    let rig = Rig::start("").await;
    let (connection, _coordinators) = rig.with_stack().await;
    let bad = STACK
        .replace("replicas = 1\n", "replicas = -1\n")
        .replace("role = \"witness\"", "role = \"judge\"")
        + "\n[extra]\n";
    let request = serde_json::json!({ "file": "bad.toml", "text": bad, "replaces": 1 }).to_string();
    let refused = json(
        &ask(
            &connection,
            &Subject::operator_json(&stack(), Verb::StackApply),
            &request,
        )
        .await
        .unwrap(),
    );
    let problems = refused["refused"]["problems"].as_array().unwrap();
    let keys: Vec<&str> = problems
        .iter()
        .map(|problem| problem["key"].as_str().unwrap())
        .collect();
    assert_eq!(refused["refused"]["rule"], "bad-request", "{refused}");
    for wanted in ["sites.dc3.role", "workload[0].replicas", "extra"] {
        assert!(keys.contains(&wanted), "{wanted} in {keys:?}");
    }
    let file = rig.path().join("bad.toml");
    std::fs::write(&file, &bad).unwrap();
    let file = file.display().to_string();
    for command in ["apply", "check"] {
        let refused = rig.cli(&["stack", command, &file]);
        assert_eq!(code(&refused), 2, "{}", err(&refused));
        assert!(
            err(&refused)
                .contains("sites.dc3.role: found \"judge\"; allowed: primary | standby | witness")
        );
    }
    let good = rig.path().join("good.toml");
    std::fs::write(&good, STACK.replace("replicas = 2", "replicas = 3")).unwrap();
    let good = good.display().to_string();
    let check = rig.cli(&["stack", "check", &good]);
    assert!(
        out(&check).contains("~ workloads.haproxy.replicas = 2 -> 3"),
        "{}{}",
        out(&check),
        err(&check)
    );
    let unasked = rig.cli(&["stack", "apply", &good]);
    assert_eq!(code(&unasked), 2, "nobody said yes: {}", err(&unasked));
    let applied = rig.cli(&["stack", "apply", &good, "--yes"]);
    assert_eq!(code(&applied), 0, "{}", err(&applied));
    let stale = serde_json::json!({ "text": STACK, "replaces": 1 }).to_string();
    let refused = json(
        &ask(
            &connection,
            &Subject::operator_json(&stack(), Verb::StackApply),
            &stale,
        )
        .await
        .unwrap(),
    );
    assert_eq!(refused["refused"]["rule"], "stack-version", "{refused}");
}

#[tokio::test]
async fn automatic_mode_is_switched_in_the_ticket_and_told_everywhere() {
    let rig = Rig::start("").await;
    let (connection, _coordinators) = rig.with_stack().await;
    let automatic = STACK
        .replace("# mode = \"approval\"", "mode = \"automatic\"")
        .replace("# self_fence = \"off\"", "self_fence = \"stop\"")
        .replace(
            "# fence_grade = \"attested\"",
            "fence_grade = \"lease_expired\"",
        );
    let file = rig.path().join("automatic.toml");
    std::fs::write(&file, automatic).unwrap();
    let applied = rig.cli(&["stack", "apply", &file.display().to_string(), "--yes"]);
    assert_eq!(code(&applied), 0, "{}", err(&applied));
    let unasked = rig.cli(&["automatic", "off"]);
    assert_eq!(code(&unasked), 2, "{}", err(&unasked));
    let on = rig.cli(&["automatic", "on", "--reason", "x"]);
    assert_eq!(code(&on), 1, "{}", err(&on));
    assert!(err(&on).contains("not-off"), "{}", err(&on));
    let off = rig.cli(&["automatic", "off", "--reason", "planned work"]);
    assert_eq!(code(&off), 0, "{}", err(&off));
    // Who was told *off* finds it in the ticket at once.
    let name = shared::subject::bucket(&stack());
    let bucket = Bucket::open(&connection, &name).await.unwrap();
    let entry = bucket.entry("ticket").await.unwrap();
    let ticket: Value = serde_json::from_slice(&entry.unwrap().value).unwrap();
    assert_eq!(ticket["automatic_off"]["by"], "alice", "{ticket}");
    until("the switch at every coordinator", async || {
        for site in SITES {
            let status: Value =
                serde_json::from_str(&out(&rig.cli(&["status", "--json", "--at", site]))).ok()?;
            let blocked = status["automatic"]["blocked"].as_array()?;
            let switch = blocked.iter().find(|block| block["rule"] == "switch")?;
            let said = switch["sentence"].as_str()?;
            assert!(
                said.contains("alice") && said.contains("planned work"),
                "{said}"
            );
        }
        Some(())
    })
    .await;
    let explain = rig.cli(&["explain"]);
    assert!(
        out(&explain).contains("automatic: blocked"),
        "{}",
        out(&explain)
    );
    let on = rig.cli(&["automatic", "on", "--reason", "done"]);
    assert_eq!(code(&on), 0, "{}", err(&on));
    let nothing = rig.cli(&["acknowledge", "cool-down", "--reason", "looked"]);
    assert_eq!(code(&nothing), 1, "{}", err(&nothing));
    assert!(err(&nothing).contains("no-cool-down"), "{}", err(&nothing));
    let shadow = rig.cli(&["shadow"]);
    assert_eq!(code(&shadow), 0, "{}", err(&shadow));
    assert!(
        out(&shadow).contains("nothing would have been proposed"),
        "{}",
        out(&shadow)
    );
    let subject = Subject::operator(&stack(), Verb::Shadow);
    let plain = ask(&connection, &subject, "").await.unwrap();
    assert_plain(&text(&plain));
    let history = out(&rig.cli(&["history"]));
    assert!(
        history.contains("alice switched automatic mode off"),
        "{history}"
    );
}

#[tokio::test]
async fn exit_codes_say_what_happened() {
    let mut rig = Rig::start("").await;
    let (_connection, _coordinators) = rig.with_stack().await;
    assert_eq!(code(&rig.cli(&["status"])), 3, "agents were never heard");
    assert_eq!(code(&rig.cli(&["proposals"])), 0);
    assert_eq!(code(&rig.cli(&["show"])), 1, "there is none");
    assert_eq!(code(&rig.cli(&["show", "\u{1b}[31m"])), 1);
    assert_eq!(code(&rig.cli(&["status", "--stack", "Upper"])), 2);
    assert_eq!(
        code(&rig.cli(&["approve", "latest", "--yes", "--reason", "x"])),
        2
    );
    assert_eq!(code(&rig.cli(&["completions", "bash"])), 0);
    assert_eq!(
        code(&rig.cli(&["status", "--stack", "other"])),
        5,
        "nobody listens"
    );
    let unknown = rig.cli(&[
        "approve",
        "00000000-0000-0000-0000-000000000001",
        "--yes",
        "--digest",
        "abcdabcd",
        "--reason",
        "x",
    ]);
    assert_eq!(code(&unknown), 1, "{}", err(&unknown));
    rig.stop_server();
    let gone = rig.cli(&["status"]);
    assert_eq!(code(&gone), 5, "{}", err(&gone));
}
