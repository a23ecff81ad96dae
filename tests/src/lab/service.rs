//! One program of the lab that can be killed, frozen and started again with its files as they were.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::process::{Process, Program};

/// A program and, while it runs, its process. Dropping it kills it.
#[derive(Debug)]
pub struct Service {
    program: Program,
    process: Option<Process>,
}

impl Service {
    /// A service that does not run yet.
    pub fn new(program: Program) -> Self {
        Self {
            program,
            process: None,
        }
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.program.name
    }

    /// Its executable.
    pub fn executable(&self) -> &Path {
        &self.program.executable
    }

    /// Its working directory.
    pub fn directory(&self) -> &Path {
        &self.program.directory
    }

    /// Its log.
    pub fn log(&self) -> &Path {
        &self.program.log
    }

    /// Starts it.
    ///
    /// # Errors
    /// When it runs already or cannot be started.
    pub fn start(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "{} runs already", self.name());
        self.process = Some(Process::spawn(&self.program)?);
        Ok(())
    }

    /// Kills it with all that it started; nothing to do when it does not run.
    ///
    /// # Errors
    /// When something survives.
    pub async fn kill(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// Freezes it; nothing to do when it does not run.
    ///
    /// # Errors
    /// When something runs on.
    pub async fn freeze(&self) -> Result<()> {
        match &self.process {
            Some(process) => process.freeze().await,
            None => Ok(()),
        }
    }

    /// Lets it run again.
    pub fn thaw(&self) {
        if let Some(process) = &self.process {
            process.thaw();
        }
    }

    /// True while it was not killed here.
    pub fn is_started(&self) -> bool {
        self.process.is_some()
    }

    /// Fails when it ended by itself.
    ///
    /// # Errors
    /// When it ended; its log is quoted.
    pub fn check_alive(&mut self) -> Result<()> {
        let Some(process) = &mut self.process else {
            return Ok(());
        };
        match process.exited()? {
            None => Ok(()),
            Some(status) => {
                let tail = process.log_tail();
                Err(anyhow::anyhow!("{status}: {tail}"))
                    .with_context(|| format!("{} ended by itself", self.program.name))
            }
        }
    }
}
