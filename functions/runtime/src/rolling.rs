//! Rolls a user's leaves up: day, month, all time; and for a busy one minute and hour before.
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
use domain::table::{self, HourPart, ItemKey};
use domain::time::{UnixMillis, Window};

use crate::row::{self, Taken};
use crate::store::{Shown, Store, StoreError, Updated, update};

/// Leaves in one item of a busy minute before the next takes over.
const MOST_LEAVES: usize = 250;

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

/// What stands between leaves and days, as it is now: the leaves of a subject beyond its first of an
/// hour are summed by minute and by hour before. A caller at thousands of calls a second fills
/// thousands of leaves a day, and its day would outgrow an item.
#[derive(Debug, Default)]
pub struct Busy {
    /// By subject and minute, and number in the row of that minute's items: the leaves of that minute.
    pub minutes: BTreeMap<(Subject, UnixMillis, u32), Updated<RollUp>>,
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
            below.part.sources = leaf.leaf.sources().clone();
            let (whole, start) = match leaf.key.minute() {
                Some(minute) => (&mut minutes, minute),
                None => (&mut hours, leaf.key.hour),
            };
            let key = (leaf.key.subject.clone(), start);
            whole.entry(key).or_default().push(below);
        }
        for ((subject, minute), below) in minutes {
            let key = |number| ItemKey::busy_minute(&subject, minute, number);
            let show = |roll_up: &RollUp| shown(roll_up, Some(passing(minute)));
            let items = row::offer(self.leaves, key, below, Below::find_room, show).await?;
            for (number, rolled) in items {
                let mut below = Below::busy(table::minute_part(minute, number), &rolled);
                below.part.sources = rolled.state.sources();
                let hour = (subject.clone(), Window::Hour.start(minute));
                hours.entry(hour).or_default().push(below);
                let slot = (subject.clone(), minute, number);
                busy.minutes.insert(slot, rolled);
            }
        }
        for ((subject, hour), below) in hours {
            let key = ItemKey::busy_hour(&subject, hour);
            let rolled = take(self.leaves, &key, &below, Some(passing(hour))).await?;
            busy.hours.insert((subject, hour), rolled);
        }
        Ok(busy)
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
            let below = Below::busy(HourPart::Beyond(*hour).name(), rolled);
            (subject, *hour, below)
        });
        let mut days: BTreeMap<(&Subject, UnixMillis), Vec<Below>> = BTreeMap::new();
        for (subject, hour, below) in first.chain(beyond) {
            if subject.email().is_some() {
                let day = Window::Day.start(hour);
                days.entry((subject, day)).or_default().push(below);
            }
        }
        for ((subject, day), parts) in days {
            let key = ItemKey::day(subject, day);
            let rolled = take(self.leaves, &key, &parts, None).await?;
            let month = Window::Month.start(day);
            let part = table::day_part(day, self.mode);
            let below = [Below::day(part, &rolled)];
            let rolled = take(self.usage, &ItemKey::month(subject, day), &below, None).await?;
            let below = [Below::day(Window::Month.label(month), &rolled)];
            take(self.usage, &ItemKey::all_time(subject), &below, None).await?;
        }
        Ok(())
    }
}

/// When a sum between leaf and day may go: after every leaf of its hour.
fn passing(at: UnixMillis) -> UnixMillis {
    Window::Hour.end(at).plus_days(DEDUPE_HORIZON_DAYS + 2)
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

    /// A sum of leaves of one hour, which tells its quarters apart as a leaf does.
    fn busy(name: String, rolled: &Updated<RollUp>) -> Self {
        let mut below = Self::day(name, rolled);
        below.part.quarters = rolled.state.quarters().to_vec();
        below
    }

    fn give(&self, roll_up: &mut RollUp) -> bool {
        let is_taken = roll_up.take(&self.name, self.part.clone());
        roll_up.see(self.seen.clone()) | is_taken
    }

    /// As [`Self::give`], unless the roll-up is full.
    fn find_room(roll_up: &mut RollUp, below: &Self) -> Taken {
        if roll_up.len() >= MOST_LEAVES && !roll_up.has_part(&below.name) {
            Taken::Full
        } else if below.give(roll_up) {
            Taken::Changed
        } else {
            Taken::Known
        }
    }

    /// A day or a month.
    fn day(name: String, rolled: &Updated<RollUp>) -> Self {
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
