//! Reading a request's body within the route's bound and the client's time, whatever the platform hands it over in.

use crate::{Reply, Route, platform::within};

/// Reads the body of a request to `route`, whose `content-length` header is `announced`. `next_chunk` answers the next
/// part of it, `None` at its end, or why it cannot be read; `deadline` ends after [`crate::route::BODY_DEADLINE_MS`].
pub async fn read<Chunk: AsRef<[u8]>>(
    route: &Route,
    announced: Option<&str>,
    deadline: impl Future<Output = ()>,
    mut next_chunk: impl AsyncFnMut() -> Option<Result<Chunk, String>>,
) -> Result<Vec<u8>, Reply> {
    let announced = announced.and_then(|len| len.parse::<usize>().ok()).unwrap_or_default();
    if announced > route.body_bytes_max() {
        return Err(route.body_too_large());
    }
    let reading = async {
        let mut body = Vec::new();
        while let Some(chunk) = next_chunk().await {
            let chunk = chunk.map_err(|error| {
                Reply::error(400, "body_unreadable", Some("body"), format!("the body ended early: {error}"))
            })?;
            if body.len() + chunk.as_ref().len() > route.body_bytes_max() {
                return Err(route.body_too_large());
            }
            body.extend_from_slice(chunk.as_ref());
        }
        Ok(body)
    };
    within(deadline, reading).await.unwrap_or_else(|| Err(route.body_too_slow()))
}
