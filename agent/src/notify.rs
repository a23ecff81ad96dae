//! Tells the service supervisor that the agent is ready, alive, or ending (`sd_notify`).
//!
//! Without a supervisor nothing happens. A message that cannot be delivered is not worth a failure.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The supervisor's socket, if there is one.
#[derive(Debug)]
pub(crate) struct Supervisor {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watched: bool,
}

impl Supervisor {
    /// Reads `NOTIFY_SOCKET` and `WATCHDOG_USEC`.
    pub(crate) fn from_environment() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET").and_then(|name| {
            let address = match name.as_bytes().strip_prefix(b"@") {
                Some(abstract_name) => SocketAddr::from_abstract_name(abstract_name),
                None => SocketAddr::from_pathname(&name),
            };
            let socket = UnixDatagram::unbound().ok()?;
            socket.set_nonblocking(true).ok()?;
            Some((socket, address.ok()?))
        });
        Self {
            socket,
            watched: std::env::var_os("WATCHDOG_USEC").is_some(),
        }
    }

    pub(crate) fn ready(&self) {
        self.send("READY=1");
    }

    /// Sent from the loop itself, so that a stuck loop is seen.
    pub(crate) fn alive(&self) {
        if self.watched {
            self.send("WATCHDOG=1");
        }
    }

    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1");
    }

    fn send(&self, text: &str) {
        let Some((socket, address)) = &self.socket else {
            return;
        };
        if let Err(error) = socket.send_to_addr(text.as_bytes(), address) {
            tracing::debug!(%error, text, "the supervisor was not told");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_reach_the_socket() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let receiver = UnixDatagram::bind(&path).unwrap();
        let address = SocketAddr::from_pathname(&path).unwrap();
        let socket = UnixDatagram::unbound().unwrap();
        let supervisor = Supervisor {
            socket: Some((socket, address)),
            watched: true,
        };
        supervisor.ready();
        supervisor.alive();
        let mut buffer = [0; 32];
        let read = receiver.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..read], b"READY=1");
        let read = receiver.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..read], b"WATCHDOG=1");
    }
}
