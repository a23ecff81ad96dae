//! Moves the bytes of one connection in one direction.
//!
//! At most [`SLOTS`] parcels of [`PARCEL`] bytes are held; beyond that the sender feels it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::line::{Flow, Line};

/// Bytes read at once.
const PARCEL: usize = 16 * 1024;
/// Parcels held at most.
const SLOTS: usize = 16;

struct Parcel {
    due: Instant,
    content: Content,
}

enum Content {
    Bytes(Vec<u8>),
    End,
    Broken,
}

/// Carries everything from `source` to `sink` until the source ends.
///
/// # Errors
/// When either side breaks; the caller then resets both.
pub(super) async fn pump(
    source: ReadHalf<'_>,
    sink: WriteHalf<'_>,
    line: Arc<Line>,
    seed: u64,
) -> Result<()> {
    let (sender, receiver) = mpsc::channel(SLOTS);
    let collected = async {
        collect(source, sender, &line, seed).await;
        Ok(())
    };
    tokio::try_join!(collected, deliver(sink, receiver, &line)).map(|((), ())| ())
}

async fn collect(mut source: ReadHalf<'_>, sender: mpsc::Sender<Parcel>, line: &Line, seed: u64) {
    let mut dice = seed;
    let mut last_due = Instant::now();
    loop {
        let mut bytes = vec![0; PARCEL];
        let content = match source.read(&mut bytes).await {
            Ok(0) => Content::End,
            Ok(count) => {
                bytes.truncate(count);
                Content::Bytes(bytes)
            }
            Err(_) => Content::Broken,
        };
        let last = !matches!(content, Content::Bytes(_));
        let due = last_due.max(Instant::now() + travel_time(line.flow(), &mut dice));
        last_due = due;
        if sender.send(Parcel { due, content }).await.is_err() || last {
            return;
        }
    }
}

async fn deliver(
    mut sink: WriteHalf<'_>,
    mut receiver: mpsc::Receiver<Parcel>,
    line: &Line,
) -> Result<()> {
    let mut flow = line.subscribe();
    while let Some(parcel) = receiver.recv().await {
        sleep_until(parcel.due).await;
        // A line that is dropped for good ends the connection with it.
        flow.wait_for(|now| matches!(now, Flow::Open { .. }))
            .await?;
        match parcel.content {
            Content::Bytes(bytes) => {
                sink.write_all(&bytes).await?;
                line.count_bytes(bytes.len());
            }
            Content::End => return Ok(sink.shutdown().await?),
            Content::Broken => bail!("the sender broke the connection"),
        }
    }
    Ok(())
}

fn travel_time(flow: Flow, dice: &mut u64) -> Duration {
    match flow {
        Flow::Open { delay, jitter, .. } => delay + jitter.mul_f64(fraction(dice)),
        Flow::Silent | Flow::Refused => Duration::ZERO,
    }
}

/// The next of a repeatable series of fractions (splitmix64, upper 32 bits).
pub(super) fn fraction(dice: &mut u64) -> f64 {
    *dice = dice.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *dice;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^= mixed >> 31;
    f64::from(u32::try_from(mixed >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_spread_over_the_whole_range_and_repeat() {
        let mut dice = 7;
        let series: Vec<f64> = (0..1000).map(|_| fraction(&mut dice)).collect();
        assert!(series.iter().all(|value| (0.0..=1.0).contains(value)));
        assert!(series.iter().any(|value| *value < 0.05));
        assert!(series.iter().any(|value| *value > 0.95));
        let mut again = 7;
        assert_eq!(series.first().copied(), Some(fraction(&mut again)));
    }
}
