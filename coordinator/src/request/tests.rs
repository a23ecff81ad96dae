use super::*;

const STACK: &str = include_str!("../../../deploy/config/stack.toml");

fn stack() -> StackName {
    StackName::new("ess").unwrap()
}

fn problems(verb: Verb, payload: &str) -> Vec<String> {
    match read(verb, payload.as_bytes(), &stack(), Some(&Durable::empty())) {
        Err(Wrong::Problems(problems)) => problems.iter().map(ToString::to_string).collect(),
        Err(Wrong::Unknown { rule, reason }) => vec![format!("{rule}: {reason}")],
        Ok(request) => panic!("{verb:?} {payload} was read as {request:?}"),
    }
}

#[test]
fn nothing_at_all_is_all_defaults() {
    for (verb, wanted) in [
        (Verb::Status, Request::Status),
        (Verb::Proposals, Request::Proposals),
        (Verb::Explain, Request::Explain),
        (Verb::StackShow, Request::StackShow),
        (Verb::Shadow, Request::Shadow),
        (Verb::History, Request::History { limit: 50 }),
    ] {
        for payload in ["", " \n", "{}", "{\"operator\": \"alice\"}"] {
            assert_eq!(
                read(verb, payload.as_bytes(), &stack(), None),
                Ok(wanted.clone()),
                "{verb:?} {payload:?}"
            );
        }
    }
}

/// Request, payload, and what the refusal says.
const WRONG: [(Verb, &str, &str); 31] = [
    (
        Verb::Automatic,
        "",
        "switch: found nothing; allowed: a text",
    ),
    (
        Verb::Automatic,
        "{\"switch\": \"of\", \"reason\": \"work\"}",
        "switch: found \"of\"; allowed: on | off",
    ),
    (
        Verb::Automatic,
        "{\"switch\": \"off\"}",
        "reason: found nothing; allowed: a text",
    ),
    (
        Verb::Status,
        "[]",
        "(request): found a list; allowed: a JSON object",
    ),
    (Verb::Status, "{", "(request): found EOF"),
    (Verb::Status, "\u{1}", "(request): found expected value"),
    (
        Verb::Status,
        "{\"x\": 1}",
        "x: found an unknown field; allowed: operator",
    ),
    (
        Verb::Approve,
        "",
        "proposal: found nothing; allowed: a text",
    ),
    (
        Verb::Approve,
        "{\"proposal\": \"latest\"}",
        "digest: found nothing",
    ),
    (
        Verb::Approve,
        "{\"proposal\": \"latest\", \"digest\": \"abcdabcd\"}",
        "no-such-proposal: there is no proposal \"latest\"",
    ),
    (
        Verb::Approve,
        "{\"proposal\": 7, \"digest\": \"\"}",
        "proposal: found a number; allowed: a text",
    ),
    (
        Verb::Approve,
        "{\"proposal\": \"x\", \"digset\": \"\"}",
        "digset: found an unknown field",
    ),
    (
        Verb::Approve,
        "{\"proposal\":\"x\",\"digest\":\"y\",\"overrides\":[\"rpo\"]}",
        "no-such-proposal",
    ),
    (
        Verb::Approve,
        "{\"proposal\":7,\"digest\":\"y\",\"overrides\":[\"rpo\"]}",
        "overrides: found a list; allowed: an object",
    ),
    (
        Verb::Approve,
        "{\"proposal\":7,\"digest\":\"y\",\"overrides\":{\"rpo\":\" \"}}",
        "overrides.rpo: found an empty text",
    ),
    (
        Verb::Reject,
        "{\"proposal\": \"latest\"}",
        "reason: found nothing",
    ),
    (
        Verb::Show,
        "{\"proposal\": \"nope\"}",
        "no-such-proposal: there is no proposal \"nope\"",
    ),
    (
        Verb::Resume,
        "{\"waive\": 0, \"reason\": \"x\"}",
        "no-such-run",
    ),
    (
        Verb::Abandon,
        "{\"run\": \"latest\"}",
        "reason: found nothing",
    ),
    (
        Verb::Hold,
        "{\"reason\": \"  \"}",
        "reason: found an empty text",
    ),
    (
        Verb::Acknowledge,
        "{\"alarm\": \"smoke\", \"reason\": \"x\"}",
        "alarm: found \"smoke\"; allowed: break-glass",
    ),
    (
        Verb::Acknowledge,
        "{\"alarm\": \"break-glass\"}",
        "reason: found nothing",
    ),
    (
        Verb::StoreAccept,
        "{\"live\": \"dc2\", \"confirm\": \"ess\"}",
        "reason: found nothing; allowed: a text",
    ),
    (
        Verb::StoreAccept,
        "{\"live\": \"DC 2\", \"confirm\": \"ess\", \"reason\": \"x\"}",
        "live: found \"DC 2\"; allowed: the name of the site that is live",
    ),
    (
        Verb::StoreAccept,
        "{\"live\": \"dc2\", \"confirm\": \"Ess\", \"reason\": \"x\"}",
        "confirm: found \"Ess\"; allowed: \"ess\", the stack's name",
    ),
    (
        Verb::StoreAccept,
        "{\"live\": \"dc2\", \"confirm\": \"ess\", \"reason\": \"x\", \"yes\": true}",
        "yes: found an unknown field",
    ),
    (
        Verb::History,
        "{\"limit\": 0}",
        "limit: found 0; allowed: a whole number from 1 to 500",
    ),
    (
        Verb::History,
        "{\"limit\": \"5\"}",
        "limit: found a text; allowed: a whole number",
    ),
    (
        Verb::StackApply,
        "{}",
        "text: found nothing; allowed: a text",
    ),
    (
        Verb::StackApply,
        "{\"text\": \"a = = 1\"}",
        "line 1, column",
    ),
    (
        Verb::StackCheck,
        "{\"text\": \"schema = 1\"}",
        "name: found nothing",
    ),
];

#[test]
fn every_wrong_request_names_field_found_and_allowed() {
    for (verb, payload, wanted) in WRONG {
        let found = problems(verb, payload).join("\n");
        assert!(found.contains(wanted), "{verb:?} {payload}: {found}");
    }
    let long = format!("{{\"reason\": \"{}\"}}", "x".repeat(2_001));
    assert!(
        problems(Verb::Hold, &long)
            .join("")
            .contains("2001 characters")
    );
}

#[test]
fn a_stack_for_another_name_is_refused_and_the_own_one_read() {
    let request = |text: &str| serde_json::json!({ "file": "s.toml", "text": text }).to_string();
    let other = STACK.replace("name = \"ess\" ", "name = \"other\" ");
    assert!(
        problems(Verb::StackCheck, &request(&other))
            .join("")
            .contains("\"other\"")
    );
    assert!(matches!(
        read(Verb::StackCheck, request(STACK).as_bytes(), &stack(), None),
        Ok(Request::StackCheck { .. })
    ));
}
