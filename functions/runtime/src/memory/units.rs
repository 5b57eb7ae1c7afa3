//! The units that DynamoDB bills for a call, by item size
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html>):
//! a write costs the larger of the item before and after, per KB; a failed condition costs the item
//! as it is; a consistent read costs each page, per 4 KB. An index of keys costs a unit when an
//! item enters it.

use domain::table::{ItemKey, attribute};

use super::Held;
use crate::store::Value;

/// Consumed units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Units {
    /// Write request units.
    pub writes: u64,
    /// Read request units of consistent reads.
    pub reads: u64,
    /// Calls of either kind.
    pub calls: u64,
}

impl Units {
    pub(super) fn written(&mut self, key: &ItemKey, before: Option<&Held>, after: &Held) {
        let key = (key.pk.as_str(), key.sk.as_str());
        let before_bytes = before.map_or(0, |held| size(key, held));
        self.writes += per(1_024, before_bytes.max(size(key, after)));
        self.calls += 1;
        let is_indexed =
            |held: &Held| matches!(held, Held::Item(_, shown) if shown.by_time.is_some());
        if is_indexed(after) && !before.is_some_and(is_indexed) {
            self.writes += 1;
        }
    }

    pub(super) fn refused(&mut self, held: Option<&Held>) {
        self.again(held);
        self.calls += 1;
    }

    pub(super) fn again(&mut self, held: Option<&Held>) {
        let bytes = held.map_or(0, |held| size(("", ""), held));
        self.writes += per(1_024, bytes);
    }

    pub(super) fn read(&mut self, bytes: usize) {
        self.reads += per(4_096, bytes);
        self.calls += 1;
    }
}

fn per(unit: usize, bytes: usize) -> u64 {
    bytes.div_ceil(unit).max(1) as u64
}

/// Bytes of an item: names and values of its attributes
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>).
pub(super) fn size((pk, sk): (&str, &str), held: &Held) -> usize {
    let mut bytes = attribute::PK.len() + pk.len() + attribute::SK.len() + sk.len();
    match held {
        Held::Item(stored, shown) => {
            bytes += attribute::VERSION.len() + number(stored.version);
            bytes += attribute::FORMAT.len() + 2;
            bytes += attribute::STATE.len() + stored.state.len();
            if let Some(totals) = shown.totals {
                let values = [
                    (attribute::TOTAL_CALLS, totals.calls),
                    (attribute::AUTH_FAILURES, totals.auth_failures),
                    (attribute::RATE_LIMITED, totals.rate_limited),
                    (attribute::UNITS, totals.calls),
                ];
                bytes += values
                    .map(|(name, value)| name.len() + number(value))
                    .iter()
                    .sum::<usize>();
            }
            if shown.expires_at.is_some() {
                bytes += attribute::TTL.len() + 6;
            }
            if shown.by_time.is_some() {
                bytes += attribute::WINDOW.len() + attribute::START.len() + 16;
            }
        }
        Held::Document(document) => {
            for (name, value) in &document.attributes {
                bytes += name.len();
                bytes += match value {
                    Value::Text(text) => text.len(),
                    Value::Number(value) => number(*value),
                    Value::Bytes(value) => value.len(),
                };
            }
            if document.expires_at.is_some() {
                bytes += attribute::TTL.len() + 6;
            }
        }
    }
    bytes
}

/// A number takes one byte per two digits, plus one.
fn number(value: u64) -> usize {
    let digits = value.checked_ilog10().unwrap_or(0) + 1;
    usize::try_from(digits.div_ceil(2)).unwrap_or(0) + 1
}
