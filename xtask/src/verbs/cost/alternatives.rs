//! The cost of other ways to count calls, and their limitations.

use serde::Serialize;

use super::money::Money;
use super::prices::{Prices, Unit};
use super::shape::Traffic;
use super::shape::{DAYS, SECONDS};

/// A way to count calls.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Alternative {
    pub(super) name: &'static str,
    pub(super) monthly: Money,
    /// Whether each call counts once when components fail.
    pub(super) exact: bool,
    pub(super) note: &'static str,
}

/// Duration in milliseconds times memory in MB of a function that counts within a call.
const FUNCTION: u128 = 10 * 128;
/// The same for the original design's processor, for a batch of 2.2 records.
const PROCESSOR: u128 = 50 * 512;
/// Size of a metric line, including the overhead of a log line.
const METRIC_LINE: u128 = 276;
/// Metrics per user: calls, failures, refusals.
const METRICS_A_USER: u128 = 3;

/// All alternatives, for the same calls.
pub(super) fn all(traffic: Traffic, prices: &Prices) -> Vec<Alternative> {
    vec![
        bare_counter(traffic, prices),
        exact_counter(traffic, prices),
        metrics(traffic, prices),
        Alternative {
            name: "usage plans of API Gateway",
            monthly: Money::NONE,
            exact: false,
            note: "free with a REST API; AWS calls them best effort, \"not hard limits\"; calls a day by key, nothing else",
        },
        edge(traffic, prices),
        original_design(traffic, prices),
    ]
}

fn calls(traffic: Traffic) -> u128 {
    traffic.calls.into()
}

pub(super) fn bare_counter(traffic: Traffic, prices: &Prices) -> Alternative {
    Alternative {
        name: "a bare counter: one increment a call",
        monthly: prices.price(Unit::TableWrites, calls(traffic)),
        exact: false,
        note: "counts a retry twice and a lost write never; no breakdown, no history",
    }
}

/// A transaction on an item that records the call and on the counter: two writes, each doubled.
pub(super) fn exact_counter(traffic: Traffic, prices: &Prices) -> Alternative {
    Alternative {
        name: "an exact counter: a transaction a call",
        monthly: prices.price(Unit::TableWrites, 4 * calls(traffic)),
        exact: true,
        note: "on the caller's path or lost with the instance; a busy user's counter takes 500 calls a second at most",
    }
}

fn metrics(traffic: Traffic, prices: &Prices) -> Alternative {
    let metrics = METRICS_A_USER * u128::from(traffic.shape.users);
    let lines = METRIC_LINE * calls(traffic);
    Alternative {
        name: "CloudWatch metrics for each user",
        monthly: prices.price(Unit::Metrics, metrics) + prices.price(Unit::LogGbIn, lines),
        exact: false,
        note: "priced by the user; kept for 15 months, by the hour after two; no id, so no deduplication",
    }
}

/// A function at the edge that increments a counter.
fn edge(traffic: Traffic, prices: &Prices) -> Alternative {
    let requests = prices.price(Unit::EdgeRequests, calls(traffic));
    let duration = prices.price(Unit::EdgeGbSeconds, FUNCTION * calls(traffic));
    let writes = prices.price(Unit::TableWrites, calls(traffic));
    Alternative {
        name: "Lambda@Edge with a counter",
        monthly: requests + duration + writes,
        exact: false,
        note: "without CloudFront itself; a bare counter's faults; the original design's documents say $400 for 10 M calls",
    }
}

/// The original design: two shards for seven days, a processor that counts each record, 4,900
/// writes per 1,000 calls as measured on it, and no window: some 2.2 records per batch.
fn original_design(traffic: Traffic, prices: &Prices) -> Alternative {
    let shards = 2.max(traffic.shards());
    let hours = u128::from(DAYS * 24 * shards);
    let most_batches = u128::from(10 * shards * SECONDS);
    let batches = (calls(traffic) * 10 / 22)
        .min(most_batches)
        .max(calls(traffic) / 100);
    let of = |unit, amount| prices.price(unit, amount);
    let monthly = of(Unit::StreamShardHours, hours)
        + of(Unit::StreamRetentionShardHours, hours)
        + of(Unit::StreamPutUnits, calls(traffic))
        + of(Unit::LambdaRequests, calls(traffic) + batches)
        + of(
            Unit::LambdaX86GbSeconds,
            FUNCTION * calls(traffic) + PROCESSOR * batches,
        )
        + of(Unit::TableWrites, calls(traffic) * 49 / 10);
    Alternative {
        name: "the original design: two shards for a week, a count a record",
        monthly,
        exact: false,
        note: "its documents say $90 for 10 M calls; a redelivered batch counts twice",
    }
}

#[cfg(test)]
mod tests {
    use super::super::shape::Shape;
    use super::*;

    #[test]
    fn the_alternatives_as_worked_out_by_hand() {
        let prices = Prices::load(None, "ap-south-1").unwrap();
        let traffic = Traffic {
            calls: 10_000_000,
            shape: Shape::default(),
        };
        let dollars = |text| Money::parse(text).unwrap();
        assert_eq!(bare_counter(traffic, &prices).monthly, dollars("7.1"));
        assert_eq!(exact_counter(traffic, &prices).monthly, dollars("28.4"));
        // 6 for requests, 12,500 GB-seconds, 7.10 for the counter.
        assert_eq!(edge(traffic, &prices).monthly, dollars("13.725125"));
        // 3,000 metrics, and 2,760,000,000 bytes of log.
        let logs = dollars("0.67").of(2_760_000_000, 1 << 30);
        assert_eq!(metrics(traffic, &prices).monthly, dollars("900") + logs);
    }
}
