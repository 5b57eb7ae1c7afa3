//! The current sums in which an event counts.

use deployer::{CountTables, StoredCounts};
use domain::counts::Hour;
use domain::mark::{DayMark, Round};
use domain::names::Names;
use domain::state;
use domain::table::ItemKey;
use domain::time::{UnixMillis, Window};
use serde::Serialize;

use crate::aws::Reached;
use crate::verbs::events::EventFacts;

/// The sums.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sums {
    /// The progress of closing its day: until `closed`, the user's day is the sum of its hours.
    day: &'static str,
    /// The user's sums, from the minute to all time.
    user: Vec<Sum>,
    /// The sums over all users.
    everybody: Vec<Sum>,
}

/// Counts of a span; without members if the span has no item yet.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sum {
    span: String,
    counts: Option<Counts>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    total_calls: u64,
    auth_failures: u64,
    rate_limited: u64,
}

/// Reads the sums that include an event.
pub(super) async fn of(
    reached: &Reached,
    names: &Names,
    told: &EventFacts,
) -> anyhow::Result<Sums> {
    let tables = CountTables::new(&reached.session, names);
    let at = told.at();
    let mark = tables.usage(&ItemKey::day_mark(at)).await?;
    let mut user = Vec::new();
    if let Some(email) = told.email() {
        let hour = tables.usage(&ItemKey::hour(email, at)).await?;
        user.push(Sum {
            span: format!("minute {}", minute(at)),
            counts: hour.as_ref().and_then(|hour| of_minute(hour, at)),
        });
        user.push(Sum::of(format!("hour {}", Window::Hour.label(at)), hour));
        for (span, key) in [
            (
                format!("day {}", Window::Day.label(at)),
                ItemKey::day(email, at),
            ),
            (
                format!("month {}", Window::Month.label(at)),
                ItemKey::month(email, at),
            ),
            ("all time".to_owned(), ItemKey::all_time(email)),
        ] {
            user.push(Sum::of(span, tables.usage(&key).await?));
        }
    }
    let mut everybody = Vec::new();
    for (span, key) in [
        (format!("minute {}", minute(at)), ItemKey::minute(at)),
        (
            format!("hour {}", Window::Hour.label(at)),
            ItemKey::total(Window::Hour, at),
        ),
        (
            format!("day {}", Window::Day.label(at)),
            ItemKey::total(Window::Day, at),
        ),
    ] {
        everybody.push(Sum::of(span, tables.analytics(&key).await?));
    }
    Ok(Sums {
        day: round(mark.as_ref()),
        user,
        everybody,
    })
}

fn minute(at: UnixMillis) -> String {
    Window::Minute.label(at)
}

/// A user's counts of the minute, from the slot within the hour.
fn of_minute(hour: &StoredCounts, at: UnixMillis) -> Option<Counts> {
    let hour = Hour::decode(&hour.state).ok()?;
    let mut slots = hour.slots();
    let (_, slot) = slots.find(|(minute, _)| *minute == at.minute_of_hour())?;
    let totals = slot.counts.tally.totals();
    Some(Counts {
        total_calls: totals.calls,
        auth_failures: totals.auth_failures,
        rate_limited: totals.rate_limited,
    })
}

fn round(mark: Option<&StoredCounts>) -> &'static str {
    let mark = mark.and_then(|mark| state::decode::<DayMark>(&mark.state).ok());
    match mark.map(|mark| mark.round) {
        None => "open",
        Some(Round::Closing) => "closing",
        Some(Round::Closed) => "closed",
        Some(Round::Sealing) => "sealing",
        Some(Round::Sealed) => "sealed",
    }
}

impl Sum {
    fn of(span: String, stored: Option<StoredCounts>) -> Self {
        let counts = stored.map(|stored| Counts {
            total_calls: stored.total_calls,
            auth_failures: stored.auth_failures,
            rate_limited: stored.rate_limited,
        });
        Self { span, counts }
    }

    fn said(&self, counts_as: &str) -> String {
        let count = self.counts.map(|counts| match counts_as {
            "API_CALL" => format!("{} calls", counts.total_calls),
            "API_AUTH_FAILED" => format!("{} failures", counts.auth_failures),
            _ => format!("{} over the plan", counts.rate_limited),
        });
        let count = count.unwrap_or_else(|| "not written yet".to_owned());
        format!("{}: {count}", self.span)
    }
}

impl Sums {
    /// The sums as lines.
    pub(super) fn lines(&self, counts_as: &str) -> Vec<String> {
        let list = |sums: &[Sum]| {
            let said = sums.iter().map(|sum| sum.said(counts_as));
            said.collect::<Vec<_>>().join("; ")
        };
        let mut lines = Vec::new();
        if !self.user.is_empty() {
            lines.push(format!("user         {}", list(&self.user)));
        }
        lines.push(format!("everybody    {}", list(&self.everybody)));
        let day = match self.day {
            "open" => {
                "open: its hours are read, and days, months and all time follow when it is closed"
            }
            "closing" => "being closed: its hours are read until it is",
            "closed" => "closed: the day is read; it is folded once more, nine days after its end",
            "sealing" => "being sealed: the day is read",
            _ => "sealed: it never changes again",
        };
        lines.push(format!("day          {day}"));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_without_a_mark_is_open_and_a_span_without_an_item_is_not_written() {
        assert_eq!(round(None), "open");
        let mark = DayMark::begin(UnixMillis(0));
        let stored = StoredCounts {
            state: state::encode(&mark).unwrap(),
            ..StoredCounts::default()
        };
        assert_eq!(round(Some(&stored)), "closing");
        let sums = Sums {
            day: "open",
            user: vec![Sum::of("all time".into(), None)],
            everybody: vec![Sum::of(
                "hour x".into(),
                Some(StoredCounts {
                    total_calls: 7,
                    ..StoredCounts::default()
                }),
            )],
        };
        let lines = sums.lines("API_CALL");
        assert_eq!(lines[0], "user         all time: not written yet");
        assert_eq!(lines[1], "everybody    hour x: 7 calls");
        assert!(lines[2].contains("open"));
    }
}
