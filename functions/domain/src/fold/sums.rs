//! Adds up a minute's events: first by content, which most of them share, then by user and address.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use super::labels::{Shares, Texts};
use super::{
    AddressMinute, Conflict, Event, FoldedMinute, MOST_ADDRESSES, Measure, NONE, Unclaimed,
    UserMinute, greatest,
};
use crate::counts::{Callers, Counts, Failures, Sum, quarter_of_day};
use crate::entry::Content;
use crate::event::{EventType, Subject};
use crate::key_calls;
use crate::meter::{self, Amounts};
use crate::response::Responses;
use crate::seen::Seen;
use crate::tally::Tally;
use crate::time::UnixMillis;

/// Counts by content, as they are added up.
pub(super) struct Sums<'a> {
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
    pub(super) fn new(
        contents: &'a [Content<'static>],
        meters: &'a [String],
        minute: UnixMillis,
    ) -> Self {
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

    pub(super) fn count(&mut self, [m0, m1, ..]: [u8; 12], event: &Event<'_>) {
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

    pub(super) fn finish(
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
