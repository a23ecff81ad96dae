//! One HTTP question on loopback, for looking at the Kubernetes stand-ins from outside.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

const WITHIN: Duration = Duration::from_secs(2);

/// Asks for JSON.
///
/// # Errors
/// When there is no answer in two seconds, its status is not 200, or it is not JSON.
pub async fn get_json(address: SocketAddr, path: &str) -> Result<Value> {
    let body = get(address, path).await?;
    serde_json::from_slice(&body).with_context(|| format!("{path} is not JSON"))
}

/// Asks for bytes.
///
/// # Errors
/// When there is no answer in two seconds or its status is not 200.
pub async fn get(address: SocketAddr, path: &str) -> Result<Bytes> {
    timeout(WITHIN, Box::pin(ask(address, path)))
        .await
        .with_context(|| format!("{address} is silent"))?
}

/// Sends JSON.
///
/// # Errors
/// When there is no answer in two seconds or its status is not 200.
pub async fn post(address: SocketAddr, path: &str, body: &str) -> Result<Bytes> {
    let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
    let request = Request::post(path)
        .header("host", address.to_string())
        .body(body)?;
    timeout(WITHIN, Box::pin(send(address, request)))
        .await
        .with_context(|| format!("{address} is silent"))?
}

async fn ask(address: SocketAddr, path: &str) -> Result<Bytes> {
    let request = Request::get(path)
        .header("host", address.to_string())
        .body(Full::new(Bytes::new()))?;
    send(address, request).await
}

async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> Result<Bytes> {
    let path = request.uri().to_string();
    let stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("connecting to {address}"))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let answered = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        ensure!(status.is_success(), "{path}: {status}");
        Ok(body)
    };
    let answer = answered.await;
    driver.abort();
    answer
}
