//! What must be counted, told from what was sent and taken alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::event::{EventType, Subject, UsageEvent};
use domain::leaf::{Leaf, LeafKey, Offer};
use domain::state;
use domain::table::ItemKey;
use domain::time::{UnixMillis, Window};
use runtime::memory::MemoryStore;
use runtime::store::{NewItem, Shown};

use super::log::Line;
use super::schedule::Before;
use super::world::Sent;

/// An event may be so far ahead of whoever counts it, in milliseconds.
const AHEAD: i64 = 5 * 60 * 1_000;
/// And so far behind.
const BEHIND: i64 = HORIZON_DAYS * DAY;

/// Days that an event is counted for, and that its duplicates are recognised for at least.
const HORIZON_DAYS: i64 = 7;
/// And sums of minutes are kept for at least so many.
pub(super) const SUM_DAYS: i64 = HORIZON_DAYS + 8;
/// A day.
const DAY: i64 = 24 * 60 * 60 * 1_000;
/// And the leaf that knows it is there for so long after its hour.
const LEAF_LIVES: i64 = BEHIND + DAY;

/// What is known of the events.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    pub(super) known: Vec<Known>,
    pub(super) by_payload: HashMap<Vec<u8>, usize>,
    /// Events that were counted before the schedule began.
    pub(super) before: Vec<UsageEvent>,
    /// Records that were refused in a delivery that came to its end.
    pub(super) refused: BTreeSet<usize>,
    /// Records that were refused in any delivery.
    pub(super) refusable: BTreeSet<usize>,
    /// Lines of the access log that came when their call could not be counted any more, or that
    /// are no lines.
    pub(super) refusable_lines: BTreeSet<usize>,
}

#[derive(Debug)]
pub(super) struct Known {
    pub(super) event: UsageEvent,
    /// An authorizer was told that somebody has taken it.
    pub(super) taken: bool,
    /// The processor has said that it is done with it.
    pub(super) counted: bool,
}

/// What the processor has to do with a record at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Count(usize),
    SetAside,
}

impl Oracle {
    /// Learns of an event; says its number.
    pub(super) fn learn(&mut self, event: UsageEvent) -> usize {
        let number = self.known.len();
        self.by_payload.insert(event.to_json(), number);
        self.known.push(Known {
            event,
            taken: false,
            counted: false,
        });
        number
    }

    /// The event that a record holds.
    pub(super) fn number_of(&self, payload: &[u8]) -> Option<usize> {
        self.by_payload.get(payload).copied()
    }

    /// An authorizer was told that somebody took the event.
    pub(super) fn taken(&mut self, number: usize) {
        self.known[number].taken |= true;
    }

    /// Records are handed to the processor.
    pub(super) fn offered(&mut self, sent: &[Sent], numbers: &[usize], at: UnixMillis) {
        for number in numbers {
            if self.verdict(&sent[*number], at) == Verdict::SetAside
                && !self.is_known_to_leaf(&sent[*number], at)
            {
                self.refusable.insert(*number);
            }
        }
    }

    /// Lines are handed to the reconciler.
    pub(super) fn lines_offered(&mut self, lines: &[Line], numbers: &[usize], at: UnixMillis) {
        for number in numbers {
            let Line { event, poison, .. } = &lines[*number];
            let timely = event.is_none_or(|event| {
                let age = at.since(self.known[event].event.time);
                (-AHEAD..=BEHIND).contains(&age)
            });
            if *poison || !timely {
                self.refusable_lines.insert(*number);
            }
        }
    }

    /// The processor came to its end with these records, of which some failed; or died.
    pub(super) fn delivered(
        &mut self,
        sent: &[Sent],
        numbers: &[usize],
        at: UnixMillis,
        failed: Option<Vec<bool>>,
    ) {
        for (number, failed) in numbers.iter().zip(failed.unwrap_or_default()) {
            match self.verdict(&sent[*number], at) {
                _ if failed => {}
                Verdict::Count(event) => self.known[event].counted = true,
                Verdict::SetAside if self.refusable.contains(number) => {
                    self.refused.insert(*number);
                }
                Verdict::SetAside => {}
            }
        }
    }

    /// Whether the record's event was counted and its leaf is still there.
    fn is_known_to_leaf(&self, sent: &Sent, at: UnixMillis) -> bool {
        sent.event.is_some_and(|number| {
            let Known { event, counted, .. } = &self.known[number];
            *counted && at < Window::Hour.end(event.time).plus_millis(LEAF_LIVES)
        })
    }

    fn verdict(&self, sent: &Sent, at: UnixMillis) -> Verdict {
        match sent.event {
            Some(number) => {
                let age = at.since(self.known[number].event.time);
                if (-AHEAD..=BEHIND).contains(&age) {
                    Verdict::Count(number)
                } else {
                    Verdict::SetAside
                }
            }
            None => Verdict::SetAside,
        }
    }

    /// Counts events of its own for `subject` and `now`, as whoever counted them would have.
    pub(super) fn count_before(
        &mut self,
        analytics: &MemoryStore,
        subject: &Subject,
        now: UnixMillis,
        before: Before,
    ) {
        let mut filling: BTreeMap<u16, (LeafKey, Leaf)> = BTreeMap::new();
        let events = before.events * usize::from(before.lanes);
        for number in 0..events as u64 {
            let mut event =
                domain::sample::event(number, subject.as_str(), EventType::ApiCall, now);
            event.data.lanes = before.lanes;
            let (key, leaf) = filling
                .entry(event.lane())
                .or_insert_with(|| (LeafKey::of(&event), Leaf::default()));
            if leaf.offer(&event) == Offer::Full {
                plant(analytics, key, leaf);
                (*key, *leaf) = (key.after(&event), Leaf::default());
                leaf.offer(&event);
            }
            self.before.push(event);
        }
        for (key, leaf) in filling.values() {
            plant(analytics, key, leaf);
        }
    }
}

fn plant(analytics: &MemoryStore, key: &LeafKey, leaf: &Leaf) {
    let item = NewItem {
        version: 1,
        state: state::encode(leaf).expect("a leaf encodes"),
        shown: Shown::default(),
    };
    let key = ItemKey::leaf(key);
    analytics.plant(&key, item).expect("the table is empty");
}
