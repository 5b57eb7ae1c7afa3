//! The figures of a report, from the sums of users' days.

use std::collections::BTreeMap;

use domain::calendar::Span;
use domain::counts::Sum;
use domain::meter::{self, Amounts};
use domain::plan::time_zone;
use domain::tally::Totals;
use domain::time::{UnixMillis, rfc3339};
use domain::usage::Usage;
use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::basis::Basis;

/// Usage of a week or a month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub(crate) environment: String,
    /// `week` or `month`.
    pub(crate) kind: &'static str,
    /// `2026-W47` or `2026-11`.
    pub(crate) period: String,
    /// Its first date.
    pub(crate) first: Date,
    /// Its last date.
    pub(crate) last: Date,
    /// The span before, with which this one is compared; none if the environment has none.
    pub(crate) compared_with: Option<String>,
    /// Everybody together.
    pub(crate) total: Compared<Together>,
    /// By date, in the zone of each user's plan.
    pub(crate) days: Vec<Day>,
    /// The same of the span before; empty without one.
    pub(crate) previous_days: Vec<Day>,
    /// By the plan of each user's last call, those with most calls first.
    pub(crate) plans: Vec<PlanUsage>,
    /// By email.
    pub(crate) users: Vec<UserUsage>,
}

/// A figure, and that of the span before.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Compared<T> {
    #[serde(flatten)]
    pub(crate) now: T,
    /// None if the environment has no span before.
    pub(crate) previous: Option<T>,
}

/// Counts as an export has them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Counts {
    pub(crate) total_calls: u64,
    pub(crate) auth_failures: u64,
    pub(crate) rate_limited: u64,
    pub(crate) units: u64,
    pub(crate) meters: Amounts,
}

/// Counts of several users.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Together {
    /// Users with any count.
    pub(crate) users: u64,
    #[serde(flatten)]
    pub(crate) counts: Counts,
}

/// Calls of a date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Day {
    pub(crate) date: Date,
    pub(crate) total_calls: u64,
    pub(crate) auth_failures: u64,
    pub(crate) rate_limited: u64,
    pub(crate) units: u64,
}

/// Usage of a plan's users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct PlanUsage {
    /// None for users of whom no accepted call names a plan.
    pub(crate) plan: Option<String>,
    #[serde(flatten)]
    pub(crate) usage: Compared<Together>,
}

/// Usage of a user with any count in one of the two spans.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserUsage {
    pub(crate) email: String,
    #[serde(serialize_with = "rfc3339")]
    pub(crate) period_start: UnixMillis,
    #[serde(serialize_with = "rfc3339")]
    pub(crate) period_end: UnixMillis,
    #[serde(flatten)]
    pub(crate) usage: Compared<OfUser>,
}

/// A user's counts, and the plan of the last call.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(crate) struct OfUser {
    pub(crate) plan: Option<String>,
    #[serde(flatten)]
    pub(crate) counts: Counts,
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
#[derive(Debug)]
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

/// The figures of a report that is being made, user by user. It holds no day of a user that it has
/// added.
#[derive(Debug)]
pub struct Figures<'a> {
    environment: &'a str,
    basis: &'a Basis,
    now: Sums,
    previous: Option<Sums>,
    users: Vec<UserUsage>,
}

impl<'a> Figures<'a> {
    /// No figures yet of a span, which is compared with the one before if there is one.
    pub fn new(environment: &'a str, (span, is_compared): (Span, bool), basis: &'a Basis) -> Self {
        Self {
            environment,
            basis,
            now: Sums::new(span),
            previous: is_compared.then(|| Sums::new(span.previous())),
            users: Vec::new(),
        }
    }

    /// The days that a user is added with, both included: those of the span and of the one with which
    /// it is compared.
    pub fn days(&self) -> (UnixMillis, UnixMillis) {
        let (first, last) = self.basis.days(self.now.span);
        let before = self.previous.as_ref();
        let before = before.map(|before| self.basis.days(before.span).0);
        (before.map_or(first, |before| before.min(first)), last)
    }

    /// Adds a user, each once, with its days in their order.
    pub fn add(&mut self, email: String, days: &[(UnixMillis, Sum)]) {
        let usage = self.basis.usage(days, self.now.span);
        let known = self.previous.as_mut().map(|sums| {
            let known = self.basis.usage(days, sums.span);
            if !known.is_empty() {
                sums.add(&known);
            }
            known
        });
        let is_known = known.as_ref().is_some_and(|known| !known.is_empty());
        if !usage.is_empty() {
            self.now.add(&usage);
        }
        if !usage.is_empty() || is_known {
            self.users.push(UserUsage {
                email,
                period_start: usage.start,
                period_end: usage.end,
                usage: Compared {
                    now: OfUser::from(&usage),
                    previous: known.as_ref().map(OfUser::from),
                },
            });
        }
    }

    /// The report of everybody who was added.
    pub fn report(self) -> Report {
        let Self {
            environment,
            now,
            mut previous,
            mut users,
            ..
        } = self;
        users.sort_by(|one, other| one.email.cmp(&other.email));
        let (span, days) = (now.span, now.days());
        let first = days.first().map_or(span.first(), |day| day.date);
        Report {
            environment: environment.to_owned(),
            kind: span.unit().name(),
            period: span.to_string(),
            first,
            last: days.last().map_or(first, |day| day.date),
            compared_with: previous.as_ref().map(|before| before.span.to_string()),
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
