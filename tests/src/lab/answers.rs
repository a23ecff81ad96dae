//! What the operator types.

use std::io::BufRead;

use tokio::sync::{mpsc, watch};

/// Where answers come from.
#[derive(Debug)]
pub enum Answers {
    /// Every question is answered as it wants to be.
    Yes,
    /// Lines of standard input.
    Typed(Lines),
}

/// Lines of standard input, read by a thread of their own so that nothing else waits for them.
#[derive(Debug)]
pub struct Lines {
    lines: mpsc::UnboundedReceiver<String>,
    ended: watch::Receiver<bool>,
}

impl Answers {
    /// The next answer; nothing at the end of the input.
    pub async fn next(&mut self, wanted: &str) -> Option<String> {
        match self {
            Self::Yes => Some(wanted.to_owned()),
            Self::Typed(lines) => lines.next().await,
        }
    }
}

impl Lines {
    /// Begins to read.
    pub fn of_standard_input() -> Self {
        let (line, lines) = mpsc::unbounded_channel();
        let (end, ended) = watch::channel(false);
        std::thread::spawn(move || {
            for text in std::io::stdin().lock().lines() {
                let Ok(text) = text else { break };
                if line.send(text).is_err() {
                    break;
                }
            }
            end.send_replace(true);
        });
        Self { lines, ended }
    }

    /// The next line, without the spaces around it; nothing at the end.
    pub async fn next(&mut self) -> Option<String> {
        self.lines.recv().await.map(|line| line.trim().to_owned())
    }

    /// Becomes true at the end of the input.
    pub fn ended(&self) -> watch::Receiver<bool> {
        self.ended.clone()
    }
}
