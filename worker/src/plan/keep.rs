//! Keeping every plan for as long as rows decided from it are asked about, and no more bytes than a bound.
//!
//! A plan is made anew every few seconds, and mostly only its allocations have moved. So what it holds besides is kept
//! once, by the address of its content, and of each plan only its times and how far its allocations are from those of the
//! content as it first came: a byte or two for each flight.

use rusqlite::{Connection, OptionalExtension as _, params, types::Type};
use slotkeeper_core::{plan::PlanSource, time::UnixMillis};

/// How long a plan is kept: as long as a month and what is asked about it afterwards.
pub const KEPT_MS: u64 = 35 * 24 * 3_600_000;
/// How many bytes all kept plans may have together; past that the oldest go, whatever their age. Ten thousand flights
/// whose every allocation moves with every plan, published once a minute, take about half of it in that time.
pub const KEPT_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// How many plans go at once when there are too many bytes.
const DROPPED_AT_ONCE: u64 = 100;

/// Keeps a plan, and drops what is too old or too much.
pub(super) fn keep(db: &Connection, source: &PlanSource) -> rusqlite::Result<()> {
    keep_within(db, source, KEPT_BYTES_MAX)
}

pub(super) fn keep_within(db: &Connection, source: &PlanSource, bytes_max: u64) -> rusqlite::Result<()> {
    let content_id = content_id(source);
    db.prepare_cached("INSERT OR IGNORE INTO plan_contents (content_id, source) VALUES (?1, ?2)")?
        .execute(params![content_id, json(source)])?;
    let first = content(db, &content_id)?;
    let allocations = pairs(source, &first).flat_map(|(now, first)| difference(now, first)).collect::<Vec<u8>>();
    db.prepare_cached(
        "INSERT INTO plans_kept (version, created_at_ms, valid_from_ms, valid_until_ms, content_id, allocations)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        source.version,
        source.created_at.0,
        source.valid_from.0,
        source.valid_until.0,
        content_id,
        allocations
    ])?;
    drop_old(db, source, bytes_max)
}

/// The plan of this version, if it is kept.
pub fn kept(db: &Connection, version: u64) -> rusqlite::Result<Option<PlanSource>> {
    let Ok(version) = i64::try_from(version) else { return Ok(None) }; // SQLite holds no such number
    let found = db
        .prepare_cached(
            "SELECT created_at_ms, valid_from_ms, valid_until_ms, content_id, allocations FROM plans_kept WHERE version = ?1",
        )?
        .query_row([version], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get::<_, String>(3)?, row.get::<_, Vec<u8>>(4)?))
        })
        .optional()?;
    let Some((created_at, valid_from, valid_until, content_id, allocations)) = found else { return Ok(None) };
    let mut source = content(db, &content_id)?;
    let mut bytes = allocations.as_slice();
    for flight in &mut source.flights {
        flight.allocation =
            apply(flight.allocation, &mut bytes).ok_or_else(|| unreadable("its allocations end early"))?;
    }
    source.version = version.unsigned_abs();
    source.created_at = UnixMillis(created_at);
    source.valid_from = UnixMillis(valid_from);
    source.valid_until = UnixMillis(valid_until);
    Ok(Some(source))
}

/// The content as it first came.
fn content(db: &Connection, content_id: &str) -> rusqlite::Result<PlanSource> {
    let json: String = db
        .prepare_cached("SELECT source FROM plan_contents WHERE content_id = ?1")?
        .query_row([content_id], |row| row.get(0))?;
    serde_json::from_str(&json).map_err(|error| unreadable(&error.to_string()))
}

fn unreadable(why: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, format!("a kept plan cannot be read: {why}").into())
}

/// The address of what a plan holds besides its number, its times and its allocations.
fn content_id(source: &PlanSource) -> String {
    let mut content = source.clone();
    content.version = 0;
    (content.created_at, content.valid_from, content.valid_until) = Default::default();
    content.flights.iter_mut().for_each(|flight| flight.allocation = 0);
    blake3::hash(json(&content).as_bytes()).to_hex()[..32].into()
}

fn json(source: &PlanSource) -> String {
    serde_json::to_string(source).unwrap_or_else(|_| unreachable!("plain values with string keys"))
}

/// Of each flight its allocation and the one it first had.
fn pairs<'a>(source: &'a PlanSource, first: &'a PlanSource) -> impl Iterator<Item = (u32, u32)> + 'a {
    source.flights.iter().zip(&first.flights).map(|(now, first)| (now.allocation, first.allocation))
}

/// How far `now` is from `first`, in LEB128 with the sign in the lowest bit: small differences take one byte.
fn difference(now: u32, first: u32) -> impl Iterator<Item = u8> {
    let signed = i64::from(now) - i64::from(first);
    let mut left = ((signed << 1) ^ (signed >> 63)).cast_unsigned();
    let mut done = false;
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        let low = u8::try_from(left & 0x7f).unwrap_or_default();
        left >>= 7;
        done = left == 0;
        Some(if done { low } else { low | 0x80 })
    })
}

/// The reverse of [`difference`]; takes from `bytes` what it reads.
fn apply(first: u32, bytes: &mut &[u8]) -> Option<u32> {
    let mut word = 0u64;
    for shift in (0..35).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        word |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let signed = (word >> 1).cast_signed() ^ -(word & 1).cast_signed();
            return u32::try_from(i64::from(first) + signed).ok();
        }
    }
    None
}

/// Drops plans past their age, and the oldest while there are too many bytes; never `newest`.
fn drop_old(db: &Connection, newest: &PlanSource, bytes_max: u64) -> rusqlite::Result<()> {
    let before = newest.created_at.minus_ms(KEPT_MS).0;
    db.prepare_cached("DELETE FROM plans_kept WHERE created_at_ms < ?1 AND version < ?2")?
        .execute([before, newest.version])?;
    loop {
        db.prepare_cached("DELETE FROM plan_contents WHERE content_id NOT IN (SELECT content_id FROM plans_kept)")?
            .execute([])?;
        if bytes(db)? <= bytes_max {
            return Ok(());
        }
        let dropped = db
            .prepare_cached(
                "DELETE FROM plans_kept WHERE version < ?1
                     AND version IN (SELECT version FROM plans_kept ORDER BY version LIMIT ?2)",
            )?
            .execute([newest.version, DROPPED_AT_ONCE])?;
        if dropped == 0 {
            return Ok(()); // what is left is the newest, and it has to be kept
        }
    }
}

/// How many bytes the kept plans have.
pub(super) fn bytes(db: &Connection) -> rusqlite::Result<u64> {
    db.prepare_cached(
        "SELECT coalesce((SELECT sum(length(allocations)) FROM plans_kept), 0)
             + coalesce((SELECT sum(octet_length(source)) FROM plan_contents), 0)",
    )?
    .query_row([], |row| row.get(0))
}
