//! The way to the coordinators: one question, one answer.

use bus::{Connection, Credentials, Headers, Manner, Settings, TlsFiles};
use coordinator::operator::OPERATOR_HEADER;
use coordinator::reply::RefusedReply;
use serde::de::DeserializeOwned;
use serde_json::Value;
use shared::clock::Millis;
use shared::id::{Actor, SiteName, StackName};
use shared::subject::{Subject, Verb};

use super::arguments::Options;
use super::failure::Failure;

/// An open link.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) connection: Connection,
    pub(crate) stack: StackName,
    at: Option<SiteName>,
    operator: Actor,
    patience: Millis,
}

impl Link {
    /// Connects. `stack` stands in where the options name none.
    pub(crate) async fn open(
        options: &Options,
        stack: Option<&StackName>,
    ) -> Result<Self, Failure> {
        let Some(stack) = options.stack.as_ref().or(stack).cloned() else {
            return Err(Failure::Usage(
                "which stack? name it with --stack or POINTSMAN_STACK".to_owned(),
            ));
        };
        let operator = operator(options);
        let connection = Box::pin(Connection::connect(
            settings(options, &operator),
            Manner::Command,
        ))
        .await
        .map_err(|error| Failure::of_connect(&error))?;
        Ok(Self {
            connection,
            stack,
            at: options.at.clone(),
            operator,
            patience: options.timeout,
        })
    }

    /// Asks; a refusal is a failure.
    pub(crate) async fn ask(&self, verb: Verb, body: &Value) -> Result<Value, Failure> {
        let subject = match &self.at {
            Some(site) => Subject::operator_at(&self.stack, site, verb),
            None => Subject::operator_json(&self.stack, verb),
        };
        let headers = Headers::new()
            .with(OPERATOR_HEADER, self.operator.as_str())
            .with("Accept", "application/json");
        let payload = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        let asking =
            self.connection
                .request_raw(&subject, payload, &headers, self.patience.duration());
        let answer = Box::pin(asking)
            .await
            .map_err(|error| Failure::of_request(&error, &self.connection, verb.changes()))?;
        let value: Value = serde_json::from_slice(&answer.payload).map_err(|error| {
            Failure::Failed(format!(
                "the answer to {} is no JSON: {error}",
                verb.token()
            ))
        })?;
        if value.get("refused").is_some() {
            let refused: RefusedReply = read(&value)?;
            return Err(Failure::Refused(Box::new(refused)));
        }
        Ok(value)
    }

    /// Asks and reads the answer.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        verb: Verb,
        body: &Value,
    ) -> Result<T, Failure> {
        read(&self.ask(verb, body).await?)
    }
}

/// An answer as what it should be.
pub(crate) fn read<T: DeserializeOwned>(value: &Value) -> Result<T, Failure> {
    T::deserialize(value).map_err(|error| {
        Failure::Failed(format!(
            "the answer is not understood; is this the coordinators' version? {error}"
        ))
    })
}

/// Who asks: as named, or the user of this session.
fn operator(options: &Options) -> Actor {
    let named = options
        .operator
        .clone()
        .or_else(|| std::env::var("USER").ok());
    Actor::new(
        named
            .as_deref()
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .unwrap_or("unnamed"),
    )
}

fn settings(options: &Options, operator: &Actor) -> Settings {
    let token: String = operator
        .as_str()
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    let inbox = options.inbox.clone().unwrap_or_else(|| {
        format!(
            "_INBOX.operator.{}",
            if token.is_empty() { "unnamed" } else { &token }
        )
    });
    let name = format!("pointsman/{operator}/{}", env!("CARGO_PKG_VERSION"));
    let mut settings = Settings::new(name, options.servers.clone(), inbox);
    settings.credentials = match (
        &options.creds,
        &options.nkey,
        &options.user,
        &options.password_file,
    ) {
        (Some(file), ..) => Credentials::CredentialsFile(file.clone()),
        (_, Some(file), ..) => Credentials::NkeySeedFile(file.clone()),
        (_, _, Some(user), Some(file)) => Credentials::UserPassword {
            user: user.clone(),
            password_file: file.clone(),
        },
        _ => Credentials::None,
    };
    settings.tls = match (&options.tls_ca, &options.tls_cert, &options.tls_key) {
        (Some(ca), Some(cert), Some(key)) => Some(TlsFiles {
            ca: ca.clone(),
            cert: cert.clone(),
            key: key.clone(),
        }),
        _ => None,
    };
    settings
}
