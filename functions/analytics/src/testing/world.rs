//! Two tables in memory with the journal, and the aggregator over them.

use std::sync::Mutex;

use aggregator::everybody::Retention;
use aggregator::handler::{Aggregator, Memory};
use aws_lambda_events::event::dynamodb::EventRecord;
use domain::entry::Packer;
use domain::event::{EventType, UsageEvent};
use domain::mark::{DayMark, LOOKED_AFTER_DAYS, SEAL_AFTER_DAYS};
use domain::meter::Amount;
use domain::response::Response;
use domain::state;
use domain::table::{ItemKey, JOURNAL_PREFIX, JournalKey};
use domain::time::{UnixMillis, Window};
use runtime::journal::Journal;
use runtime::memory::{Change, MemoryStore};
use serde_json::json;

use super::ready;
use crate::reader::Tables;

/// Shards of the table's stream.
pub(crate) const SHARDS: u8 = 3;

/// The two tables, and what happens to them.
pub(crate) struct World {
    pub(crate) usage: MemoryStore,
    pub(crate) analytics: MemoryStore,
    aggregator: Aggregator<MemoryStore>,
    /// Whether the upstream reports the tokens of each call.
    is_metered: bool,
    /// Changes that no fold has processed, and when they were made.
    changes: Mutex<Vec<(Change, UnixMillis)>>,
}

impl Default for World {
    fn default() -> Self {
        let usage = MemoryStore::default();
        let analytics = MemoryStore::journalled(Some(JOURNAL_PREFIX));
        let retention = Retention {
            raw: 90,
            minutes: 7,
            hours: 90,
        };
        Self {
            aggregator: Aggregator {
                analytics: analytics.clone(),
                usage: usage.clone(),
                retention,
                reported_within: 120_000,
                cache: Memory::default(),
            },
            usage,
            analytics,
            is_metered: false,
            changes: Mutex::default(),
        }
    }
}

/// The tokens of a call in a metered world.
pub(crate) fn tokens(call: &UsageEvent) -> u64 {
    u64::from(call.id.spread() % 5)
}

impl World {
    /// A world in which each call's tokens are reported, each twice.
    pub(crate) fn metered() -> Self {
        Self {
            is_metered: true,
            ..Self::default()
        }
    }

    pub(crate) fn tables(&self) -> Tables<'_, MemoryStore> {
        Tables {
            usage: &self.usage,
            analytics: &self.analytics,
        }
    }

    /// Appends each event, and the response to it, at the event's time.
    pub(crate) fn call(&self, events: &[UsageEvent]) {
        for event in events {
            self.append(std::slice::from_ref(event), event.time);
        }
    }

    /// Appends events in one batch, by a writer whose clock is at `now`.
    pub(crate) fn append(&self, events: &[UsageEvent], now: UnixMillis) {
        let borrowed: Vec<_> = events.iter().map(UsageEvent::borrowed).collect();
        let mut packer = Packer::default();
        for event in &borrowed {
            packer.report(event);
            if event.event_type == EventType::ApiCall {
                let response = Response {
                    status: 200,
                    latency: Some(40),
                };
                packer.line(event, Some(response));
            }
        }
        let journal = Journal {
            store: &self.analytics,
            retention_days: 90,
        };
        ready(journal.append(packer, now)).unwrap();
        let calls = events
            .iter()
            .filter(|event| self.is_metered && event.event_type == EventType::ApiCall);
        for call in calls {
            let amount = Amount {
                call: call.id,
                meter: "tokens".to_owned(),
                amount: tokens(call),
                to_quota: false,
            };
            for _ in 0..2 {
                ready(journal.append_amounts(std::slice::from_ref(&amount), now)).unwrap();
            }
        }
        self.note_changes(now);
    }

    fn note_changes(&self, at: UnixMillis) {
        let new = self.analytics.take_changes().into_iter();
        self.changes
            .lock()
            .unwrap()
            .extend(new.map(|change| (change, at)));
    }

    /// Folds the oldest `most` changes of one of three shards. Returns how many there were.
    pub(crate) fn fold_some(&self, shard: u8, most: usize, now: UnixMillis) -> usize {
        let mut changes = self.changes.lock().unwrap();
        changes.sort_by_key(|(_, at)| *at);
        let mut batch = Vec::new();
        changes.retain(|(change, at)| {
            let is_due = shard_of(change) == shard && batch.len() < most;
            if is_due {
                batch.push(record((change.clone(), *at)));
            }
            !is_due
        });
        drop(changes);
        let (answer, folded) = ready(self.aggregator.batch(&batch, now, &|| false));
        assert!(answer.batch_item_failures.is_empty(), "{answer:?}");
        assert_eq!(folded.parked, 0);
        batch.len()
    }

    /// Folds everything, and runs a tick.
    pub(crate) fn fold(&self, now: UnixMillis) {
        self.tick(now);
        for shard in 0..SHARDS {
            self.fold_some(shard, usize::MAX, now);
        }
    }

    /// The aggregator's tick: beacons, and closing of days.
    pub(crate) fn tick(&self, now: UnixMillis) {
        ready(self.aggregator.tick(now, &|| false)).unwrap();
        self.note_changes(now);
    }

    /// Ticks until the day is closed, an hour and a half after it ended.
    pub(crate) fn close(&self, day: UnixMillis) {
        let end = Window::Day.end(day);
        for minutes in [60, 90] {
            self.tick(end.plus_millis(minutes * 60_000));
        }
    }

    /// Plays events in the order of time: folds and closes each day at its end, and folds the rest
    /// at `now`.
    pub(crate) fn live(&self, events: &[UsageEvent], now: UnixMillis) {
        let mut events: Vec<&UsageEvent> = events.iter().collect();
        events.sort_by_key(|event| event.time);
        let mut day = events
            .first()
            .map_or(now, |event| Window::Day.start(event.time));
        for event in events {
            while Window::Day.end(day) <= event.time {
                let end = Window::Day.end(day);
                self.fold(end);
                self.close(day);
                day = end;
            }
            self.call(std::slice::from_ref(event));
        }
        self.fold(now);
    }

    /// Writes the marks of the last twenty days as if they had been closed and sealed in time.
    pub(crate) fn mark_days(&self, now: UnixMillis) {
        for days in 1..=LOOKED_AFTER_DAYS {
            let day = now.plus_days(-days);
            let mut mark = DayMark::begin(Window::Day.end(day));
            mark.finish();
            if days > SEAL_AFTER_DAYS {
                mark.seal();
                mark.finish();
            }
            let state = state::encode(&mark).unwrap();
            self.usage.plant(&ItemKey::day_mark(day), 100, state);
        }
    }
}

/// Changes of one partition belong to one shard.
fn shard_of(change: &Change) -> u8 {
    let hour = JournalKey::parse(&change.key.pk, &change.key.sk)
        .unwrap()
        .hour();
    let spread = (hour.0 / 3_600_000).wrapping_mul(0x9e37_79b9) >> 8;
    u8::try_from(spread.rem_euclid(i64::from(SHARDS))).unwrap()
}

fn record((change, at): (Change, UnixMillis)) -> EventRecord {
    let record = json!({
        "awsRegion": "ap-south-1",
        "eventID": "1",
        "eventName": if change.is_update { "MODIFY" } else { "INSERT" },
        "dynamodb": {
            // In whole seconds, as DynamoDB reports it.
            "ApproximateCreationDateTime": at.seconds(),
            "Keys": {"PK": {"S": change.key.pk}, "SK": {"S": change.key.sk}},
            "SequenceNumber": at.0.to_string(),
            "SizeBytes": 100,
        },
    });
    serde_json::from_value(record).unwrap()
}
