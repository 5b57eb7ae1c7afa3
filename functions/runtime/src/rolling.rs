//! Rolls a user's leaves up: day, month, all time; and for a busy user lane and hour before.
//!
//! Every step hands the next one the absolute counts of the part below as of that part's version
//! ([`RollUp::take`]), so that any step may be repeated, come late or be overtaken. A step that
//! finds nothing new still hands on what is stored: a crash between two steps is mended by the
//! next run over the same leaf.

use std::collections::BTreeMap;

use domain::event::{DEDUPE_HORIZON_DAYS, Subject};
use domain::leaf::{Leaf, LeafKey};
use domain::names::TrackingMode;
use domain::rollup::{Part, RollUp};
use domain::seen::Seen;
use domain::table::{self, ItemKey};
use domain::time::{UnixMillis, Window};

use crate::store::{Shown, Store, StoreError, Updated, update};

/// A leaf as of a version.
#[derive(Debug, Clone, Copy)]
pub struct LeafAt<'a> {
    /// Where it is kept.
    pub key: &'a LeafKey,
    /// As of which version.
    pub version: u64,
    /// Its state.
    pub leaf: &'a Leaf,
}

/// Where a user's counts are rolled up.
#[derive(Debug, Clone, Copy)]
pub struct Rolling<'a, S> {
    /// The table of leaves and days.
    pub leaves: &'a S,
    /// The table of months and all time.
    pub usage: &'a S,
    /// The mode whose leaves these are.
    pub mode: TrackingMode,
}

impl<S: Store> Rolling<'_, S> {
    /// Rolls leaves up, of any subjects and hours. Addresses are not users: their leaves count in
    /// the totals of all, and end there.
    pub async fn users(&self, leaves: &[LeafAt<'_>]) -> Result<(), StoreError> {
        let mut days: BTreeMap<(&Subject, UnixMillis), Vec<LeafAt<'_>>> = BTreeMap::new();
        for leaf in leaves
            .iter()
            .filter(|leaf| leaf.key.subject.email().is_some())
        {
            let day = Window::Day.start(leaf.key.hour);
            days.entry((&leaf.key.subject, day))
                .or_default()
                .push(*leaf);
        }
        for ((subject, day), leaves) in days {
            let rolled = self.day(subject, day, &leaves).await?;
            let month = Window::Month.start(day);
            let part = table::day_part(day, self.mode);
            let below = [Below::day(part, &rolled)];
            let rolled = take(self.usage, &ItemKey::month(subject, day), &below, None).await?;
            let below = [Below::day(Window::Month.label(month), &rolled)];
            take(self.usage, &ItemKey::all_time(subject), &below, None).await?;
        }
        Ok(())
    }

    /// A subject's first leaf of an hour is a part of the day itself. All others are summed by
    /// lane and by hour before: a caller at thousands of calls a second fills thousands of leaves
    /// a day, and its day would outgrow an item.
    async fn day(
        &self,
        subject: &Subject,
        day: UnixMillis,
        leaves: &[LeafAt<'_>],
    ) -> Result<Updated<RollUp>, StoreError> {
        let (first, others): (Vec<LeafAt<'_>>, Vec<LeafAt<'_>>) =
            leaves.iter().partition(|leaf| leaf.key.is_first());
        let mut parts: Vec<Below> = first
            .iter()
            .map(|leaf| Below::leaf(table::hour_part(leaf.key), leaf))
            .collect();
        let mut hours: BTreeMap<UnixMillis, BTreeMap<u16, Vec<Below>>> = BTreeMap::new();
        for leaf in others {
            let lanes = hours.entry(leaf.key.hour).or_default();
            let below = Below::leaf(leaf.key.place.to_string(), &leaf);
            lanes.entry(leaf.key.lane).or_default().push(below);
        }
        for (hour, lanes) in hours {
            let mut of_hour = Vec::new();
            for (lane, leaves) in lanes {
                let key = ItemKey::lane(subject, lane, hour);
                let rolled = take(self.leaves, &key, &leaves, Some(passing(hour))).await?;
                of_hour.push(Below::hour(lane.to_string(), &rolled));
            }
            let key = ItemKey::hour(subject, hour);
            let rolled = take(self.leaves, &key, &of_hour, Some(passing(hour))).await?;
            parts.push(Below::hour(table::rest_part(hour), &rolled));
        }
        take(self.leaves, &ItemKey::day(subject, day), &parts, None).await
    }
}

/// When a sum between leaf and day may go: after every leaf of its hour.
fn passing(hour: UnixMillis) -> UnixMillis {
    Window::Hour.end(hour).plus_days(DEDUPE_HORIZON_DAYS + 2)
}

/// What is handed on to a roll-up, under the name that it has there.
struct Below {
    name: String,
    part: Part,
    seen: Option<Seen>,
}

impl Below {
    fn leaf(name: String, LeafAt { version, leaf, .. }: &LeafAt<'_>) -> Self {
        let part = Part {
            version: *version,
            tally: leaf.tally(),
            quarters: leaf.quarters().to_vec(),
            responses: leaf.responses().clone(),
        };
        Self {
            name,
            part,
            seen: leaf.seen(),
        }
    }

    /// A sum of leaves of one hour, which tells its quarters apart as a leaf does.
    fn hour(name: String, rolled: &Updated<RollUp>) -> Self {
        let mut below = Self::day(name, rolled);
        below.part.quarters = rolled.state.quarters().to_vec();
        below
    }

    /// A day or a month.
    fn day(name: String, rolled: &Updated<RollUp>) -> Self {
        let part = Part {
            version: rolled.version,
            tally: rolled.state.tally(),
            quarters: Vec::new(),
            responses: rolled.state.responses(),
        };
        Self {
            name,
            part,
            seen: rolled.state.seen(),
        }
    }
}

/// Hands what is below on to the roll-up above it.
async fn take<S: Store>(
    store: &S,
    key: &ItemKey,
    below: &[Below],
    expires_at: Option<UnixMillis>,
) -> Result<Updated<RollUp>, StoreError> {
    let change = |roll_up: &mut RollUp| {
        let mut changed = false;
        for Below { name, part, seen } in below {
            changed |= roll_up.take(name, part.clone());
            changed |= roll_up.see(seen.clone());
        }
        changed
    };
    let show = |roll_up: &RollUp| Shown {
        tally: Some(roll_up.tally()),
        expires_at,
        ..Shown::default()
    };
    update(store, key, change, show).await
}

#[cfg(test)]
mod tests;
