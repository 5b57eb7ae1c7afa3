//! The figures of a report, from the sums of users' days.

use std::collections::BTreeMap;

use deployer::UserDay;
use domain::calendar::Span;
use domain::meter::{self, Amounts};
use domain::plan::time_zone;
use domain::tally::Totals;
use domain::time::UnixMillis;
use domain::usage::Usage;
use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::basis::Basis;
use crate::verbs::usage::by_user;

/// Usage of a week or a month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) environment: String,
    /// `week` or `month`.
    pub(super) kind: &'static str,
    /// `2026-W47` or `2026-11`.
    pub(super) period: String,
    /// Its first date.
    pub(super) first: Date,
    /// Its last date.
    pub(super) last: Date,
    /// The span before, with which this one is compared; none if the environment has none.
    pub(super) compared_with: Option<String>,
    /// Everybody together.
    pub(super) total: Compared<Together>,
    /// By date, in the zone of each user's plan.
    pub(super) days: Vec<Day>,
    /// The same of the span before; empty without one.
    pub(super) previous_days: Vec<Day>,
    /// By the plan of each user's last call, those with most calls first.
    pub(super) plans: Vec<PlanUsage>,
    /// By email.
    pub(super) users: Vec<UserUsage>,
}

/// A figure, and that of the span before.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Compared<T> {
    #[serde(flatten)]
    pub(super) now: T,
    /// None if the environment has no span before.
    pub(super) previous: Option<T>,
}

/// Counts as an export has them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Counts {
    pub(super) total_calls: u64,
    pub(super) auth_failures: u64,
    pub(super) rate_limited: u64,
    pub(super) units: u64,
    pub(super) meters: Amounts,
}

/// Counts of several users.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Together {
    /// Users with any count.
    pub(super) users: u64,
    #[serde(flatten)]
    pub(super) counts: Counts,
}

/// Calls of a date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Day {
    pub(super) date: Date,
    pub(super) total_calls: u64,
    pub(super) auth_failures: u64,
    pub(super) rate_limited: u64,
    pub(super) units: u64,
}

/// Usage of a plan's users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct PlanUsage {
    /// None for users of whom no accepted call names a plan.
    pub(super) plan: Option<String>,
    #[serde(flatten)]
    pub(super) usage: Compared<Together>,
}

/// Usage of a user with any count in one of the two spans.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserUsage {
    pub(super) email: String,
    pub(super) period_start: UnixText,
    pub(super) period_end: UnixText,
    #[serde(flatten)]
    pub(super) usage: Compared<OfUser>,
}

/// A user's counts, and the plan of the last call.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(super) struct OfUser {
    pub(super) plan: Option<String>,
    #[serde(flatten)]
    pub(super) counts: Counts,
}

/// An instant that is shown as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnixText(pub(super) UnixMillis);

impl Serialize for UnixText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.total_calls += other.total_calls;
        self.auth_failures += other.auth_failures;
        self.rate_limited += other.rate_limited;
        self.units += other.units;
        meter::add(&mut self.meters, &other.meters);
    }
}

impl Together {
    fn add(&mut self, user: &Counts) {
        self.users += 1;
        self.counts.add(user);
    }
}

impl From<&Usage> for OfUser {
    fn from(usage: &Usage) -> Self {
        Self {
            plan: usage.plan.clone(),
            counts: Counts {
                total_calls: usage.totals.calls,
                auth_failures: usage.totals.auth_failures,
                rate_limited: usage.totals.rate_limited,
                units: usage.totals.units,
                meters: usage.meters.clone(),
            },
        }
    }
}

/// One span: everybody, each plan, each date.
struct Sums {
    span: Span,
    total: Together,
    plans: BTreeMap<Option<String>, Together>,
    dates: BTreeMap<Date, Totals>,
    /// The first and the last date of any user's period.
    extent: Option<(Date, Date)>,
}

impl Sums {
    fn new(span: Span) -> Self {
        Self {
            span,
            total: Together::default(),
            plans: BTreeMap::new(),
            dates: BTreeMap::new(),
            extent: None,
        }
    }

    /// Adds a user with any count.
    fn add(&mut self, usage: &Usage) {
        let OfUser { plan, counts } = OfUser::from(usage);
        self.total.add(&counts);
        self.plans.entry(plan).or_default().add(&counts);
        let zone = time_zone(&usage.timezone).unwrap_or(TimeZone::UTC);
        let date = |at: UnixMillis| at.timestamp().to_zoned(zone.clone()).date();
        for (at, (totals, _)) in &usage.quarters {
            self.dates.entry(date(*at)).or_default().add(*totals);
        }
        // Where a user changed to a plan of another zone, the period may begin or end on a date beside
        // that of the span.
        let first = near(date(usage.start), self.span.first());
        let last = near(date(usage.end.plus_millis(-1)), self.last());
        let (earliest, latest) = self.extent.unwrap_or((first, last));
        self.extent = Some((earliest.min(first), latest.max(last)));
    }

    /// The last date of the span.
    fn last(&self) -> Date {
        self.span.next().first().saturating_sub(1.day())
    }

    /// Each date of the users' periods: those of the span, unless a plan's periods begin on another day
    /// of the month. What lies beside them counts under the first or the last.
    fn days(&self) -> Vec<Day> {
        let (first, last) = self.extent.unwrap_or((self.span.first(), self.last()));
        let mut totals: BTreeMap<Date, Totals> = BTreeMap::new();
        for (date, of_date) in &self.dates {
            let shown = (*date).clamp(first, last);
            totals.entry(shown).or_default().add(*of_date);
        }
        let dates = first.series(1.day()).take_while(|date| *date <= last);
        let day = |date| {
            let totals = totals.get(&date).copied().unwrap_or_default();
            Day {
                date,
                total_calls: totals.calls,
                auth_failures: totals.auth_failures,
                rate_limited: totals.rate_limited,
                units: totals.units,
            }
        };
        dates.map(day).collect()
    }
}

/// The span's own border if the date is at most a day away from it.
fn near(date: Date, border: Date) -> Date {
    let (before, after) = (
        border.saturating_sub(1.day()),
        border.saturating_add(1.day()),
    );
    if (before..=after).contains(&date) {
        border
    } else {
        date
    }
}

impl Report {
    /// The report of a span, compared with the one before if there is one. `days` come user by user
    /// and cover both.
    pub(super) fn of(
        environment: &str,
        (span, is_compared): (Span, bool),
        days: Vec<UserDay>,
        basis: &Basis,
    ) -> Self {
        let before = is_compared.then(|| span.previous());
        let (mut now, mut previous) = (Sums::new(span), before.map(Sums::new));
        let mut users = Vec::new();
        for (email, days) in by_user(days) {
            let usage = basis.usage(&days, span);
            let known = before.map(|before| basis.usage(&days, before));
            let is_known = known.as_ref().is_some_and(|known| !known.is_empty());
            if !usage.is_empty() {
                now.add(&usage);
            }
            if let (Some(sums), Some(known), true) = (&mut previous, &known, is_known) {
                sums.add(known);
            }
            if !usage.is_empty() || is_known {
                users.push(UserUsage {
                    email,
                    period_start: UnixText(usage.start),
                    period_end: UnixText(usage.end),
                    usage: Compared {
                        now: OfUser::from(&usage),
                        previous: known.as_ref().map(OfUser::from),
                    },
                });
            }
        }
        let days = now.days();
        let first = days.first().map_or(span.first(), |day| day.date);
        Self {
            environment: environment.to_owned(),
            kind: super::kind(span.unit()),
            period: span.to_string(),
            first,
            last: days.last().map_or(first, |day| day.date),
            compared_with: before.map(|before| before.to_string()),
            plans: by_plan(now.plans, previous.as_mut()),
            total: Compared {
                now: now.total,
                previous: previous.as_ref().map(|sums| sums.total.clone()),
            },
            days,
            previous_days: previous.map(|sums| sums.days()).unwrap_or_default(),
            users,
        }
    }
}

/// The plans of both spans, those with most calls first, then by name.
fn by_plan(now: BTreeMap<Option<String>, Together>, previous: Option<&mut Sums>) -> Vec<PlanUsage> {
    let is_compared = previous.is_some();
    let mut before = previous.map(|sums| std::mem::take(&mut sums.plans));
    let mut plans: BTreeMap<Option<String>, Compared<Together>> = BTreeMap::new();
    for (plan, now) in now {
        let previous = before.as_mut().and_then(|before| before.remove(&plan));
        let usage = Compared {
            now,
            previous: is_compared.then(|| previous.unwrap_or_default()),
        };
        plans.insert(plan, usage);
    }
    for (plan, previous) in before.into_iter().flatten() {
        let usage = Compared {
            now: Together::default(),
            previous: Some(previous),
        };
        plans.insert(plan, usage);
    }
    let plans = plans.into_iter();
    let mut plans: Vec<_> = plans
        .map(|(plan, usage)| PlanUsage { plan, usage })
        .collect();
    plans.sort_by_key(|plan| std::cmp::Reverse(plan.usage.now.counts.total_calls));
    plans
}
