//! Workers' requests and responses to and from the edge's own.

use std::cell::RefCell;

use futures_util::StreamExt as _;
use slotkeeper_core::limit::Limiter;
use slotkeeper_edge::{
    Client, Head, Reply, Route, Settings, body, limit,
    route::{BODY_DEADLINE_MS, base_of, path_of, query_of},
    serve,
};
use worker::{Env, Headers, Request, Response, ResponseBuilder, Result};

use crate::platform::{Cloudflare, deployment, now, wait_ms};

thread_local! {
    static LIMITER: RefCell<Option<Limiter>> = const { RefCell::new(None) };
}

/// Answers one request, whatever it holds.
pub(crate) async fn answer(request: Request, env: Env) -> Result<Response> {
    respond(match deployment(&env) {
        Ok(deployment) => match read(request, &deployment.settings).await {
            Ok((client, route, body)) => serve(&Cloudflare::new(env, deployment), client, route, &body).await,
            Err(refusal) => refusal,
        },
        Err(error) => Reply::error(500, "misconfigured", None, error.to_string()),
    })
}

async fn read(mut request: Request, settings: &Settings) -> std::result::Result<(Client, Route, Vec<u8>), Reply> {
    let text_of = |name: &str| request.headers().get(name).ok().flatten();
    let (url, method, authorization) = (request.inner().url(), request.inner().method(), text_of("authorization"));
    let origin = text_of("origin");
    let (device_address, device_user_agent) = (text_of("x-device-ip"), text_of("x-device-user-agent"));
    let client_address = text_of("cf-connecting-ip"); // Cloudflare replaces what a client has sent under that name
    let (user_agent, sec_gpc) = (text_of("user-agent"), text_of("sec-gpc"));
    let head = Head {
        method: &method,
        path: path_of(&url),
        query: query_of(&url),
        base: base_of(&url),
        origin: origin.as_deref(),
        device_address: device_address.as_deref(),
        device_user_agent: device_user_agent.as_deref(),
        authorization: authorization.as_deref(),
        client_address: client_address.as_deref(),
        user_agent: user_agent.as_deref().map(str::as_bytes),
        sec_gpc: sec_gpc.as_deref(),
    };
    let client = head.client(settings);
    LIMITER.with_borrow_mut(|limiter| limit::admit(limiter, &head, settings, now()))?;
    let route = Route::find(&head, settings)?;
    if !route.has_body() {
        return Ok((client, route, Vec::new()));
    }
    let announced = text_of("content-length");
    let mut stream = request.stream().ok(); // none where there is no body at all
    let next_chunk = async || {
        let chunk = stream.as_mut()?.next().await?;
        Some(chunk.map_err(|error| error.to_string()))
    };
    let body = body::read(&route, announced.as_deref(), wait_ms(BODY_DEADLINE_MS), next_chunk).await?;
    Ok((client, route, body))
}

fn respond(reply: Reply) -> Result<Response> {
    let headers = Headers::new();
    for (name, value) in &reply.headers {
        headers.set(name, value)?;
    }
    let response = ResponseBuilder::new().with_status(reply.status).with_headers(headers);
    Ok(if reply.status == 204 { response.empty() } else { response.fixed(reply.body) })
}
