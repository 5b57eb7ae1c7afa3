//! Cheaper settings, each with its saving and its price.

use std::cmp::Reverse;

use domain::names::{Function, TrackingMode};
use serde::Serialize;

use super::deployment::{Capacity, Deployment, Gateway, Stream};
use super::estimate;
use super::money::Money;
use super::prices::Prices;
use super::shape::Traffic;

/// A recommended change of a setting.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Advice {
    pub(super) change: String,
    pub(super) saving: Money,
    pub(super) gives_up: &'static str,
}

/// A deployment that differs in one setting.
struct Variant {
    change: String,
    deployment: Deployment,
    gives_up: &'static str,
}

/// The changes that save money, the largest saving first.
pub(super) fn advise(
    deployment: &Deployment,
    synchronous: &Deployment,
    traffic: Traffic,
    prices: &Prices,
) -> anyhow::Result<Vec<Advice>> {
    let total = |deployment: &Deployment| -> anyhow::Result<Money> {
        let lines = estimate::bill(deployment, traffic, prices)?;
        Ok(lines.iter().map(|line| line.monthly).sum())
    };
    let now = total(deployment)?;
    let mut advice = Vec::new();
    for variant in variants(deployment, synchronous, traffic) {
        let saving = now - total(&variant.deployment)?;
        if saving > Money::NONE {
            advice.push(Advice {
                change: variant.change,
                saving,
                gives_up: variant.gives_up,
            });
        }
    }
    advice.sort_by_key(|one| Reverse(one.saving));
    Ok(advice)
}

fn variants(deployment: &Deployment, synchronous: &Deployment, traffic: Traffic) -> Vec<Variant> {
    let mut variants = Vec::new();
    let mut vary = |change: &str, gives_up, edit: &dyn Fn(&mut Deployment)| {
        let mut deployment = deployment.clone();
        edit(&mut deployment);
        variants.push(Variant {
            change: change.to_owned(),
            deployment,
            gives_up,
        });
    };
    vary(
        "fold every minute (`aggregator.windowSeconds: 60`)",
        "metrics, alarms and the usage table follow a minute later; the analytics API does not wait",
        &|of| of.fold_window_seconds = of.fold_window_seconds.max(60),
    );
    vary(
        "an HTTP API in front instead of a REST API (`gateway: http`)",
        "401 and 429: every refusal is a 403 without `Retry-After`; `waf` and `tlsPolicy`",
        &|of| of.gateway = Gateway::Http,
    );
    vary(
        "function logs as JSON from the level WARN on",
        "the lines START, END and REPORT of each invocation",
        &|of| {
            for function in of.functions.values_mut() {
                function.has_platform_lines = false;
            }
        },
    );
    vary(
        "half the authorizer's memory",
        "the first call of an instance waits about twice as long: less memory is less CPU",
        &|of| {
            if let Some(function) = of.functions.get_mut(&Function::Authorizer) {
                function.memory_mb = (function.memory_mb / 2).max(128);
            }
        },
    );
    vary(
        "logs for a week (`logs.retentionDays: 7`)",
        "looking further back than a week",
        &|of| of.log_retention_days = of.log_retention_days.min(7),
    );
    vary(
        "the journal for 12 days (`retention.rawDays: 12`)",
        "`events` and `explain` further back; counts stay",
        &|of| of.raw_retention_days = of.raw_retention_days.min(12),
    );
    if deployment.mode() == TrackingMode::Stream {
        variants.push(Variant {
            change: "synchronous mode (`analytics.enabled: false`)".to_owned(),
            deployment: synchronous.clone(),
            gives_up: "the stream: `replay`, and the buffer that takes a spike or an outage of the table",
        });
    }
    if let Some(stream) = deployment.stream {
        variants.extend(stream_variants(deployment, stream, traffic));
    }
    variants
}

fn stream_variants(deployment: &Deployment, stream: Stream, traffic: Traffic) -> Vec<Variant> {
    let with = |change: String, gives_up, stream: Stream| Variant {
        change,
        deployment: Deployment {
            stream: Some(stream),
            ..deployment.clone()
        },
        gives_up,
    };
    let shards = traffic.shards();
    vec![
        with(
            "keep the stream for a day (`stream.retentionHours: 24`)".to_owned(),
            "`replay` further back than a day, and the time to mend a processor that fails: a day instead of six",
            Stream {
                retention_hours: 24,
                ..stream
            },
        ),
        with(
            format!(
                "as many shards as the peak needs (`stream.shards` and `stream.minShards`: {shards})"
            ),
            "room above the peak until the stream has scaled",
            Stream {
                capacity: Capacity::Shards(shards),
                ..stream
            },
        ),
        with(
            "an on-demand stream (`stream.mode: onDemand`)".to_owned(),
            "a bounded bill: data is charged by the GB",
            Stream {
                capacity: Capacity::OnDemand,
                ..stream
            },
        ),
        with(
            "one batch a shard at a time (`processor.parallelizationFactor: 1`)".to_owned(),
            "catching up ten times as fast after an outage",
            Stream {
                parallelization: 1,
                ..stream
            },
        ),
        with(
            "batches of ten seconds (`processor.batchingWindowSeconds: 10`)".to_owned(),
            "a call shows in the analytics API up to ten seconds later",
            Stream {
                window_seconds: stream.window_seconds.max(10),
                ..stream
            },
        ),
        with(
            "batches of 1,000 (`processor.batchSize: 1000`)".to_owned(),
            "nothing at a low rate; a batch that fails repeats more work",
            Stream {
                batch_size: stream.batch_size.max(1_000),
                ..stream
            },
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::deployment::tests::environment;
    use super::super::shape::Shape;
    use super::*;

    #[test]
    fn a_day_of_retention_saves_what_seven_days_cost() {
        let of = |analytics| {
            Deployment::of(&environment("prod").with_analytics(Some(analytics))).unwrap()
        };
        let (deployment, synchronous) = (of(true), of(false));
        let traffic = Traffic {
            calls: 10_000_000,
            shape: Shape::default(),
        };
        let prices = Prices::load(None, "ap-south-1").unwrap();
        let advice = advise(&deployment, &synchronous, traffic, &prices).unwrap();
        let retention = advice
            .iter()
            .find(|one| one.change.contains("retentionHours"));
        // Two shards for 720 hours at 0.026.
        assert_eq!(retention.unwrap().saving, Money::parse("37.44").unwrap());
        assert!(
            advice
                .windows(2)
                .all(|pair| pair[0].saving >= pair[1].saving)
        );
        // A setting that is in effect already is not recommended.
        assert!(
            advice
                .iter()
                .all(|one| !one.change.contains("windowSeconds: 60"))
        );
        assert!(
            advice
                .iter()
                .any(|one| one.change.starts_with("synchronous mode"))
        );
        let none = advise(&synchronous, &synchronous, traffic, &prices).unwrap();
        assert!(none.iter().all(|one| !one.change.contains("stream.")));
    }
}
