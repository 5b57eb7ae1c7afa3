//! The work that a batch of changes asks for: the minutes to fold, each with its new entries.

use std::collections::{BTreeMap, BTreeSet};

use aws_lambda_events::event::dynamodb::EventRecord;
use domain::table::{ItemKey, JournalKey, attribute};
use domain::time::UnixMillis;
use serde_dynamo::{AttributeValue, Item};

/// The work of a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// New entries, by minute.
    pub minutes: BTreeMap<UnixMillis, BTreeSet<ItemKey>>,
    /// For each hour's journal, the time of its last change in the batch.
    pub folded: BTreeMap<UnixMillis, UnixMillis>,
    /// The minute of each record that asks for one, by sequence number, in the order of the batch.
    records: Vec<(String, UnixMillis)>,
}

impl Work {
    /// The work that the records ask for. Deletions ask for none: entries expire in any order, and
    /// the remains of a minute hold less than was counted.
    pub fn of(records: &[EventRecord]) -> Self {
        let mut work = Self::default();
        for record in records
            .iter()
            .filter(|record| record.event_name != "REMOVE")
        {
            let keys = &record.change.keys;
            let (pk, sk) = (text(keys, attribute::PK), text(keys, attribute::SK));
            let Some((pk, sk)) = pk.zip(sk) else {
                continue;
            };
            let Some(key) = JournalKey::parse(pk, sk) else {
                continue;
            };
            let made_at = UnixMillis(
                record
                    .change
                    .approximate_creation_date_time
                    .timestamp_millis(),
            );
            if pk.matches('#').count() == 1 {
                let folded = work.folded.entry(key.hour()).or_default();
                *folded = made_at.max(*folded);
            }
            if let JournalKey::Entry(minute, _) = key {
                let entries = work.minutes.entry(minute).or_default();
                entries.insert(ItemKey::new(pk, sk));
                let position = record.change.sequence_number.clone();
                work.records.push((position.unwrap_or_default(), minute));
            }
        }
        work
    }

    /// The first record that asks for a minute which is not done.
    pub fn first_undone(&self, done: &BTreeSet<UnixMillis>) -> Option<&str> {
        let undone = self
            .records
            .iter()
            .find(|(_, minute)| !done.contains(minute));
        undone.map(|(position, _)| position.as_str())
    }
}

fn text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    match item.get(name)? {
        AttributeValue::S(text) => Some(text),
        _ => None,
    }
}
