//! Reading entries: facts for folds, whole events for people.

use std::borrow::Cow;

use super::amounts::{self, AMOUNTS, Row};
use super::{Content, EntryError, FORMAT, ID_BYTES, Kind, LABELLED, LATEST};
use crate::dimension::{Label, MOST_DIMENSIONS};
use crate::event::{EventRef, EventType};
use crate::id::EventId;
use crate::pack::inflate;
use crate::response::Response;
use crate::time::UnixMillis;
use crate::wire::Read;

/// The most bytes that a table may inflate to: a corrupt length must not exhaust the function's
/// memory.
const LARGEST_TABLE: usize = 16 * 1024 * 1024;

/// The facts of an entry, decoded as they are iterated.
#[derive(Debug)]
pub struct Facts<'a> {
    /// Start of the minute.
    pub minute: UnixMillis,
    table: Cow<'a, [u8]>,
    texts: Vec<(usize, usize)>,
    contents: Vec<[u32; 8]>,
    labels: Vec<[u32; 3]>,
    sets: Vec<[u32; MOST_DIMENSIONS]>,
    /// Whether the columns end with the numbers of sets.
    is_labelled: bool,
    ids: &'a [[u8; ID_BYTES]],
    columns: &'a [u8],
    pub(super) amounts: Vec<Row>,
}

/// One fact about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fact {
    /// The id within its minute: milliseconds, then its ten random bytes.
    pub id: [u8; ID_BYTES],
    /// Its source.
    pub kind: Kind,
    /// The number of its content within the entry.
    pub content: u32,
    /// The response, if a line reports it.
    pub response: Option<Response>,
    /// The number of its combination of labels within the entry; 0 if it has none.
    pub set: u32,
}

impl<'a> Facts<'a> {
    /// Reads an entry's facts. Everything that does not decode is found here, not later.
    pub fn read(bytes: &'a [u8]) -> Result<Self, EntryError> {
        let read = match bytes.first() {
            Some(&found) if found > LATEST => return Err(EntryError::Newer { found }),
            Some(&AMOUNTS) => amounts::read(bytes),
            Some(&FORMAT) => Self::numbered(bytes, read_table),
            Some(&LABELLED) => Self::numbered(bytes, read_labelled_table),
            Some(1) => Self::numbered(bytes, read_table_of_format_1),
            _ => None,
        };
        read.ok_or(EntryError::Corrupt { bytes: bytes.len() })
    }

    fn numbered(bytes: &'a [u8], table_of: impl Fn(&[u8]) -> Option<Table>) -> Option<Self> {
        let mut read = Read(bytes);
        read.byte()?;
        let minute = i64::try_from(read.number()?).ok()?;
        let minute = UnixMillis(minute.checked_mul(60_000)?);
        let table = read_packed(&mut read)?;
        let Table {
            texts,
            contents,
            labels,
            sets,
        } = table_of(&table)?;
        let count = read.size()?;
        let (ids, rest) = read
            .bytes(count.checked_mul(ID_BYTES)?)?
            .as_chunks::<ID_BYTES>();
        let sound = ids
            .iter()
            .all(|[m0, m1, ..]| u16::from_be_bytes([*m0, *m1]) < 60_000);
        let facts = Self {
            minute,
            table,
            texts,
            contents,
            labels,
            sets,
            is_labelled: bytes.first() == Some(&LABELLED),
            ids,
            columns: read.0,
            amounts: Vec::new(),
        };
        let complete = facts.columns().count() == count && sound && rest.is_empty();
        complete.then_some(facts)
    }

    /// The facts of an entry of amounts.
    pub(super) const fn of_amounts(
        minute: UnixMillis,
        table: &'a [u8],
        texts: Spans,
        amounts: Vec<Row>,
    ) -> Self {
        Self {
            minute,
            table: Cow::Borrowed(table),
            texts,
            contents: Vec::new(),
            labels: Vec::new(),
            sets: Vec::new(),
            is_labelled: false,
            ids: &[],
            columns: &[],
            amounts,
        }
    }

    /// Number of facts about events.
    pub const fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no facts about events.
    pub const fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The distinct contents, by number.
    pub fn contents(&self) -> impl Iterator<Item = Content<'_>> {
        self.contents.iter().map(|row| self.content(row))
    }

    fn content(&self, row: &[u32; 8]) -> Content<'_> {
        let [
            event_type,
            subject,
            key_id,
            plan,
            method,
            endpoint,
            address,
            units,
        ] = *row;
        let optional = |number: u32| (number > 0).then(|| Cow::Borrowed(self.text(number)));
        Content {
            event_type: match event_type {
                0 => EventType::ApiCall,
                1 => EventType::AuthFailed,
                _ => EventType::RateLimited,
            },
            subject: Cow::Borrowed(self.text(subject)),
            key_id: optional(key_id),
            plan: optional(plan),
            method: Cow::Borrowed(self.text(method)),
            endpoint: Cow::Borrowed(self.text(endpoint)),
            address: optional(address),
            units,
        }
    }

    /// Texts are numbered from 1.
    pub(super) fn text(&self, number: u32) -> &str {
        let place = usize::try_from(number).unwrap_or(0).wrapping_sub(1);
        let span = self.texts.get(place);
        let bytes = span.and_then(|(from, to)| self.table.get(*from..*to));
        bytes
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }

    /// The facts, in the order in which they were packed.
    pub fn iter(&self) -> impl Iterator<Item = Fact> {
        let ids = self.ids.iter().copied();
        ids.zip(self.columns())
            .map(|(id, (content, kind, response, set))| Fact {
                id,
                kind,
                content,
                response,
                set,
            })
    }

    /// All labels of the entry, by number.
    pub fn labels(&self) -> impl Iterator<Item = Label<'_>> {
        self.labels.iter().map(|row| self.label(row))
    }

    fn label(&self, [name, value, values]: &[u32; 3]) -> Label<'_> {
        Label {
            name: Cow::Borrowed(self.text(*name)),
            value: Cow::Borrowed(self.text(*value)),
            values: u8::try_from(*values).unwrap_or(u8::MAX),
        }
    }

    /// The numbers of the labels in the combination `set`.
    pub fn labels_of(&self, set: u32) -> impl Iterator<Item = usize> {
        let place = usize::try_from(set).ok().and_then(|set| set.checked_sub(1));
        let set = place.and_then(|place| self.sets.get(place)).into_iter();
        set.flatten()
            .filter_map(|number| usize::try_from(*number).ok()?.checked_sub(1))
    }

    /// The contents, and the responses after them, as far as they are valid.
    fn columns(&self) -> Columns<'a> {
        let mut responses = Read(self.columns);
        let mut lines = 0;
        for _ in 0..self.ids.len() {
            match responses.number() {
                Some(content) => lines += content & 1,
                None => responses = Read(&[]),
            }
        }
        let mut sets = responses;
        for _ in 0..2 * lines {
            if sets.number().is_none() {
                sets = Read(&[]);
            }
        }
        Columns {
            left: self.ids.len(),
            most: self.contents.len(),
            contents: Read(self.columns),
            responses,
            sets: self.is_labelled.then_some((sets, self.sets.len())),
        }
    }

    /// The id of the event that a fact is about.
    pub fn id(&self, id: [u8; ID_BYTES]) -> Option<EventId> {
        id_within(self.minute, id)
    }
}

/// The id that twelve bytes name within a minute.
pub fn id_within(minute: UnixMillis, id: [u8; ID_BYTES]) -> Option<EventId> {
    let [m0, m1, tail @ ..] = id;
    let at = minute.plus_millis(i64::from(u16::from_be_bytes([m0, m1])));
    EventId::from_parts(at.0.unsigned_abs(), tail)
}

struct Columns<'a> {
    left: usize,
    most: usize,
    contents: Read<'a>,
    responses: Read<'a>,
    /// The numbers of sets, and how many sets there are.
    sets: Option<(Read<'a>, usize)>,
}

impl Iterator for Columns<'_> {
    type Item = (u32, Kind, Option<Response>, u32);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let content = self.contents.number()?;
        let kind = if content & 1 == 1 {
            Kind::Line
        } else {
            Kind::Report
        };
        let content = u32::try_from(content >> 1).ok()?;
        if usize::try_from(content).ok()? >= self.most {
            return None;
        }
        let response = match kind {
            Kind::Report => None,
            Kind::Line => read_response(&mut self.responses)?,
        };
        let set = match (&mut self.sets, kind) {
            (Some((sets, most)), Kind::Report) => {
                let set = sets.size().filter(|set| set <= most)?;
                u32::try_from(set).ok()?
            }
            _ => 0,
        };
        Some((content, kind, response, set))
    }
}

#[expect(clippy::option_option, reason = "corrupt, or none, or one")]
fn read_response(read: &mut Read<'_>) -> Option<Option<Response>> {
    let (status, latency) = (read.number()?, read.number()?);
    let latency = match latency {
        0 => None,
        latency => Some(u32::try_from(latency - 1).ok()?),
    };
    Some(match status {
        0 => None,
        status => Some(Response {
            status: u16::try_from(status - 1).ok()?,
            latency,
        }),
    })
}

pub(super) type Spans = Vec<(usize, usize)>;

pub(super) fn read_texts(read: &mut Read<'_>, whole: usize) -> Option<Spans> {
    let count = read.size()?;
    let mut texts = Vec::new();
    for _ in 0..count {
        let length = read.text()?.len();
        let to = whole - read.0.len();
        texts.push((to - length, to));
    }
    Some(texts)
}

fn read_rows<const N: usize>(read: &mut Read<'_>) -> Option<Vec<[u32; N]>> {
    let count = read.size()?;
    let mut rows = Vec::new();
    for _ in 0..count {
        let mut row = [0; N];
        for value in &mut row {
            *value = read.small()?;
        }
        rows.push(row);
    }
    Some(rows)
}

/// Texts, and what refers to them by number.
struct Table {
    texts: Spans,
    contents: Vec<[u32; 8]>,
    labels: Vec<[u32; 3]>,
    sets: Vec<[u32; MOST_DIMENSIONS]>,
}

/// Texts and contents; every number in a content refers to an existing text.
fn read_table(table: &[u8]) -> Option<Table> {
    let mut read = Read(table);
    let texts = read_texts(&mut read, table.len())?;
    let contents = read_rows::<8>(&mut read)?;
    sound_table(&read, texts, contents)
}

/// Likewise, and the labels of calls.
fn read_labelled_table(table: &[u8]) -> Option<Table> {
    let mut read = Read(table);
    let texts = read_texts(&mut read, table.len())?;
    let contents = read_rows::<8>(&mut read)?;
    let labels = read_rows::<3>(&mut read)?;
    let sets = read_rows::<MOST_DIMENSIONS>(&mut read)?;
    let most = u32::try_from(texts.len()).ok()?;
    let is_text = |number: &u32| (1..=most).contains(number);
    let is_sound = |[name, value, values]: &[u32; 3]| {
        is_text(name) && is_text(value) && (1..=u32::from(u8::MAX)).contains(values)
    };
    let last = u32::try_from(labels.len()).ok()?;
    let are_sound = labels.iter().all(is_sound) && sets.iter().flatten().all(|of| *of <= last);
    let table = sound_table(&read, texts, contents)?;
    are_sound.then_some(Table {
        labels,
        sets,
        ..table
    })
}

/// Every accepted call weighed one unit.
fn read_table_of_format_1(table: &[u8]) -> Option<Table> {
    let mut read = Read(table);
    let texts = read_texts(&mut read, table.len())?;
    let contents = read_rows::<7>(&mut read)?.into_iter();
    let contents = contents.map(
        |[event_type, subject, key, plan, method, endpoint, address]| {
            let units = u32::from(event_type == 0);
            [
                event_type, subject, key, plan, method, endpoint, address, units,
            ]
        },
    );
    sound_table(&read, texts, contents.collect())
}

fn sound_table(read: &Read<'_>, texts: Spans, contents: Vec<[u32; 8]>) -> Option<Table> {
    let most = u32::try_from(texts.len()).ok()?;
    let sound = |[
        event_type,
        subject,
        key,
        plan,
        method,
        endpoint,
        address,
        units,
    ]: &[u32; 8]| {
        let named = [subject, method, endpoint];
        let optional = [key, plan, address];
        *event_type <= 2
            && (*event_type == 0 || *units == 0)
            && named.iter().all(|number| (1..=most).contains(*number))
            && optional.iter().all(|number| **number <= most)
    };
    (contents.iter().all(sound) && read.is_empty()).then_some(Table {
        texts,
        contents,
        labels: Vec::new(),
        sets: Vec::new(),
    })
}

/// Unpacks an entry for people: its events as they were reported. An entry of amounts has none.
///
/// Lines carry no user agent and no request id.
pub fn events<'a>(
    facts: &'a Facts<'a>,
    details: &'a [u8],
) -> Result<Vec<(Kind, Option<Response>, EventRef<'a>)>, EntryError> {
    let corrupt = EntryError::Corrupt {
        bytes: details.len(),
    };
    let read = || {
        if details == [AMOUNTS] && facts.is_empty() {
            return Some(Vec::new());
        }
        let mut read = Read(details);
        // Details are the same in all formats of events.
        let is_of_events = matches!(read.byte()?, 1..=FORMAT | LABELLED);
        is_of_events.then_some(())?;
        let table = read_packed(&mut read)?;
        let mut about = Read(&table);
        let texts = read_texts(&mut about, table.len())?;
        let origins = read_rows::<5>(&mut about)?;
        let text = |number: u32| -> Option<String> {
            let place = usize::try_from(number).ok()?.checked_sub(1)?;
            let (from, to) = texts.get(place)?;
            let bytes = table.get(*from..*to)?;
            std::str::from_utf8(bytes).ok().map(str::to_owned)
        };
        let mut events = Vec::new();
        for fact in facts.iter() {
            let origin = origins.get(about.size()?)?;
            let [source, ip, stage, user_agent, mode] = *origin;
            let (mode, reason) = crate::event::Why::and_mode(&text(mode)?)?;
            let row = facts.contents.get(usize::try_from(fact.content).ok()?)?;
            let content = facts.content(row);
            let event = EventRef {
                id: facts.id(fact.id)?,
                source: text(source)?.into(),
                event_type: content.event_type,
                subject: content.subject,
                key_id: content.key_id,
                plan: content.plan,
                method: content.method,
                endpoint: content.endpoint,
                units: if content.event_type == EventType::ApiCall {
                    content.units
                } else {
                    1
                },
                dimensions: facts
                    .labels_of(fact.set)
                    .filter_map(|number| facts.labels.get(number))
                    .map(|row| facts.label(row))
                    .collect(),
                ip: text(ip)?.into(),
                user_agent: text(user_agent).map(Cow::Owned),
                request_id: read_request(&mut read)?,
                stage: text(stage).map(Cow::Owned),
                mode,
                reason,
            };
            events.push((fact.kind, fact.response, event));
        }
        read.is_empty().then_some(events)
    };
    read().ok_or(corrupt)
}

fn read_packed<'a>(read: &mut Read<'a>) -> Option<Cow<'a, [u8]>> {
    let length = read.size().filter(|length| *length <= LARGEST_TABLE)?;
    let deflated = read.size()?;
    if deflated == 0 {
        return read.bytes(length).map(Cow::Borrowed);
    }
    inflate(read.bytes(deflated)?, length).map(Cow::Owned)
}

#[expect(clippy::option_option, reason = "corrupt, or none, or one")]
fn read_request<'a>(read: &mut Read<'a>) -> Option<Option<Cow<'a, str>>> {
    Some(match read.byte()? {
        0 => None,
        1 => {
            let bytes = read.bytes(16)?.try_into().ok()?;
            Some(Cow::Owned(uuid::Uuid::from_bytes(bytes).to_string()))
        }
        2 => Some(Cow::Borrowed(read.text()?)),
        _ => return None,
    })
}
