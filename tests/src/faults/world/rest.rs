//! A schedule's end: everything comes through, and days pass.

use std::collections::BTreeMap;

use domain::event::{EventType, MOST_LANES};
use domain::names::TrackingMode;
use domain::table;

use super::super::check::check_users;
use super::super::random::Random;
use super::super::traffic::{event, event_id};
use super::World;

/// Days that the stream keeps its records, and the table's stream its changes.
const STREAM_DAYS: i64 = 7;
const TABLE_STREAM_DAYS: i64 = 1;
/// Turns after which a system that is left alone must have come to rest.
const PATIENCE: u32 = 200_000;

impl World {
    /// Nothing goes wrong any more: everything comes through.
    pub(super) async fn come_to_rest(&mut self) -> Result<(), String> {
        self.weather.clear();
        (self.records.down, self.changes.down) = (false, false);
        self.settle().await?;
        self.touch_synchronous_leaves();
        self.settle().await?;
        if !self.unheard.is_empty() {
            check_users(self)?;
            self.hear_all();
        }
        self.settle().await
    }

    /// Days pass once everything has come through, and what may go is deleted.
    pub(super) async fn pass(&mut self, days: i64) -> Result<(), String> {
        self.come_to_rest().await?;
        self.now = self.now.plus_days(days);
        self.records.trim(self.now.plus_days(-STREAM_DAYS).0);
        self.changes.trim(self.now.plus_days(-TABLE_STREAM_DAYS).0);
        self.expired_at = self.now;
        for (place, table) in [&self.analytics, &self.usage].into_iter().enumerate() {
            self.expired[place].extend(table.expire(self.now));
        }
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), String> {
        for _ in 0..PATIENCE {
            self.begin();
            self.begin_all_lines();
            if !self.tasks.is_empty() {
                self.go_on(0).await;
            } else if self.records.is_done() && self.changes.is_done() && self.log.is_done() {
                return Ok(());
            } else {
                self.pass_time().await;
            }
        }
        Err("the system did not come to rest".to_owned())
    }

    /// An authorizer that died between the leaf and the roll-up leaves the roll-up behind until
    /// the leaf is next counted into: nothing else wakes anybody for the usage table.
    fn touch_synchronous_leaves(&mut self) {
        let mut random = Random::new(self.sent.len() as u64 ^ self.now.0.unsigned_abs());
        let leaves: BTreeMap<_, _> = self
            .usage
            .items()
            .into_iter()
            .filter_map(|(key, _)| table::parse_leaf(&key))
            .map(|leaf| ((leaf.subject.clone(), leaf.hour, leaf.lane), leaf))
            .collect();
        for leaf in leaves.into_values() {
            let time = leaf.hour;
            let mut event = event(leaf.subject, EventType::ApiCall, 0, time, &mut random);
            event.data.mode = TrackingMode::Synchronous;
            event.data.lanes = MOST_LANES;
            while event.lane() != leaf.lane {
                event.id = event_id(time, &mut random);
            }
            self.report(event, 0);
        }
    }
}
