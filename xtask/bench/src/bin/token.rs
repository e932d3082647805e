//! Prints how many characters a token takes.

use anyhow::Result;
use slotkeeper_core::{
    id::{AdId, BreakId, OpportunityId, RecordId},
    keys::Keyring,
    time::UnixMillis,
    token::{EventClass, Token},
};

fn main() -> Result<()> {
    let opened_at = UnixMillis(1_795_000_000_000);
    let token = Token {
        holds_claim: true,
        opportunity_id: OpportunityId::mint(BreakId([3; 16]), 1, opened_at),
        ad_id: AdId(u32::MAX),
        record_id: RecordId([5; 8]),
        class: EventClass::Any,
        expires_at: opened_at.plus_ms(7_200_000),
    };
    println!("{}", token.seal(&Keyring::parse(&format!("15:{:064x}", 7))?).len());
    Ok(())
}
