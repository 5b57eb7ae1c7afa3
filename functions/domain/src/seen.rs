//! When a subject was first and last seen, and on which plan.
//!
//! Widening is idempotent and independent of order. Slots and sums carry it beside the counts.

use serde::{Deserialize, Serialize};

use crate::event::UsageEvent;
use crate::time::UnixMillis;

/// First and last event of a subject, and its plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Time of the first event.
    pub first: UnixMillis,
    /// Time of the last event.
    pub last: UnixMillis,
    plan: Option<PlanAt>,
}

/// A plan and the time at which an event last named it, ordered by time, then by name, so that of
/// two plans named at one instant the same one wins everywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct PlanAt {
    at: UnixMillis,
    name: String,
}

impl Seen {
    /// A span, and the plan of the latest event that named one with that event's time.
    pub fn new(first: UnixMillis, last: UnixMillis, plan: Option<(UnixMillis, String)>) -> Self {
        Self {
            first,
            last,
            plan: plan.map(|(at, name)| PlanAt { at, name }),
        }
    }

    /// The plan of the latest event that named one, with that event's time.
    pub fn plan_at(&self) -> Option<(UnixMillis, &str)> {
        self.plan.as_ref().map(|plan| (plan.at, plan.name.as_str()))
    }

    /// The span and plan of one event.
    pub fn of(event: &UsageEvent) -> Self {
        let plan = event.data.plan.clone();
        Self {
            first: event.time,
            last: event.time,
            plan: plan.map(|name| PlanAt {
                at: event.time,
                name,
            }),
        }
    }

    /// Widens by `other`; returns whether anything changed.
    pub fn widen(&mut self, other: &Self) -> bool {
        let before = self.clone();
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        if self.plan < other.plan {
            self.plan.clone_from(&other.plan);
        }
        *self != before
    }

    /// The plan of the latest event that named one.
    pub fn plan(&self) -> Option<&str> {
        self.plan.as_ref().map(|plan| plan.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::select;

    fn seen(at: i64, plan: Option<&str>) -> Seen {
        let at = UnixMillis(at);
        Seen {
            first: at,
            last: at,
            plan: plan.map(|name| PlanAt {
                at,
                name: name.to_owned(),
            }),
        }
    }

    proptest! {
        /// The oracle looks at all of them at once.
        #[test]
        fn the_widest_span_and_the_latest_plan_win_in_any_order(
            given in proptest::collection::vec(
                (0_i64..9, select(vec![None, Some("free"), Some("pro")])), 1..12,
            ),
        ) {
            let mut sum = seen(given[0].0, given[0].1);
            for (at, plan) in &given {
                sum.widen(&seen(*at, *plan));
            }
            prop_assert_eq!(Some(sum.first.0), given.iter().map(|(at, _)| *at).min());
            prop_assert_eq!(Some(sum.last.0), given.iter().map(|(at, _)| *at).max());
            let latest = given.iter().filter_map(|(at, plan)| Some((*at, (*plan)?))).max();
            prop_assert_eq!(sum.plan(), latest.map(|(_, plan)| plan));
            let again = sum.clone();
            prop_assert!(!sum.widen(&again));
        }
    }
}
