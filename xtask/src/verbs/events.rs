//! `events`: prints the events of the journal as JSON lines, each once.
//!
//! Every batch of the stream and of the access log is an entry, and any event may occur in several.
//! Like the fold, this takes the union by id: the authorizer's report wins over a line, and a line
//! adds the response to the call. Only one minute is held in memory at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use deployer::{Journal, JournalEntry, JournalMinute, hours};
use domain::entry::{self, Content, EntryError, Facts, Kind};
use domain::event::{EventRef, EventType, FUTURE_TOLERANCE_MILLIS, Subject, UsageEvent};
use domain::id::EventId;
use domain::meter::Amounts;
use domain::response::Response;
use domain::time::UnixMillis;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::aws::{nothing_deployed, reach};
use crate::clock;
use crate::context::Context;
use crate::duration::span;
use crate::duration::{Past, past};
use crate::output::{Document, Output};
use crate::stop::{Exit, Stop};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The first event: `6h` ago, or a time
    #[arg(long, value_name = "T", value_parser = past)]
    pub(crate) from: Past,
    /// Events before this; now by default
    #[arg(long, value_name = "T", value_parser = past)]
    pub(crate) to: Option<Past>,
    /// One user's events only; `ip:ADDRESS` for calls without a known user
    #[arg(long, value_name = "EMAIL")]
    pub(crate) user: Option<String>,
}

/// How often progress is reported.
const TELL: Duration = Duration::from_secs(5);

/// The requested events.
pub(super) struct Wanted {
    /// The first instant.
    from: UnixMillis,
    /// The end of the span, exclusive.
    to: UnixMillis,
    subject: Option<Subject>,
}

pub(crate) async fn run(context: &Context, args: &Arguments) -> anyhow::Result<Exit> {
    let (from, until) = span(args.from, args.to, clock::now())?;
    // The newest events may be ahead of this clock.
    let to = match args.to {
        Some(_) => until,
        None => until.plus_millis(FUTURE_TOLERANCE_MILLIS),
    };
    let reached = reach(context).await?;
    if reached.stacks().await?.is_empty() {
        return Err(nothing_deployed(&reached.environment).into());
    }
    let journal = Journal::new(&reached.session, &reached.environment.names());
    let wanted = Wanted {
        from,
        to,
        subject: args.user.as_deref().map(Subject::user),
    };
    let mut printer = Printer::new(context.out, &wanted)?;
    let read = printer.read(&journal).await;
    // Even after a failure, so that stdout is a valid document.
    printer.document.end()?;
    read?;
    match printer.unreadable {
        0 => Ok(Exit::Done),
        entries => Err(Stop::failed(format!(
            "{entries} entries of the journal cannot be read: their events are missing"
        ))
        .hint("a later release may have written them: run that release's `cargo xtask events`")
        .into()),
    }
}

struct Printer<'a> {
    out: Output,
    wanted: &'a Wanted,
    document: Document,
    printed: u64,
    unreadable: u64,
    told: Instant,
}

impl<'a> Printer<'a> {
    fn new(out: Output, wanted: &'a Wanted) -> anyhow::Result<Self> {
        Ok(Self {
            out,
            wanted,
            document: out.list("events")?,
            printed: 0,
            unreadable: 0,
            told: Instant::now(),
        })
    }

    async fn read(&mut self, journal: &Journal) -> anyhow::Result<()> {
        for (first, last) in hours(self.wanted.from, self.wanted.to) {
            let mut printed = Ok(());
            let show = |minute| {
                let more = self.minute(&minute);
                *more.as_ref().unwrap_or(&false) || {
                    printed = more.map(drop);
                    false
                }
            };
            let is_complete = journal.read_hour(first, last, show).await?;
            printed?;
            if !is_complete {
                return Ok(());
            }
            self.tell(last);
        }
        Ok(())
    }

    /// Prints a minute's events and returns whether anyone still reads.
    fn minute(&mut self, minute: &JournalMinute) -> anyhow::Result<bool> {
        let mut union = Union::default();
        for entry in &minute.entries {
            if let Err(error) = union.add(minute.minute, entry, self.wanted) {
                self.unreadable += 1;
                let (pk, sk) = (&entry.key.pk, &entry.key.sk);
                self.out
                    .warning(&format!("entry `{pk}`/`{sk}` cannot be read: {error}"));
            }
        }
        for told in union.by_id.values() {
            if !self.document.item(&union.to_json(told)?)? {
                return Ok(false);
            }
            self.printed += 1;
        }
        Ok(true)
    }

    fn tell(&mut self, at: UnixMillis) {
        if self.told.elapsed() >= TELL {
            self.told = Instant::now();
            self.out
                .detail(&format!("{} events up to {at}", self.printed));
        }
    }
}

/// The events of a minute, by id, and the amounts of their calls.
#[derive(Debug, Default)]
pub(super) struct Union {
    by_id: BTreeMap<EventId, EventFacts>,
    amounts: BTreeMap<EventId, Amounts>,
}

/// The journal's facts about an event.
#[derive(Debug)]
pub(super) struct EventFacts {
    kind: Kind,
    event: UsageEvent,
    response: Option<Response>,
}

impl Union {
    /// Adds an entry's events; an entry that cannot be read adds nothing.
    pub(super) fn add(
        &mut self,
        minute: UnixMillis,
        entry: &JournalEntry,
        wanted: &Wanted,
    ) -> Result<(), EntryError> {
        let facts = Facts::read(&entry.facts)?;
        if facts.minute != minute {
            let bytes = entry.facts.len();
            return Err(EntryError::Corrupt { bytes });
        }
        for measured in facts.amounts() {
            if let Some(id) = facts.id(measured.id) {
                let known = self.amounts.entry(id).or_default();
                let known = known.entry(measured.meter.to_owned()).or_default();
                // As in the fold.
                *known = measured.amount.max(*known);
            }
        }
        for (kind, response, event) in entry::events(&facts, &entry.details)? {
            if wanted.takes(&event) {
                self.take(kind, response, &event);
            }
        }
        Ok(())
    }

    /// The journal's facts about an event.
    pub(super) fn get(&self, id: EventId) -> Option<&EventFacts> {
        self.by_id.get(&id)
    }

    /// The event as it was reported, with the response to the call if a line reports it, and with
    /// the amounts of an accepted call.
    pub(super) fn to_json(&self, told: &EventFacts) -> anyhow::Result<Value> {
        let mut event = told.to_json()?;
        let amounts = self.amounts.get(&told.event.id);
        let is_call = told.event_type() == EventType::ApiCall;
        let data = event.get_mut("data").and_then(Value::as_object_mut);
        if let (Some(data), Some(amounts)) = (data, amounts.filter(|_| is_call)) {
            data.insert("meters".to_owned(), json!(amounts));
        }
        Ok(event)
    }

    /// As in the fold: of two that disagree, the report wins, then the one that sorts first.
    fn take(&mut self, kind: Kind, response: Option<Response>, event: &EventRef<'_>) {
        let Some(told) = self.by_id.get_mut(&event.id) else {
            let event = event.to_owned();
            let told = EventFacts {
                kind,
                event,
                response,
            };
            self.by_id.insert(told.event.id, told);
            return;
        };
        told.response = [told.response, response].into_iter().flatten().min();
        let known = told.event.borrowed();
        if (kind, Content::of(event)) < (told.kind, Content::of(&known)) {
            told.kind = kind;
            told.event = event.to_owned();
        }
    }
}

impl Wanted {
    /// Every event of one instant.
    pub(super) fn instant(at: UnixMillis) -> Self {
        Self {
            from: at,
            to: at.plus_millis(1),
            subject: None,
        }
    }

    fn takes(&self, event: &EventRef<'_>) -> bool {
        let at = event.time();
        let subject = self.subject.as_ref().map(Subject::as_str);
        self.from <= at && at < self.to && subject.is_none_or(|subject| subject == event.subject)
    }
}

impl EventFacts {
    /// The time of the decision.
    pub(super) const fn at(&self) -> UnixMillis {
        self.event.time
    }

    /// The decision.
    pub(super) const fn event_type(&self) -> EventType {
        self.event.event_type
    }

    /// The user, if known.
    pub(super) fn email(&self) -> Option<&str> {
        self.event.subject.email()
    }

    fn to_json(&self) -> anyhow::Result<Value> {
        let mut event: Value =
            serde_json::from_slice(&self.event.to_json()).context("writing an event")?;
        let data = event.get_mut("data").and_then(Value::as_object_mut);
        if let (Some(data), Some(response)) = (data, self.response) {
            data.insert("status".to_owned(), json!(response.status));
            if let Some(latency) = response.latency {
                data.insert("latencyMs".to_owned(), json!(latency));
            }
        }
        Ok(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::entry::Packer;
    use domain::entry::amounts::pack;
    use domain::meter::Amount;
    use domain::table::{self, ItemKey, Timing};
    use domain::time::Window;

    const AT: UnixMillis = UnixMillis(1_795_363_445_007);

    fn event(number: u8, subject: &str, endpoint: &str) -> EventRef<'static> {
        let at = AT.plus_millis(number.into());
        EventRef {
            id: EventId::mint(at.0.unsigned_abs(), [number; 10]),
            source: "/complical/local/api".into(),
            event_type: domain::event::EventType::ApiCall,
            subject: subject.to_owned().into(),
            key_id: Some("k1".into()),
            plan: Some("free".into()),
            method: "GET".into(),
            endpoint: endpoint.to_owned().into(),
            units: 1,
            dimensions: Vec::new(),
            ip: "192.0.2.1".into(),
            user_agent: Some("curl/8".into()),
            request_id: Some("r1".into()),
            stage: Some("local".into()),
            mode: domain::names::TrackingMode::Stream,
            reason: None,
        }
    }

    fn entry(packer: Packer<'_>) -> JournalEntry {
        stored(packer.pack().remove(0))
    }

    fn stored(written: domain::entry::Entry) -> JournalEntry {
        let sk = table::entry(written.minute, Timing::InTime, &written.digest);
        JournalEntry {
            key: ItemKey::new(table::journal(written.minute), sk),
            facts: written.facts,
            details: written.details,
        }
    }

    fn everything() -> Wanted {
        Wanted {
            from: UnixMillis(0),
            to: UnixMillis(i64::MAX),
            subject: None,
        }
    }

    fn union(entries: &[JournalEntry], wanted: &Wanted) -> Vec<Value> {
        let mut union = Union::default();
        for entry in entries {
            union.add(Window::Minute.start(AT), entry, wanted).unwrap();
        }
        let told = union.by_id.values();
        told.map(|told| union.to_json(told).unwrap()).collect()
    }

    const fn answered(latency: Option<u32>) -> Response {
        let status = 200;
        Response { status, latency }
    }

    #[test]
    fn an_event_of_many_entries_is_printed_once_as_it_was_reported() {
        let (one, other) = (event(1, "a@b", "/v1/x"), event(2, "c@d", "/v1/x"));
        let line_of_one = event(1, "a@b", "/v1/another");
        let (mut reports, mut lines) = (Packer::default(), Packer::default());
        reports.report(&other);
        reports.report(&one);
        lines.line(&line_of_one, Some(answered(Some(40))));
        let (reports, lines) = (entry(reports), entry(lines));
        let mut told: Value = serde_json::from_slice(&one.to_owned().to_json()).unwrap();
        told["data"]["status"] = json!(200);
        told["data"]["latencyMs"] = json!(40);
        let untold: Value = serde_json::from_slice(&other.to_owned().to_json()).unwrap();
        for order in [[&reports, &lines, &reports], [&lines, &reports, &lines]] {
            let entries = order.map(Clone::clone);
            assert_eq!(
                union(&entries, &everything()),
                [told.clone(), untold.clone()]
            );
        }
    }

    #[test]
    fn an_event_that_only_the_log_knows_has_no_user_agent() {
        let event = event(1, "a@b", "/v1/x");
        let mut lines = Packer::default();
        lines.line(&event, Some(answered(None)));
        let printed = union(&[entry(lines)], &everything());
        assert_eq!(printed.len(), 1);
        let data = &printed[0]["data"];
        assert_eq!(
            (&data["status"], &data["endpoint"]),
            (&json!(200), &json!("/v1/x"))
        );
        assert_eq!(data.get("latencyMs").or(data.get("userAgent")), None);
    }

    #[test]
    fn only_the_users_events_of_the_span_are_printed() {
        let events = [1, 2, 3].map(|number| event(number, "a@b", "/v1/x"));
        let others = event(2, "c@d", "/v1/x");
        let mut reports = Packer::default();
        events
            .iter()
            .chain([&others])
            .for_each(|event| reports.report(event));
        let wanted = Wanted {
            from: AT.plus_millis(2),
            to: AT.plus_millis(3),
            subject: Some(Subject::user("A@b")),
        };
        let printed = union(&[entry(reports)], &wanted);
        let ids: Vec<_> = printed.iter().map(|event| event["id"].clone()).collect();
        assert_eq!(ids, [json!(events[1].id)]);
    }

    #[test]
    fn a_call_is_printed_with_what_its_upstream_reported() {
        let (one, other) = (event(1, "a@b", "/v1/x"), event(2, "c@d", "/v1/x"));
        let mut reports = Packer::default();
        reports.report(&one);
        reports.report(&other);
        let reports = entry(reports);
        let amount = |amount| Amount {
            call: one.id,
            meter: "tokens".to_owned(),
            amount,
            to_quota: true,
        };
        let amounts = [70, 90].map(|of| stored(pack(&[amount(of)]).remove(0)));
        let [less, more] = amounts;
        for entries in [[&less, &more], [&more, &less]] {
            let [first, last] = entries.map(Clone::clone);
            let printed = union(&[first, reports.clone(), last], &everything());
            assert_eq!(printed[0]["data"]["meters"], json!({"tokens": 90}));
            assert_eq!(printed[1]["data"].get("meters"), None);
        }
    }

    #[test]
    fn an_entry_that_cannot_be_read_adds_nothing() {
        let event = event(1, "a@b", "/v1/x");
        let mut reports = Packer::default();
        reports.report(&event);
        let sound = entry(reports);
        let minute = Window::Minute.start(AT);
        let without = |change: &dyn Fn(&mut JournalEntry)| {
            let mut entry = sound.clone();
            change(&mut entry);
            entry
        };
        for (minute, entry) in [
            (minute, without(&|entry| entry.facts.clear())),
            (minute, without(&|entry| entry.details.clear())),
            (minute, without(&|entry| entry.facts[0] = 255)),
            (Window::Minute.end(AT), sound.clone()),
        ] {
            let mut union = Union::default();
            let added = union.add(minute, &entry, &everything());
            assert!(added.is_err() && union.by_id.is_empty(), "{added:?}");
        }
    }
}
