//! What upstreams report of calls, and what the oracle knows of it.

use std::collections::{BTreeMap, BTreeSet};

use collector::body::Collected;
use domain::entry::Facts;
use domain::event::{EventType, Reason};
use domain::id::EventId;
use domain::meter::{EVENT_TYPE, Meter, Meters};
use domain::time::UnixMillis;
use serde_json::{Value, json};

use super::oracle::{Oracle, is_timely};

/// The meters, and whether each counts towards the quota.
pub(super) const METERS: [(&str, bool); 2] = [("tokens", true), ("rows", false)];
/// How long after a call the collector expects it in the journal, in milliseconds.
const SETTLED: i64 = 5 * 60_000;

/// An amount of a call. The order is that of the rule: the greatest counts.
pub(super) type Told = (&'static str, u64);

/// The oracle's knowledge of amounts.
#[derive(Debug, Default)]
pub(super) struct Amounts {
    /// Every amount that any upstream ever sent.
    sent: BTreeMap<EventId, BTreeSet<Told>>,
    /// The amounts that the journal has held.
    pub(super) held: BTreeMap<EventId, BTreeSet<Told>>,
    /// The amounts that the collector accepted.
    accepted: BTreeSet<(EventId, Told)>,
}

/// A request of an upstream.
#[derive(Debug, Clone)]
pub(super) struct Sending {
    amounts: Vec<(EventId, Told)>,
    at: UnixMillis,
    /// The calls among them that the journal held when it began.
    known: BTreeSet<EventId>,
    /// The deployed release, if it could read every entry.
    release: Option<u64>,
}

pub(super) fn meters() -> Meters {
    let meters = METERS.map(|(name, counts_to_quota)| {
        let meter = Meter { counts_to_quota };
        (name.to_owned(), meter)
    });
    Meters(meters.into())
}

/// An amount as an upstream sends it.
pub(super) fn event((call, (meter, amount)): &(EventId, Told)) -> Value {
    json!({
        "specversion": "1.0", "id": "chosen-by-the-sender", "source": "/upstream",
        "type": EVENT_TYPE, "data": {"call": call, "meter": meter, "amount": amount},
    })
}

impl Sending {
    /// A request at `at`.
    pub(super) fn new(
        oracle: &mut Oracle,
        amounts: Vec<(EventId, Told)>,
        at: UnixMillis,
        release: Option<u64>,
    ) -> Self {
        for (call, told) in &amounts {
            oracle.amounts.sent.entry(*call).or_default().insert(*told);
        }
        let new = Self {
            amounts,
            at,
            known: BTreeSet::new(),
            release,
        };
        new.again(oracle, at, release)
    }

    /// The same request at a later time.
    pub(super) fn again(&self, oracle: &Oracle, at: UnixMillis, release: Option<u64>) -> Self {
        let calls = self.amounts.iter().map(|(call, _)| *call);
        Self {
            known: calls.filter(|call| is_call(oracle, *call)).collect(),
            amounts: self.amounts.clone(),
            at,
            release,
        }
    }

    pub(super) fn events(&self) -> Vec<Value> {
        self.amounts.iter().map(event).collect()
    }

    /// The collector responded: it accepts what is timely and may name a call, and nothing else.
    pub(super) fn answered(
        &self,
        oracle: &mut Oracle,
        collected: &Collected,
        release: Option<u64>,
    ) -> Result<(), String> {
        // What a release cannot read may hold any call.
        let is_readable = release.is_some() && self.release == release;
        let refused = collected.refused.iter();
        let refused: BTreeMap<_, _> = refused.map(|of| (of.index, of.error)).collect();
        for (index, (call, told)) in self.amounts.iter().enumerate() {
            let is_timely = is_timely(call.minted_at(), self.at);
            let is_settled = self.at.since(call.minted_at()) > SETTLED;
            let wrong = match refused.get(&index) {
                None if !is_timely => Some("accepted at any age"),
                None if is_settled && is_readable && !is_call(oracle, *call) => {
                    Some("accepted without a call")
                }
                None => {
                    oracle.amounts.accepted.insert((*call, *told));
                    None
                }
                Some(error) if *error == Reason::UnknownCall.as_str() => {
                    let may_be_there = !is_settled || self.known.contains(call);
                    may_be_there.then_some("refused although its call is there")
                }
                Some(_) => is_timely.then_some("refused without a reason"),
            };
            if let Some(wrong) = wrong {
                return Err(format!("{told:?} of {call} at {} was {wrong}", self.at));
            }
        }
        Ok(())
    }
}

/// Whether any fact in the journal says that an id is an accepted call.
fn is_call(oracle: &Oracle, id: EventId) -> bool {
    let held = oracle.held.get(&id).into_iter().flatten();
    let mut types = held.map(|said| said.event_type);
    types.any(|event_type| event_type == EventType::ApiCall)
}

impl Amounts {
    /// Records an entry of the journal.
    pub(super) fn journal(&mut self, facts: &Facts<'_>) -> Result<(), String> {
        for measured in facts.amounts() {
            let id = facts.id(measured.id).expect("an id");
            let meter = METERS.iter().find(|(name, _)| *name == measured.meter);
            let (name, to_quota) = *meter.ok_or("an amount of another meter")?;
            let told = (name, measured.amount);
            let is_sent = self.sent.get(&id).is_some_and(|sent| sent.contains(&told));
            if !is_sent || to_quota != measured.to_quota {
                return Err(format!("nobody reported of {id}: {measured:?}"));
            }
            self.held.entry(id).or_default().insert(told);
        }
        Ok(())
    }

    /// Every accepted amount is in the journal.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut accepted = self.accepted.iter();
        let is_held = |id: &EventId, told: &Told| {
            let held = self.held.get(id);
            held.is_some_and(|held| held.contains(told))
        };
        match accepted.find(|(id, told)| !is_held(id, told)) {
            Some((id, told)) => Err(format!("accepted and lost: {told:?} of {id}")),
            None => Ok(()),
        }
    }

    /// The amounts of one call, by meter: of each the greatest.
    pub(super) fn of(&self, id: EventId) -> BTreeMap<&'static str, u64> {
        let told = self.held.get(&id).into_iter().flatten();
        // The order of a set is that of its amounts: the last one stays.
        told.copied().collect()
    }

    /// Whether there are different amounts of one call and meter.
    pub(super) fn disagree(&self, id: EventId) -> bool {
        self.held
            .get(&id)
            .is_some_and(|told| told.len() > self.of(id).len())
    }

    /// An amount that was reported before.
    pub(super) fn earlier(&self, choice: usize) -> Option<(EventId, Told)> {
        let all = self.sent.iter();
        let all: Vec<_> = all
            .flat_map(|(id, told)| told.iter().map(|told| (*id, *told)))
            .collect();
        all.get(choice % all.len().max(1)).copied()
    }
}
