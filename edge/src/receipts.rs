//! `POST /v1/receipts`: rows that travelled with the player, because nobody else could take them.

use slotkeeper_core::{api::ReceiptResponse, receipt};

use crate::{Platform, Reply, platform::hand_over};

/// Opens a receipt and hands its facts to the collector; acknowledges once they are durable there.
pub(crate) async fn accept(platform: &impl Platform, body: &[u8]) -> Reply {
    let settings = platform.settings();
    let text = core::str::from_utf8(body).unwrap_or_default().trim_ascii();
    let facts = match receipt::open(text, &settings.keys, platform.now()) {
        Ok(facts) => facts,
        Err(error) => {
            let status = match error {
                receipt::ReceiptError::Malformed => 400,
                receipt::ReceiptError::UnknownKey(_) | receipt::ReceiptError::Forged => 403,
                receipt::ReceiptError::Expired(_) => 410,
            };
            return Reply::error(status, error.code(), Some("body"), error.to_string());
        }
    };
    let accepted = u32::try_from(facts.len()).unwrap_or(u32::MAX);
    match hand_over(platform, facts).await {
        Ok(()) => Reply::json(202, &ReceiptResponse { accepted }),
        Err(error) => Reply::try_again("receipt_not_recorded", format!("{error}; keep it and send it again")),
    }
}
