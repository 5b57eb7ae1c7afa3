//! The leaf: one subject's counts in one hour together with the ids that were counted.
//!
//! Ids and counts change in one conditional write, so that a crash leaves either both or neither,
//! and an event that comes again meets its own id. Which leaf an event belongs to follows from the
//! event ([`LeafKey::of`]); where a leaf is full, another takes over, and which one follows from the
//! event too ([`LeafKey::after`]). A full leaf never takes another id, so that walking from the first
//! leaf always finds an id that was counted.
//!
//! The first leaf takes what comes first of the whole hour. Once it is full, each minute has a row
//! of leaves of its own, so that whoever is busy costs a walk of a minute's leaves, not of an hour's.
//!
//! Of each id the leaf also keeps whether the access log has told how the call was answered
//! ([`Leaf::report`]), so that a line that comes again changes nothing. A full leaf still takes
//! such reports.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::event::{EventType, Subject, UsageEvent};
use crate::id::ShortId;
use crate::response::{Response, Responses};
use crate::seen::Seen;
use crate::tally::{Tally, Totals};
use crate::time::{UnixMillis, Window};

/// Ids that one leaf takes before another takes over: 8 KB of them, since a write costs by the size
/// of the whole item. A later release may lower it, and never raise it while leaves of before live: a
/// full one would have room again for an event that the next one holds.
pub const MOST_IDS: usize = 1_000;
/// Addresses whose failures one leaf tells apart; failures from more still count.
const MOST_ADDRESSES: usize = 256;
/// Keys that are told apart of one failing address: who tries random ones must not fill an item.
pub const MOST_KEYS: usize = 20;
/// Bytes of labels after which a leaf takes no more ids, as a guard: routes are few.
const MOST_LABEL_BYTES: usize = 64 * 1024;

/// Where a leaf is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeafKey {
    /// Whose counts.
    pub subject: Subject,
    /// Start of the hour.
    pub hour: UnixMillis,
    /// Lane of the subject.
    pub lane: u16,
    /// Which of the leaves of this subject, hour and lane.
    pub place: Place,
}

/// Which of the leaves of one subject, hour and lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The one that takes what comes first.
    First,
    /// One of those that take over once the first is full.
    OfMinute {
        /// The minute of the hour that its events are of, 0 to 59.
        minute: u8,
        /// Its number in the row of that minute.
        number: u32,
    },
}

impl LeafKey {
    /// The first leaf that `event` may be counted in.
    pub fn of(event: &UsageEvent) -> Self {
        Self {
            subject: event.subject.clone(),
            hour: Window::Hour.start(event.time),
            lane: event.lane(),
            place: Place::First,
        }
    }

    /// Whether this is the one leaf that a subject with few calls has in an hour.
    pub const fn is_first(&self) -> bool {
        self.lane == 0 && matches!(self.place, Place::First)
    }

    /// The leaf that decides about `event` where this one is full.
    #[must_use]
    pub fn after(&self, event: &UsageEvent) -> Self {
        let place = match self.place {
            Place::First => Place::OfMinute {
                minute: event.time.minute_of_hour(),
                number: 0,
            },
            Place::OfMinute { minute, number } => Place::OfMinute {
                minute,
                number: number + 1,
            },
        };
        Self {
            place,
            ..self.clone()
        }
    }

    /// The start of the minute whose events alone the leaf takes, if it takes those of one only.
    pub fn minute(&self) -> Option<UnixMillis> {
        match self.place {
            Place::First => None,
            Place::OfMinute { minute, .. } => {
                Some(self.hour.plus_millis(i64::from(minute) * 60_000))
            }
        }
    }
}

/// What became of an event offered to a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// Counted now.
    Counted,
    /// Counted before.
    Duplicate,
    /// Not here, and there is no room: the leaf that follows decides.
    Full,
}

/// What became of a response reported to a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// Taken now.
    Taken,
    /// Nothing to take: it was taken before, or the event is no accepted call.
    Settled,
    /// The leaf does not hold the event.
    Absent,
}

/// Counts of one subject, hour and lane.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Leaf {
    /// Methods and endpoints, each once; cells refer to them by position.
    labels: Vec<String>,
    cells: BTreeMap<Cell, u64>,
    ids: Ids,
    /// Where failures came from, by address.
    sources: Sources,
    seen: Option<Seen>,
    responses: Responses,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Cell {
    minute: u8,
    event_type: EventType,
    method: u32,
    endpoint: u32,
}

/// Failures by address.
pub type Sources = BTreeMap<String, Source>;

/// Addresses of which a sum of a busy subject tells failures: its items hold hundreds of parts.
const FEW_ADDRESSES: usize = 2;

/// Those of `sources` whose addresses sort first, a few: where an address fails, mostly it alone does.
pub fn few(sources: &Sources) -> Sources {
    let first = sources.iter().take(FEW_ADDRESSES);
    first
        .map(|(address, source)| (address.clone(), source.clone()))
        .collect()
}

/// Failures from one address within one hour.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Source {
    /// By minute of the hour: authentication failures and rate-limited calls.
    pub minutes: BTreeMap<u8, (u64, u64)>,
    /// The keys that were tried, by id: of more than [`MOST_KEYS`] those whose ids sort first, so
    /// that it does not matter in which order they came.
    pub keys: BTreeSet<String>,
    /// Time of the last failure.
    pub last_seen: UnixMillis,
}

impl Source {
    /// Adds what `other` knows of the same address.
    pub fn merge(&mut self, other: &Self) {
        for (minute, (auth_failures, rate_limited)) in &other.minutes {
            let known = self.minutes.entry(*minute).or_default();
            known.0 += auth_failures;
            known.1 += rate_limited;
        }
        self.keys.extend(other.keys.iter().cloned());
        while self.keys.len() > MOST_KEYS {
            self.keys.pop_last();
        }
        self.last_seen = self.last_seen.max(other.last_seen);
    }
}

impl Leaf {
    /// Counts `event` unless its id was counted here before.
    pub fn offer(&mut self, event: &UsageEvent) -> Offer {
        let id = event.id.short();
        if self.ids.0.contains_key(&id) {
            return Offer::Duplicate;
        }
        if self.is_full() {
            return Offer::Full;
        }
        self.ids.0.insert(id, Reported(false));
        let cell = Cell {
            minute: event.time.minute_of_hour(),
            event_type: event.event_type,
            method: self.label(&event.data.method),
            endpoint: self.label(&event.data.endpoint),
        };
        *self.cells.entry(cell).or_default() += 1;
        self.note_source(event);
        let seen = Seen::of(event);
        self.seen.get_or_insert_with(|| seen.clone()).widen(&seen);
        Offer::Counted
    }

    /// Takes how `event` was answered, unless it was told before.
    pub fn report(&mut self, event: &UsageEvent, response: Response) -> Report {
        let Some(reported) = self.ids.0.get_mut(&event.id.short()) else {
            return Report::Absent;
        };
        if reported.0 || event.event_type != EventType::ApiCall {
            return Report::Settled;
        }
        *reported = Reported(true);
        self.responses.count(response);
        Report::Taken
    }

    /// Whether the id is among those counted here.
    pub fn holds(&self, id: ShortId) -> bool {
        self.ids.0.contains_key(&id)
    }

    /// Whether it was told how the event of this id was answered.
    pub fn is_reported(&self, id: ShortId) -> bool {
        self.ids.0.get(&id).is_some_and(|reported| reported.0)
    }

    /// How the calls counted here were answered, as far as that was told.
    pub const fn responses(&self) -> &Responses {
        &self.responses
    }

    /// Whether no further id finds room: from here on the leaf takes reports only.
    pub fn is_full(&self) -> bool {
        let label_bytes: usize = self.labels.iter().map(String::len).sum();
        self.ids.0.len() >= MOST_IDS || label_bytes >= MOST_LABEL_BYTES
    }

    /// Events counted here, of every type.
    pub fn events(&self) -> usize {
        self.ids.0.len()
    }

    /// Everything counted here.
    pub fn tally(&self) -> Tally {
        self.tally_where(|_| true)
    }

    /// What was counted in one minute of the hour, 0 to 59.
    pub fn minute(&self, minute: u8) -> Tally {
        self.tally_where(|cell| cell.minute == minute)
    }

    /// The minutes of the hour that anything was counted in.
    pub fn minutes(&self) -> BTreeSet<u8> {
        self.cells.keys().map(|cell| cell.minute).collect()
    }

    /// What was counted in each quarter of the hour: days and months begin on quarter hours in
    /// every time zone.
    pub fn quarters(&self) -> [Totals; 4] {
        [0_u8, 1, 2, 3].map(|quarter| {
            self.tally_where(|cell| cell.minute / 15 == quarter)
                .totals()
        })
    }

    /// Failures by address.
    pub const fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The first and the last event counted here.
    pub fn seen(&self) -> Option<Seen> {
        self.seen.clone()
    }

    fn tally_where(&self, wanted: impl Fn(&Cell) -> bool) -> Tally {
        let mut tally = Tally::default();
        for (cell, count) in self.cells.iter().filter(|(cell, _)| wanted(cell)) {
            let label = |position: u32| {
                let position = usize::try_from(position).unwrap_or(usize::MAX);
                self.labels.get(position).map_or("", String::as_str)
            };
            tally.count(
                cell.event_type,
                label(cell.method),
                label(cell.endpoint),
                *count,
            );
        }
        tally
    }

    fn label(&mut self, text: &str) -> u32 {
        let known = self.labels.iter().position(|label| label == text);
        let position = known.unwrap_or_else(|| {
            self.labels.push(text.to_owned());
            self.labels.len() - 1
        });
        // At most two labels an id, and ids are few: this never saturates.
        u32::try_from(position).unwrap_or(u32::MAX)
    }

    fn note_source(&mut self, event: &UsageEvent) {
        let (auth_failed, rate_limited) = match event.event_type {
            EventType::ApiCall => return,
            EventType::AuthFailed => (1, 0),
            EventType::RateLimited => (0, 1),
        };
        let known = self.sources.contains_key(&event.data.ip);
        if !known && self.sources.len() >= MOST_ADDRESSES {
            return;
        }
        let failed = Source {
            minutes: [(event.time.minute_of_hour(), (auth_failed, rate_limited))].into(),
            keys: event.data.key_id.iter().cloned().collect(),
            last_seen: event.time,
        };
        let source = self.sources.entry(event.data.ip.clone()).or_default();
        source.merge(&failed);
    }
}

/// Whether the access log has told how a call was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reported(bool);

/// The ids counted, eight bytes each and nothing between them.
///
/// An id begins with the two bits `10` of every UUID (RFC 9562, section 4.1). The second of them
/// is stored as 1 where the access log has told of the id: the mark costs no byte.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Ids(BTreeMap<ShortId, Reported>);

/// The bit of an id's first byte that marks it.
const MARK: u8 = 0b0100_0000;

impl Ids {
    fn stored(id: ShortId, reported: Reported) -> [u8; 8] {
        let [first, rest @ ..] = id.0;
        let mark = if reported.0 { MARK } else { 0 };
        let [b1, b2, b3, b4, b5, b6, b7] = rest;
        [first | mark, b1, b2, b3, b4, b5, b6, b7]
    }

    fn read(stored: [u8; 8]) -> (ShortId, Reported) {
        let [first, b1, b2, b3, b4, b5, b6, b7] = stored;
        let id = ShortId([first & !MARK, b1, b2, b3, b4, b5, b6, b7]);
        (id, Reported(first & MARK != 0))
    }
}

impl Serialize for Ids {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ids = self.0.iter();
        let bytes: Vec<u8> = ids
            .flat_map(|(id, reported)| Self::stored(*id, *reported))
            .collect();
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Ids {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl serde::de::Visitor<'_> for Bytes {
            type Value = Ids;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("ids of eight bytes each")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Ids, E> {
                let (ids, rest) = bytes.as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(E::invalid_length(bytes.len(), &self));
                }
                Ok(Ids(ids.iter().copied().map(Ids::read).collect()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests;
