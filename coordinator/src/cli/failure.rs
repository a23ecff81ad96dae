//! Why a command did not succeed, and the exit code that says so.

use std::process::ExitCode;

use bus::{ConnectError, Connection, DialError, ProvisionError, RequestError, SubscribeError};
use coordinator::reply::RefusedReply;
use coordinator::screen::{refusal, text::clean};
use shared::telemetry::Chain;

/// A command that did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was tried and did not work.
    Failed(String),
    /// The command line or an input is wrong.
    Usage(String),
    /// The bus refuses who asks.
    Unauthorised(String),
    /// Nobody answered, or there is no majority.
    Unreachable(String),
    /// A coordinator refused.
    Refused(Box<RefusedReply>),
}

impl Failure {
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Unauthorised(_) => 4,
            Self::Unreachable(_) => 5,
            Self::Refused(reply) if reply.refused.safety => 6,
            Self::Refused(reply) if !reply.refused.problems.is_empty() => 2,
            Self::Refused(_) => 1,
        })
    }

    /// What, why, and what to do next.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Failed(text)
            | Self::Usage(text)
            | Self::Unauthorised(text)
            | Self::Unreachable(text) => text.lines().map(clean).collect::<Vec<_>>().join("\n"),
            Self::Refused(reply) => refusal::render(reply).trim_end().to_owned(),
        }
    }

    pub(crate) fn of_connect(error: &ConnectError) -> Self {
        let refused = |failures: &[DialError]| {
            failures
                .iter()
                .any(|f| matches!(f, DialError::Refused { .. }))
        };
        match error {
            ConnectError::Settings(_) | ConnectError::Credentials(_) => {
                Self::Usage(Chain(error).to_string())
            }
            ConnectError::NoServer(failures) if refused(failures) => {
                Self::Unauthorised(error.to_string())
            }
            ConnectError::NoServer(_) => Self::Unreachable(format!(
                "{error}\nname a server with --server or POINTSMAN_SERVERS"
            )),
        }
    }

    pub(crate) fn of_request(error: &RequestError, connection: &Connection, changes: bool) -> Self {
        let text = Chain(error).to_string();
        match error {
            RequestError::TimedOut { .. } if connection.health().permission_errors > 0 => {
                Self::Unauthorised(format!(
                    "the bus denies this operator a subject that the command needs\n{text}"
                ))
            }
            RequestError::TimedOut { .. } | RequestError::Lost { .. } if changes => {
                Self::Unreachable(format!(
                    "{text}\nno coordinator that leads answered; whether it took effect is not known: look with `pointsman status`"
                ))
            }
            RequestError::NoResponder { .. } => Self::Unreachable(format!(
                "{text}\nno coordinator of this stack is connected; is --stack right?"
            )),
            RequestError::NotConnected
            | RequestError::TimedOut { .. }
            | RequestError::Lost { .. } => Self::Unreachable(text),
            RequestError::Garbage { .. }
            | RequestError::Encode { .. }
            | RequestError::Bus { .. } => Self::Failed(text),
        }
    }
}

impl From<ProvisionError> for Failure {
    fn from(error: ProvisionError) -> Self {
        let text = Chain(&error).to_string();
        match error {
            ProvisionError::NotConnected
            | ProvisionError::NoQuorum { .. }
            | ProvisionError::TimedOut { .. } => Self::Unreachable(text),
            ProvisionError::Replicas { .. } | ProvisionError::Refused { .. } => Self::Failed(text),
        }
    }
}

impl From<SubscribeError> for Failure {
    fn from(error: SubscribeError) -> Self {
        Self::Failed(Chain(&error).to_string())
    }
}
