//! The HTTP listener: connections, the order of checks, and the shapes of answers.
//!
//! Order: control endpoint, then the saboteur, then authentication, then the API. Every request
//! outside the control endpoint is logged before anything else happens to it.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::access;
use super::control;
use super::endpoint::{self, Call, Reply};
use super::refusal::Refusal;
use super::request_log::LoggedRequest;
use super::route::Query;
use super::saboteur::Course;
use super::watch;
use super::world::{World, lock};

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Serves connections until the stand-in stops; open connections are then cut.
pub(super) async fn serve(listener: TcpListener, world: Arc<World>) {
    let mut stopping = world.stopping.subscribe();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((socket, _)) = accepted else { continue };
                let world = Arc::clone(&world);
                connections.spawn(async move {
                    let service = service_fn(move |request| respond(Arc::clone(&world), request));
                    let connection = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(socket), service);
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "connection ended");
                    }
                });
            }
            Some(_) = connections.join_next() => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
    }
}

async fn respond(world: Arc<World>, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let call = call(&head, &body);
    if call.path.starts_with("/standin/") {
        return Ok(render(&world, control::answer(&world, &call)));
    }
    let sequence = lock(&world.requests).arrive(logged(&head, &call));
    let fate = lock(&world.saboteur).fate();
    sleep(fate.delay).await;
    let authorization = head
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let answer = match fate.course {
        Course::Hung => std::future::pending().await,
        Course::Refused(code, retry_after) => Err(Refusal::stormy(code, retry_after)),
        Course::Answered | Course::Unheard => access::authenticate(&world, authorization)
            .and_then(|()| endpoint::answer(&world, &call)),
    };
    if fate.course == Course::Unheard {
        return Err(io::Error::other("the answer is lost"));
    }
    let response = render(&world, answer);
    lock(&world.requests).answer(sequence, response.status().as_u16());
    Ok(response)
}

fn call(head: &Parts, body: &Bytes) -> Call {
    let header = |name| {
        head.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("")
            .to_owned()
    };
    Call {
        method: head.method.clone(),
        path: head.uri.path().to_owned(),
        query: Query::parse(head.uri.query().unwrap_or("")),
        content_type: header(CONTENT_TYPE),
        user_agent: header(USER_AGENT),
        body: body.to_vec(),
    }
}

fn logged(head: &Parts, call: &Call) -> LoggedRequest {
    LoggedRequest {
        sequence: 0,
        method: call.method.to_string(),
        path: call.path.clone(),
        query: head.uri.query().unwrap_or("").to_owned(),
        user_agent: call.user_agent.clone(),
        content_type: call.content_type.clone(),
        body: serde_json::from_slice(&call.body).ok(),
        status: None,
    }
}

fn render(world: &Arc<World>, answer: Result<Reply, Refusal>) -> Response<Body> {
    let (code, content_type, body, retry_after) = match answer {
        Ok(Reply::Object(code, body)) => (code, "application/json", whole(body.to_string()), None),
        Ok(Reply::Text(code, body)) => (code, "text/plain", whole(body), None),
        Ok(Reply::Watch(plan)) => {
            let (lines, received) = mpsc::channel(64);
            tokio::spawn(watch::run(Arc::clone(world), plan, lines));
            (200, "application/json", streamed(received), None)
        }
        Err(refusal) => {
            let body = whole(refusal.body().to_string());
            (refusal.code, "application/json", body, refusal.retry_after)
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static(content_type),
    );
    if let Some(seconds) = retry_after {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    response
}

fn whole(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).boxed_unsync()
}

fn streamed(lines: mpsc::Receiver<Bytes>) -> Body {
    let frames = stream::unfold(lines, |mut lines| async move {
        let line = lines.recv().await?;
        Some((Ok(Frame::data(line)), lines))
    });
    StreamBody::new(frames).boxed_unsync()
}
