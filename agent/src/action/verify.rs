//! Asks what a user would ask, again and again, until the answer is right or time is up. Changes nothing.

use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use shared::wire::{ProbeRequest, ProofLine};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{Job, Result, failed};
use crate::config::PostgresConfig;
use crate::database::Session;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(300);
/// Longest wait for one SQL answer.
const SQL: Duration = Duration::from_secs(3);
/// Most of a body that is looked at, in bytes.
const BODY_MAX: usize = 256 * 1024;

pub(super) async fn perform(job: &Job<'_>, probe: &ProbeRequest) -> Result<Vec<ProofLine>> {
    let begun = Instant::now();
    let mut attempts = 0_u32;
    loop {
        attempts += 1;
        let answer = match probe {
            ProbeRequest::Http {
                url,
                status,
                contains,
                attempt_ms,
            } => {
                let asking = Box::pin(http(url, *status, contains.as_deref()));
                match tokio::time::timeout(attempt_ms.duration(), asking).await {
                    Ok(answer) => answer,
                    Err(_elapsed) => Err(format!("no answer within {}", attempt_ms.human())),
                }
            }
            ProbeRequest::Sql { statement, equals } => {
                sql(job.postgres()?, statement, equals).await
            }
        };
        match answer {
            Ok(found) => {
                let when = format!("attempt {attempts}, {} ms", begun.elapsed().as_millis());
                return Ok(vec![
                    ProofLine::new(&words(probe), &found),
                    ProofLine::new("answered at", &when),
                ]);
            }
            Err(why) if job.is_over() => {
                return Err(failed(format!(
                    "{}: {why}, after {attempts} attempts",
                    words(probe)
                )));
            }
            Err(why) => job
                .progress
                .set(format!("{}: {why} (attempt {attempts})", words(probe))),
        }
        tokio::time::sleep(PAUSE.min(job.left())).await;
    }
}

async fn http(
    url: &str,
    status: u16,
    contains: Option<&str>,
) -> std::result::Result<String, String> {
    let uri: Uri = url
        .parse()
        .map_err(|error| format!("no address: {error}"))?;
    let host = uri
        .host()
        .filter(|_| uri.scheme_str() == Some("http"))
        .ok_or("no http:// address")?;
    let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
    let port = uri.port_u16().unwrap_or(80);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((bare, port))
        .await
        .map_err(|error| error.to_string())?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(|error| error.to_string())?;
    let driver = tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header("host", authority)
        .header(
            "user-agent",
            concat!("pointsman-agent/", env!("CARGO_PKG_VERSION")),
        )
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let asked = async {
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| error.to_string())?;
        let found = response.status().as_u16();
        let body = Limited::new(response.into_body(), BODY_MAX).collect().await;
        Ok::<_, String>((found, body.map_err(|error| error.to_string())?.to_bytes()))
    };
    let answer = asked.await;
    driver.abort();
    let (found, body) = answer?;
    judge(found, &body, status, contains)
}

fn judge(
    found: u16,
    body: &[u8],
    status: u16,
    contains: Option<&str>,
) -> std::result::Result<String, String> {
    if found != status {
        return Err(format!("status {found}, not {status}"));
    }
    match contains {
        Some(text) if !String::from_utf8_lossy(body).contains(text) => {
            Err(format!("status {found}, the body does not hold {text:?}"))
        }
        Some(text) => Ok(format!("status {found}, the body holds {text:?}")),
        None => Ok(format!("status {found}")),
    }
}

/// In a session that can only look: a check needs no approval, so it must not be able to change anything.
async fn sql(
    config: &PostgresConfig,
    statement: &str,
    equals: &str,
) -> std::result::Result<String, String> {
    let session = Session::open_to_look(config, SQL)
        .await
        .map_err(|error| error.to_string())?;
    // One statement only: a second one could take the rights back.
    session
        .prepare(statement)
        .await
        .map_err(|error| error.to_string())?;
    let found = session
        .first_text(statement)
        .await
        .map_err(|error| error.to_string())?;
    match found {
        Some(found) if found == equals => Ok(format!("answered {found:?}")),
        Some(found) => Err(format!("answered {found:?}, not {equals:?}")),
        None => Err(format!("answered nothing, not {equals:?}")),
    }
}

fn words(probe: &ProbeRequest) -> String {
    match probe {
        ProbeRequest::Http { url, .. } => format!("GET {url}"),
        ProbeRequest::Sql { statement, .. } => statement.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_body_must_both_be_right() {
        assert!(judge(200, b"abc", 200, Some("bc")).is_ok());
        assert!(judge(200, b"abc", 200, None).is_ok());
        assert!(judge(204, b"", 200, None).unwrap_err().contains("204"));
        assert!(
            judge(200, b"abc", 200, Some("x"))
                .unwrap_err()
                .contains("does not hold")
        );
    }
}
