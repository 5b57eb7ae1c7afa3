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
use std::net::{IpAddr, Ipv6Addr};

use foldhash::fast::RandomState;

use crate::counts::{Callers, Counts, Failures, Slot, Sum, quarter_of_day};
use crate::entry::{Content, EntryError, Facts, Kind, id_within};
use crate::event::{EventType, Subject};
use crate::id::EventId;
use crate::key_calls;
use crate::meter::{self, Amounts};
use crate::response::{Response, Responses};
use crate::seen::Seen;
use crate::tally::Tally;
use crate::time::UnixMillis;

mod labels;

use labels::{EMPTY, Labels, Set, Shares, Texts};

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

/// Counts by content, as they are added up.
struct Sums<'a> {
    contents: &'a [Content<'static>],
    meters: &'a [String],
    minute: UnixMillis,
    by_content: Vec<OfContent>,
    responses: BTreeMap<&'a str, Responses>,
    ranks: BTreeMap<&'a str, (u64, bool)>,
    addresses: BTreeMap<&'a str, (u64, bool)>,
    metered: BTreeMap<&'a str, Metered>,
    shares: Shares,
    unreported: u64,
}

/// Amounts of a subject's calls.
#[derive(Debug, Default)]
struct Metered {
    /// Those that count towards the quota.
    units: u64,
    amounts: Amounts,
}

#[derive(Debug, Clone, Copy, Default)]
struct OfContent {
    count: u64,
    first: u16,
    last: u16,
    /// Facts of events that name this content and no other, and whether one of them is new.
    facts: u64,
    is_new: bool,
}

impl<'a> Sums<'a> {
    fn new(contents: &'a [Content<'static>], meters: &'a [String], minute: UnixMillis) -> Self {
        Self {
            contents,
            meters,
            minute,
            by_content: vec![OfContent::default(); contents.len()],
            responses: BTreeMap::new(),
            ranks: BTreeMap::new(),
            addresses: BTreeMap::new(),
            metered: BTreeMap::new(),
            shares: Shares::default(),
            unreported: 0,
        }
    }

    fn content(&self, number: u32) -> Option<&'a Content<'static>> {
        self.contents.get(usize::try_from(number).ok()?)
    }

    fn count(&mut self, [m0, m1, ..]: [u8; 12], event: &Event<'_>) {
        let into = u16::from_be_bytes([m0, m1]);
        let [first, report, line] = event.contents;
        let Some(content) = self.content(first) else {
            return;
        };
        let is_call = content.event_type == EventType::ApiCall;
        if is_call && let Some(response) = event.response {
            let responses = self.responses.entry(&content.subject).or_default();
            responses.count(response);
        }
        if is_call {
            let units = self.meter(&content.subject, event.measures);
            self.shares.count(first, event.set, units);
        }
        self.unreported += u64::from(is_call && !event.is_reported);
        let place = usize::try_from(first).unwrap_or(usize::MAX);
        if let Some(sum) = self.by_content.get_mut(place) {
            sum.first = if sum.count == 0 {
                into
            } else {
                sum.first.min(into)
            };
            sum.last = sum.last.max(into);
            sum.count += 1;
            let agrees = |content: u32| content == NONE || content == first;
            if agrees(report) && agrees(line) && event.beyond.iter().all(|of| agrees(*of)) {
                sum.facts += event.facts;
                sum.is_new |= event.is_new;
                return;
            }
        }
        self.rank_all(event);
    }

    /// Adds the amounts of a call, and returns those that count towards the quota.
    fn meter(&mut self, subject: &'a str, measures: &[Measure]) -> u64 {
        let mut units = 0;
        for measure in greatest(measures) {
            let place = usize::try_from(measure.meter).unwrap_or(usize::MAX);
            let Some(name) = self.meters.get(place) else {
                continue;
            };
            let metered = self.metered.entry(subject).or_default();
            *metered.amounts.entry(name.clone()).or_default() += measure.amount;
            if measure.to_quota {
                metered.units += measure.amount;
                units += measure.amount;
            }
        }
        units
    }

    /// All facts of an event add to the rank of every user and address that any of them names.
    fn rank_all(&mut self, event: &Event<'_>) {
        let named = event.contents.iter().chain(&event.beyond);
        let contents: Vec<_> = named.filter_map(|number| self.content(*number)).collect();
        let mut subjects: Vec<&str> = contents.iter().map(|of| of.subject.as_ref()).collect();
        subjects.sort_unstable();
        subjects.dedup();
        for subject in subjects {
            rank(&mut self.ranks, subject, event.facts, event.is_new);
        }
        let mut addresses: Vec<&str> = contents
            .iter()
            .filter_map(|content| content.address.as_deref())
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        for address in addresses {
            rank(&mut self.addresses, address, event.facts, event.is_new);
        }
    }

    fn finish(
        mut self,
        texts: &Texts<'_>,
        (facts, repeats): (u64, u64),
        conflicts: Vec<Conflict>,
        unclaimed: Vec<Unclaimed>,
    ) -> FoldedMinute {
        let mut users: BTreeMap<String, UserMinute> = BTreeMap::new();
        let mut addresses: BTreeMap<String, AddressMinute> = BTreeMap::new();
        let mut everybody = Counts::default();
        for (content, sum) in self.contents.iter().zip(&self.by_content) {
            if sum.facts > 0 {
                rank(&mut self.ranks, &content.subject, sum.facts, sum.is_new);
                if let Some(address) = content.address.as_deref() {
                    rank(&mut self.addresses, address, sum.facts, sum.is_new);
                }
            }
            if sum.count == 0 {
                continue;
            }
            count(&mut everybody.tally, content, sum.count);
            let seen = self.seen(content, sum);
            widen(&mut everybody.seen, &seen);
            if let Some(email) = email(&content.subject) {
                let user = users.entry(email.to_owned()).or_default();
                count(&mut user.slot.counts.tally, content, sum.count);
                count_key(&mut user.slot.counts.tally, content, sum.count);
                widen(&mut user.slot.counts.seen, &seen);
            }
            if let Some(address) = content.address.as_deref() {
                let of = addresses.entry(label_of(address)).or_default();
                fail(&mut of.failures, content, sum.count, seen.last);
            }
        }
        for tally in users.values_mut().map(|user| &mut user.slot.counts.tally) {
            if tally.keys.len() > 1 {
                tally.keys = key_calls::bounded_minute(&tally.keys);
            }
        }
        // Plans belong to users: all users together have none.
        everybody.seen = everybody
            .seen
            .map(|seen| Seen::new(seen.first, seen.last, None));
        for (subject, responses) in &self.responses {
            everybody.responses.merge(responses);
            if let Some(user) = email(subject).and_then(|email| users.get_mut(email)) {
                user.slot.counts.responses.merge(responses);
            }
        }
        for (subject, metered) in &self.metered {
            let user = email(subject).and_then(|email| users.get_mut(email));
            let tallies = user.map(|user| &mut user.slot.counts.tally);
            for tally in [Some(&mut everybody.tally), tallies].into_iter().flatten() {
                tally.units += metered.units;
                meter::add(&mut tally.meters, &metered.amounts);
            }
        }
        let contents = self.contents;
        let of = |number: u32| {
            let content = contents.get(usize::try_from(number).ok()?)?;
            Some((content.subject.as_ref(), content.units))
        };
        let (dimensions, by_subject) = std::mem::take(&mut self.shares).finish(texts, of);
        everybody.tally.dimensions = dimensions;
        for (subject, dimensions) in by_subject {
            if let Some(user) = email(subject).and_then(|email| users.get_mut(email)) {
                user.slot.counts.tally.dimensions = dimensions;
            }
        }
        for (subject, (rank, is_new)) in &self.ranks {
            if let Some(email) = email(subject) {
                let user = users.entry(email.to_owned()).or_default();
                user.slot.rank = *rank;
                user.is_new = *is_new;
            }
        }
        for (address, (rank, is_new)) in &self.addresses {
            let of = addresses.entry(label_of(address)).or_default();
            of.failures.rank += *rank;
            of.is_new |= is_new;
        }
        let callers = callers(&users);
        let quarter = quarter_of_day(self.minute);
        let totals = everybody.tally.totals();
        let amounts = Some(everybody.tally.meters.clone());
        let amounts = amounts.filter(|amounts| !amounts.is_empty());
        FoldedMinute {
            minute: self.minute,
            everybody: Sum {
                rank: facts,
                counts: everybody,
                users: callers.1,
                unreported: self.unreported,
                repeats,
                quarters: BTreeMap::from([(quarter, totals)]),
                amounts: amounts.into_iter().map(|of| (quarter, of)).collect(),
            },
            users,
            addresses: most_failing(addresses),
            callers: callers.0,
            conflicts,
            unclaimed,
        }
    }

    fn seen(&self, content: &Content<'_>, sum: &OfContent) -> Seen {
        let at = |into: u16| self.minute.plus_millis(i64::from(into));
        // A call with a refused key says nothing about its user's plan.
        let is_refused = content.event_type == EventType::AuthFailed;
        let plan = content.plan.as_deref().filter(|_| !is_refused);
        let plan = plan.map(|plan| (at(sum.last), plan.to_owned()));
        Seen::new(at(sum.first), at(sum.last), plan)
    }
}

fn rank<'a>(ranks: &mut BTreeMap<&'a str, (u64, bool)>, name: &'a str, facts: u64, is_new: bool) {
    let known = ranks.entry(name).or_default();
    known.0 += facts;
    known.1 |= is_new;
}

fn email(subject: &str) -> Option<&str> {
    (!subject.starts_with(Subject::ADDRESS_PREFIX)).then_some(subject)
}

fn count(tally: &mut Tally, content: &Content<'_>, count: u64) {
    tally.weigh(
        (content.event_type, content.units),
        &content.method,
        &content.endpoint,
        count,
    );
}

/// Keys belong to users: all users together have none.
fn count_key(tally: &mut Tally, content: &Content<'_>, count: u64) {
    if content.event_type == EventType::ApiCall
        && let Some(key) = &content.key_id
    {
        tally.count_key(key, count);
    }
}

fn widen(known: &mut Option<Seen>, seen: &Seen) {
    known.get_or_insert_with(|| seen.clone()).widen(seen);
}

fn fail(failures: &mut Failures, content: &Content<'_>, count: u64, last: UnixMillis) {
    match content.event_type {
        EventType::ApiCall => {}
        EventType::AuthFailed => failures.auth_failures += count,
        EventType::RateLimited => failures.rate_limited += count,
    }
    if let Some(key) = content.key_id.as_deref() {
        failures.note_key(key);
    }
    failures.last_seen = failures.last_seen.max(last);
}

/// The label of an address: an IPv6 /64 belongs to one customer, who may use any address in it.
fn label_of(address: &str) -> String {
    match address.parse() {
        Ok(IpAddr::V6(address)) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            format!("{}/64", Ipv6Addr::from(network))
        }
        _ => address.to_owned(),
    }
}

/// The addresses with most failures, by name if the numbers are equal.
fn most_failing(addresses: BTreeMap<String, AddressMinute>) -> BTreeMap<String, AddressMinute> {
    if addresses.len() <= MOST_ADDRESSES {
        return addresses;
    }
    let mut ranked: Vec<_> = addresses.into_iter().collect();
    ranked.sort_by(|(one, of), (other, than)| {
        let order = than.failures.total().cmp(&of.failures.total());
        order.then_with(|| one.cmp(other))
    });
    ranked.truncate(MOST_ADDRESSES);
    ranked.into_iter().collect()
}

/// The users with most calls, and the number of users who called.
fn callers(users: &BTreeMap<String, UserMinute>) -> (Callers, u64) {
    let calls = users.iter().map(|(email, user)| {
        let calls = user.slot.counts.tally.calls;
        (email, calls)
    });
    let mut ranked: Vec<(&String, u64)> = calls.filter(|(_, calls)| *calls > 0).collect();
    let count = ranked.len() as u64;
    ranked.sort_by(|(one, calls), (other, than)| than.cmp(calls).then(one.cmp(other)));
    ranked.truncate(Callers::MOST);
    let calls = ranked.into_iter();
    let calls = calls.map(|(email, calls)| (email.clone(), calls)).collect();
    (Callers { calls }, count)
}

#[cfg(test)]
mod tests;
