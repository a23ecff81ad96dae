//! The agent's socket in its state directory, by which an operator on the same host speaks to it without NATS.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use shared::telemetry::Chain;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use super::Room;
use super::speech::{Ask, LINE_BYTES_MAX, Said};

/// Where the socket is.
pub(crate) fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("agent.sock")
}

/// Takes sessions for ever. Only the owner of the state directory and root can connect.
pub(crate) async fn serve(path: PathBuf, room: Arc<Room>) {
    let listener = match bind(&path) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(socket = %path.display(), %error, "break glass is not available: the socket cannot be made");
            return;
        }
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let room = Arc::clone(&room);
                tokio::spawn(async move {
                    if let Err(error) = Box::pin(converse(stream, &room)).await {
                        tracing::info!(error = %Chain(&error), "a break-glass session broke off");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a break-glass session was not taken");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
        }
    }
}

/// The ledger's lock is held by now, so a socket that is there belongs to no running agent.
fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn converse(stream: UnixStream, room: &Room) -> io::Result<()> {
    let (reader, writer) = stream.into_split();
    let (ask, reader) = read(reader).await?;
    let (gone, is_gone) = watch::channel(false);
    // A terminal that was closed ends the session before its next step.
    let watching = tokio::spawn(async move {
        let mut reader = reader;
        let mut rest = [0; 64];
        while matches!(reader.read(&mut rest).await, Ok(1..)) {}
        gone.send_replace(true);
    });
    let mut line = Line { writer, is_gone };
    room.serve(&ask, &mut line).await;
    watching.abort();
    line.writer.shutdown().await
}

async fn read(reader: OwnedReadHalf) -> io::Result<(Ask, BufReader<OwnedReadHalf>)> {
    let mut reader = BufReader::new(reader);
    let mut text = Vec::new();
    let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    (&mut reader)
        .take(limit)
        .read_until(b'\n', &mut text)
        .await?;
    let ask = serde_json::from_slice(&text)?;
    Ok((ask, reader))
}

/// The way to the operator.
pub(super) struct Line {
    writer: OwnedWriteHalf,
    is_gone: watch::Receiver<bool>,
}

impl Line {
    /// Says something; who is gone does not hear it.
    pub(super) async fn say(&mut self, said: Said) {
        let Ok(mut text) = serde_json::to_vec(&said) else {
            return;
        };
        text.push(b'\n');
        drop(self.writer.write_all(&text).await);
    }

    /// True when nobody is there any more.
    pub(super) fn is_gone(&self) -> bool {
        *self.is_gone.borrow()
    }
}
