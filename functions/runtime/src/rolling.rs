//! Rolls a user's leaves up: day, month, all time; and for a busy one minute and hour before.
//!
//! Every step hands the next one the absolute counts of the part below as of that part's version
//! ([`RollUp::take`]), so that any step may be repeated, come late or be overtaken. A step that
//! finds nothing new still hands on what is stored: a crash between two steps is mended by the
//! next run over the same leaf.

use std::collections::BTreeMap;

use domain::event::{DEDUPE_HORIZON_DAYS, Subject};
use domain::leaf::{Leaf, LeafKey, few};
use domain::names::TrackingMode;
use domain::rollup::{Part, RollUp};
use domain::seen::Seen;
use domain::table::{self, HourPart, ItemKey, MinutePart};
use domain::time::{UnixMillis, Window};

use crate::spill::{self, Limits, Taken};
use crate::store::{Shown, Store, StoreError, Updated, update};
use crate::together::together;

/// Days that a sum is kept after the time of its leaves. A leaf is kept for eight, and what is deleted
/// for its age goes days late and in no order: a sum that went before its leaves would begin anew from
/// some of them, and what is above it take that for the whole.
pub const SUMS_LIVE_DAYS: i64 = DEDUPE_HORIZON_DAYS + 8;

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
    /// How many leaves one item sums.
    pub limits: Limits,
}

/// What stands between leaves and days, as it is now: the leaves of a subject beyond its first of an
/// hour are summed by minute and by hour before. A caller at thousands of calls a second fills
/// thousands of leaves a day, and its day would outgrow an item.
#[derive(Debug, Default)]
pub struct Busy {
    /// By subject and part of a minute: the leaves of that minute.
    pub minutes: BTreeMap<(Subject, MinutePart), Updated<RollUp>>,
    /// By subject and hour: those minutes, and the first leaf of each further lane.
    pub hours: BTreeMap<(Subject, UnixMillis), Updated<RollUp>>,
}

impl<S: Store> Rolling<'_, S> {
    /// Rolls leaves up, of any subjects and hours; says what stands between them and their days.
    pub async fn roll_up(&self, leaves: &[LeafAt<'_>]) -> Result<Busy, StoreError> {
        let busy = self.busy(leaves).await?;
        self.users(leaves, &busy).await?;
        Ok(busy)
    }

    async fn busy(&self, leaves: &[LeafAt<'_>]) -> Result<Busy, StoreError> {
        let mut busy = Busy::default();
        let mut minutes: BTreeMap<(Subject, UnixMillis), Vec<Below>> = BTreeMap::new();
        let mut hours = minutes.clone();
        for leaf in leaves.iter().filter(|leaf| !leaf.key.is_first()) {
            let mut below = Below::leaf(table::lane_part(leaf.key), leaf);
            below.part.sources = few(leaf.leaf.sources());
            let (whole, start) = match leaf.key.minute() {
                Some(minute) => (&mut minutes, minute),
                None => (&mut hours, leaf.key.hour),
            };
            let key = (leaf.key.subject.clone(), start);
            whole.entry(key).or_default().push(below);
        }
        let minutes = minutes.into_iter();
        let rolled = minutes.map(|((subject, minute), below)| async move {
            let parts = self.minute(&subject, minute, below).await?;
            Ok::<_, StoreError>((subject, parts))
        });
        for (subject, parts) in together(rolled.collect()).await? {
            for (part, rolled) in parts {
                let hour = (subject.clone(), Window::Hour.start(part.minute()));
                let below = Below::busy(part.name(), &rolled);
                hours.entry(hour).or_default().push(below);
                busy.minutes.insert((subject.clone(), part), rolled);
            }
        }
        let rolled = hours
            .into_iter()
            .map(|((subject, hour), below)| async move {
                let key = ItemKey::busy_hour(&subject, hour);
                let rolled = take(self.leaves, &key, &below, Some(passing(hour))).await?;
                Ok::<_, StoreError>(((subject, hour), rolled))
            });
        busy.hours.extend(together(rolled.collect()).await?);
        Ok(busy)
    }

    /// Sums leaves of one minute: in as many items as it takes, and those beyond the first in one more.
    async fn minute(
        &self,
        subject: &Subject,
        minute: UnixMillis,
        leaves: Vec<Below>,
    ) -> Result<Vec<(MinutePart, Updated<RollUp>)>, StoreError> {
        let key = |number| ItemKey::busy_minute(subject, minute, number);
        let find_room = |sum: &mut RollUp, leaf: &Below| leaf.find_room(sum, self.limits.leaves);
        let show = |sum: &RollUp| shown(sum, Some(passing(minute)));
        let items = spill::offer(self.leaves, key, leaves, find_room, show).await?;
        let mut parts = Vec::new();
        let mut beyond = Vec::new();
        for (number, rolled) in items {
            if number == 0 {
                parts.push((MinutePart::First(minute), rolled));
            } else {
                beyond.push(Below::busy(number.to_string(), &rolled));
            }
        }
        if !beyond.is_empty() {
            let key = ItemKey::busy_minute_beyond(subject, minute);
            let rolled = take(self.leaves, &key, &beyond, Some(passing(minute))).await?;
            parts.push((MinutePart::Beyond(minute), rolled));
        }
        Ok(parts)
    }

    /// Addresses are not users: their leaves count in the totals of all, and end there.
    async fn users(&self, leaves: &[LeafAt<'_>], busy: &Busy) -> Result<(), StoreError> {
        let first = leaves.iter().filter(|leaf| leaf.key.is_first());
        let first = first.map(|leaf| {
            let hour = leaf.key.hour;
            let below = Below::leaf(HourPart::First(hour).name(), leaf);
            (&leaf.key.subject, hour, below)
        });
        let beyond = busy.hours.iter().map(|((subject, hour), rolled)| {
            let mut below = Below::busy(HourPart::Beyond(*hour).name(), rolled);
            below.part.sources.clear();
            (subject, *hour, below)
        });
        let mut days: BTreeMap<(&Subject, UnixMillis), Vec<Below>> = BTreeMap::new();
        for (subject, hour, below) in first.chain(beyond) {
            if subject.email().is_some() {
                let day = Window::Day.start(hour);
                days.entry((subject, day)).or_default().push(below);
            }
        }
        let days = days.into_iter();
        let users = days.map(|((subject, day), parts)| self.user(subject, day, parts));
        together(users.collect()).await.map(drop)
    }

    async fn user(
        &self,
        subject: &Subject,
        day: UnixMillis,
        parts: Vec<Below>,
    ) -> Result<(), StoreError> {
        let key = ItemKey::day(subject, day);
        let rolled = take(self.leaves, &key, &parts, None).await?;
        let month = Window::Month.start(day);
        let part = table::day_part(day, self.mode);
        let below = [Below::sum(part, &rolled)];
        let rolled = take(self.usage, &ItemKey::month(subject, day), &below, None).await?;
        let below = [Below::sum(Window::Month.label(month), &rolled)];
        take(self.usage, &ItemKey::all_time(subject), &below, None).await?;
        Ok(())
    }
}

/// When a sum between leaf and day may go.
fn passing(at: UnixMillis) -> UnixMillis {
    Window::Hour.end(at).plus_days(SUMS_LIVE_DAYS)
}

/// What is handed on to a roll-up, under the name that it has there.
#[derive(Clone)]
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
            ..Part::default()
        };
        Self {
            name,
            part,
            seen: leaf.seen(),
        }
    }

    /// A sum of leaves of one hour, which tells quarters and failures apart as a leaf does.
    fn busy(name: String, rolled: &Updated<RollUp>) -> Self {
        let mut below = Self::sum(name, rolled);
        below.part.quarters = rolled.state.quarters().to_vec();
        below.part.sources = rolled.state.sources();
        below
    }

    fn give(&self, roll_up: &mut RollUp) -> bool {
        let is_taken = roll_up.take(&self.name, self.part.clone());
        roll_up.see(self.seen.clone()) | is_taken
    }

    /// As [`Self::give`], unless the roll-up has so many other parts.
    fn find_room(&self, roll_up: &mut RollUp, most: usize) -> Taken {
        if roll_up.len() >= most && !roll_up.has_part(&self.name) {
            Taken::Full
        } else if self.give(roll_up) {
            Taken::Changed
        } else {
            Taken::Known
        }
    }

    /// A sum as all that is above tells it.
    fn sum(name: String, rolled: &Updated<RollUp>) -> Self {
        let part = Part {
            version: rolled.version,
            tally: rolled.state.tally(),
            responses: rolled.state.responses(),
            ..Part::default()
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
        below
            .iter()
            .fold(false, |changed, below| below.give(roll_up) | changed)
    };
    update(store, key, change, |roll_up| shown(roll_up, expires_at)).await
}

fn shown(roll_up: &RollUp, expires_at: Option<UnixMillis>) -> Shown {
    Shown {
        tally: Some(roll_up.tally()),
        expires_at,
        ..Shown::default()
    }
}

#[cfg(test)]
mod tests;
