//! The expected counts, derived only from what was sent and accepted.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::dimension::Label;
use domain::entry::{Facts, Kind};
use domain::event::{EventRef, EventType, UsageEvent};
use domain::id::EventId;
use domain::response::Response;
use domain::time::UnixMillis;

use super::amounts::Amounts;
use super::log::Line;
use super::world::Sent;

/// How far an event may be ahead of the function that appends it, in milliseconds.
const AHEAD: i64 = 5 * 60 * 1_000;
/// How far it may be behind.
const BEHIND: i64 = 7 * 24 * 60 * 60 * 1_000;

/// One track's fact about one event. The order is that of the rule: of two facts that disagree, the
/// one that sorts first wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Said {
    pub(super) by_line: bool,
    pub(super) event_type: EventType,
    pub(super) subject: String,
    pub(super) key_id: Option<String>,
    pub(super) plan: Option<String>,
    pub(super) method: String,
    pub(super) endpoint: String,
    pub(super) address: Option<String>,
    pub(super) units: u32,
    /// Dimensions and values, which only a report carries.
    pub(super) labels: Vec<(String, String)>,
    pub(super) response: Option<Response>,
}

impl Said {
    fn of(event: &UsageEvent) -> Self {
        let data = &event.data;
        let is_call = event.event_type == EventType::ApiCall;
        Self {
            by_line: false,
            event_type: event.event_type,
            subject: event.subject.as_str().to_owned(),
            key_id: data.key_id.clone(),
            plan: data.plan.clone(),
            method: data.method.clone(),
            endpoint: data.endpoint.clone(),
            address: (!is_call).then(|| data.ip.clone()),
            units: if is_call { data.units } else { 0 },
            labels: data
                .dimensions
                .iter()
                .filter(|_| is_call)
                .map(pair)
                .collect(),
            response: None,
        }
    }

    fn is_call_of(&self, user: Option<&str>) -> bool {
        self.event_type == EventType::ApiCall && user.is_none_or(|user| self.subject == user)
    }

    /// Whether both agree on everything except the source and the response. A line has no labels
    /// to disagree with.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        let neutral = |said: &Self| Self {
            by_line: false,
            response: None,
            labels: Vec::new(),
            ..said.clone()
        };
        let labels = self.by_line || other.by_line || self.labels == other.labels;
        neutral(self) == neutral(other) && labels
    }
}

fn pair(label: &Label<'_>) -> (String, String) {
    (label.name.to_string(), label.value.to_string())
}

/// The oracle's knowledge of events.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    pub(super) known: Vec<Known>,
    by_payload: HashMap<Vec<u8>, usize>,
    /// Every fact about an event that any party ever offered.
    pub(super) offered: BTreeMap<EventId, BTreeSet<Said>>,
    /// The facts that the journal has held.
    pub(super) held: BTreeMap<EventId, BTreeSet<Said>>,
    /// Records refused in any delivery.
    pub(super) refusable: BTreeSet<usize>,
    /// Records refused in a delivery that completed.
    pub(super) refused: BTreeSet<usize>,
    /// Lines that arrived when their call could no longer be counted, or that are invalid.
    pub(super) refusable_lines: BTreeSet<usize>,
    /// Records that were in the stream when it was deleted.
    pub(super) dropped: BTreeSet<usize>,
    /// What upstreams report of calls.
    pub(super) amounts: Amounts,
}

#[derive(Debug)]
pub(super) struct Known {
    pub(super) event: UsageEvent,
    /// An authorizer got the acknowledgement of the event.
    pub(super) accepted: bool,
}

impl Oracle {
    /// Registers an event and returns its number.
    pub(super) fn learn(&mut self, event: UsageEvent) -> usize {
        let number = self.known.len();
        self.by_payload.insert(event.to_json(), number);
        let offered = self.offered.entry(event.id).or_default();
        offered.insert(Said::of(&event));
        self.known.push(Known {
            event,
            accepted: false,
        });
        number
    }

    /// Registers the content of a line.
    pub(super) fn learn_line(&mut self, line: &Line) {
        if let Some(call) = &line.told {
            let offered = self.offered.entry(call.told.id).or_default();
            offered.insert(Said {
                by_line: true,
                response: call.response,
                labels: Vec::new(),
                ..Said::of(&call.told)
            });
        }
    }

    /// The event that a record holds.
    pub(super) fn number_of(&self, payload: &[u8]) -> Option<usize> {
        self.by_payload.get(payload).copied()
    }

    /// Records that an authorizer got the acknowledgement of an event.
    pub(super) fn accepted(&mut self, number: usize) {
        self.known[number].accepted = true;
    }

    /// Records an entry of the journal.
    pub(super) fn journal(&mut self, facts: &[u8]) -> Result<(), String> {
        let facts = Facts::read(facts).map_err(|error| error.to_string())?;
        self.amounts.journal(&facts)?;
        let contents: Vec<_> = facts.contents().collect();
        let labels: Vec<_> = facts.labels().collect();
        for fact in facts.iter() {
            let content = &contents[fact.content as usize];
            let id = facts.id(fact.id).expect("an id");
            let text =
                |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().map(str::to_owned);
            let said = Said {
                by_line: fact.kind == Kind::Line,
                event_type: content.event_type,
                subject: content.subject.to_string(),
                key_id: text(&content.key_id),
                plan: text(&content.plan),
                method: content.method.to_string(),
                endpoint: content.endpoint.to_string(),
                address: text(&content.address),
                units: content.units,
                labels: facts
                    .labels_of(fact.set)
                    .map(|label| pair(&labels[label]))
                    .collect(),
                response: fact.response,
            };
            if !self
                .offered
                .get(&id)
                .is_some_and(|offered| offered.contains(&said))
            {
                return Err(format!("nobody said of {id}: {said:?}"));
            }
            self.held.entry(id).or_default().insert(said);
        }
        Ok(())
    }

    /// Records that the processor receives records.
    pub(super) fn offered(&mut self, sent: &[Sent], numbers: &[usize], at: UnixMillis) {
        for number in numbers {
            if !self.is_timely(&sent[*number], at) {
                self.refusable.insert(*number);
            }
        }
    }

    /// Records that the processor completed with these records, of which some failed, or died.
    pub(super) fn delivered(
        &mut self,
        sent: &[Sent],
        numbers: &[usize],
        at: UnixMillis,
        failed: Option<Vec<bool>>,
    ) {
        for (number, failed) in numbers.iter().zip(failed.unwrap_or_default()) {
            if !failed && !self.is_timely(&sent[*number], at) {
                self.refused.insert(*number);
            }
        }
    }

    fn is_timely(&self, sent: &Sent, at: UnixMillis) -> bool {
        sent.event
            .is_some_and(|number| is_timely(self.known[number].event.time, at))
    }

    /// Records that the reconciler receives lines.
    pub(super) fn lines_offered(&mut self, lines: &[Line], numbers: &[usize], at: UnixMillis) {
        for number in numbers {
            let Line { told, poison, .. } = &lines[*number];
            let timely = told
                .as_ref()
                .is_none_or(|call| is_timely(call.told.time, at));
            if *poison || !timely {
                self.refusable_lines.insert(*number);
            }
        }
    }

    /// Calls of a user, or of all users, according to any fact: no response may return more.
    pub(super) fn most_calls(&self, user: Option<&str>) -> u64 {
        let is_call = |said: &Said| said.is_call_of(user);
        let offered = self.offered.values();
        offered
            .filter(|offered| offered.iter().any(is_call))
            .count() as u64
    }

    /// Tokens of those calls according to any report: no response may return more.
    pub(super) fn most_tokens(&self, user: Option<&str>) -> u64 {
        let is_call = |said: &Said| said.is_call_of(user);
        let offered = self.offered.iter();
        let calls = offered.filter(|(_, offered)| offered.iter().any(is_call));
        let tokens = calls.map(|(id, _)| self.amounts.of(*id).get("tokens").copied());
        tokens.map(Option::unwrap_or_default).sum()
    }

    /// Whether the facts of any event disagree.
    pub(super) fn disagrees(&self) -> bool {
        let mut offered = self.offered.values();
        offered.any(|offered| {
            let first = offered.first();
            first.is_some_and(|first| offered.iter().any(|said| !said.agrees(first)))
        })
    }
}

/// Whether something of `time` may be appended at `at`.
pub(super) fn is_timely(time: UnixMillis, at: UnixMillis) -> bool {
    (-AHEAD..=BEHIND).contains(&at.since(time))
}

/// Whether a record's bytes are a valid event.
pub(super) fn is_event(payload: &[u8]) -> bool {
    EventRef::decode(payload).is_ok()
}
