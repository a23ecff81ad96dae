//! Making the store and the audit stream beforehand.

use bus::ProvisionNote;
use coordinator::provisioning;
use serde_json::{Value, json};

use super::failure::Failure;
use super::link::Link;
use super::terminal::Terminal;

/// Makes what is missing and says what differs.
pub(crate) async fn run(
    link: &Link,
    terminal: Terminal,
    replicas: u8,
    preferred: Option<&str>,
) -> Result<(), Failure> {
    let bucket = provisioning::bucket(&link.stack, replicas);
    let audit = provisioning::audit(&link.stack, replicas);
    let notes = Box::pin(bus::provision(
        &link.connection,
        &[bucket],
        &[audit],
        preferred,
    ))
    .await?;
    if terminal.json {
        let notes: Vec<Value> = notes
            .iter()
            .map(|note| json!({ "note": words(note) }))
            .collect();
        terminal.print(&json!({ "schema": 1, "notes": notes }).to_string());
    } else {
        for note in &notes {
            terminal.print(&words(note));
        }
    }
    Ok(())
}

fn words(note: &ProvisionNote) -> String {
    match note {
        ProvisionNote::Created { stream } => format!("{stream}: made"),
        ProvisionNote::Unchanged { stream } => format!("{stream}: there, as it should be"),
        ProvisionNote::DirectReadsOff { stream } => {
            format!("{stream}: reads from any replica were switched off")
        }
        ProvisionNote::Drift {
            stream,
            setting,
            wanted,
            found,
        } => {
            format!("{stream}: WARNING {setting} is {found}, wanted is {wanted}; left as it is")
        }
        ProvisionNote::LeaderMoved { stream, leader } => format!("{stream}: led by {leader} now"),
        ProvisionNote::LeaderElsewhere {
            stream,
            leader,
            why,
        } => {
            let leader = leader.as_deref().unwrap_or("nobody");
            format!("{stream}: WARNING led by {leader}, and not moved: {why}")
        }
    }
}
