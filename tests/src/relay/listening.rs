//! Whether somebody listens on an address of this machine, asked without a trace.
//!
//! A connection would show in the target's log, and the kernel's table of sockets takes tens of
//! milliseconds to read. A bind with address reuse is refused exactly while a socket *listens*
//! there, whatever connections are left over, and does not keep a server from binding meanwhile.

use std::io::ErrorKind;
use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// Whether a socket listens on `address`, an IPv4 address of this machine.
pub(super) fn is_listened_on(address: SocketAddr) -> bool {
    let attempt = TcpSocket::new_v4().and_then(|socket| {
        socket.set_reuseaddr(true)?;
        socket.bind(address)
    });
    matches!(attempt, Err(error) if error.kind() == ErrorKind::AddrInUse)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn only_a_listening_socket_counts_not_the_connections_it_leaves() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(is_listened_on(address));
        let mut client = TcpStream::connect(address).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        drop(listener);
        assert!(!is_listened_on(address));
        server.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
        drop(server);
        assert!(!is_listened_on(address));
    }

    #[test]
    fn asking_keeps_nobody_from_listening() {
        let address = SocketAddr::from(([127, 0, 0, 1], crate::port::reserve().unwrap()));
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        TcpListener::bind(address).unwrap();
    }
}
