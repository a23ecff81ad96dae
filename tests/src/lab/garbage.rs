//! Bytes that are no messages, on the subjects that carry messages.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use shared::codec::MESSAGE_BYTES_MAX;

use super::STACK;
use crate::nats_wire::Wire;

const CONNECT: Duration = Duration::from_secs(5);

/// Subjects of one sender each.
pub const SUBJECTS: [&str; 4] = [
    "hb.dc1.dc1-db",
    "obs.dc2",
    "report.dc2.dc2-db",
    "cmd.dc2.dc2-db",
];

#[derive(Serialize)]
struct Odd<'a> {
    v: u16,
    k: &'a str,
    b: &'a [u64],
}

/// Publishes every kind of garbage on every subject.
///
/// # Errors
/// When the server does not take it.
pub async fn publish(server: SocketAddr) -> Result<usize> {
    let mut wire = Wire::connect(server, CONNECT).await?;
    let pieces = pieces()?;
    for subject in SUBJECTS {
        for piece in &pieces {
            wire.publish(&format!("pointsman.{STACK}.{subject}"), piece)
                .await?;
        }
    }
    wire.flush(CONNECT).await?;
    Ok(pieces.len() * SUBJECTS.len())
}

fn pieces() -> Result<Vec<Vec<u8>>> {
    let envelope = |v, k| {
        rmp_serde::to_vec_named(&Odd {
            v,
            k,
            b: &[1, 2, 3],
        })
    };
    let mut trailing = envelope(1, "hb")?;
    trailing.extend([0xc0; 40]);
    Ok(vec![
        Vec::new(),
        b"not a message".to_vec(),
        vec![0xff; 300],
        // Arrays in arrays, deep enough to use up a stack.
        vec![0x91; 20_000],
        // A map that promises four thousand million entries.
        vec![0xdf, 0xff, 0xff, 0xff, 0xff],
        envelope(1, "hb")?,
        envelope(9, "hb")?,
        envelope(1, "unheard-of")?,
        trailing,
        vec![0x80; MESSAGE_BYTES_MAX + 1],
    ])
}
