//! What a batch is written to.

use slotkeeper_beacon::{Event, Text, head, line};

/// Takes a batch, line by line: as the text that is posted, or as what a skin makes that text of.
pub trait Sink {
    /// The first line.
    fn head(&mut self, session_id: &[u8], sequence: u32, lost: u32);

    /// One beacon, of the ad at this place, whose token is this, and of the event of this code.
    fn line(&mut self, ad: (u8, &[u8]), event_code: u8, age_ms: u32, detail: u32);
}

impl Sink for Text<'_> {
    fn head(&mut self, session_id: &[u8], sequence: u32, lost: u32) {
        head(self, session_id, sequence, lost);
    }

    fn line(&mut self, (_, token): (u8, &[u8]), event_code: u8, age_ms: u32, detail: u32) {
        if let Some(event) = Event::from_code(event_code) {
            line(self, token, event, age_ms, Some(detail));
        }
    }
}
