//! What the model asks the analytics API.

use std::collections::BTreeMap;

use analytics::body::Granularity;
use analytics::reader::Tables;
use analytics::timeseries::{Asked, series};
use analytics::user_stats;
use domain::event::Subject;
use domain::plan::Plans;
use domain::time::UnixMillis;
use jiff::tz::TimeZone;
use runtime::memory::MemoryStore;

use super::traffic::CALLERS;

/// How far back a series reaches: hours are kept for longer.
const DAYS: i64 = 9;

/// A question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Question {
    /// The usage of a caller.
    Usage(usize),
    /// The hours of a caller, or of all users.
    Hours(Option<usize>),
    /// The days of a caller, or of all users.
    Days(Option<usize>),
}

/// What the API says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) calls: u64,
    pub(super) tokens: u64,
    /// Calls by key.
    pub(super) keys: BTreeMap<String, u64>,
    /// The calls of each point with any.
    pub(super) points: BTreeMap<UnixMillis, u64>,
    /// Where the series begins.
    pub(super) from: UnixMillis,
    /// Up to when everything counts that was appended in time.
    pub(super) as_of: UnixMillis,
}

impl Question {
    /// The questions asked at the end.
    pub(super) const AT_REST: [Self; 5] = [
        Self::Usage(0),
        Self::Usage(1),
        Self::Hours(Some(0)),
        Self::Days(Some(2)),
        Self::Days(None),
    ];

    /// One of the questions, most often about usage.
    pub(super) const fn choose(choice: u64) -> Self {
        match choice % 8 {
            0..3 => Self::Usage(0),
            3 => Self::Usage(1),
            4 => Self::Usage(2),
            5 => Self::Hours(Some(0)),
            6 => Self::Hours(None),
            _ => Self::Days(Some(0)),
        }
    }

    /// Whose calls the question is about; `None` for all users.
    pub(super) const fn user(self) -> Option<&'static str> {
        match self {
            Self::Usage(caller) | Self::Hours(Some(caller)) | Self::Days(Some(caller)) => {
                Some(CALLERS[caller])
            }
            Self::Hours(None) | Self::Days(None) => None,
        }
    }

    /// Asks the API's own code.
    pub(super) async fn ask(
        self,
        (usage, analytics): &(MemoryStore, MemoryStore),
        now: UnixMillis,
    ) -> Option<Answer> {
        let tables = Tables { usage, analytics };
        let granularity = match self {
            Self::Usage(caller) => {
                let subject = Subject::as_carried(CALLERS[caller]);
                let stats = user_stats::stats(&tables, &Plans::new(), &subject, now).await;
                let stats = stats.ok()?;
                let mut meters = stats.meters.iter();
                return Some(Answer {
                    calls: stats.total_calls,
                    tokens: meters
                        .find(|of| of.meter == "tokens")
                        .map_or(0, |of| of.amount),
                    keys: stats
                        .keys
                        .into_iter()
                        .map(|of| (of.key, of.total_calls))
                        .collect(),
                    points: BTreeMap::new(),
                    from: UnixMillis(0),
                    as_of: stats.as_of.0,
                });
            }
            Self::Hours(_) => Granularity::Hour,
            Self::Days(_) => Granularity::Day,
        };
        let whose = self.user().map(Subject::as_carried);
        let from = now.plus_days(-DAYS);
        let asked = Asked::totals(whose, granularity, from..now, &TimeZone::UTC);
        let series = series(&tables, &asked?, now).await.ok()?;
        let points = series.points.iter().filter(|point| point.total_calls > 0);
        Some(Answer {
            calls: series.points.iter().map(|point| point.total_calls).sum(),
            tokens: 0,
            keys: BTreeMap::new(),
            points: points
                .map(|point| (point.start.0, point.total_calls))
                .collect(),
            from: series.from.0,
            as_of: series.as_of.0,
        })
    }
}

impl Answer {
    /// Whether an earlier answer, with the same or an earlier time, had more.
    pub(super) fn forgets(&self, before: &Self) -> bool {
        if before.as_of > self.as_of {
            return false;
        }
        let kept = before.points.range(self.from..);
        let of = |start| self.points.get(start).copied().unwrap_or(0);
        let mut points = kept.map(|(start, calls)| *calls > of(start));
        let is_whole = before.points.is_empty() && self.points.is_empty();
        is_whole && (before.calls > self.calls || before.tokens > self.tokens)
            || points.any(|is_fewer| is_fewer)
    }
}
