//! Thresholds of a quota: which of them a user's consumption has crossed, and the event for each.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::plan::Period;
use crate::time::UnixMillis;

/// A user crossed a threshold of its quota.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// The user.
    pub user: String,
    /// The user's plan.
    pub plan: String,
    /// The threshold, in percent of the quota.
    pub percent: u8,
    /// The user's quota for the period, in units.
    pub quota: u64,
    /// Units used within the period when the crossing was found.
    pub used: u64,
    /// First instant of the period.
    pub start: UnixMillis,
    /// First instant of the next period.
    pub end: UnixMillis,
    /// When the crossing was found.
    pub at: UnixMillis,
}

/// The stored state of a user's period besides its units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// The highest threshold that was announced, in percent.
    pub percent: u8,
}

/// The `type` of a crossing's event.
pub const THRESHOLD: &str = "QUOTA_THRESHOLD_CROSSED";

impl Alert {
    /// The alert for a user that has used `used` units.
    pub fn new(
        (email, plan): (&str, &str),
        (used, quota, percent): (u64, u64, u8),
        period: Period,
        at: UnixMillis,
    ) -> Self {
        Self {
            user: email.to_owned(),
            plan: plan.to_owned(),
            percent,
            quota,
            used,
            start: period.start,
            end: period.end,
            at,
        }
    }

    /// The event's id: the same for a user, a period and a threshold, even if the crossing is found
    /// again.
    pub fn id(&self) -> String {
        Self::id_of(&self.user, self.start, self.percent)
    }

    /// The id of the crossing of a threshold by a user in the period that begins at `start`.
    pub fn id_of(user: &str, start: UnixMillis, percent: u8) -> String {
        let mut digest = Sha256::new();
        digest.update(start.0.to_be_bytes());
        digest.update([percent]);
        digest.update(user.as_bytes());
        let digest = digest.finalize();
        let hex = digest.iter().take(16).map(|byte| format!("{byte:02x}"));
        format!("alert_{}", hex.collect::<String>())
    }

    /// The event as `CloudEvents` 1.0 structured JSON. `source` is the one that usage events carry.
    pub fn cloud_event(&self, source: &str) -> String {
        serde_json::json!({
            "specversion": "1.0",
            "id": self.id(),
            "source": source,
            "type": THRESHOLD,
            "time": self.at.to_string(),
            "subject": self.user,
            "datacontenttype": "application/json",
            "data": {
                "plan": self.plan,
                "percent": self.percent,
                "quota": self.quota,
                "used": self.used,
                "periodStart": self.start.to_string(),
                "periodEnd": self.end.to_string(),
            },
        })
        .to_string()
    }

    /// The event as a sentence for people.
    pub fn text(&self) -> String {
        let Self {
            user,
            percent,
            quota,
            used,
            start,
            end,
            ..
        } = self;
        format!(
            "{user} has used {percent} % of its quota: {used} of {quota} units between {start} and {end}."
        )
    }
}

/// The thresholds, in percent, that `used` units of a quota have crossed and that were not
/// announced yet, lowest first. `told` is the highest announced one.
pub fn crossed(used: u64, quota: u64, thresholds: &[u8], told: u8) -> Vec<u8> {
    let is_crossed = |percent: &u8| {
        let (used, quota) = (u128::from(used), u128::from(quota));
        *percent > told && quota > 0 && used * 100 >= quota * u128::from(*percent)
    };
    let mut crossed: Vec<u8> = thresholds.iter().copied().filter(is_crossed).collect();
    crossed.sort_unstable();
    crossed.dedup();
    crossed
}

/// The number of units at which to look at a quota again: the next threshold, or a twentieth of the
/// quota more than `used`.
pub fn next_look(used: u64, quota: u64, thresholds: &[u8]) -> u64 {
    let of = |percent: u8| {
        let calls = (u128::from(quota) * u128::from(percent)).div_ceil(100);
        u64::try_from(calls).unwrap_or(u64::MAX)
    };
    let ahead = thresholds.iter().map(|percent| of(*percent));
    let next = ahead.filter(|calls| *calls > used).min();
    let step = used.saturating_add((quota / 20).max(1));
    next.map_or(step, |next| next.min(step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PERIOD: Period = Period {
        start: UnixMillis(1_793_491_200_000),
        end: UnixMillis(1_796_083_200_000),
    };

    fn alert(email: &str, used: u64, percent: u8) -> Alert {
        let at = UnixMillis(1_795_363_445_000);
        Alert::new((email, "free"), (used, 100, percent), PERIOD, at)
    }

    #[test]
    fn a_crossing_has_one_id_whenever_it_is_found() {
        let first = alert("ann@example.com", 50, 50);
        let later = Alert {
            at: first.at.plus_millis(1),
            used: 60,
            ..first.clone()
        };
        assert_eq!(first.id(), later.id());
        assert_ne!(first.id(), alert("ann@example.com", 80, 80).id());
        assert_ne!(first.id(), alert("bob@example.com", 50, 50).id());
        let next = Alert {
            start: PERIOD.end,
            ..first.clone()
        };
        assert_ne!(first.id(), next.id());
        let event: serde_json::Value =
            serde_json::from_str(&first.cloud_event("/complical/test/api")).unwrap();
        assert_eq!(event["id"], first.id());
        assert_eq!(event["type"], "QUOTA_THRESHOLD_CROSSED");
        assert_eq!(event["subject"], "ann@example.com");
        assert_eq!(event["data"]["percent"], 50);
        assert_eq!(event["data"]["periodStart"], "2026-11-01T00:00:00Z");
        assert_eq!(
            first.text(),
            "ann@example.com has used 50 % of its quota: 50 of 100 units between \
             2026-11-01T00:00:00Z and 2026-12-01T00:00:00Z."
        );
    }

    #[test]
    fn thresholds_are_crossed_in_whole_calls_and_announced_once() {
        let thresholds = [100, 50, 80];
        assert!(crossed(49, 100, &thresholds, 0).is_empty());
        assert_eq!(crossed(50, 100, &thresholds, 0), [50]);
        assert_eq!(crossed(80, 100, &thresholds, 50), [80]);
        assert_eq!(crossed(200, 100, &thresholds, 0), [50, 80, 100]);
        assert!(crossed(200, 100, &thresholds, 100).is_empty());
        assert_eq!(crossed(1, 3, &[33, 34], 0), [33]);
        assert!(crossed(5, 0, &thresholds, 0).is_empty());
        assert_eq!(next_look(0, 1_000, &thresholds), 50);
        assert_eq!(next_look(460, 1_000, &thresholds), 500);
        assert_eq!(next_look(0, 3, &[50]), 1);
    }

    proptest! {
        /// However often and whenever a user is looked at, each threshold is announced exactly
        /// once.
        #[test]
        fn each_threshold_is_announced_once(
            quota in 1_u64..1_000,
            thresholds in proptest::collection::vec(1_u8..=200, 0..6),
            mut looks in proptest::collection::vec(0_u64..2_500, 1..20),
        ) {
            looks.sort_unstable();
            let mut told = 0;
            let mut all = Vec::new();
            for used in &looks {
                let now = crossed(*used, quota, &thresholds, told);
                told = now.last().copied().unwrap_or(told);
                all.extend(now);
            }
            let last = looks.last().copied().unwrap_or(0);
            prop_assert_eq!(all, crossed(last, quota, &thresholds, 0));
            let next = next_look(last, quota, &thresholds);
            prop_assert!(next > last);
            prop_assert_eq!(
                crossed(next - 1, quota, &thresholds, told),
                Vec::<u8>::new()
            );
        }
    }
}
