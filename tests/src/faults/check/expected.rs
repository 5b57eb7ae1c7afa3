//! The expected counts of a user, or of all users, in a span.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use domain::counts::Counts;
use domain::event::EventType;
use domain::time::UnixMillis;

use super::super::amounts::METERS;
use super::super::traffic::{DIMENSIONS, MOST_KEYS};
use super::model::Resolved;

/// The expected counts of a user, or of all users, in a span.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Expected {
    pub(super) rank: u64,
    pub(super) calls: u64,
    pub(super) units: u64,
    pub(super) failures: u64,
    pub(super) limited: u64,
    pub(super) methods: BTreeMap<String, u64>,
    pub(super) endpoints: BTreeMap<String, u64>,
    pub(super) statuses: BTreeMap<u16, u64>,
    pub(super) latencies: u64,
    pub(super) meters: BTreeMap<String, u64>,
    /// Calls by key, if they are one user's.
    pub(super) keys: BTreeMap<String, u64>,
    /// Calls and units by dimension and value.
    pub(super) labels: BTreeMap<String, BTreeMap<String, (u64, u64)>>,
    pub(super) span: Option<(UnixMillis, UnixMillis)>,
    /// The plan of the last call or refusal that names one; of one instant the last by name.
    pub(super) plan: Option<(UnixMillis, String)>,
}

impl Expected {
    pub(super) fn count(&mut self, event: &Resolved<'_>) {
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

    pub(super) fn on_plan(&mut self, plan: Option<(UnixMillis, String)>) {
        self.plan = self.plan.take().max(plan);
    }

    pub(super) fn add(&mut self, other: &Self) {
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

    pub(super) fn label(&mut self, name: &str, value: &str, (calls, units): (u64, u64)) {
        let values = self.labels.entry(name.to_owned()).or_default();
        let known = values.entry(value.to_owned()).or_default();
        known.0 += calls;
        known.1 += units;
    }

    /// Moves the calls of all values but those with most calls to `other`, one value at a time: of
    /// those with fewest calls the last by name. Likewise of all keys.
    pub(super) fn bound(&mut self) {
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
    pub(super) fn stored(rank: u64, counts: &Counts) -> Self {
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
