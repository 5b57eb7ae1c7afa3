//! The journal's entry: the facts of one batch about the calls of one minute, packed.
//!
//! An entry holds *facts*. A fact is an event's id, its source (the authorizer's report or a line
//! of the access log), and its content. Everything that decides counts is in [`Entry::facts`]. Data
//! kept for people alone (user agent, request id) is in [`Entry::details`], which folds never read.
//!
//! Facts (format 2): one byte that names the format; the minute; a table of texts and of *contents*
//! (each distinct combination of type, user, key, plan, method, endpoint, failing address and units
//! once), deflated if that pays; then columns: twelve bytes of each id (milliseconds within the
//! minute, ten random bytes), the content's number, and for lines the status and the latency. A
//! report takes some 14 bytes, a line 17.
//!
//! Format 1 is the same without units: every accepted call weighs one. Format 3 holds the amounts
//! that upstreams report of calls, and nothing else: see [`amounts`]. Format 4 is format 2 with the
//! dimensions of calls, and is written only for those that have any: its table ends with the
//! *labels* (dimension, value, number of values that count apart) and their distinct combinations
//! of at most three, its columns with the number of each report's combination.
//!
//! Nothing here knows a clock, a table or which facts belong together: see [`crate::fold`].

use std::borrow::Cow;
use std::collections::HashMap;

use foldhash::fast::RandomState;
use sha2::{Digest, Sha256};

use crate::dimension::{Label, MOST_DIMENSIONS};
use crate::event::{EventRef, EventType, Why};
use crate::id::EventId;
use crate::pack::deflate;
use crate::response::Response;
use crate::time::{UnixMillis, Window};
use crate::wire::Write;

pub mod amounts;
mod facts;

pub use amounts::AMOUNTS;
pub use facts::{Fact, Facts, events, id_within};

/// The format in which this release writes events. Format 1 is the first.
pub const FORMAT: u8 = 2;
/// The format in which it writes events of which some have dimensions.
pub const LABELLED: u8 = 4;
/// The latest format that this release reads.
const LATEST: u8 = LABELLED;
/// The most bytes that an entry may take, well below the 400 KB of an item.
pub const LARGEST: usize = 300_000;
/// Bytes of an id within its minute.
const ID_BYTES: usize = 12;

/// The source of a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The authorizer.
    Report,
    /// A line of the access log.
    Line,
}

/// The part of a call that decides its count.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Content<'a> {
    /// The decision.
    pub event_type: EventType,
    /// The subject.
    pub subject: Cow<'a, str>,
    /// The key.
    pub key_id: Option<Cow<'a, str>>,
    /// The plan.
    pub plan: Option<Cow<'a, str>>,
    /// HTTP method.
    pub method: Cow<'a, str>,
    /// Route template.
    pub endpoint: Cow<'a, str>,
    /// The address of a failure; accepted calls are not counted by address.
    pub address: Option<Cow<'a, str>>,
    /// The units of an accepted call; a refused call has none.
    pub units: u32,
}

impl<'a> Content<'a> {
    /// The content of `event`.
    pub fn of(event: &'a EventRef<'a>) -> Self {
        let text = |text: &'a Cow<'a, str>| Cow::Borrowed(text.as_ref());
        let is_call = event.event_type == EventType::ApiCall;
        Self {
            event_type: event.event_type,
            subject: text(&event.subject),
            key_id: event.key_id.as_ref().map(text),
            plan: event.plan.as_ref().map(text),
            method: text(&event.method),
            endpoint: text(&event.endpoint),
            address: (!is_call).then(|| text(&event.ip)),
            units: units_of(event),
        }
    }
}

/// The units of an event.
fn units_of(event: &EventRef<'_>) -> u32 {
    match event.event_type {
        EventType::ApiCall => event.units,
        EventType::AuthFailed | EventType::RateLimited => 0,
    }
}

/// An entry that this release cannot read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Written by a later release.
    #[error("entry has format {found}, this release reads up to {LATEST}")]
    Newer {
        /// The format.
        found: u8,
    },
    /// Its bytes do not match its format.
    #[error("entry of {bytes} bytes does not decode")]
    Corrupt {
        /// Its length.
        bytes: usize,
    },
}

/// A packed entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Start of the minute that contains all its events.
    pub minute: UnixMillis,
    /// 128 bits of the SHA-256 of the content before packing, in hex.
    pub digest: String,
    /// The part that decides counts.
    pub facts: Vec<u8>,
    /// The part kept for people.
    pub details: Vec<u8>,
}

/// Packs facts into entries.
#[derive(Debug, Default)]
pub struct Packer<'a> {
    /// A few minutes at most, in the order of their first event.
    minutes: Vec<Minute<'a>>,
}

#[derive(Debug)]
struct Minute<'a> {
    start: UnixMillis,
    texts: Texts<'a>,
    contents: Rows<8>,
    ids: Vec<u8>,
    kinds: Vec<Kind>,
    content_of: Vec<u32>,
    responses: Vec<Option<Response>>,
    about: Texts<'a>,
    origins: Rows<5>,
    origin_of: Vec<u32>,
    requests: Vec<Option<&'a str>>,
    /// Dimension, value, and how many values count apart.
    labels: Rows<3>,
    /// Labels by number; 0 stands for none.
    sets: Rows<MOST_DIMENSIONS>,
    /// By fact; 0 stands for none.
    set_of: Vec<u32>,
    bytes: usize,
}

/// Texts by number, each once.
#[derive(Debug, Default)]
struct Texts<'a> {
    numbers: HashMap<&'a str, u32, RandomState>,
    texts: Vec<&'a str>,
}

impl<'a> Texts<'a> {
    fn number(&mut self, text: &'a str) -> u32 {
        *self.numbers.entry(text).or_insert_with(|| {
            self.texts.push(text);
            // A batch has some ten thousand texts at most.
            u32::try_from(self.texts.len()).unwrap_or(u32::MAX)
        })
    }

    /// 0 stands for none.
    fn optional(&mut self, text: Option<&'a Cow<'a, str>>) -> u32 {
        text.map_or(0, |text| self.number(text))
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.number(self.texts.len() as u64);
        for text in &self.texts {
            bytes.text(text);
        }
    }
}

/// Distinct combinations of numbers, by number.
#[derive(Debug)]
struct Rows<const N: usize> {
    numbers: HashMap<[u32; N], u32, RandomState>,
    rows: Vec<[u32; N]>,
}

impl<const N: usize> Default for Rows<N> {
    fn default() -> Self {
        Self {
            numbers: HashMap::default(),
            rows: Vec::new(),
        }
    }
}

impl<const N: usize> Rows<N> {
    fn number(&mut self, row: [u32; N]) -> u32 {
        *self.numbers.entry(row).or_insert_with(|| {
            self.rows.push(row);
            u32::try_from(self.rows.len() - 1).unwrap_or(u32::MAX)
        })
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.number(self.rows.len() as u64);
        for value in self.rows.iter().flatten() {
            bytes.number(u64::from(*value));
        }
    }
}

impl<'a> Packer<'a> {
    /// Adds the authorizer's report of `event`.
    pub fn report(&mut self, event: &'a EventRef<'a>) {
        self.add(event, Kind::Report, None);
    }

    /// Adds a line of the access log about `event`, with the response if the line carries one. Only
    /// the report holds user agent and request id.
    pub fn line(&mut self, event: &'a EventRef<'a>, response: Option<Response>) {
        self.add(event, Kind::Line, response);
    }

    fn add(&mut self, event: &'a EventRef<'a>, kind: Kind, response: Option<Response>) {
        let start = Window::Minute.start(event.time());
        let open = self
            .minutes
            .iter()
            .rposition(|minute| minute.start == start);
        let open = open.and_then(|place| self.minutes.get_mut(place));
        if let Some(minute) = open.filter(|minute| minute.bytes < LARGEST) {
            minute.add(event, kind, response);
        } else {
            let mut minute = Minute::new(start);
            minute.add(event, kind, response);
            self.minutes.push(minute);
        }
    }

    /// The entries: one per minute, or more if one would be too large.
    pub fn pack(self) -> Vec<Entry> {
        self.minutes.iter().map(Minute::pack).collect()
    }
}

impl<'a> Minute<'a> {
    fn new(start: UnixMillis) -> Self {
        Self {
            start,
            texts: Texts::default(),
            contents: Rows::default(),
            ids: Vec::new(),
            kinds: Vec::new(),
            content_of: Vec::new(),
            responses: Vec::new(),
            about: Texts::default(),
            origins: Rows::default(),
            origin_of: Vec::new(),
            requests: Vec::new(),
            labels: Rows::default(),
            sets: Rows::default(),
            set_of: Vec::new(),
            bytes: 64,
        }
    }

    fn add(&mut self, event: &'a EventRef<'a>, kind: Kind, response: Option<Response>) {
        let texts = (self.texts.texts.len(), self.about.texts.len());
        let rows = (self.contents.rows.len(), self.origins.rows.len());
        let is_call = event.event_type == EventType::ApiCall;
        let content = [
            type_number(event.event_type),
            self.texts.number(&event.subject),
            self.texts.optional(event.key_id.as_ref()),
            self.texts.optional(event.plan.as_ref()),
            self.texts.number(&event.method),
            self.texts.number(&event.endpoint),
            self.texts.optional((!is_call).then_some(&event.ip)),
            units_of(event),
        ];
        let is_report = kind == Kind::Report;
        let origin = [
            self.about.number(&event.source),
            self.about.number(&event.ip),
            self.about.optional(event.stage.as_ref()),
            self.about
                .optional(event.user_agent.as_ref().filter(|_| is_report)),
            self.about.number(Why::with_mode(event.mode, event.reason)),
        ];
        let request = event.request_id.as_deref().filter(|_| is_report);
        self.ids
            .extend_from_slice(&within_minute(event.id, self.start));
        self.kinds.push(kind);
        self.content_of.push(self.contents.number(content));
        self.responses.push(response);
        let sets = (self.labels.rows.len(), self.sets.rows.len());
        let labels = event.dimensions.iter();
        let set = self.set(labels.filter(|_| is_call && is_report));
        self.set_of.push(set);
        self.origin_of.push(self.origins.number(origin));
        self.requests.push(request);
        let new = |texts: &Texts<'_>, from: usize| -> usize {
            let new = texts.texts.iter().skip(from);
            new.map(|text| text.len() + 3).sum()
        };
        self.bytes += ID_BYTES + 16 + request.map_or(0, str::len);
        self.bytes += new(&self.texts, texts.0) + new(&self.about, texts.1);
        self.bytes += 14 * (self.contents.rows.len() - rows.0);
        self.bytes += 10 * (self.origins.rows.len() - rows.1);
        self.bytes += 7 * (self.labels.rows.len() - sets.0);
        self.bytes += 9 * (self.sets.rows.len() - sets.1);
    }

    /// The number of a combination of labels.
    fn set(&mut self, labels: impl Iterator<Item = &'a Label<'a>>) -> u32 {
        let mut set = [0; MOST_DIMENSIONS];
        for (place, label) in set.iter_mut().zip(labels) {
            let label = [
                self.texts.number(&label.name),
                self.texts.number(&label.value),
                u32::from(label.values),
            ];
            *place = self.labels.number(label) + 1;
        }
        match set {
            [0, ..] => 0,
            set => self.sets.number(set) + 1,
        }
    }

    fn pack(&self) -> Entry {
        let mut table = Vec::new();
        self.texts.write(&mut table);
        self.contents.write(&mut table);
        let format = if self.sets.rows.is_empty() {
            FORMAT
        } else {
            self.labels.write(&mut table);
            self.sets.write(&mut table);
            LABELLED
        };
        let mut columns = self.ids.clone();
        for (content, kind) in self.content_of.iter().zip(&self.kinds) {
            let is_line = u64::from(*kind == Kind::Line);
            columns.number(u64::from(*content) << 1 | is_line);
        }
        let lines = self.kinds.iter().zip(&self.responses);
        for (_, response) in lines.filter(|(kind, _)| **kind == Kind::Line) {
            columns.number(response.map_or(0, |response| u64::from(response.status) + 1));
            let latency = response.and_then(|response| response.latency);
            columns.number(latency.map_or(0, |latency| u64::from(latency) + 1));
        }
        let reports = self.kinds.iter().zip(&self.set_of);
        for (_, set) in reports.filter(|(kind, _)| **kind == Kind::Report && format == LABELLED) {
            columns.number(u64::from(*set));
        }
        let mut about = Vec::new();
        self.about.write(&mut about);
        self.origins.write(&mut about);
        for origin in &self.origin_of {
            about.number(u64::from(*origin));
        }
        let mut requests = Vec::new();
        for request in &self.requests {
            write_request(&mut requests, *request);
        }
        let minute = minute_number(self.start);
        let mut digest = Sha256::new();
        digest.update(minute.to_be_bytes());
        for part in [&table, &columns, &about, &requests] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let mut facts = vec![format];
        facts.number(minute);
        write_packed(&mut facts, &table);
        facts.number(self.kinds.len() as u64);
        facts.extend_from_slice(&columns);
        let mut details = vec![format];
        write_packed(&mut details, &about);
        details.extend_from_slice(&requests);
        Entry {
            minute: self.start,
            digest: hex(&digest.finalize()),
            facts,
            details,
        }
    }
}

/// Half of a digest in hex: 128 bits.
fn hex(digest: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or(b'0');
    let bytes = digest.iter().take(16);
    bytes
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|value| char::from(digit(value)))
        .collect()
}

const fn type_number(event_type: EventType) -> u32 {
    match event_type {
        EventType::ApiCall => 0,
        EventType::AuthFailed => 1,
        EventType::RateLimited => 2,
    }
}

fn minute_number(start: UnixMillis) -> u64 {
    start.0.div_euclid(60_000).unsigned_abs()
}

/// The twelve bytes of an id within its minute.
fn within_minute(id: EventId, start: UnixMillis) -> [u8; ID_BYTES] {
    // Below 60,000 by construction.
    let into = u16::try_from(id.minted_at().since(start)).unwrap_or(u16::MAX);
    let [m0, m1] = into.to_be_bytes();
    let [t0, t1, t2, t3, t4, t5, t6, t7, t8, t9] = id.tail();
    [m0, m1, t0, t1, t2, t3, t4, t5, t6, t7, t8, t9]
}

/// Writes bytes after both lengths, deflated if that makes them shorter.
fn write_packed(to: &mut Vec<u8>, bytes: &[u8]) {
    let deflated = deflate(bytes);
    to.number(bytes.len() as u64);
    if let Some(deflated) = deflated {
        to.number(deflated.len() as u64);
        to.extend_from_slice(&deflated);
    } else {
        to.number(0);
        to.extend_from_slice(bytes);
    }
}

/// A request id: nothing, a UUID in its usual form, or any other text.
fn write_request(to: &mut Vec<u8>, request: Option<&str>) {
    let Some(text) = request else {
        to.push(0);
        return;
    };
    if let Some(bytes) = as_uuid(text) {
        to.push(1);
        to.extend_from_slice(&bytes);
    } else {
        to.push(2);
        to.text(text);
    }
}

fn as_uuid(text: &str) -> Option<[u8; 16]> {
    let uuid = uuid::Uuid::try_parse(text).ok()?;
    let mut buffer = [0; uuid::fmt::Hyphenated::LENGTH];
    (uuid.hyphenated().encode_lower(&mut buffer) == text).then(|| uuid.into_bytes())
}

#[cfg(test)]
mod tests;
