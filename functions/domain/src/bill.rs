//! A user's bill: the final usage of a period, and the event that hands it over.
//!
//! A period begins on the anchor day of a month in a plan's time zone, by default the first. It is
//! final once every day that it touches on any plan is sealed ([`crate::mark`]): no call of it can
//! arrive any more. A bill follows from the sealed days and the calendars of the plans alone, so the
//! event and `usage export` say the same, however often either is made.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::counts::Sum;
use crate::mark::{Round, SEAL_AFTER_DAYS};
use crate::meter::Amounts;
use crate::plan::{Period, Plans};
use crate::tally::Totals;
use crate::time::{UnixMillis, Window};
use crate::usage::{Usage, plan_of};

mod calendars;

pub use calendars::{Calendars, is_billable};

/// The `type` of a bill's event.
pub const PERIOD_CLOSED: &str = "period.closed";
/// Prefix of the ids of bills.
pub const ID_PREFIX: &str = "period_";
/// The first line of the text whose SHA-256 is the digest: it names the form of the text.
const DIGEST_FORM: &str = "period.closed 1";

/// A user's final usage in a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bill {
    /// The user.
    pub user: String,
    /// First instant, in UTC, of the calendar month that names the period: the one in which it begins.
    pub month: UnixMillis,
    /// The plan of the user's last call in the period; `None` if no accepted call named one.
    pub plan: Option<String>,
    /// IANA name of the plan's time zone.
    pub timezone: String,
    /// First instant of the period.
    pub start: UnixMillis,
    /// First instant of the next period.
    pub end: UnixMillis,
    /// Calls by type, and units of the accepted ones.
    pub totals: Totals,
    /// Amounts that upstreams reported of accepted calls.
    pub meters: Amounts,
    /// SHA-256 of what the bill sums up, in lower-case hex; see [`Bill::of`].
    pub digest: String,
}

/// The calendars by which the periods of a month begin and end.
///
/// Two adjacent bills must agree on the border between them. So the aggregator stores the plans'
/// calendars when it makes a month's bills ([`Calendars`]). That month ends and the next one begins by
/// these, even if the plans have changed since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// By these the period begins: those by which the one before ended.
    pub from: Calendars,
    /// By these it ends.
    pub to: Calendars,
}

/// What is stored of a month's bills.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Noted {
    /// The calendars by which its periods end.
    pub calendars: Option<Calendars>,
    /// Whether some of its bills were made.
    pub has_bills: bool,
}

impl Noted {
    fn or_of(self, plans: &Plans) -> Calendars {
        let own = || Calendars::of(plans);
        match self.calendars {
            Some(noted) => noted,
            // Bills without noted calendars are of a release that had calendar months alone.
            None if self.has_bills => own().by_calendar_month(),
            None => own(),
        }
    }
}

impl Terms {
    /// Terms of plans that have not changed.
    pub fn of(plans: &Plans) -> Self {
        Self::noted(plans, Noted::default(), Noted::default())
    }

    /// The terms of a month from what is noted of the one before and of itself, if anything is; else
    /// those of the plans.
    pub fn noted(plans: &Plans, before: Noted, itself: Noted) -> Self {
        Self {
            from: before.or_of(plans),
            to: itself.or_of(plans),
        }
    }

    /// A user's usage of the period that begins in `month`, from the user's days within
    /// [`Self::days`].
    pub fn usage(&self, days: &[(UnixMillis, Sum)], month: UnixMillis) -> Usage {
        let month = Window::Month.start(month);
        let last = plan_of(days.iter());
        let period = Period {
            start: self.from.border(days, month, last),
            end: self.to.border(days, Window::Month.end(month), last),
        };
        Usage::within(days, period, |plan| {
            self.to.0.get(plan).map(|named| &*named.timezone)
        })
    }

    /// The days whose sums decide the bills of a month, both included: those that its period touches
    /// on any plan, and those that decide where it begins and ends.
    pub fn days(&self, month: UnixMillis) -> (UnixMillis, UnixMillis) {
        let month = Window::Month.start(month);
        let first = self.from.deciding(month).map_or(month, |(first, _)| first);
        let next = Window::Month.end(month);
        let last = self.to.deciding(next);
        (first, last.map_or(next.plus_days(-1), |(_, last)| last))
    }
}

/// The first day of the span, both ends included, that is not sealed; `None` once all are. Nothing
/// was ever counted for days before the first marked one.
pub fn unsealed(
    marks: &BTreeMap<UnixMillis, Round>,
    (first, last): (UnixMillis, UnixMillis),
) -> Option<UnixMillis> {
    let marked = marks.range(first..=last).next();
    let mut day = marked.map_or(first, |(day, _)| *day);
    while day <= last {
        if marks.get(&day) != Some(&Round::Sealed) {
            return Some(day);
        }
        day = Window::Day.end(day);
    }
    None
}

impl Bill {
    /// A user's bill of `month`, from its sealed days within [`Terms::days`]; `None` if it has no counts.
    ///
    /// Where a user changes to a plan of another calendar, the period ends where the next one begins:
    /// the plan of the last call on the days that decide about the border decides, for both.
    ///
    /// The digest covers, line by line: the form, the user, start and end, the number of distinct
    /// facts in the journal of each day, and the counts of each quarter hour of the period.
    pub fn of(
        user: &str,
        days: &[(UnixMillis, Sum)],
        terms: &Terms,
        month: UnixMillis,
    ) -> Option<Self> {
        let usage = terms.usage(days, month);
        (!usage.is_empty()).then(|| Self {
            user: user.to_owned(),
            month: Window::Month.start(month),
            digest: hex(&Sha256::digest(digested(user, &usage))),
            plan: usage.plan,
            timezone: usage.timezone,
            start: usage.start,
            end: usage.end,
            totals: usage.totals,
            meters: usage.meters,
        })
    }

    /// The event's id. It depends on the user and the month alone.
    pub fn id(&self) -> String {
        let mut digest = Sha256::new();
        digest.update(self.month.0.to_be_bytes());
        digest.update(self.user.as_bytes());
        let hex = hex(&digest.finalize());
        format!("{ID_PREFIX}{}", hex.get(..32).unwrap_or_default())
    }

    /// The digest with its algorithm, as it is handed over.
    pub fn digest(&self) -> String {
        format!("sha256:{}", self.digest)
    }

    /// The earliest instant at which the period can be final.
    pub fn final_at(&self) -> UnixMillis {
        let last = Window::Day.start(self.end.plus_millis(-1));
        Window::Day.end(last).plus_days(SEAL_AFTER_DAYS)
    }

    /// The event as `CloudEvents` 1.0 structured JSON. `source` is the one that usage events carry.
    /// The same bill gives the same bytes.
    pub fn cloud_event(&self, source: &str) -> String {
        serde_json::json!({
            "specversion": "1.0",
            "id": self.id(),
            "source": source,
            "type": PERIOD_CLOSED,
            "time": self.final_at().to_string(),
            "subject": self.user,
            "datacontenttype": "application/json",
            "data": {
                "month": Window::Month.label(self.month),
                "plan": self.plan,
                "timezone": self.timezone,
                "periodStart": self.start.to_string(),
                "periodEnd": self.end.to_string(),
                "totalCalls": self.totals.calls,
                "authFailures": self.totals.auth_failures,
                "rateLimited": self.totals.rate_limited,
                "units": self.totals.units,
                "meters": self.meters,
                "digest": self.digest(),
            },
        })
        .to_string()
    }

    /// The event as a sentence for people.
    pub fn text(&self) -> String {
        let Self {
            user,
            start,
            end,
            totals,
            ..
        } = self;
        format!(
            "{user} made {} calls of {} units between {start} and {end}. These counts are final.",
            totals.calls, totals.units
        )
    }
}

/// The text whose SHA-256 is the digest.
fn digested(user: &str, usage: &Usage) -> String {
    let mut lines = vec![
        DIGEST_FORM.to_owned(),
        user.to_owned(),
        format!("{} {}", usage.start, usage.end),
    ];
    let facts = usage.facts.iter();
    lines.extend(facts.map(|(day, facts)| format!("{} {facts}", Window::Day.label(*day))));
    let quarters = usage.quarters.iter();
    lines.extend(quarters.map(|(at, (totals, amounts))| line(*at, *totals, amounts)));
    lines.join("\n") + "\n"
}

/// A quarter hour as the digest covers it. No meter's name contains a blank.
fn line(at: UnixMillis, totals: Totals, amounts: &Amounts) -> String {
    let Totals {
        calls,
        auth_failures,
        rate_limited,
        units,
    } = totals;
    let counts = format!("{at} {calls} {auth_failures} {rate_limited} {units}");
    let amounts = amounts.iter();
    let amounts = amounts.map(|(meter, amount)| format!("{meter}={amount}"));
    let words: Vec<_> = std::iter::once(counts).chain(amounts).collect();
    words.join(" ")
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    digits.collect::<String>()
}

#[cfg(test)]
mod tests;
