//! A link to a server that can be stalled or cut while the server and its other clients live on.

use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A loopback port in front of a server.
pub(crate) struct Gate {
    pub(crate) url: String,
    state: Arc<watch::Sender<State>>,
    cuts: Arc<watch::Sender<u64>>,
}

/// What a gate does with the bytes that reach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Forwards them.
    Open,
    /// Keeps the connections and takes nothing from them.
    Stalled,
    /// Cuts the connections, with all that is in them, and takes no new ones.
    Closed,
}

impl Gate {
    pub(crate) async fn to(server: &str) -> Self {
        let server = server.trim_start_matches("nats://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        let state = Arc::new(watch::Sender::new(State::Open));
        let cuts = Arc::new(watch::Sender::new(0));
        let shared = (Arc::clone(&state), Arc::clone(&cuts));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (state, mut cut) = (shared.0.subscribe(), shared.1.subscribe());
                let server = server.clone();
                if *state.borrow() == State::Open {
                    tokio::spawn(async move {
                        tokio::select! {
                            () = forward(client, server, state) => {}
                            _ = cut.changed() => {}
                        }
                    });
                }
            }
        });
        Self { url, state, cuts }
    }

    pub(crate) fn set(&self, state: State) {
        self.state.send_replace(state);
    }

    /// Cuts the connections, with all that is in them, and takes new ones at once.
    pub(crate) fn cut(&self) {
        self.state.send_replace(State::Open);
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn forward(mut client: TcpStream, server: String, mut state: watch::Receiver<State>) {
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = state.wait_for(|state| *state != State::Open) => {}
    }
    let _ = state.wait_for(|state| *state == State::Closed).await;
}
