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

#[cfg(test)]
mod tests {
    use std::{
        future::{Future, pending, ready},
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;

    const BREAK: Route = Route::Break { base: String::new() };

    /// The outcome of what needs no waiting.
    fn done<T>(work: impl Future<Output = T>) -> T {
        match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => done,
            Poll::Pending => panic!("it waits"),
        }
    }

    #[test]
    fn a_body_that_trickles_is_given_up_at_its_deadline() {
        let mut sent = 0;
        let trickle = async || {
            sent += 1;
            if sent < 3 { Some(Ok(b"{")) } else { pending().await }
        };
        assert_eq!(done(read(&BREAK, None, ready(()), trickle)).unwrap_err().status, 408);
    }

    #[test]
    fn a_body_past_its_bound_is_not_read_on_whatever_was_announced() {
        let (mut read_bytes, chunk) = (0, [b' '; 4_096]);
        let endless = async || {
            read_bytes += chunk.len();
            Some(Ok(chunk))
        };
        assert_eq!(done(read(&BREAK, Some("7"), pending(), endless)).unwrap_err().status, 413);
        assert_eq!(read_bytes, BREAK.body_bytes_max() + chunk.len());
        let unread = async || -> Option<Result<[u8; 1], String>> { panic!("it was announced as too long") };
        assert_eq!(done(read(&BREAK, Some("99999999"), pending(), unread)).unwrap_err().status, 413);
    }
}
