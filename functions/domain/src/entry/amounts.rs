//! Entries of amounts: what an upstream reports of meters, each about one call.
//!
//! Facts (format 3): one byte that names the format; the minute; the names of the meters, each
//! once; then columns: twelve bytes of each call's id, the number of its meter with whether the
//! amount counts towards the quota, and the amount. A fact takes some 16 bytes. There is nothing
//! that only people read, so details are the format byte alone.
//!
//! Such an entry names no user: the fold finds the call under the same id.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::facts::{Facts, read_texts};
use super::{Entry, ID_BYTES, hex, minute_number, within_minute};
use crate::meter::Amount;
use crate::time::{UnixMillis, Window};
use crate::wire::{Read, Write};

/// The format of entries of amounts.
pub const AMOUNTS: u8 = 3;
/// The most amounts in one entry: some 200 KB.
const MOST: usize = 10_000;

/// An amount as an entry holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured<'a> {
    /// The call's id within its minute.
    pub id: [u8; ID_BYTES],
    /// The meter.
    pub meter: &'a str,
    /// How much of it.
    pub amount: u64,
    /// Whether the amount counts towards the quota.
    pub to_quota: bool,
}

/// An amount by the number of its meter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    id: [u8; ID_BYTES],
    meter: u32,
    amount: u64,
    to_quota: bool,
}

/// Packs amounts into entries: one per minute, or more where one would be too large. Amounts that
/// repeat are packed once, and their order does not matter.
pub fn pack<'a>(amounts: impl IntoIterator<Item = &'a Amount>) -> Vec<Entry> {
    let mut minutes: BTreeMap<UnixMillis, Vec<&Amount>> = BTreeMap::new();
    for amount in amounts {
        let minute = Window::Minute.start(amount.call.minted_at());
        minutes.entry(minute).or_default().push(amount);
    }
    let mut entries = Vec::new();
    for (minute, mut amounts) in minutes {
        amounts.sort_unstable();
        amounts.dedup();
        entries.extend(amounts.chunks(MOST).map(|part| entry(minute, part)));
    }
    entries
}

fn entry(minute: UnixMillis, amounts: &[&Amount]) -> Entry {
    let mut names: Vec<&str> = amounts.iter().map(|amount| amount.meter.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let mut facts = vec![AMOUNTS];
    facts.number(minute_number(minute));
    facts.number(names.len() as u64);
    for name in &names {
        facts.text(name);
    }
    facts.number(amounts.len() as u64);
    for amount in amounts {
        facts.extend_from_slice(&within_minute(amount.call, minute));
    }
    for amount in amounts {
        let meter = names.binary_search(&amount.meter.as_str()).unwrap_or(0) as u64;
        facts.number(meter << 1 | u64::from(amount.to_quota));
        facts.number(amount.amount);
    }
    Entry {
        minute,
        digest: hex(&Sha256::digest(&facts)),
        facts,
        details: vec![AMOUNTS],
    }
}

/// Reads what [`pack`] wrote.
pub(super) fn read(bytes: &[u8]) -> Option<Facts<'_>> {
    let mut read = Read(bytes);
    read.byte()?;
    let minute = i64::try_from(read.number()?).ok()?;
    let minute = UnixMillis(minute.checked_mul(60_000)?);
    let texts = read_texts(&mut read, bytes.len())?;
    let count = read.size()?;
    let (ids, rest) = read
        .bytes(count.checked_mul(ID_BYTES)?)?
        .as_chunks::<ID_BYTES>();
    rest.is_empty().then_some(())?;
    let mut amounts = Vec::new();
    for id in ids {
        let [m0, m1, ..] = *id;
        let meter = read.number()?;
        let row = Row {
            id: *id,
            meter: u32::try_from(meter >> 1).ok()?,
            amount: read.number()?,
            to_quota: meter & 1 == 1,
        };
        let is_known = usize::try_from(row.meter).ok()? < texts.len();
        (is_known && u16::from_be_bytes([m0, m1]) < 60_000).then_some(())?;
        amounts.push(row);
    }
    read.is_empty()
        .then(|| Facts::of_amounts(minute, bytes, texts, amounts))
}

impl Facts<'_> {
    /// The amounts, if this is an entry of amounts.
    pub fn amounts(&self) -> impl Iterator<Item = Measured<'_>> {
        self.amounts.iter().map(|row| Measured {
            id: row.id,
            // Texts are numbered from 1.
            meter: self.text(row.meter + 1),
            amount: row.amount,
            to_quota: row.to_quota,
        })
    }
}

#[cfg(test)]
mod tests;
