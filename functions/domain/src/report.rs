//! Scheduled reports: where they are stored, and the event that announces one.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::calendar::{Span, Unit};
use crate::mark::SEAL_AFTER_DAYS;
use crate::time::{UnixMillis, Window};

/// The `type` of the event that announces a report.
pub const REPORT_READY: &str = "report.ready";
/// Prefix of the ids of these events.
pub const ID_PREFIX: &str = "report_";

/// What the schedule sends to the aggregator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Which {
    /// Every report that is due.
    Due,
}

/// The units of time that an environment has reports of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Units(pub Vec<Unit>);

/// The form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A page for mail.
    Html,
    /// A table.
    Csv,
    /// Everything, for programs.
    Json,
}

impl Format {
    /// Each format, in the order in which they are stored.
    pub const ALL: [Self; 3] = [Self::Html, Self::Csv, Self::Json];

    /// The ending of a file's name.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Html => "html",
            Self::Csv => "csv",
            Self::Json => "json",
        }
    }

    /// The media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Json => "application/json",
        }
    }

    /// The key of a report in its bucket: `weeks/2026-W47.html`.
    pub fn key(self, span: Span) -> String {
        let folder = match span.unit() {
            Unit::Week => "weeks",
            Unit::Month => "months",
        };
        format!("{folder}/{span}.{}", self.extension())
    }
}

/// Everybody's counts in a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyFigures {
    /// Users with any count.
    pub users: u64,
    /// Accepted calls.
    pub total_calls: u64,
    /// Calls without a valid key, of known users.
    pub auth_failures: u64,
    /// Calls over the rate limit or the quota.
    pub rate_limited: u64,
    /// Units of accepted calls.
    pub units: u64,
}

/// A report is stored. It names no user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportReady {
    /// The environment.
    pub environment: String,
    /// The week or month: `2026-W47`, `2026-11`.
    pub period: String,
    /// Its first date.
    pub first: String,
    /// Its last date.
    pub last: String,
    /// The bucket of the reports.
    pub bucket: String,
    /// The keys of this one, by [`Format::ALL`].
    pub keys: Vec<String>,
    /// Everybody's counts.
    pub figures: KeyFigures,
    /// The span before, and its counts; none if the environment has none.
    pub previous: Option<(String, KeyFigures)>,
    /// The earliest instant at which the report can be final.
    pub at: UnixMillis,
}

/// The earliest instant at which a span is final whose last deciding day is `last`.
pub fn final_at(last: UnixMillis) -> UnixMillis {
    Window::Day.end(last).plus_days(SEAL_AFTER_DAYS)
}

impl ReportReady {
    /// The event's id.
    pub fn id(&self) -> String {
        Self::id_of(&self.environment, &self.period)
    }

    /// The id of the event for a span of an environment: always the same.
    pub fn id_of(environment: &str, period: &str) -> String {
        let digest = Sha256::digest(format!("{environment}\n{period}"));
        let hex = digest.iter().take(16).map(|byte| format!("{byte:02x}"));
        format!("{ID_PREFIX}{}", hex.collect::<String>())
    }

    /// Where its files are.
    pub fn files(&self) -> Vec<String> {
        let keys = self.keys.iter();
        keys.map(|key| format!("s3://{}/{key}", self.bucket))
            .collect()
    }

    /// The event as `CloudEvents` 1.0 structured JSON. `source` is the one that usage events carry.
    /// The same report gives the same bytes.
    pub fn cloud_event(&self, source: &str) -> String {
        let previous = self.previous.as_ref();
        serde_json::json!({
            "specversion": "1.0",
            "id": self.id(),
            "source": source,
            "type": REPORT_READY,
            "time": self.at.to_string(),
            "subject": self.period,
            "datacontenttype": "application/json",
            "data": {
                "period": self.period,
                "first": self.first,
                "last": self.last,
                "files": self.files(),
                "figures": self.figures,
                "comparedWith": previous.map(|(period, _)| period),
                "previous": previous.map(|(_, figures)| figures),
            },
        })
        .to_string()
    }

    /// The subject of a mail about it.
    pub fn subject(&self) -> String {
        format!("Usage of {}, {}", self.environment, self.period)
    }

    /// The event for people.
    pub fn text(&self) -> String {
        let figures = |of: &KeyFigures| {
            let KeyFigures {
                users,
                total_calls,
                auth_failures,
                rate_limited,
                units,
            } = of;
            format!(
                "accepted calls {total_calls}, units {units}, users {users}, rate limited \
                 {rate_limited}, not authenticated {auth_failures}"
            )
        };
        let before = self.previous.as_ref();
        let before = before.map_or_else(String::new, |(period, before)| {
            format!(" In {period}: {}.", figures(before))
        });
        format!(
            "{} ({} to {}): {}.{before} These counts are final. The report: {}",
            self.subject(),
            self.first,
            self.last,
            figures(&self.figures),
            self.files().join(" ")
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::notice::Notice;
    use crate::state;

    fn ready() -> ReportReady {
        let span = Span::parse("2026-W47").unwrap();
        ReportReady {
            environment: "test".to_owned(),
            period: span.to_string(),
            first: "2026-11-16".to_owned(),
            last: "2026-11-22".to_owned(),
            bucket: "reports".to_owned(),
            keys: Format::ALL.map(|format| format.key(span)).into(),
            figures: KeyFigures {
                users: 2,
                total_calls: 30,
                auth_failures: 1,
                rate_limited: 4,
                units: 300,
            },
            previous: Some(("2026-W46".to_owned(), KeyFigures::default())),
            at: final_at("2026-11-22T00:00:00Z".parse().unwrap()),
        }
    }

    #[test]
    fn the_id_depends_on_environment_and_span_alone() {
        let report = ready();
        let other = ReportReady {
            figures: KeyFigures::default(),
            previous: None,
            ..report.clone()
        };
        assert_eq!(report.id(), other.id());
        let ids = [
            ("test", "2026-W47"),
            ("prod", "2026-W47"),
            ("test", "2026-11"),
        ];
        let ids = ids.map(|(environment, period)| ReportReady::id_of(environment, period));
        assert_eq!(ids[0], report.id());
        assert!(ids[0] != ids[1] && ids[0] != ids[2] && ids[1] != ids[2]);
    }

    #[test]
    fn an_event_names_the_files_and_the_figures() {
        let event = ready().cloud_event("/complical/test/api");
        let event: serde_json::Value = serde_json::from_str(&event).unwrap();
        assert_eq!(event["type"], "report.ready");
        assert_eq!(event["time"], "2026-12-02T00:00:00Z");
        assert_eq!(
            event["data"]["files"][0],
            "s3://reports/weeks/2026-W47.html"
        );
        assert_eq!(event["data"]["figures"]["totalCalls"], 30);
        assert_eq!(event["data"]["comparedWith"], "2026-W46");
        assert_eq!(event["data"]["previous"]["users"], 0);
        let text = ready().text();
        assert!(
            text.contains(": accepted calls 30, units 300, users 2,"),
            "{text}"
        );
        assert!(text.contains("s3://reports/weeks/2026-W47.csv"), "{text}");
    }

    /// The bytes that the first release with reports stores.
    #[test]
    fn a_stored_report_stays_readable() {
        let stored = include_bytes!("../samples/report-ready-1.bin");
        let notice = Notice::decode(&ready().id(), stored).unwrap();
        assert_eq!(notice, Notice::Report(ready()));
        assert_eq!(state::encode(&ready()).unwrap(), stored);
    }
}
