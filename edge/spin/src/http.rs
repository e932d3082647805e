//! Spin's requests and responses to and from the edge's own.

use std::{cell::RefCell, time::Duration};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use slotkeeper_core::limit::Limiter;
use slotkeeper_edge::{Client, Head, Platform as _, Reply, Route, body, limit, route::BODY_DEADLINE_MS, serve};
use spin_sdk::{
    http::{FullBody, HeaderValue, Request, Response, Result},
    time,
};

use crate::platform::{Spin, deployment};

thread_local! {
    static LIMITER: RefCell<Option<Limiter>> = const { RefCell::new(None) };
}

/// Answers one request, whatever it holds.
pub(crate) async fn answer(request: Request) -> Result<Response<FullBody<Bytes>>> {
    respond(match deployment().await {
        Ok(deployment) => {
            let spin = Spin::new(deployment);
            match read(request, &spin).await {
                Ok((client, route, body)) => serve(&spin, client, route, &body).await,
                Err(refusal) => refusal,
            }
        }
        Err(error) => Reply::error(500, "misconfigured", None, error.to_string()),
    })
}

async fn read(request: Request, spin: &Spin) -> std::result::Result<(Client, Route, Vec<u8>), Reply> {
    let (parts, mut incoming) = request.into_parts();
    let text_of = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    // Spin adds its own after whatever the client has sent under that name, so only the last one is Spin's.
    let client_address = parts.headers.get_all("spin-client-addr").iter().next_back();
    // Spin gives the authority with the URL, or leaves it in the `Host` header.
    let authority = match parts.uri.authority() {
        Some(authority) => authority.as_str(),
        None => text_of("host").unwrap_or_default(),
    };
    let base = format!("{}://{authority}", parts.uri.scheme_str().unwrap_or("http"));
    let head = Head {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        base: &base,
        origin: text_of("origin"),
        device_address: text_of("x-device-ip"),
        device_user_agent: text_of("x-device-user-agent"),
        authorization: text_of("authorization"),
        client_address: client_address.and_then(|value| value.to_str().ok()),
        user_agent: parts.headers.get("user-agent").map(HeaderValue::as_bytes),
        sec_gpc: text_of("sec-gpc"),
    };
    LIMITER.with_borrow_mut(|limiter| limit::admit(limiter, &head, spin.settings(), spin.now()))?;
    let route = Route::find(&head, spin.settings())?;
    if !route.has_body() {
        return Ok((head.client(spin.settings()), route, Vec::new()));
    }
    let deadline = time::sleep(Duration::from_millis(BODY_DEADLINE_MS));
    let next_chunk = async || match incoming.frame().await? {
        Ok(frame) => Some(Ok(frame.into_data().unwrap_or_default())), // trailers hold no data
        Err(error) => Some(Err(format!("{error:?}"))),
    };
    let body = body::read(&route, text_of("content-length"), deadline, next_chunk).await?;
    Ok((head.client(spin.settings()), route, body))
}

fn respond(reply: Reply) -> Result<Response<FullBody<Bytes>>> {
    let mut response = Response::<()>::builder().status(reply.status);
    if reply.status != 204 {
        response = response.header("content-length", reply.body.len()); // a 204 must not have one (RFC 9110 §8.6)
    }
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    Ok(response.body(FullBody::new(Bytes::from(reply.body)))?)
}
