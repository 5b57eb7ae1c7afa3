//! The fold: everything that a minute's journal holds, each event once.
//!
//! A fold takes the union of facts by id. The order of entries, their repetition and the way facts
//! are split over them do not matter: the same facts give the same result, and more facts never
//! give a lower rank. If two facts disagree about one event, the authorizer's report wins over a
//! line, and between two of one kind the one that sorts first wins; the disagreement is reported as
//! a [`Conflict`].
//!
//! An amount belongs to the call under its id, in whichever order the two arrive. If the amounts of
//! one call and meter differ, the greatest counts, so that more facts never lower a sum; that is a
//! conflict too. An amount without a call counts nowhere yet: it is [`Unclaimed`].
//!
//! Dimensions are what the authorizer's report says: a line of the access log carries none. A key is
//! part of the content of both.
//!
//! Memory: some 40 bytes per event and per amount, plus the distinct contents, plus some 150 bytes
//! for each value of a dimension that callers invent.

use std::collections::{BTreeMap, HashMap, HashSet};

use foldhash::fast::RandomState;

use crate::counts::{Callers, Failures, Slot, Sum};
use crate::entry::{Content, EntryError, Facts, Kind, id_within};
use crate::event::EventType;
use crate::id::EventId;
use crate::response::Response;
use crate::time::UnixMillis;

mod labels;
mod sums;

use labels::{EMPTY, Labels, Set, Texts};
use sums::Sums;

/// Addresses with failure counts of their own within a minute: those that fail most. Failures from
/// other addresses count in the totals.
pub const MOST_ADDRESSES: usize = 1_000;
/// No content.
const NONE: u32 = u32::MAX;

/// A minute's facts, collected entry by entry.
#[derive(Debug)]
pub struct MinuteFold {
    minute: UnixMillis,
    contents: Vec<Content<'static>>,
    numbers: HashMap<Content<'static>, u32, RandomState>,
    ids: HashMap<[u8; 12], u32, RandomState>,
    states: Vec<State>,
    /// Facts beyond the first of their id and kind: an event was reported in two ways.
    further: Vec<(u32, Told)>,
    meters: Vec<String>,
    /// By the number of their id.
    amounts: HashSet<(u32, Measure), RandomState>,
    labels: Labels,
    repeats: u64,
    facts: u64,
}

/// The first facts about one event.
#[derive(Debug, Clone, Copy)]
struct State {
    report: u32,
    line: u32,
    response: Option<Response>,
    /// Whether any entry that is new to this fold names the id.
    is_new: bool,
}

/// An amount. The order is by meter, then by amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Measure {
    meter: u32,
    amount: u64,
    to_quota: bool,
}

/// A further fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    kind: Kind,
    content: u32,
    response: Option<Response>,
    /// Its dimensions, if it is a report.
    set: Set,
}

impl MinuteFold {
    /// An empty fold of the minute that begins at `minute`.
    pub fn new(minute: UnixMillis) -> Self {
        Self {
            minute,
            contents: Vec::new(),
            numbers: HashMap::default(),
            ids: HashMap::default(),
            states: Vec::new(),
            further: Vec::new(),
            meters: Vec::new(),
            amounts: HashSet::default(),
            labels: Labels::default(),
            repeats: 0,
            facts: 0,
        }
    }

    /// Start of the minute.
    pub const fn minute(&self) -> UnixMillis {
        self.minute
    }

    /// Distinct facts so far.
    pub const fn facts(&self) -> u64 {
        self.facts
    }

    /// Adds an entry's facts; `is_new` says whether this fold must make them count. An entry that
    /// cannot be read adds nothing.
    pub fn add(&mut self, facts: &[u8], is_new: bool) -> Result<(), EntryError> {
        let bytes = facts.len();
        let facts = Facts::read(facts)?;
        if facts.minute != self.minute {
            return Err(EntryError::Corrupt { bytes });
        }
        let numbers: Vec<u32> = facts
            .contents()
            .map(|content| self.number(&content))
            .collect();
        let labels: Vec<u32> = facts
            .labels()
            .map(|label| self.labels.number(&label))
            .collect();
        for fact in facts.iter() {
            let place = usize::try_from(fact.content).unwrap_or(usize::MAX);
            let content = numbers.get(place).copied().unwrap_or(NONE);
            let mut set = EMPTY;
            for (place, label) in set.iter_mut().zip(facts.labels_of(fact.set)) {
                *place = labels.get(label).copied().unwrap_or(NONE);
            }
            let told = Told {
                kind: fact.kind,
                content,
                response: fact.response,
                set,
            };
            self.take(fact.id, told, is_new);
        }
        for measured in facts.amounts() {
            let measure = Measure {
                meter: self.meter(measured.meter),
                amount: measured.amount,
                to_quota: measured.to_quota,
            };
            self.measure(measured.id, measure, is_new);
        }
        Ok(())
    }

    /// An environment has a few meters.
    fn meter(&mut self, name: &str) -> u32 {
        let known = self.meters.iter().position(|known| known == name);
        let place = known.unwrap_or_else(|| {
            self.meters.push(name.to_owned());
            self.meters.len() - 1
        });
        u32::try_from(place).unwrap_or(NONE)
    }

    fn measure(&mut self, id: [u8; 12], measure: Measure, is_new: bool) {
        let (number, _) = self.state(id, is_new);
        if self.amounts.insert((number, measure)) {
            self.facts += 1;
        } else {
            self.repeats += 1;
        }
    }

    /// The number and the state of an id.
    fn state(&mut self, id: [u8; 12], is_new: bool) -> (u32, Option<&mut State>) {
        let next = u32::try_from(self.states.len()).unwrap_or(NONE);
        let number = *self.ids.entry(id).or_insert(next);
        if number == next {
            self.states.push(State {
                report: NONE,
                line: NONE,
                response: None,
                is_new: false,
            });
        }
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        let mut state = self.states.get_mut(place);
        if let Some(state) = &mut state {
            state.is_new |= is_new;
        }
        (number, state)
    }

    fn number(&mut self, content: &Content<'_>) -> u32 {
        if let Some(known) = self.numbers.get(content) {
            return *known;
        }
        let content = owned(content);
        // There are fewer contents than events, and those fit in memory.
        let number = u32::try_from(self.contents.len()).unwrap_or(NONE);
        self.contents.push(content.clone());
        self.numbers.insert(content, number);
        number
    }

    fn take(&mut self, id: [u8; 12], told: Told, is_new: bool) {
        let (number, state) = self.state(id, is_new);
        let Some(state) = state else {
            return;
        };
        let known = match told.kind {
            Kind::Report => &mut state.report,
            Kind::Line => &mut state.line,
        };
        if *known == NONE {
            *known = told.content;
            match told.kind {
                Kind::Report => self.labels.set(number, told.set),
                Kind::Line => state.response = told.response,
            }
            self.facts += 1;
            return;
        }
        let is_same = *known == told.content
            && match told.kind {
                Kind::Report => self.labels.of(number) == told.set,
                Kind::Line => state.response == told.response,
            };
        if is_same || self.further.contains(&(number, told)) {
            self.repeats += 1;
        } else {
            self.further.push((number, told));
            self.facts += 1;
        }
    }

    /// The result of the minute's facts.
    pub fn finish(self) -> FoldedMinute {
        let mut further: BTreeMap<u32, Vec<Told>> = BTreeMap::new();
        for (number, told) in &self.further {
            further.entry(*number).or_default().push(*told);
        }
        let mut amounts: BTreeMap<u32, Vec<Measure>> = BTreeMap::new();
        for (number, measure) in &self.amounts {
            amounts.entry(*number).or_default().push(*measure);
        }
        for measures in amounts.values_mut() {
            measures.sort_unstable();
        }
        let texts = self.labels.texts();
        let mut sums = Sums::new(&self.contents, &self.meters, self.minute);
        let mut conflicts = Vec::new();
        let mut unclaimed = Vec::new();
        for (id, number) in &self.ids {
            let place = usize::try_from(*number).unwrap_or(usize::MAX);
            let Some(state) = self.states.get(place) else {
                continue;
            };
            let beyond = further.get(number).map(Vec::as_slice).unwrap_or_default();
            let measures = amounts.get(number).map(Vec::as_slice).unwrap_or_default();
            let labels = (self.labels.of(*number), &texts);
            let event = self.resolve(state, beyond, measures, labels);
            sums.count(*id, &event);
            let [first, ..] = event.contents;
            let is_told_twice = event
                .contents
                .iter()
                .any(|other| *other != NONE && *other != first);
            if is_told_twice || !beyond.is_empty() {
                let told = (state, labels.0);
                conflicts.extend(self.conflict(*id, &event, told, beyond, &texts));
            }
            let is_call = |content: &Content<'_>| content.event_type == EventType::ApiCall;
            if self.content(first).is_some_and(is_call) {
                conflicts.extend(self.disagreement(*id, measures, state));
            } else {
                unclaimed.extend(self.unclaimed(*id, measures));
            }
        }
        conflicts.sort();
        unclaimed.sort();
        sums.finish(&texts, (self.facts, self.repeats), conflicts, unclaimed)
    }

    fn name(&self, meter: u32) -> &str {
        let place = usize::try_from(meter).unwrap_or(usize::MAX);
        self.meters.get(place).map_or("", String::as_str)
    }

    /// The first meter of a call of which there are different amounts.
    fn disagreement(&self, id: [u8; 12], measures: &[Measure], state: &State) -> Option<Conflict> {
        let mut of_meters: Vec<&[Measure]> = measures
            .chunk_by(|one, other| one.meter == other.meter)
            .filter(|of_meter| of_meter.len() > 1)
            .collect();
        // Numbers of meters depend on the order of entries.
        of_meters.sort_by_key(|of_meter| of_meter.first().map(|one| self.name(one.meter)));
        let (last, rest) = of_meters.first()?.split_last()?;
        let told = |measure: &Measure| {
            let quota = if measure.to_quota {
                ", counts to the quota"
            } else {
                ""
            };
            format!("{} {}{quota}", measure.amount, self.name(measure.meter))
        };
        Some(Conflict {
            id: id_within(self.minute, id)?,
            counted: told(last),
            other: told(rest.first()?),
            is_new: state.is_new,
        })
    }

    fn unclaimed(&self, id: [u8; 12], measures: &[Measure]) -> Vec<Unclaimed> {
        let unclaimed = greatest(measures).filter_map(|measure| {
            Some(Unclaimed {
                call: id_within(self.minute, id)?,
                meter: self.name(measure.meter).to_owned(),
                amount: measure.amount,
            })
        });
        unclaimed.collect()
    }

    /// The content that decides an event's count, and all facts about it.
    fn resolve<'m>(
        &self,
        state: &State,
        beyond: &[Told],
        measures: &'m [Measure],
        (set, texts): (Set, &Texts<'_>),
    ) -> Event<'m> {
        let of = |kind: Kind, first: u32, set: Set| {
            let others = beyond.iter().filter(move |told| told.kind == kind);
            let all = others.map(|told| (told.content, told.set));
            let told = all.chain([(first, set)]);
            let told = told.filter(|(content, _)| *content != NONE);
            told.min_by(|(one, set), (other, than)| {
                let order = self.content(*one).cmp(&self.content(*other));
                order.then_with(|| texts.of(*set).cmp(&texts.of(*than)))
            })
        };
        let report = of(Kind::Report, state.report, set);
        let line = of(Kind::Line, state.line, EMPTY);
        let lines = beyond.iter().filter(|told| told.kind == Kind::Line);
        let responses = lines.filter_map(|told| told.response);
        let response = responses.chain(state.response).min();
        let (first, set) = report.or(line).unwrap_or((NONE, EMPTY));
        let mut contents = [first, NONE, NONE];
        let mut others = [state.report, state.line].into_iter();
        for place in contents.iter_mut().skip(1) {
            *place = others.next().unwrap_or(NONE);
        }
        Event {
            contents,
            beyond: beyond.iter().map(|told| told.content).collect(),
            facts: u64::from(state.report != NONE)
                + u64::from(state.line != NONE)
                + beyond.len() as u64
                + measures.len() as u64,
            measures,
            set,
            is_reported: report.is_some(),
            response,
            is_new: state.is_new,
        }
    }

    fn content(&self, number: u32) -> Option<&Content<'static>> {
        self.contents.get(usize::try_from(number).ok()?)
    }

    /// The disagreement, described by contents: their numbers depend on the order of entries.
    fn conflict(
        &self,
        id: [u8; 12],
        event: &Event<'_>,
        (state, set): (&State, Set),
        beyond: &[Told],
        texts: &Texts<'_>,
    ) -> Option<Conflict> {
        let [first, ..] = event.contents;
        let first = self.content(first)?;
        let reports = beyond.iter().filter(|told| told.kind == Kind::Report);
        let sets = reports.map(|told| told.set).chain([set]);
        let sets = sets.filter(|set| *set != event.set);
        let other_set = sets.map(|set| texts.of(set)).min();
        let others = event.contents.iter().chain(&event.beyond);
        let others = others.filter_map(|number| self.content(*number));
        let other = others.filter(|content| *content != first).min();
        let other = other.map_or_else(
            || {
                if let Some(labels) = other_set {
                    return format!("{first:?} with {labels:?}");
                }
                let lines = beyond.iter().filter(|told| told.kind == Kind::Line);
                let responses = lines.map(|told| told.response);
                format!("{:?}", responses.chain([state.response]).max())
            },
            |other| format!("{other:?}"),
        );
        Some(Conflict {
            id: id_within(self.minute, id)?,
            counted: match texts.of(event.set).as_slice() {
                [] => format!("{first:?}"),
                labels => format!("{first:?} with {labels:?}"),
            },
            other,
            is_new: state.is_new,
        })
    }
}

/// The greatest amount of each meter; `measures` are sorted.
fn greatest(measures: &[Measure]) -> impl Iterator<Item = &Measure> {
    let of_meters = measures.chunk_by(|one, other| one.meter == other.meter);
    of_meters.filter_map(<[Measure]>::last)
}

fn owned(content: &Content<'_>) -> Content<'static> {
    let text = |text: &str| text.to_owned().into();
    Content {
        event_type: content.event_type,
        subject: text(&content.subject),
        key_id: content.key_id.as_deref().map(text),
        plan: content.plan.as_deref().map(text),
        method: text(&content.method),
        endpoint: text(&content.endpoint),
        address: content.address.as_deref().map(text),
        units: content.units,
    }
}

/// An event, resolved.
struct Event<'m> {
    /// The content that decides its count, then those of its first report and its first line.
    contents: [u32; 3],
    beyond: Vec<u32>,
    /// Sorted.
    measures: &'m [Measure],
    set: Set,
    facts: u64,
    is_reported: bool,
    response: Option<Response>,
    is_new: bool,
}

/// Two facts that disagree about one event. It counts once, as the first of them says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// The event.
    pub id: EventId,
    /// The content that it counts as.
    pub counted: String,
    /// The content that it does not count as.
    pub other: String,
    /// Whether an entry that is new to this fold names it.
    pub is_new: bool,
}

/// An amount under an id that no call has. It counts once its call arrives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unclaimed {
    /// The id.
    pub call: EventId,
    /// The meter.
    pub meter: String,
    /// The amount.
    pub amount: u64,
}

/// A user's minute.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserMinute {
    /// The counts.
    pub slot: Slot,
    /// Whether an entry that is new to this fold names the user.
    pub is_new: bool,
}

/// An address's minute.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AddressMinute {
    /// The failures.
    pub failures: Failures,
    /// Whether an entry that is new to this fold names the address.
    pub is_new: bool,
}

/// The result of a minute's facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoldedMinute {
    /// Start of the minute.
    pub minute: UnixMillis,
    /// By email.
    pub users: BTreeMap<String, UserMinute>,
    /// By address, IPv6 by its /64.
    pub addresses: BTreeMap<String, AddressMinute>,
    /// The sum over all users.
    pub everybody: Sum,
    /// The users who called.
    pub callers: Callers,
    /// Facts that disagree.
    pub conflicts: Vec<Conflict>,
    /// Amounts without a call.
    pub unclaimed: Vec<Unclaimed>,
}

#[cfg(test)]
mod tests;
