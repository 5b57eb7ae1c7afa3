//! B10: scale, in virtual time.
//!
//! Two parts are real: the event source mapping is the Lambda host's own state machine, and the
//! spreading of a busy caller over partition keys is the authorizer's code. Two parts are modelled:
//! AWS's limits (`aws`), and the duration of each step (`world`), based on the measurements of
//! benchmarks B1 and B4 and on 8 ms per call to a service. No event is simulated with its id: the
//! fault model shows that each counts once. Here every call is followed as a number from the
//! gateway into the journal and the fold.

mod aws;
mod folding;
mod report;
mod scenario;
mod stream;
mod world;

use serde::Serialize;

pub use report::Report;

use scenario::{HUNDRED_THOUSAND, SCENARIOS};

/// The results of all scenarios, and the first bottlenecks at a hundred thousand calls per second.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Scale {
    scenarios: Vec<Report>,
}

/// Runs all scenarios, in their order.
pub fn measure() -> Scale {
    let all = SCENARIOS.iter().chain([&HUNDRED_THOUSAND]);
    Scale {
        scenarios: all.map(|scenario| world::run(*scenario)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::aws::Quotas;
    use super::scenario::Scenario;
    use super::*;

    /// A short scenario.
    const BRIEF: Scenario = Scenario {
        name: "brief",
        seconds: 120,
        rate: 1_000,
        users: 1_000,
        shards: 2,
        weight: 10,
        ..SCENARIOS[4]
    };

    #[test]
    fn steady_traffic_is_all_taken_and_folded() {
        let calm = Scenario {
            tables_down: None,
            ..BRIEF
        };
        let report = world::run(calm);
        assert_eq!((report.calls, report.refused, report.lost), (120_000, 0, 0));
        assert_eq!(report.journalled, 120_000);
        // The window of ten seconds, and a poll.
        assert!(report.longest_stream_lag_seconds <= 13, "{report:?}");
        assert!(report.caught_up_after_seconds.is_some());
    }

    #[test]
    fn tables_out_of_reach_delay_counts_and_lose_none() {
        let outage = Scenario {
            tables_down: Some((30, 90)),
            ..BRIEF
        };
        let report = world::run(outage);
        assert_eq!(
            (report.refused, report.lost, report.journalled),
            (0, 0, 120_000)
        );
        assert!(report.longest_stream_lag_seconds >= 50, "{report:?}");
        assert!(report.retries > 0);
        assert!(
            report
                .caught_up_after_seconds
                .is_some_and(|after| after < 600),
            "{report:?}"
        );
    }

    #[test]
    fn a_stream_out_of_reach_is_passed_by() {
        let outage = Scenario {
            tables_down: None,
            stream_down: Some((30, 90)),
            ..BRIEF
        };
        let report = world::run(outage);
        assert_eq!(
            (report.refused, report.lost, report.journalled),
            (0, 0, 120_000)
        );
        assert!(report.directly >= 55_000, "{report:?}");
    }

    #[test]
    fn a_quota_that_is_too_small_refuses_callers() {
        let quotas = Quotas {
            concurrency: 50,
            ..Quotas::DEFAULT
        };
        let report = world::run(Scenario {
            tables_down: None,
            quotas,
            ..BRIEF
        });
        assert!(report.refused > 0);
        assert_eq!(report.journalled, report.calls - report.refused);
    }

    #[test]
    fn a_shard_that_is_full_sends_calls_to_the_journal_directly() {
        let crowded = Scenario {
            tables_down: None,
            rate: 3_000,
            ..BRIEF
        };
        let report = world::run(crowded);
        assert!(report.directly > 60_000, "{report:?}");
        assert_eq!(report.journalled, report.calls);
    }
}
