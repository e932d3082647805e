//! One POST of text, bounded in time.

use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, RequestCredentials, RequestInit, Response};

use super::page::{self, Timer};

/// What came back.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: String,
}

/// No answer: refused, lost, too late, or not for this page to see.
pub(super) struct Unreachable;

/// Posts `body` as text/plain, which needs no CORS preflight, and waits at most `timeout_ms` for all of the answer.
pub(super) async fn post(url: &str, body: &str, timeout_ms: u32) -> Result<Reply, Unreachable> {
    exchange(url, body, timeout_ms).await.map_err(|_| Unreachable)
}

async fn exchange(url: &str, body: &str, timeout_ms: u32) -> Result<Reply, JsValue> {
    let init = RequestInit::new();
    init.set_method("POST");
    init.set_body(&body.into());
    init.set_credentials(RequestCredentials::Omit);
    let abort = AbortController::new()?;
    init.set_signal(Some(&abort.signal()));
    let _timer = Timer::after(timeout_ms, move || abort.abort());
    let response: Response = JsFuture::from(page::window().fetch_with_str_and_init(url, &init)).await?.dyn_into()?;
    let text = JsFuture::from(response.text()?).await?;
    Ok(Reply { status: response.status(), body: text.as_string().unwrap_or_default() })
}
