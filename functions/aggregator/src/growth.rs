//! How much the counts of users grew, by plan. Only metrics depend on it: no count does.

use std::collections::BTreeMap;

use domain::counts::Slot;
use domain::seen::Seen;
use domain::tally::Totals;

/// How much the counts of each plan's users grew.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Growth(pub BTreeMap<String, Totals>);

impl Growth {
    /// How much a user's hour grew, from `before` to `after`, with the slots that were offered to it. It
    /// grew for the plan of the last of their events.
    pub(crate) fn of_hour<'a>(
        slots: impl Iterator<Item = &'a Slot>,
        before: Totals,
        after: Totals,
    ) -> Self {
        let seen = slots.filter_map(|slot| slot.counts.seen.as_ref());
        let latest = seen.filter_map(Seen::plan_at).max();
        // A correction may make a count fall.
        let grown = Totals {
            calls: after.calls.saturating_sub(before.calls),
            auth_failures: after.auth_failures.saturating_sub(before.auth_failures),
            rate_limited: after.rate_limited.saturating_sub(before.rate_limited),
            units: after.units.saturating_sub(before.units),
        };
        let plan = latest.filter(|_| grown != Totals::default());
        Self(
            plan.map(|(_, plan)| (plan.to_owned(), grown))
                .into_iter()
                .collect(),
        )
    }

    /// Adds what other counts grew.
    pub(crate) fn add(&mut self, other: Self) {
        for (plan, grown) in other.0 {
            self.0.entry(plan).or_default().add(grown);
        }
    }
}
