//! The rules by which a report's spans begin and end: weeks by the zones of the plans, months as bills
//! do.

use std::borrow::Cow;
use std::collections::BTreeMap;

use domain::bill::{self, Terms};
use domain::calendar::{Span, Unit};
use domain::counts::Sum;
use domain::mark::Round;
use domain::plan::Plans;
use domain::time::UnixMillis;
use domain::usage::Usage;

/// The plans, and the terms of months that are noted.
#[derive(Debug)]
pub struct Basis {
    plans: Plans,
    /// By the month's start in UTC.
    terms: BTreeMap<UnixMillis, Terms>,
}

impl Basis {
    /// Of plans that have not changed.
    pub const fn of(plans: Plans) -> Self {
        Self::noted(plans, BTreeMap::new())
    }

    /// Of these plans, and of the terms that are noted of months, by their start in UTC.
    pub const fn noted(plans: Plans, terms: BTreeMap<UnixMillis, Terms>) -> Self {
        Self { plans, terms }
    }

    /// The days whose sums decide the usage of a span, both included.
    pub fn days(&self, span: Span) -> (UnixMillis, UnixMillis) {
        match span.unit() {
            Unit::Week => span.days(&self.plans),
            Unit::Month => self.terms_of(span).days(span.in_utc().start),
        }
    }

    /// A user's usage of a span. Like a bill, it is made of the days that decide that span and of no
    /// others.
    pub fn usage(&self, days: &[(UnixMillis, Sum)], span: Span) -> Usage {
        let (first, last) = self.days(span);
        let from = days.partition_point(|(day, _)| *day < first);
        let to = days.partition_point(|(day, _)| *day <= last);
        let days = days.get(from..to).unwrap_or_default();
        match span.unit() {
            Unit::Week => Usage::of_week(days, &self.plans, span),
            Unit::Month => self.terms_of(span).usage(days, span.in_utc().start),
        }
    }

    /// The first day of a span that is not sealed: its calls may still arrive. `None` if the counts of
    /// the span are final.
    pub fn unsealed(&self, rounds: &BTreeMap<UnixMillis, Round>, span: Span) -> Option<UnixMillis> {
        bill::unsealed(rounds, self.days(span))
    }

    /// Whether there is a span before to compare a span with: the first one of an environment has none.
    pub fn has_previous(&self, rounds: &BTreeMap<UnixMillis, Round>, span: Span) -> bool {
        let (first, last) = self.days(span.previous());
        rounds.range(first..=last).next().is_some()
    }

    fn terms_of(&self, month: Span) -> Cow<'_, Terms> {
        match self.terms.get(&month.in_utc().start) {
            Some(noted) => Cow::Borrowed(noted),
            None => Cow::Owned(Terms::of(&self.plans)),
        }
    }
}
