//! The entries of the journal that contain an event, and the tracks that appended them.

use deployer::{Journal, JournalEntry, hours};
use domain::entry::{self, Facts, Kind};
use domain::id::EventId;
use domain::table::{ItemKey, JournalKey, Timing};
use domain::time::UnixMillis;
use serde::Serialize;

/// The most requests with one id to search for.
const MOST: usize = 20;

/// An entry that contains the event.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TrackReport {
    /// The track: `authorizer` or `accessLog`; `upstream` for amounts.
    by: &'static str,
    /// `inTime` or `late`.
    timing: &'static str,
    pk: String,
    sk: String,
}

impl TrackReport {
    /// The reports of an event in an entry, at most one for each track.
    pub(super) fn of(id: EventId, entry: &JournalEntry) -> Vec<Self> {
        let Ok(facts) = Facts::read(&entry.facts) else {
            return Vec::new();
        };
        let its = facts.iter().filter(|fact| facts.id(fact.id) == Some(id));
        let mut tracks: Vec<_> = its.map(|fact| track(fact.kind)).collect();
        tracks.sort_unstable();
        tracks.dedup();
        let mut amounts = facts.amounts();
        let upstream = amounts.any(|measured| facts.id(measured.id) == Some(id));
        tracks.extend(upstream.then_some("upstream"));
        tracks
            .into_iter()
            .map(|by| Self::by(by, &entry.key))
            .collect()
    }

    fn by(by: &'static str, key: &ItemKey) -> Self {
        let timing = match JournalKey::parse(&key.pk, &key.sk) {
            Some(JournalKey::Entry(_, Timing::Late)) => "late",
            _ => "inTime",
        };
        Self {
            by,
            timing,
            pk: key.pk.clone(),
            sk: key.sk.clone(),
        }
    }

    /// The report as a line.
    pub(super) fn line(&self) -> String {
        let by = match self.by {
            "authorizer" => "the authorizer",
            "upstream" => "the upstream",
            _ => "the access log",
        };
        let timing = match self.timing {
            "late" => "late",
            _ => "in time",
        };
        format!(
            "reported     by {by}, {timing}, in `{}` / `{}`",
            self.pk, self.sk
        )
    }
}

const fn track(kind: Kind) -> &'static str {
    match kind {
        Kind::Report => "authorizer",
        Kind::Line => "accessLog",
    }
}

/// The events of a request between two instants, the newest hour first.
pub(super) async fn of_request(
    journal: &Journal,
    request: &str,
    from: UnixMillis,
    to: UnixMillis,
) -> anyhow::Result<Vec<EventId>> {
    let mut spans: Vec<_> = hours(from, to).collect();
    spans.reverse();
    let mut found = Vec::new();
    for (first, last) in spans {
        journal
            .read_hour(first, last, |minute| {
                for entry in &minute.entries {
                    found.extend(with_request(entry, request));
                }
                found.len() < MOST
            })
            .await?;
        found.sort_unstable();
        found.dedup();
        if !found.is_empty() {
            break;
        }
    }
    Ok(found)
}

/// The events of an entry with this request id. An entry that cannot be read has none.
fn with_request(entry: &JournalEntry, request: &str) -> Vec<EventId> {
    let Ok(facts) = Facts::read(&entry.facts) else {
        return Vec::new();
    };
    let Ok(events) = entry::events(&facts, &entry.details) else {
        return Vec::new();
    };
    let its = events
        .iter()
        .filter(|(_, _, event)| event.request_id.as_deref() == Some(request));
    its.map(|(_, _, event)| event.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::entry::Packer;
    use domain::event::{EventRef, EventType};
    use domain::names::TrackingMode;
    use domain::response::Response;
    use domain::table;

    const AT: UnixMillis = UnixMillis(1_795_363_445_007);

    fn event(number: u8) -> EventRef<'static> {
        EventRef {
            id: EventId::mint(AT.0.unsigned_abs(), [number; 10]),
            source: "/complical/local/api".into(),
            event_type: EventType::ApiCall,
            subject: "a@b".into(),
            key_id: None,
            plan: None,
            method: "GET".into(),
            endpoint: "/v1/x".into(),
            units: 1,
            dimensions: Vec::new(),
            ip: "192.0.2.1".into(),
            user_agent: None,
            request_id: Some(format!("r{number}").into()),
            stage: None,
            mode: TrackingMode::Stream,
            reason: None,
        }
    }

    fn entry(packer: Packer<'_>, timing: Timing) -> JournalEntry {
        let written = packer.pack().remove(0);
        let sk = table::entry(written.minute, timing, &written.digest);
        JournalEntry {
            key: ItemKey::new(table::journal(written.minute), sk),
            facts: written.facts,
            details: written.details,
        }
    }

    #[test]
    fn a_report_names_its_track_and_whether_it_came_late() {
        let (one, other) = (event(1), event(2));
        let mut reports = Packer::default();
        reports.report(&one);
        let mut lines = Packer::default();
        lines.line(
            &one,
            Some(Response {
                status: 200,
                latency: None,
            }),
        );
        let (reports, lines) = (entry(reports, Timing::InTime), entry(lines, Timing::Late));
        let told = |entry: &JournalEntry| -> Vec<_> {
            let reports = TrackReport::of(one.id, entry);
            reports
                .iter()
                .map(|report| (report.by, report.timing))
                .collect()
        };
        assert_eq!(told(&reports), [("authorizer", "inTime")]);
        assert_eq!(told(&lines), [("accessLog", "late")]);
        assert!(TrackReport::of(other.id, &reports).is_empty());
    }

    #[test]
    fn a_request_is_found_by_its_id_alone() {
        let (one, other) = (event(1), event(2));
        let mut reports = Packer::default();
        reports.report(&one);
        reports.report(&other);
        let reports = entry(reports, Timing::InTime);
        assert_eq!(with_request(&reports, "r2"), [other.id]);
        assert!(with_request(&reports, "r3").is_empty());
    }
}
