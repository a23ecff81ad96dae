//! What the lab tells, with the time since it began.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};

/// Tells on standard output, and keeps all of it in a file.
#[derive(Debug, Clone)]
pub struct Narrative {
    origin: Instant,
    aloud: bool,
    kept: Arc<Mutex<Option<File>>>,
}

impl Narrative {
    /// Begins to count time.
    pub fn new(aloud: bool) -> Self {
        Self {
            origin: Instant::now(),
            aloud,
            kept: Arc::default(),
        }
    }

    /// Keeps everything told from now on in a file.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn keep_in(&self, path: &Path) -> Result<()> {
        let file = File::create(path).with_context(|| format!("making {}", path.display()))?;
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
        Ok(())
    }

    /// One line with the time.
    pub fn say(&self, line: impl Display) {
        let seconds = self.origin.elapsed().as_secs_f64();
        self.write(&format!("{seconds:8.2} s  {line}\n"));
    }

    /// A text as it is, such as a table.
    pub fn show(&self, text: &str) {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        self.write(&format!("{text}{end}"));
    }

    /// A heading.
    pub fn head(&self, title: &str) {
        self.write(&format!("\n== {title}\n"));
    }

    /// A question, without an end of line.
    pub fn ask(&self, question: &str) {
        self.write(question);
    }

    /// A reader that went away, or a full disk, must not end a failover.
    fn write(&self, text: &str) {
        if self.aloud {
            let mut out = io::stdout().lock();
            drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = kept.as_mut() {
            drop(file.write_all(text.as_bytes()));
        }
    }
}
