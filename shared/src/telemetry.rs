//! Logs: one subscriber for all binaries, and the printing of error chains.
//!
//! ERROR = a human is needed; WARN = odd, went on; INFO = phase, step, verdict; DEBUG = branch; TRACE = each
//! heartbeat. Messages are constant texts, values are fields; an error is logged once, where it is handled.

use std::error::Error;
use std::fmt;

use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people and journals.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why logging could not be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter text is wrong.
    #[error(
        "log filter {found:?} is not understood; allowed is a level (error, warn, info, debug, trace) or target=level pairs"
    )]
    Filter {
        /// The filter found.
        found: String,
        /// What the parser said.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// A subscriber is set already.
    #[error("logging was started before")]
    Started {
        /// What the registry said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Starts logging to standard error; standard output stays for results.
///
/// # Errors
/// [`TelemetryError`] when the filter is wrong or logging was started before.
pub fn start(filter: &str, format: LogFormat) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(filter).map_err(|source| TelemetryError::Filter {
        found: filter.to_owned(),
        source,
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false);
    let started = match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    started.map_err(|source| TelemetryError::Started { source })
}

/// An error with all its causes on one line, for a log field or the last line of a program.
pub struct Chain<'a>(pub &'a (dyn Error + 'a));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
