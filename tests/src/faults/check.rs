//! Compares every count in every table with the oracle. It has its own arithmetic: facts are
//! resolved and summed here one by one.

mod alerts;
mod bills;
mod expected;
mod model;
mod quarters;

use std::collections::{BTreeMap, BTreeSet};

pub(super) use alerts::most_units;
use domain::counts::{AddressHour, Callers, Hour, Sum};
use domain::event::Reason;
use domain::id::EventId;
use domain::table::{ItemKey, JournalKey, Listed, attribute};
use domain::time::{UnixMillis, Window};
use domain::{state, table};
use expected::Expected;
use model::Model;
use runtime::memory::MemoryStore;
use runtime::store::{Document, Value};

use super::limits;
use super::log;
use super::oracle::is_event;
use super::questions::{Answer, Question};
use super::schedule::End;
use super::world::{KEPT_DAYS, World};

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
    limits::check(world)?;
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
