//! The rules by which a report's spans begin and end: weeks by the zones of the plans, months as bills
//! do.

use std::borrow::Cow;
use std::collections::BTreeMap;

use deployer::UsageTable;
use domain::bill::Terms;
use domain::calendar::{Span, Unit};
use domain::counts::Sum;
use domain::plan::Plans;
use domain::time::UnixMillis;
use domain::usage::Usage;

use crate::verbs::usage::terms;

/// The plans, and the terms of months that are noted.
#[derive(Debug)]
pub(super) struct Basis {
    plans: Plans,
    /// By the month's start in UTC.
    terms: BTreeMap<UnixMillis, Terms>,
}

impl Basis {
    /// Of plans that have not changed.
    pub(super) const fn of(plans: Plans) -> Self {
        Self::noted(plans, BTreeMap::new())
    }

    /// Of these plans, and of the terms that are noted of months, by their start in UTC.
    pub(super) const fn noted(plans: Plans, terms: BTreeMap<UnixMillis, Terms>) -> Self {
        Self { plans, terms }
    }

    /// Of these plans, with what is noted of each month among `spans`.
    pub(super) async fn read(
        table: &UsageTable,
        plans: Plans,
        spans: impl Iterator<Item = Span>,
    ) -> anyhow::Result<Self> {
        let mut basis = Self::of(plans);
        for span in spans.filter(|span| span.unit() == Unit::Month) {
            let month = span.in_utc().start;
            let noted = terms(table, &basis.plans, month).await?;
            basis.terms.insert(month, noted);
        }
        Ok(basis)
    }

    /// The days whose sums decide the usage of a span, both included.
    pub(super) fn days(&self, span: Span) -> (UnixMillis, UnixMillis) {
        match span.unit() {
            Unit::Week => span.days(&self.plans),
            Unit::Month => self.terms_of(span).days(span.in_utc().start),
        }
    }

    /// A user's usage of a span. Like a bill, it is made of the days that decide that span and of no
    /// others.
    pub(super) fn usage(&self, days: &[(UnixMillis, Sum)], span: Span) -> Usage {
        let (first, last) = self.days(span);
        let from = days.partition_point(|(day, _)| *day < first);
        let to = days.partition_point(|(day, _)| *day <= last);
        let days = days.get(from..to).unwrap_or_default();
        match span.unit() {
            Unit::Week => Usage::of_week(days, &self.plans, span),
            Unit::Month => self.terms_of(span).usage(days, span.in_utc().start),
        }
    }

    fn terms_of(&self, month: Span) -> Cow<'_, Terms> {
        match self.terms.get(&month.in_utc().start) {
            Some(noted) => Cow::Borrowed(noted),
            None => Cow::Owned(Terms::of(&self.plans)),
        }
    }
}
