//! Workers' requests and responses to and from the edge's own.

use futures_util::StreamExt as _;
use slotkeeper_edge::{Head, Reply, Route, Settings, platform::within, route::BODY_DEADLINE_MS, serve};
use worker::{Env, Headers, Request, Response, ResponseBuilder, Result};

use crate::platform::{Cloudflare, deployment, wait_ms};

/// Answers one request, whatever it holds.
pub(crate) async fn answer(request: Request, env: Env) -> Result<Response> {
    respond(match deployment(&env) {
        Ok(deployment) => match read(request, &deployment.settings).await {
            Ok((route, body)) => serve(&Cloudflare::new(env, deployment), route, &body).await,
            Err(refusal) => refusal,
        },
        Err(error) => Reply::error(500, "misconfigured", None, error.to_string()),
    })
}

/// The path of an absolute URL, without the `url` crate and its tables.
pub(crate) fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.find('/').map_or("/", |slash| &rest[slash..]);
    path.split(['?', '#']).next().unwrap_or(path)
}

async fn read(mut request: Request, settings: &Settings) -> std::result::Result<(Route, Vec<u8>), Reply> {
    let text_of = |name: &str| request.headers().get(name).ok().flatten();
    let (url, method, authorization) = (request.inner().url(), request.inner().method(), text_of("authorization"));
    let head = Head { method: &method, path: path_of(&url), authorization: authorization.as_deref() };
    let route = Route::find(&head, settings)?;
    let mut body = Vec::new();
    if !route.has_body() {
        return Ok((route, body));
    }
    let announced = text_of("content-length").and_then(|len| len.parse::<usize>().ok()).unwrap_or_default();
    if announced > route.body_bytes_max() {
        return Err(route.body_too_large());
    }
    let Ok(mut stream) = request.stream() else { return Ok((route, body)) }; // no body at all
    let reading = async {
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| {
                Reply::error(400, "body_unreadable", Some("body"), format!("the body ended early: {error}"))
            })?;
            if body.len() + chunk.len() > route.body_bytes_max() {
                return Err(route.body_too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(())
    };
    within(wait_ms(BODY_DEADLINE_MS), reading).await.unwrap_or_else(|| Err(route.body_too_slow()))?;
    Ok((route, body))
}

fn respond(reply: Reply) -> Result<Response> {
    let headers = Headers::new();
    for (name, value) in &reply.headers {
        headers.set(name, value)?;
    }
    let response = ResponseBuilder::new().with_status(reply.status).with_headers(headers);
    Ok(if reply.status == 204 { response.empty() } else { response.fixed(reply.body) })
}
