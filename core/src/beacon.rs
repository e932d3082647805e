//! Beacons as the edge reads them. Their text is [`slotkeeper_beacon`]'s, which the client shares.

use alloc::{string::String, vec, vec::Vec};

use slotkeeper_beacon::{HEAD_BYTES_MAX, LINE_BYTES_BESIDE_TOKEN_MAX, Text, head, line};

pub use slotkeeper_beacon::{
    AGE_MS_MAX, BATCH_BEACONS_MAX, BATCH_BYTES_MAX, DETAIL_MAX, Event, SESSION_ID_BYTES_MAX, UnknownEvent, VERSION,
    is_session_id,
};

/// One line of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beacon<'a> {
    /// The token as sent; not yet opened.
    pub token: &'a str,
    /// What happened.
    pub event: Event,
    /// How long before the sending, in milliseconds: what the line says, and how long the batch lay.
    pub age_ms: u32,
    /// Of an error its VAST code, of any other event the seconds since the viewer last touched anything.
    pub detail: Option<u32>,
}

/// What the SDK posts at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch<'a> {
    /// The viewing session, chosen by the client.
    pub session_id: &'a str,
    /// The batch's number within the session; a resent batch keeps its number.
    pub sequence: u32,
    /// How many beacons the session has lost to its bounds so far.
    pub lost: u32,
    /// In the order sent.
    pub beacons: Vec<Beacon<'a>>,
}

/// Why a batch was refused: which line, which field, what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {field} {expected}")]
pub struct MalformedBatch {
    /// Counted from 1.
    pub line: usize,
    /// The field's name.
    pub field: &'static str,
    /// What would have been right.
    pub expected: &'static str,
}

impl<'a> Batch<'a> {
    /// Reads a batch. The whole is refused at the first fault: a client that sends half-right text is not ours.
    pub fn parse(text: &'a str) -> Result<Self, MalformedBatch> {
        let fault = |line, field, expected| MalformedBatch { line, field, expected };
        let mut lines = text.lines();
        let mut head = lines.next().unwrap_or_default().split(' ');
        if head.next() != Some(VERSION) {
            return Err(fault(1, "version", "must be sk1"));
        }
        let session_id = head.next().filter(|id| is_session_id(id.as_bytes())).ok_or(fault(
            1,
            "session_id",
            "must be 1 to 64 letters, digits, hyphens or underscores",
        ))?;
        let mut number = |field, expected| match head.next() {
            Some(text) => text.parse::<u32>().map(Some).map_err(|_| fault(1, field, expected)),
            None => Ok(None),
        };
        let expected = "must be a whole number up to 4294967295";
        let sequence = number("sequence", expected)?.ok_or(fault(1, "sequence", expected))?;
        let lost = number("lost", expected)?.unwrap_or(0);
        let held_ms = number("held_ms", expected)?.unwrap_or(0);
        if head.next().is_some() {
            return Err(fault(1, "held_ms", "must be the last field"));
        }
        let mut beacons = Vec::new();
        for (line, at) in lines.zip(2..) {
            if beacons.len() == BATCH_BEACONS_MAX {
                return Err(fault(at, "beacons", "must be at most 500 in one batch"));
            }
            let beacon = Beacon::parse(line, held_ms).map_err(|(field, expected)| fault(at, field, expected))?;
            beacons.push(beacon);
        }
        if beacons.is_empty() {
            return Err(fault(2, "beacons", "must be at least one"));
        }
        Ok(Self { session_id, sequence, lost, beacons })
    }

    /// The text that [`parse`](Self::parse) reads.
    pub fn to_text(&self) -> String {
        let mut bytes = vec![0; HEAD_BYTES_MAX + self.beacons.iter().map(Beacon::bytes_max).sum::<usize>()];
        let mut text = Text::new(&mut bytes);
        head(&mut text, self.session_id.as_bytes(), self.sequence, self.lost);
        for Beacon { token, event, age_ms, detail } in &self.beacons {
            line(&mut text, token.as_bytes(), *event, *age_ms, *detail);
        }
        let len = text.len();
        bytes.truncate(len);
        String::from_utf8(bytes).unwrap_or_default() // it is made of texts and digits
    }
}

impl<'a> Beacon<'a> {
    /// Reads one line of a batch that lay for `held_ms`; or the field at fault and what it must be.
    fn parse(line: &'a str, held_ms: u32) -> Result<Self, (&'static str, &'static str)> {
        let mut fields = line.split(' ');
        let token = fields.next().unwrap_or_default();
        let event = fields.next().and_then(|name| name.parse().ok());
        let event = event.ok_or(("event", "must be a VAST 4.3 event name after the token"))?;
        let age_ms = fields.next().and_then(|ms| ms.parse().ok()).filter(|ms: &u32| *ms <= AGE_MS_MAX);
        let age_ms = age_ms.ok_or(("age_ms", "must be a whole number of milliseconds, at most a week"))?;
        let detail = fields.next().map(|detail| detail.parse().ok().filter(|detail: &u32| *detail <= DETAIL_MAX));
        if detail == Some(None) || fields.next().is_some() {
            return Err(("detail", "must be a whole number up to 9999999, and the last field"));
        }
        Ok(Self { token, event, age_ms: age_ms.saturating_add(held_ms).min(AGE_MS_MAX), detail: detail.flatten() })
    }

    fn bytes_max(&self) -> usize {
        self.token.len() + LINE_BYTES_BESIDE_TOKEN_MAX
    }
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    #[test]
    fn a_batch_reads_back_as_it_was_written() {
        let beacon = |(event, detail): (&Event, u32)| Beacon {
            token: "tok",
            event: *event,
            age_ms: 7,
            detail: Some(detail).filter(|detail| *detail > 2),
        };
        let beacons = Event::ALL.iter().zip(0..).map(beacon).collect();
        let batch = Batch { session_id: "s-1", sequence: 3, lost: 9, beacons };
        assert_eq!(Batch::parse(&batch.to_text()), Ok(batch));
    }

    #[test]
    fn a_head_may_be_short_and_a_batch_that_lay_is_older_by_that() {
        let cases = [
            ("sk1 s 4", 0, 100),
            ("sk1 s 4 2", 2, 100),
            ("sk1 s 4 2 50", 2, 150),
            ("sk1 s 4 0 4294967295", 0, AGE_MS_MAX),
        ];
        for (head, lost, age_ms) in cases {
            let text = format!("{head}\ntok start 100\n");
            let batch = Batch::parse(&text).unwrap();
            assert_eq!((batch.sequence, batch.lost, batch.beacons[0].age_ms), (4, lost, age_ms), "{head}");
        }
    }

    #[test]
    fn a_malformed_batch_is_refused_by_line_and_field() {
        let cases = [
            ("", 1, "version"),
            ("sk2 s 1\n", 1, "version"),
            ("sk1 s/1 1\n", 1, "session_id"),
            ("sk1 s\n", 1, "sequence"),
            ("sk1 s 1 x\n", 1, "lost"),
            ("sk1 s 1 2 -3\n", 1, "held_ms"),
            ("sk1 s 1 2 3 4\n", 1, "held_ms"),
            ("sk1 s 1\n", 2, "beacons"),
            ("sk1 s 1\ntok begin 0\n", 2, "event"),
            ("sk1 s 1\ntok start 0\ntok start x\n", 3, "age_ms"),
            ("sk1 s 1\ntok start 0 x\n", 2, "detail"),
            ("sk1 s 1\ntok start 0 10000000\n", 2, "detail"),
            ("sk1 s 1\ntok start 0 0 0\n", 2, "detail"),
            ("sk1 s 1\ntok start 604800001\n", 2, "age_ms"),
        ];
        for (text, line, field) in cases {
            let fault = Batch::parse(text).unwrap_err();
            assert_eq!((fault.line, fault.field), (line, field), "{text:?}");
        }
        let many = format!("sk1 s 1\n{}", "t start 0\n".repeat(BATCH_BEACONS_MAX + 1));
        assert_eq!(Batch::parse(&many).unwrap_err().field, "beacons");
    }
}
