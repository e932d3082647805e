//! Asking an edge to ship its outbox, for as long as the origin serves.
//!
//! Some platforms run nothing between requests, so somebody has to ask; those that ship by themselves say so.

use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::{Edge, EdgeClient, EdgeError, EdgesSeen, Shipped};
use crate::clock;

/// Between two calls that found little to do.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// The longest pause after errors.
const BACK_OFF_MAX: Duration = Duration::from_secs(2);
/// How long an edge that ships by itself is left alone.
const SHIPS_BY_ITSELF: Duration = Duration::from_mins(1);
/// How often to ask how the edge is.
const HEALTH_EVERY: Duration = Duration::from_secs(5);

/// Asks `edge` to ship until `stop` turns true.
pub async fn keep_shipping(client: EdgeClient, edge: Edge, seen: EdgesSeen, mut stop: watch::Receiver<bool>) {
    let mut pause = ASK_EVERY;
    let mut failing = false;
    let mut health_at = Instant::now();
    while !*stop.borrow() {
        if health_at <= Instant::now() {
            seen.note(&edge, client.health(&edge).await, clock::now());
            health_at = Instant::now() + HEALTH_EVERY;
        }
        let outcome = client.ship(&edge).await;
        pause = next_pause(&outcome, pause);
        if outcome.is_err() != failing && pause != SHIPS_BY_ITSELF {
            failing = !failing;
            report(&edge, &outcome);
        }
        tokio::select! {
            _ = stop.changed() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// How long to wait after `outcome`, when the last wait was `pause`.
fn next_pause(outcome: &Result<Shipped, EdgeError>, pause: Duration) -> Duration {
    match outcome {
        // What is left though nothing was shipped would be left again at once.
        Ok(shipped) if shipped.left > 0 && shipped.shipped > 0 => Duration::ZERO,
        Ok(_) => ASK_EVERY,
        Err(EdgeError::Refused { status: 404, code, .. }) if code == "ships_by_itself" => SHIPS_BY_ITSELF,
        Err(_) => (pause * 2).clamp(ASK_EVERY, BACK_OFF_MAX),
    }
}

fn report(edge: &Edge, outcome: &Result<Shipped, EdgeError>) {
    match outcome {
        Ok(_) => crate::tell!("slotkeeper: edge {} ships again", edge.name),
        Err(error) => crate::tell!("slotkeeper: edge {} does not ship: {error}", edge.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: &str) -> Result<Shipped, EdgeError> {
        Err(EdgeError::Refused { status, code: code.into(), message: String::new() })
    }

    #[test]
    fn an_outbox_is_asked_again_at_once_while_it_empties_and_less_often_while_it_fails() {
        let after = |outcome| next_pause(&outcome, ASK_EVERY);
        assert_eq!(after(Ok(Shipped { shipped: 5, left: 9 })), Duration::ZERO);
        assert_eq!(after(Ok(Shipped { shipped: 0, left: 9 })), ASK_EVERY);
        assert_eq!(after(Ok(Shipped { shipped: 5, left: 0 })), ASK_EVERY);
        assert_eq!(after(refused(404, "ships_by_itself")), SHIPS_BY_ITSELF);
        assert_eq!(after(refused(404, "not_found")), ASK_EVERY * 2);
        assert_eq!(next_pause(&refused(503, "x"), BACK_OFF_MAX), BACK_OFF_MAX);
        assert_eq!(next_pause(&refused(503, "x"), Duration::ZERO), ASK_EVERY);
    }
}
