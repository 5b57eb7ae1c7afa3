//! Compares every count in every table with the oracle. It has its own arithmetic: facts are
//! resolved and summed here one by one.

mod alerts;
mod bills;
mod quarters;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use domain::counts::{AddressHour, Callers, Counts, Hour, Sum};
use domain::event::{EventType, Reason};
use domain::id::EventId;
use domain::state;
use domain::table::{self, ItemKey, JournalKey, Listed, attribute};
use domain::time::{UnixMillis, Window};
use runtime::memory::MemoryStore;
use runtime::store::{Document, Value};

use super::amounts::{Amounts, METERS};
use super::log;
use super::oracle::{Said, is_event};
use super::questions::{Answer, Question};
use super::schedule::End;
use super::traffic::{DIMENSIONS, MOST_KEYS};
use super::world::{KEPT_DAYS, World};

/// The expected counts of a user, or of all users, in a span.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Expected {
    rank: u64,
    calls: u64,
    units: u64,
    failures: u64,
    limited: u64,
    methods: BTreeMap<String, u64>,
    endpoints: BTreeMap<String, u64>,
    statuses: BTreeMap<u16, u64>,
    latencies: u64,
    meters: BTreeMap<String, u64>,
    /// Calls by key, if they are one user's.
    keys: BTreeMap<String, u64>,
    /// Calls and units by dimension and value.
    labels: BTreeMap<String, BTreeMap<String, (u64, u64)>>,
    span: Option<(UnixMillis, UnixMillis)>,
    /// The plan of the last call or refusal that names one; of one instant the last by name.
    plan: Option<(UnixMillis, String)>,
}

impl Expected {
    fn count(&mut self, event: &Resolved<'_>) {
        let said = event.counted;
        match said.event_type {
            EventType::AuthFailed => self.failures += 1,
            EventType::RateLimited => self.limited += 1,
            EventType::ApiCall => {
                self.calls += 1;
                let mut units = u64::from(said.units);
                for (meter, amount) in &event.amounts {
                    *self.meters.entry((*meter).to_owned()).or_default() += amount;
                    if METERS.contains(&(*meter, true)) {
                        units += amount;
                    }
                }
                self.units += units;
                for (name, value) in &said.labels {
                    self.label(name, value, (1, units));
                }
                if let Some(key) = &said.key_id {
                    *self.keys.entry(key.clone()).or_default() += 1;
                }
                *self.methods.entry(said.method.clone()).or_default() += 1;
                *self.endpoints.entry(said.endpoint.clone()).or_default() += 1;
                if let Some(response) = event.response {
                    *self.statuses.entry(response.status).or_default() += 1;
                    self.latencies += u64::from(response.latency.is_some());
                }
            }
        }
        let at = event.id.minted_at();
        let (first, last) = self.span.unwrap_or((at, at));
        self.span = Some((first.min(at), last.max(at)));
        if said.event_type != EventType::AuthFailed {
            self.on_plan(said.plan.as_ref().map(|plan| (at, plan.clone())));
        }
    }

    fn on_plan(&mut self, plan: Option<(UnixMillis, String)>) {
        self.plan = self.plan.take().max(plan);
    }

    fn add(&mut self, other: &Self) {
        self.rank += other.rank;
        self.calls += other.calls;
        self.units += other.units;
        self.failures += other.failures;
        self.limited += other.limited;
        self.latencies += other.latencies;
        for (to, from) in [
            (&mut self.methods, &other.methods),
            (&mut self.endpoints, &other.endpoints),
            (&mut self.meters, &other.meters),
            (&mut self.keys, &other.keys),
        ] {
            for (label, count) in from {
                *to.entry(label.clone()).or_default() += count;
            }
        }
        for (name, values) in &other.labels {
            for (value, share) in values {
                self.label(name, value, *share);
            }
        }
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        if let Some((first, last)) = other.span {
            let known = self.span.unwrap_or((first, last));
            self.span = Some((known.0.min(first), known.1.max(last)));
        }
        self.on_plan(other.plan.clone());
    }

    fn label(&mut self, name: &str, value: &str, (calls, units): (u64, u64)) {
        let values = self.labels.entry(name.to_owned()).or_default();
        let known = values.entry(value.to_owned()).or_default();
        known.0 += calls;
        known.1 += units;
    }

    /// Moves the calls of all values but those with most calls to `other`, one value at a time: of
    /// those with fewest calls the last by name. Likewise of all keys.
    fn bound(&mut self) {
        loop {
            let apart = self.keys.iter().filter(|(key, _)| *key != "other");
            if apart.clone().count() <= MOST_KEYS {
                break;
            }
            let least = apart.map(|(key, calls)| (*calls, Reverse(key.clone())));
            let (calls, Reverse(least)) = least.min().expect("there are some");
            self.keys.remove(&least);
            *self.keys.entry("other".to_owned()).or_default() += calls;
        }
        for (name, most) in DIMENSIONS {
            let Some(values) = self.labels.get_mut(name) else {
                continue;
            };
            loop {
                let apart = values.iter().filter(|(value, _)| *value != "other");
                if apart.clone().count() <= usize::from(most) {
                    break;
                }
                let least = apart.map(|(value, (calls, _))| (*calls, Reverse(value.clone())));
                let (_, Reverse(least)) = least.min().expect("there are some");
                let moved = values.remove(&least).expect("it was found");
                let other = values.entry("other".to_owned()).or_default();
                other.0 += moved.0;
                other.1 += moved.1;
            }
        }
    }

    /// The stored counts, in the same form.
    fn stored(rank: u64, counts: &Counts) -> Self {
        let tally = &counts.tally;
        Self {
            rank,
            calls: tally.calls,
            units: tally.units,
            failures: tally.auth_failures,
            limited: tally.rate_limited,
            methods: tally.methods.clone(),
            endpoints: tally.endpoints.clone(),
            statuses: counts.responses.statuses.clone(),
            latencies: counts.responses.latency.count(),
            meters: tally.meters.clone(),
            keys: tally.keys.clone(),
            labels: tally
                .dimensions
                .iter()
                .map(|(name, dimension)| {
                    let values = dimension.values.iter();
                    let values = values.map(|(value, of)| (value.clone(), (of.calls, of.units)));
                    (name.clone(), values.collect())
                })
                .collect(),
            span: counts.seen.as_ref().map(|seen| (seen.first, seen.last)),
            plan: counts.seen.as_ref().and_then(|seen| {
                let (at, plan) = seen.plan_at()?;
                Some((at, plan.to_owned()))
            }),
        }
    }
}

/// An event with all its facts.
struct Resolved<'a> {
    id: EventId,
    said: &'a BTreeSet<Said>,
    counted: &'a Said,
    response: Option<domain::response::Response>,
    /// By meter.
    amounts: BTreeMap<&'static str, u64>,
    /// All facts, amounts among them.
    facts: u64,
}

/// The report wins over a line, then whatever sorts first.
fn resolve<'a>(id: EventId, said: &'a BTreeSet<Said>, amounts: &Amounts) -> Resolved<'a> {
    // A report sorts before every line.
    let counted = said.first().expect("something was said");
    let responses = said.iter().filter(|said| said.by_line);
    Resolved {
        id,
        said,
        counted,
        response: responses.filter_map(|said| said.response).min(),
        amounts: amounts.of(id),
        facts: (said.len() + amounts.held.get(&id).map_or(0, BTreeSet::len)) as u64,
    }
}

/// The result of all facts in the journal.
#[derive(Default)]
struct Model {
    users: BTreeMap<(String, UnixMillis), Expected>,
    /// The plan that each call or refusal of a user names; of one instant the last by name.
    plans: BTreeMap<(String, UnixMillis), String>,
    everybody: BTreeMap<UnixMillis, Expected>,
    callers: BTreeMap<UnixMillis, BTreeMap<String, u64>>,
    /// Failures and rate-limited calls by hour and address.
    addresses: BTreeMap<(UnixMillis, String), (u64, u64)>,
    conflicts: BTreeSet<EventId>,
    /// Amounts without an accepted call.
    unclaimed: BTreeSet<(EventId, &'static str)>,
    /// For each hour, the users who called in it according to any fact.
    named: BTreeMap<UnixMillis, BTreeSet<String>>,
}

impl Model {
    fn of(world: &World) -> Self {
        let mut model = Self::default();
        let amounts = &world.oracle.amounts;
        for (id, said) in &world.oracle.held {
            let event = resolve(*id, said, amounts);
            model.take(&event);
            if event.counted.event_type == EventType::ApiCall {
                model.conflicts.extend(amounts.disagree(*id).then_some(*id));
            } else {
                let meters = event.amounts.keys();
                model.unclaimed.extend(meters.map(|meter| (*id, *meter)));
            }
        }
        // A minute is bounded when it is folded.
        let minutes = model.users.values_mut().chain(model.everybody.values_mut());
        minutes.for_each(Expected::bound);
        for (id, told) in &amounts.held {
            if !world.oracle.held.contains_key(id) {
                let minute = Window::Minute.start(id.minted_at());
                model.everybody.entry(minute).or_default().rank += told.len() as u64;
                let meters = told.iter().map(|(meter, _)| (*id, *meter));
                model.unclaimed.extend(meters);
            }
        }
        model
    }

    fn take(&mut self, event: &Resolved<'_>) {
        let minute = Window::Minute.start(event.id.minted_at());
        let hour = Window::Hour.start(minute);
        let facts = event.facts;
        let subject = &event.counted.subject;
        let named: BTreeSet<&String> = event.said.iter().map(|said| &said.subject).collect();
        for named in named.into_iter().filter(|named| !named.starts_with("ip:")) {
            let user = self.users.entry((named.clone(), minute)).or_default();
            user.rank += facts;
            if named == subject {
                user.count(event);
            }
        }
        let counted = event.counted;
        if let Some(plan) = &counted.plan
            && counted.event_type != EventType::AuthFailed
            && !subject.starts_with("ip:")
        {
            let call = (subject.clone(), event.id.minted_at());
            let known = self.plans.entry(call).or_default();
            if *known < *plan {
                known.clone_from(plan);
            }
        }
        for said in event.said {
            if said.event_type == EventType::ApiCall {
                let named = self.named.entry(hour).or_default();
                named.insert(said.subject.clone());
            }
        }
        let everybody = self.everybody.entry(minute).or_default();
        everybody.rank += facts;
        everybody.count(event);
        // All users together are on no plan, and have no keys.
        everybody.plan = None;
        everybody.keys.clear();
        match event.counted.event_type {
            EventType::ApiCall => {
                let callers = self.callers.entry(minute).or_default();
                *callers.entry(subject.clone()).or_default() += 1;
            }
            failed => {
                let address = event.counted.address.as_deref().unwrap_or_default();
                let of = self.addresses.entry((hour, label(address))).or_default();
                let failed = if failed == EventType::AuthFailed {
                    &mut of.0
                } else {
                    &mut of.1
                };
                *failed += 1;
            }
        }
        let first = event.counted;
        let responses: BTreeSet<_> = event
            .said
            .iter()
            .filter(|said| said.by_line)
            .map(|said| said.response)
            .collect();
        if event.said.iter().any(|said| !said.agrees(first)) || responses.len() > 1 {
            self.conflicts.insert(event.id);
        }
    }
}

/// The addresses of the traffic, by their labels.
fn label(address: &str) -> String {
    if address.contains(':') {
        "2001:db8:0:1::/64".to_owned()
    } else {
        address.to_owned()
    }
}

/// Compares the tables with the expectations.
pub(super) fn check(world: &World, end: End, answers: &[(Question, Answer)]) -> Result<(), String> {
    let model = Model::of(world);
    accepted(world)?;
    expiry(world)?;
    hours(world, &model)?;
    everybody(world, &model, end)?;
    addresses(world, &model)?;
    errors(world, &model, end)?;
    alerts::check(world, &model)?;
    bills::check(world, &model)?;
    if end >= End::Closed {
        sums(world, &model)?;
        quarters::check(world, &model)?;
    }
    for (question, answer) in answers {
        asked(&model, *question, answer)?;
    }
    Ok(())
}

fn equal<T: PartialEq + std::fmt::Debug>(
    what: impl FnOnce() -> String,
    found: &T,
    expected: &T,
) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    let what = what();
    Err(format!("{what}: found {found:?}, expected {expected:?}"))
}

/// Every accepted event is in the journal.
fn accepted(world: &World) -> Result<(), String> {
    let oracle = &world.oracle;
    oracle.amounts.check()?;
    let of_records = |records: &BTreeSet<usize>| -> BTreeSet<EventId> {
        let events = records
            .iter()
            .filter_map(|record| world.sent[*record].event);
        events.map(|event| oracle.known[event].event.id).collect()
    };
    let (refusable, dropped) = (of_records(&oracle.refusable), of_records(&oracle.dropped));
    let says = |id: &EventId, by_line: bool| {
        let held = oracle.held.get(id);
        held.is_some_and(|held| held.iter().any(|said| said.by_line == by_line))
    };
    for known in oracle.known.iter().filter(|known| known.accepted) {
        let id = known.event.id;
        if !says(&id, false) && !refusable.contains(&id) && !dropped.contains(&id) {
            return Err(format!("accepted and lost: {:?}", known.event));
        }
    }
    for (number, line) in world.log.lines.iter().enumerate() {
        let Some(call) = &line.told else {
            continue;
        };
        if !says(&call.told.id, true) && !oracle.refusable_lines.contains(&number) {
            return Err(format!("logged and lost: {}", line.text));
        }
    }
    Ok(())
}

/// Every entry of the journal expires at its minute's time, whenever it was appended.
fn expiry(world: &World) -> Result<(), String> {
    let mut wrong = Ok(());
    world.analytics.each_document(|key, document| {
        if let Some(JournalKey::Entry(minute, _)) = JournalKey::parse(&key.pk, &key.sk) {
            let expected = Some(minute.plus_days(KEPT_DAYS));
            let found = equal(
                || format!("expiry of {key:?}"),
                &document.expires_at,
                &expected,
            );
            if wrong.is_ok() {
                wrong = found;
            }
        }
    });
    wrong
}

/// The API answers what the oracle counts.
fn asked(model: &Model, question: Question, answer: &Answer) -> Result<(), String> {
    let mut points: BTreeMap<UnixMillis, u64> = BTreeMap::new();
    let (mut calls, mut tokens) = (0, 0);
    let mut keys: BTreeMap<String, u64> = BTreeMap::new();
    let is_asked = |user: &str| question.user().is_none_or(|asked| asked == user);
    for ((_, minute), counts) in model.users.iter().filter(|((user, _), _)| is_asked(user)) {
        let start = match question {
            Question::Usage(_) => {
                tokens += counts.meters.get("tokens").copied().unwrap_or(0);
                calls += counts.calls;
                for (key, calls) in &counts.keys {
                    *keys.entry(key.clone()).or_default() += calls;
                }
                continue;
            }
            Question::Hours(_) => Window::Hour.start(*minute),
            Question::Days(_) => Window::Day.start(*minute),
        };
        if start >= answer.from && counts.calls > 0 {
            *points.entry(start).or_default() += counts.calls;
            calls += counts.calls;
        }
    }
    let expected = Answer {
        calls,
        tokens,
        keys,
        points,
        ..answer.clone()
    };
    equal(|| format!("{question:?}"), answer, &expected)
}

/// Users' hours, slot by slot.
fn hours(world: &World, model: &Model) -> Result<(), String> {
    let mut found: BTreeMap<(String, UnixMillis), Expected> = BTreeMap::new();
    let mut wrong = Ok(());
    world.usage.each_item(|key, stored| {
        if let Some(user) = key.pk.strip_prefix("USER#")
            && key.sk.starts_with("HOUR#")
        {
            match Hour::decode(&stored.state) {
                Ok(hour) => {
                    for (minute, slot) in hour.slots() {
                        let at = hour.start().plus_millis(i64::from(minute) * 60_000);
                        let slot = Expected::stored(slot.rank, &slot.counts);
                        found.insert((user.to_owned(), at), slot);
                    }
                }
                Err(error) => wrong = Err(format!("{key:?}: {error}")),
            }
        }
    });
    wrong?;
    let is_kept = |minute: UnixMillis| is_kept(world, minute);
    let expected = model
        .users
        .iter()
        .filter(|((_, minute), _)| is_kept(*minute));
    for (key, expected) in expected {
        let found = found.get(key).cloned().unwrap_or_default();
        equal(|| format!("{key:?}"), &found, expected)?;
    }
    match found.keys().find(|key| !model.users.contains_key(*key)) {
        Some(key) => Err(format!("nobody named {key:?}")),
        None => Ok(()),
    }
}

/// Whether the aggregates of a minute are still retained.
fn is_kept(world: &World, minute: UnixMillis) -> bool {
    minute.plus_days(KEPT_DAYS) > world.now()
}

fn peek(table: &MemoryStore, key: &ItemKey) -> Result<Sum, String> {
    match table.peek(key) {
        Some(stored) => Sum::decode(&stored.state).map_err(|error| format!("{key:?}: {error}")),
        None => Ok(Sum::default()),
    }
}

/// The minutes, hours and days of all users, and the callers.
fn everybody(world: &World, model: &Model, end: End) -> Result<(), String> {
    let hours = bounded(&model.everybody, |minute| Window::Hour.start(*minute));
    let days = bounded(&hours, |hour| Window::Day.start(*hour));
    for (minute, expected) in &model.everybody {
        if is_kept(world, *minute) {
            let sum = peek(&world.analytics, &ItemKey::minute(*minute))?;
            equal(|| format!("minute {minute}"), &of_sum(&sum), expected)?;
            callers(world, model, *minute, sum.users)?;
        }
    }
    for (hour, expected) in &hours {
        if is_kept(world, *hour) {
            let sum = peek(&world.analytics, &ItemKey::total(Window::Hour, *hour))?;
            equal(|| format!("hour {hour}"), &of_sum(&sum), expected)?;
            active(model, *hour, Window::Hour.end(*hour), sum.users)?;
        }
    }
    for (day, expected) in days.iter().filter(|_| end >= End::Closed) {
        let sum = peek(&world.analytics, &ItemKey::total(Window::Day, *day))?;
        equal(|| format!("day {day}"), &of_sum(&sum), expected)?;
        active(model, *day, Window::Day.end(*day), sum.users)?;
    }
    Ok(())
}

/// The sums of parts, each bounded once all of its parts are in it.
fn bounded<P, S: Ord>(
    parts: &BTreeMap<P, Expected>,
    sum_of: impl Fn(&P) -> S,
) -> BTreeMap<S, Expected> {
    let mut sums: BTreeMap<S, Expected> = BTreeMap::new();
    for (part, expected) in parts {
        sums.entry(sum_of(part)).or_default().add(expected);
    }
    sums.values_mut().for_each(Expected::bound);
    sums
}

fn of_sum(sum: &Sum) -> Expected {
    Expected::stored(sum.rank, &sum.counts)
}

fn callers(world: &World, model: &Model, minute: UnixMillis, users: u64) -> Result<(), String> {
    let expected = model.callers.get(&minute).cloned().unwrap_or_default();
    equal(
        || format!("users of minute {minute}"),
        &users,
        &(expected.len() as u64),
    )?;
    let stored = world.analytics.peek(&ItemKey::callers(minute));
    let stored = stored.map(|stored| state::decode_packed::<Callers>(&stored.state));
    let stored = stored.transpose().map_err(|error| error.to_string())?;
    let found: BTreeMap<String, u64> = stored.unwrap_or_default().calls.into_iter().collect();
    equal(|| format!("callers of {minute}"), &found, &expected)
}

/// Active users: at least those who called, and at most those who called according to any fact.
fn active(model: &Model, from: UnixMillis, to: UnixMillis, users: u64) -> Result<(), String> {
    let called = model
        .callers
        .range(from..to)
        .flat_map(|(_, callers)| callers.keys());
    let called: BTreeSet<&String> = called.collect();
    let named = model.named.range(from..to).flat_map(|(_, named)| named);
    let named: BTreeSet<&String> = named.collect();
    let range = called.len() as u64..=named.len() as u64;
    if range.contains(&users) {
        Ok(())
    } else {
        Err(format!(
            "{users} active users from {from}, expected {range:?}"
        ))
    }
}

/// Failures by address, from both places where an address may be listed.
fn addresses(world: &World, model: &Model) -> Result<(), String> {
    let mut found: BTreeMap<(UnixMillis, String), AddressHour> = BTreeMap::new();
    let mut wrong = Ok(());
    world.analytics.each_item(|key, stored| {
        let hour = key.pk.strip_prefix("ADDRESS#");
        let Some(hour) = hour.and_then(|hour| Window::Hour.parse_label(hour)) else {
            return;
        };
        let lists = [Listed::First, Listed::Last];
        let address = lists
            .iter()
            .find_map(|listed| key.sk.strip_prefix(listed.as_str()));
        match state::decode::<AddressHour>(&stored.state) {
            Ok(of) => {
                let place = (hour, address.unwrap_or_default().to_owned());
                let known = found.entry(place).or_default();
                for (minute, slot) in &of.slots {
                    known.offer(*minute, slot);
                }
            }
            Err(error) => wrong = Err(format!("{key:?}: {error}")),
        }
    });
    wrong?;
    for ((hour, address), expected) in &model.addresses {
        if !is_kept(world, *hour) {
            continue;
        }
        let of = found
            .get(&(*hour, address.clone()))
            .cloned()
            .unwrap_or_default();
        let slots = of.slots.values();
        let sum = slots.fold((0, 0), |sum, slot| {
            (sum.0 + slot.auth_failures, sum.1 + slot.rate_limited)
        });
        equal(
            || format!("failures of {address} in {hour}"),
            &sum,
            expected,
        )?;
    }
    Ok(())
}

/// Users' days, months and all time.
fn sums(world: &World, model: &Model) -> Result<(), String> {
    let start =
        |window: Window| move |(user, at): &(String, UnixMillis)| (user.clone(), window.start(*at));
    let days = bounded(&model.users, start(Window::Day));
    let months = bounded(&days, start(Window::Month));
    let all_time = bounded(&months, |(user, _)| user.clone());
    let days = days
        .iter()
        .map(|((user, at), of)| (ItemKey::day(user, *at), of));
    let months = months
        .iter()
        .map(|((user, at), of)| (ItemKey::month(user, *at), of));
    let all_time = all_time
        .iter()
        .map(|(user, of)| (ItemKey::all_time(user), of));
    for (key, expected) in days.chain(months).chain(all_time) {
        let found = of_sum(&peek(&world.usage, &key)?);
        equal(|| format!("{key:?}"), &found, expected)?;
    }
    Ok(())
}

fn documents(world: &World) -> Vec<(ItemKey, Document)> {
    let mut documents = Vec::new();
    world.analytics.each_document(|key, document| {
        if key.pk == table::ERRORS {
            documents.push((key.clone(), document.clone()));
        }
    });
    documents
}

/// Whether any item is parked.
pub(super) fn is_anything_parked(world: &World) -> bool {
    let mut parked = documents(world).into_iter();
    parked.any(|(key, _)| key.sk.starts_with("parked#"))
}

/// Every item set aside has its bytes and its reason; every conflict is recorded; nothing is owed.
fn errors(world: &World, model: &Model, end: End) -> Result<(), String> {
    let (mut records, mut lines, mut conflicts) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut unclaimed = BTreeSet::new();
    for (key, document) in documents(world) {
        if key.sk.starts_with("parked#") {
            return Err(format!("still parked: {}", key.sk));
        }
        if let Some(id) = key.sk.strip_prefix("conflict#") {
            conflicts.insert(id.parse::<EventId>().map_err(|error| error.to_string())?);
            continue;
        }
        if let Some(place) = key.sk.strip_prefix("unclaimed#") {
            unclaimed.insert(place.to_owned());
            continue;
        }
        let payload = bytes(&document, attribute::PAYLOAD);
        let reason = text(&document, attribute::REASON);
        let is_malformed = reason == Reason::Malformed.as_str();
        if let Some(number) = key.sk.strip_prefix("access/s#").and_then(log::number) {
            let line = &world.log.lines[number];
            equal(
                || format!("payload of {key:?}"),
                &payload,
                &line.text.as_bytes(),
            )?;
            equal(|| format!("reason of {key:?}"), &is_malformed, &line.poison)?;
            lines.insert(number);
            continue;
        }
        let position = key.sk.rsplit_once('#');
        let number = position.and_then(|(_, sequence)| sequence.parse::<usize>().ok());
        let number = number.ok_or("an error without a position")? - 1;
        let sent = &world.sent[number];
        equal(
            || format!("payload of {key:?}"),
            &payload,
            &sent.payload.as_slice(),
        )?;
        let is_poison = !is_event(&sent.payload);
        let told = is_malformed || reason == Reason::UnknownType.as_str();
        equal(|| format!("reason of {key:?}"), &told, &is_poison)?;
        records.insert(number);
    }
    let missing = model.unclaimed.iter();
    let missing = missing.map(|(id, meter)| format!("{id}/{meter}"));
    let mut missing = missing.filter(|place| !unclaimed.contains(place));
    if end >= End::Sealed
        && let Some(place) = missing.next()
    {
        return Err(format!("neither counted nor listed: {place}"));
    }
    let oracle = &world.oracle;
    if let Some(record) = oracle.refused.difference(&records).next() {
        return Err(format!("refused and not set aside: record {record}"));
    }
    if let Some(record) = records.difference(&oracle.refusable).next() {
        return Err(format!("set aside without a reason: record {record}"));
    }
    let poison = world.log.lines.iter().enumerate();
    let mut poison = poison
        .filter(|(_, line)| line.poison)
        .map(|(number, _)| number);
    if let Some(line) = poison.find(|number| !lines.contains(number)) {
        return Err(format!("neither counted nor set aside: line {line}"));
    }
    if let Some(line) = lines.difference(&oracle.refusable_lines).next() {
        return Err(format!("set aside without a reason: line {line}"));
    }
    equal(|| "conflicts".to_owned(), &conflicts, &model.conflicts)
}

fn bytes<'a>(document: &'a Document, name: &str) -> &'a [u8] {
    match value(document, name) {
        Some(Value::Bytes(bytes)) => bytes,
        _ => &[],
    }
}

fn text<'a>(document: &'a Document, name: &str) -> &'a str {
    match value(document, name) {
        Some(Value::Text(text)) => text,
        _ => "",
    }
}

fn value<'a>(document: &'a Document, name: &str) -> Option<&'a Value> {
    let attributes = document.attributes.iter();
    let mut found = attributes.filter(|(known, _)| *known == name);
    found.next().map(|(_, value)| value)
}
