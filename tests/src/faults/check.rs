//! Compares every count in every table with what the oracle knows.

use std::collections::{BTreeMap, BTreeSet};

use domain::event::{EventType, Reason, UsageEvent};
use domain::id::EventId;
use domain::leaf::{Leaf, LeafKey, Place};
use domain::response::{Response, Responses};
use domain::rollup::RollUp;
use domain::security::Failures;
use domain::state;
use domain::table::{self, ItemKey, attribute};
use domain::tally::Tally;
use domain::time::{UnixMillis, Window};
use runtime::memory::MemoryStore;
use runtime::raw;
use runtime::store::{Document, Stored, Value};

use super::log;
use super::oracle::SUM_DAYS;
use super::world::World;

/// A leaf, and the events that it should hold.
type Candidate<'a> = (LeafKey, Leaf, Vec<&'a UsageEvent>);

/// Compares the tables with what is known.
pub(super) fn check(world: &World) -> Result<(), String> {
    let [of_analytics, of_usage] = &world.expired;
    let analytics = Held::new(world, &world.analytics, of_analytics)?;
    let usage = Held::new(world, &world.usage, of_usage)?;
    each_once(world, &analytics, &usage)?;
    lines(world, &analytics, &usage)?;
    users(world, &analytics, &usage)?;
    everybody(world, &analytics)?;
    errors(world, &analytics)?;
    raw_events(world, &analytics)
}

/// Compares what each user did alone.
pub(super) fn check_users(world: &World) -> Result<(), String> {
    let [of_analytics, of_usage] = &world.expired;
    let analytics = Held::new(world, &world.analytics, of_analytics)?;
    let usage = Held::new(world, &world.usage, of_usage)?;
    users(world, &analytics, &usage)
}

fn equal<T: PartialEq + std::fmt::Debug>(
    what: impl FnOnce() -> String,
    found: &T,
    expected: &T,
) -> Result<(), String> {
    if found == expected {
        Ok(())
    } else {
        Err(format!(
            "{}: found {found:?}, expected {expected:?}",
            what()
        ))
    }
}

fn tally<'a>(events: impl IntoIterator<Item = &'a UsageEvent>) -> Tally {
    let mut tally = Tally::default();
    for event in events {
        let data = &event.data;
        tally.count(event.event_type, &data.method, &data.endpoint, 1);
    }
    tally
}

/// The events that the leaves of one table hold, or held until they were deleted.
struct Held<'a> {
    events: Vec<&'a UsageEvent>,
    ids: BTreeMap<EventId, u32>,
    /// Of which it was told how they were answered.
    reported: BTreeSet<EventId>,
    /// How they were, by what the gateway wrote.
    responses: BTreeMap<EventId, Response>,
}

impl<'a> Held<'a> {
    fn new(
        world: &'a World,
        table: &MemoryStore,
        expired: &[(ItemKey, Stored)],
    ) -> Result<Self, String> {
        let oracle = &world.oracle;
        let mut rows: BTreeMap<LeafKey, Vec<Candidate<'_>>> = BTreeMap::new();
        let mut take = |key: &ItemKey, stored: &Stored| {
            if let Some(leaf) = table::parse_leaf(key) {
                let state = state::decode(&stored.state).expect("a leaf decodes");
                let row = LeafKey {
                    place: Place::First,
                    ..leaf.clone()
                };
                rows.entry(row).or_default().push((leaf, state, Vec::new()));
            }
        };
        table.each_item(&mut take);
        for (key, stored) in expired {
            take(key, stored);
        }
        let mut held = Self {
            events: Vec::new(),
            ids: BTreeMap::new(),
            reported: BTreeSet::new(),
            responses: BTreeMap::new(),
        };
        for line in &world.log.lines {
            let told = line.event.zip(line.response);
            held.responses
                .extend(told.map(|(event, response)| (oracle.known[event].event.id, response)));
        }
        let known = oracle.known.iter().map(|known| &known.event);
        for event in known.chain(&oracle.before) {
            for (_, leaf, events) in rows.get_mut(&LeafKey::of(event)).into_iter().flatten() {
                if leaf.holds(event.id.short()) {
                    events.push(event);
                    held.events.push(event);
                    *held.ids.entry(event.id).or_default() += 1;
                    if leaf.is_reported(event.id.short()) {
                        held.reported.insert(event.id);
                    }
                }
            }
        }
        for (key, leaf, events) in rows.values().flatten() {
            equal(|| format!("ids of {key:?}"), &leaf.events(), &events.len())?;
            let counted = tally(events.iter().copied());
            equal(|| format!("tally of {key:?}"), &leaf.tally(), &counted)?;
            equal(
                || format!("responses of {key:?}"),
                leaf.responses(),
                &held.responses_of(events),
            )?;
        }
        Ok(held)
    }

    /// How those of the events were answered of which that was told.
    fn responses_of(&self, events: &[&UsageEvent]) -> Responses {
        let mut responses = Responses::default();
        for event in events {
            if self.reported.contains(&event.id)
                && let Some(response) = self.responses.get(&event.id)
            {
                responses.count(*response);
            }
        }
        responses
    }

    fn times(&self, id: EventId) -> u32 {
        self.ids.get(&id).copied().unwrap_or(0)
    }
}

fn each_once(world: &World, analytics: &Held<'_>, usage: &Held<'_>) -> Result<(), String> {
    let oracle = &world.oracle;
    let refused: BTreeSet<Option<usize>> = oracle
        .refused
        .iter()
        .map(|record| world.sent[*record].event)
        .collect();
    for (number, known) in oracle.known.iter().enumerate() {
        let event = &known.event;
        match analytics.times(event.id) + usage.times(event.id) {
            0 if known.counted => return Err(format!("counted and then not: {event:?}")),
            0 if known.taken && !refused.contains(&Some(number)) => {
                return Err(format!("taken and lost: {event:?}"));
            }
            0 | 1 => {}
            times => return Err(format!("counted {times} times: {event:?}")),
        }
    }
    Ok(())
}

/// Whatever the log has a line of is counted, and has its response.
fn lines(world: &World, analytics: &Held<'_>, usage: &Held<'_>) -> Result<(), String> {
    let mut kept = BTreeSet::new();
    for table in [&world.analytics, &world.usage] {
        table.each_document(|key, _| {
            let line = key
                .sk
                .strip_prefix("access/s#")
                .filter(|_| key.pk == table::ERRORS);
            kept.extend(line.and_then(log::number));
        });
    }
    if let Some(number) = kept.difference(&world.oracle.refusable_lines).next() {
        let line = &world.log.lines[*number].text;
        return Err(format!("set aside without a reason: {line}"));
    }
    for (number, line) in world.log.lines.iter().enumerate() {
        let is_kept = kept.contains(&number);
        if line.poison && !is_kept {
            return Err(format!("neither kept nor counted: {}", line.text));
        }
        let Some(event) = line.event.filter(|_| !is_kept) else {
            continue;
        };
        let event = &world.oracle.known[event].event;
        if analytics.times(event.id) + usage.times(event.id) != 1 {
            return Err(format!("logged and lost: {event:?}"));
        }
        let is_told = analytics.reported.contains(&event.id) || usage.reported.contains(&event.id);
        equal(
            || format!("whether it was told how {:?} was answered", event.id),
            &is_told,
            &line.response.is_some(),
        )?;
    }
    Ok(())
}

fn roll_up(table: &MemoryStore, key: &ItemKey) -> Result<RollUp, String> {
    match table.peek(key) {
        Some(stored) => state::decode(&stored.state).map_err(|error| format!("{key:?}: {error}")),
        None => Err(format!("{key:?} is not there")),
    }
}

fn users(world: &World, analytics: &Held<'_>, usage: &Held<'_>) -> Result<(), String> {
    type Events<'a> = Vec<&'a UsageEvent>;
    let responses_of = |events: &Events<'_>| {
        let (mut sum, other) = (analytics.responses_of(events), usage.responses_of(events));
        sum.merge(&other);
        sum
    };
    let mut days: [BTreeMap<ItemKey, Events<'_>>; 2] = [BTreeMap::new(), BTreeMap::new()];
    let mut totals: BTreeMap<ItemKey, Events<'_>> = BTreeMap::new();
    for (place, held) in [analytics, usage].into_iter().enumerate() {
        let events = held
            .events
            .iter()
            .filter(|event| event.subject.email().is_some());
        for event in events {
            let day = ItemKey::day(&event.subject, event.time);
            days[place].entry(day).or_default().push(event);
            let month = ItemKey::month(&event.subject, event.time);
            totals.entry(month).or_default().push(event);
            let all_time = ItemKey::all_time(&event.subject);
            totals.entry(all_time).or_default().push(event);
        }
    }
    let [stream_days, synchronous_days] = days;
    let wanted = [
        (&world.analytics, stream_days),
        (&world.usage, synchronous_days),
        (&world.usage, totals),
    ];
    for (table, items) in &wanted {
        for (key, events) in items {
            let rolled = roll_up(table, key)?;
            equal(
                || format!("{key:?}"),
                &rolled.tally(),
                &tally(events.iter().copied()),
            )?;
            equal(
                || format!("responses of {key:?}"),
                &rolled.responses(),
                &responses_of(events),
            )?;
            let times = || events.iter().map(|event| event.time);
            let span = rolled.seen().map(|seen| (seen.first, seen.last));
            equal(
                || format!("span of {key:?}"),
                &span,
                &times().min().zip(times().max()),
            )?;
        }
    }
    let mut found = 0;
    for table in [&world.analytics, &world.usage] {
        table.each_item(|key, _| {
            let of_user = key.pk.starts_with("DAY#") || key.pk.starts_with("USER#");
            found += usize::from(of_user);
        });
    }
    let wanted = wanted.map(|(_, items)| items.len());
    equal(
        || "days, months and totals".to_owned(),
        &found,
        &wanted.iter().sum(),
    )
}

fn everybody(world: &World, analytics: &Held<'_>) -> Result<(), String> {
    let windows = [Window::Minute, Window::Hour, Window::Day];
    let mut items: BTreeMap<ItemKey, Vec<&UsageEvent>> = BTreeMap::new();
    let mut failures: BTreeMap<(UnixMillis, &str), (u64, u64)> = BTreeMap::new();
    let minute_days = world.minute_days.max(SUM_DAYS);
    let is_kept =
        |window: Window, at: UnixMillis| window.end(at).plus_days(minute_days) > world.expired_at;
    for event in &analytics.events {
        for window in windows {
            if window == Window::Minute && !is_kept(window, event.time) {
                continue;
            }
            let key = ItemKey::global(window, event.time);
            items.entry(key).or_default().push(event);
        }
        let slot = (Window::Hour.start(event.time), event.data.ip.as_str());
        match event.event_type {
            EventType::ApiCall => {}
            _ if !is_kept(Window::Hour, event.time) => {}
            EventType::AuthFailed => failures.entry(slot).or_default().0 += 1,
            EventType::RateLimited => failures.entry(slot).or_default().1 += 1,
        }
    }
    for (key, events) in &items {
        let rolled = roll_up(&world.analytics, key)?;
        equal(
            || format!("{key:?}"),
            &rolled.tally(),
            &tally(events.iter().copied()),
        )?;
        let calls = events
            .iter()
            .filter(|event| event.event_type == EventType::ApiCall);
        let users: BTreeSet<&str> = calls.filter_map(|event| event.subject.email()).collect();
        equal(
            || format!("users of {key:?}"),
            &rolled.users(),
            &(users.len() as u64),
        )?;
    }
    let mut found: BTreeMap<(UnixMillis, String), (u64, u64)> = BTreeMap::new();
    let mut globals = 0;
    world.analytics.each_item(|key, stored| {
        globals += usize::from(key.pk.starts_with("GLOBAL#"));
        let of = key.pk.strip_prefix("SECURITY#");
        let Some((hour, _)) = of.and_then(|of| of.split_once('#')) else {
            return;
        };
        let hour = Window::Hour.parse_label(hour).expect("an hour");
        let kept: Failures = state::decode(&stored.state).expect("failures decode");
        for (address, source) in kept.by_address() {
            let sum = found.entry((hour, address)).or_default();
            for (auth_failures, rate_limited) in source.minutes.values() {
                sum.0 += auth_failures;
                sum.1 += rate_limited;
            }
        }
    });
    equal(
        || "minutes, hours and days of all".to_owned(),
        &globals,
        &items.len(),
    )?;
    let expected = failures
        .into_iter()
        .map(|((hour, ip), sum)| ((hour, ip.to_owned()), sum));
    equal(
        || "failures by address".to_owned(),
        &found,
        &expected.collect(),
    )
}

fn errors(world: &World, analytics: &Held<'_>) -> Result<(), String> {
    let mut kept = BTreeSet::new();
    let mut documents = Vec::new();
    for table in [&world.analytics, &world.usage] {
        table.each_document(|key, document| {
            if key.pk == table::ERRORS {
                documents.push((key.clone(), document.clone()));
            }
        });
    }
    for (key, document) in &documents {
        if let Some(number) = key.sk.strip_prefix("access/s#").and_then(log::number) {
            let line = &world.log.lines[number];
            equal(
                || format!("payload of {key:?}"),
                &bytes(document, attribute::PAYLOAD),
                &line.text.as_bytes(),
            )?;
            let malformed = text(document, attribute::REASON) == Reason::Malformed.as_str();
            equal(|| format!("reason of {key:?}"), &malformed, &line.poison)?;
            continue;
        }
        let number = key
            .sk
            .rsplit_once('#')
            .and_then(|(_, sequence)| sequence.parse::<usize>().ok());
        let number = number.ok_or("an error without a position")? - 1;
        let sent = &world.sent[number];
        equal(
            || format!("payload of {key:?}"),
            &bytes(document, attribute::PAYLOAD),
            &sent.payload.as_slice(),
        )?;
        let reason = text(document, attribute::REASON);
        let timely = [Reason::TooOld.as_str(), Reason::FromTheFuture.as_str()].contains(&reason);
        equal(
            || format!("reason of {key:?}"),
            &timely,
            &sent.event.is_some(),
        )?;
        kept.insert(number);
    }
    let oracle = &world.oracle;
    // Whoever died may have counted it while it was young enough.
    let is_counted = |number: usize| {
        let event = world.sent[number]
            .event
            .map(|event| &oracle.known[event].event);
        event.is_some_and(|event| analytics.times(event.id) == 1)
    };
    let mut lost = oracle.refused.difference(&kept);
    if let Some(number) = lost.find(|number| !is_counted(**number)) {
        return Err(format!(
            "neither kept nor counted: {}",
            sent(world, *number)
        ));
    }
    match kept.difference(&oracle.refusable).next() {
        Some(number) => Err(format!(
            "set aside without a reason: {}",
            sent(world, *number)
        )),
        None => Ok(()),
    }
}

fn sent(world: &World, number: usize) -> String {
    String::from_utf8_lossy(&world.sent[number].payload).into_owned()
}

/// Whatever a leaf of the analytics table counts can be counted again from raw events.
fn raw_events(world: &World, analytics: &Held<'_>) -> Result<(), String> {
    let mut kept = BTreeSet::new();
    let mut chunks = Vec::new();
    world.analytics.each_document(|key, document| {
        if key.pk != table::ERRORS {
            let lines = raw::inflate(bytes(document, attribute::EVENTS));
            chunks.push((key.clone(), lines.expect("a chunk inflates")));
        }
    });
    for (key, lines) in chunks {
        for line in lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let number = world
                .oracle
                .number_of(line)
                .ok_or("a raw event that was never sent")?;
            let event = &world.oracle.known[number].event;
            if !key.pk.starts_with(&table::raw_start(event.time)) {
                return Err(format!("{:?} is kept in {}", event.id, key.pk));
            }
            kept.insert(event.id);
        }
    }
    let known = world.oracle.known.iter().map(|known| &known.event);
    for event in known {
        if analytics.times(event.id) > 0 && !kept.contains(&event.id) {
            return Err(format!("counted and not kept raw: {event:?}"));
        }
    }
    Ok(())
}

fn bytes<'a>(document: &'a Document, name: &str) -> &'a [u8] {
    match document.attributes.iter().find(|(known, _)| *known == name) {
        Some((_, Value::Bytes(bytes))) => bytes,
        _ => &[],
    }
}

fn text<'a>(document: &'a Document, name: &str) -> &'a str {
    match document.attributes.iter().find(|(known, _)| *known == name) {
        Some((_, Value::Text(text))) => text,
        _ => "",
    }
}
