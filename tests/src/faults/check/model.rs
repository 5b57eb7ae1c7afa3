//! What the facts in the journal add up to.

use std::collections::{BTreeMap, BTreeSet};

use domain::event::EventType;
use domain::id::EventId;
use domain::time::{UnixMillis, Window};

use super::super::amounts::Amounts;
use super::super::oracle::Said;
use super::super::world::World;
use super::expected::Expected;

/// An event with all its facts.
pub(super) struct Resolved<'a> {
    pub(super) id: EventId,
    pub(super) said: &'a BTreeSet<Said>,
    pub(super) counted: &'a Said,
    pub(super) response: Option<domain::response::Response>,
    /// By meter.
    pub(super) amounts: BTreeMap<&'static str, u64>,
    /// All facts, amounts among them.
    pub(super) facts: u64,
}

/// Reports take precedence over lines. Among equals, the first in sort order counts.
pub(super) fn resolve<'a>(
    id: EventId,
    said: &'a BTreeSet<Said>,
    amounts: &Amounts,
) -> Resolved<'a> {
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
pub(super) struct Model {
    pub(super) users: BTreeMap<(String, UnixMillis), Expected>,
    /// The plan that each call or refusal of a user names; of one instant the last by name.
    pub(super) plans: BTreeMap<(String, UnixMillis), String>,
    pub(super) everybody: BTreeMap<UnixMillis, Expected>,
    pub(super) callers: BTreeMap<UnixMillis, BTreeMap<String, u64>>,
    /// Failures and rate-limited calls by hour and address.
    pub(super) addresses: BTreeMap<(UnixMillis, String), (u64, u64)>,
    pub(super) conflicts: BTreeSet<EventId>,
    /// Amounts without an accepted call.
    pub(super) unclaimed: BTreeSet<(EventId, &'static str)>,
    /// For each hour, the users who called in it according to any fact.
    pub(super) named: BTreeMap<UnixMillis, BTreeSet<String>>,
}

impl Model {
    pub(super) fn of(world: &World) -> Self {
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

    pub(super) fn take(&mut self, event: &Resolved<'_>) {
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
pub(super) fn label(address: &str) -> String {
    if address.contains(':') {
        "2001:db8:0:1::/64".to_owned()
    } else {
        address.to_owned()
    }
}
