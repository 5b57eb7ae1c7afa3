//! `cost`: the monthly bill of an environment, cheaper settings, and the cost of other ways to
//! count calls.
//!
//! Amounts come from the synthesised templates and from the benchmarks, prices from a dated table.
//! This needs no deployment and no account.

mod advice;
mod alternatives;
mod deployment;
mod estimate;
pub(super) mod money;
pub(super) mod prices;
mod shape;
mod text;
mod units;

use std::path::Path;
use std::path::PathBuf;

use advice::Advice;
use alternatives::Alternative;
use clap::Args;
use deployment::Deployment;
use domain::names::TrackingMode;
use estimate::Line;
use money::Money;
use prices::Prices;
use serde::Serialize;
use shape::Traffic;
use stacks::Environment;

use crate::context::Context;
use crate::stop::Exit;

pub(crate) use shape::{Shape, calls, shape};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Calls per month, such as `10M` or `1B`
    #[arg(long, value_name = "N", value_parser = calls)]
    pub(crate) calls: u64,
    /// Traffic: any of `users=1000,peak=10,errors=2%,reports=100%,responseBytes=1024,serviceMillis=8`
    #[arg(long, value_name = "SHAPE", value_parser = shape)]
    pub(crate) shape: Option<Shape>,
    /// Prices, from `cargo xtask prices`
    #[arg(long, value_name = "FILE")]
    pub(crate) prices: Option<PathBuf>,
}

/// Assumptions behind the amounts that no measurement here can confirm.
const ASSUMED: [&str; 6] = [
    "a month has 30 days; free tiers, volume discounts and taxes are left out",
    "DynamoDB units are those of benchmark B4 with 1,000 users by Zipf's law, whatever `users` says: fewer users cost less, more cost more; beyond the measured rates the last one's units per call hold",
    "a fold window under ten seconds is counted as ten, though it takes more writes; one from 10 to 59 as ten, a longer one as 60",
    "calls to DynamoDB, Kinesis and SQS take `serviceMillis`; these were not measured on AWS",
    "each batch that a shard may have at a time waits for a window of its own; the gateway writes 20 log streams, each delivered every five seconds: AWS documents neither",
    "with meters, each call's amounts come in a request of their own, unless `reports` says otherwise",
];
/// Costs that no line of the bill covers.
const LEFT_OUT: [&str; 3] = [
    "the API behind the gateway, its function and its logs",
    "calls of the analytics API, and counts kept for longer than the journal: some cents",
    "KMS requests, alarm mails, S3 for the functions' zips: some cents",
];

/// A sum, and its share per thousand calls.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Sum {
    monthly: Money,
    per_thousand_calls: Money,
}

impl Sum {
    fn of(monthly: Money, calls: u64) -> Self {
        Self {
            monthly,
            per_thousand_calls: monthly.of(1_000, calls.into()),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    #[serde(flatten)]
    line: Line,
    per_thousand_calls: Money,
}

/// A service, and the sum of all its lines.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Service {
    name: &'static str,
    #[serde(flatten)]
    sum: Sum,
}

/// A mode, and the cost of metering in it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Mode {
    mode: &'static str,
    metering: Money,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Table {
    date: String,
    source: String,
    /// Prices that are not from the price list.
    doubts: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CostEstimate {
    environment: String,
    region: String,
    mode: &'static str,
    calls: u64,
    shape: Shape,
    prices: Table,
    items: Vec<Item>,
    services: Vec<Service>,
    /// Without the gateway and the transfer of responses, which the API would cost without metering
    /// as well.
    metering: Sum,
    total: Sum,
    modes: Vec<Mode>,
    advice: Vec<Advice>,
    alternatives: Vec<Alternative>,
    assumed: [&'static str; 6],
    left_out: [&'static str; 3],
}

pub(crate) fn run(context: &Context, args: &Arguments) -> anyhow::Result<Exit> {
    let environment = context.environment()?;
    let traffic = Traffic {
        calls: args.calls,
        shape: args.shape.unwrap_or_default(),
    };
    let answer = answer(&environment, traffic, args.prices.as_deref())?;
    context.out.answer(&answer, text::render)?;
    Ok(Exit::Done)
}

fn answer(
    environment: &Environment,
    traffic: Traffic,
    file: Option<&Path>,
) -> anyhow::Result<CostEstimate> {
    let region = environment.region.as_str();
    let prices = Prices::load(file, region)?;
    let deployment = Deployment::of(environment)?;
    let in_mode = |stream| Deployment::of(&environment.clone().with_analytics(Some(stream)));
    let (stream, synchronous) = (in_mode(true)?, in_mode(false)?);
    let lines = estimate::bill(&deployment, traffic, &prices)?;
    let advice = advice::advise(&deployment, &synchronous, traffic, &prices)?;
    let total = lines.iter().map(|line| line.monthly).sum();
    let mut modes = Vec::new();
    for (mode, of) in [
        (TrackingMode::Stream, &stream),
        (TrackingMode::Synchronous, &synchronous),
    ] {
        modes.push(Mode {
            mode: mode.as_str(),
            metering: estimate::metering(&estimate::bill(of, traffic, &prices)?),
        });
    }
    Ok(CostEstimate {
        environment: environment.name.clone(),
        region: region.to_owned(),
        mode: deployment.mode().as_str(),
        calls: traffic.calls,
        shape: traffic.shape,
        metering: Sum::of(estimate::metering(&lines), traffic.calls),
        total: Sum::of(total, traffic.calls),
        services: services(&lines, traffic.calls),
        items: items(lines, traffic.calls),
        modes,
        advice,
        alternatives: alternatives::all(traffic, &prices),
        prices: Table {
            date: prices.date,
            source: prices.source,
            doubts: prices.doubts,
        },
        assumed: ASSUMED,
        left_out: LEFT_OUT,
    })
}

fn items(lines: Vec<Line>, calls: u64) -> Vec<Item> {
    let item = |line: Line| Item {
        per_thousand_calls: line.monthly.of(1_000, calls.into()),
        line,
    };
    lines.into_iter().map(item).collect()
}

/// The services, in the order of their first lines.
fn services(lines: &[Line], calls: u64) -> Vec<Service> {
    let mut sums: Vec<(&'static str, Money)> = Vec::new();
    for line in lines {
        match sums.iter_mut().find(|(name, _)| *name == line.service) {
            Some((_, sum)) => *sum = *sum + line.monthly,
            None => sums.push((line.service, line.monthly)),
        }
    }
    let service = |(name, sum)| Service {
        name,
        sum: Sum::of(sum, calls),
    };
    sums.into_iter().map(service).collect()
}

/// The monthly cost of metering in the cases of benchmark B8.
#[derive(Debug)]
pub(crate) struct Compared {
    pub(crate) calls: u64,
    /// In synchronous mode.
    pub(crate) synchronous: Money,
    /// With as few shards as the peak needs, one day of retention, and one concurrent batch per
    /// shard.
    pub(crate) lean_stream: Money,
    /// With the environment's settings.
    pub(crate) as_set: Money,
    pub(crate) bare_counter: Money,
    pub(crate) exact_counter: Money,
}

/// The cases of benchmark B8 for one environment.
pub(crate) fn compare(environment: &Environment, calls: u64) -> anyhow::Result<Compared> {
    let traffic = Traffic {
        calls,
        shape: Shape::default(),
    };
    let prices = Prices::load(None, environment.region.as_str())?;
    let metering = |deployment: &Deployment| -> anyhow::Result<Money> {
        Ok(estimate::metering(&estimate::bill(
            deployment, traffic, &prices,
        )?))
    };
    let in_mode = |stream| Deployment::of(&environment.clone().with_analytics(Some(stream)));
    Ok(Compared {
        calls,
        synchronous: metering(&in_mode(false)?)?,
        lean_stream: metering(&in_mode(true)?.lean(traffic))?,
        as_set: metering(&Deployment::of(environment)?)?,
        bare_counter: alternatives::bare_counter(traffic, &prices).monthly,
        exact_counter: alternatives::exact_counter(traffic, &prices).monthly,
    })
}

#[cfg(test)]
mod tests {
    use stacks::environment::Meter;

    use super::deployment::tests::environment;
    use super::*;

    fn estimated(calls: u64) -> CostEstimate {
        let shape = Shape::default();
        answer(&environment("prod"), Traffic { calls, shape }, None).unwrap()
    }

    #[test]
    fn services_and_items_add_up_to_the_total() {
        let answer = estimated(10_000_000);
        let of_items: Money = answer.items.iter().map(|item| item.line.monthly).sum();
        let of_services: Money = answer
            .services
            .iter()
            .map(|service| service.sum.monthly)
            .sum();
        assert_eq!(
            (of_items, of_services),
            (answer.total.monthly, answer.total.monthly)
        );
        assert!(answer.metering.monthly < answer.total.monthly);
        let stream = answer
            .modes
            .iter()
            .find(|mode| mode.mode == "stream")
            .unwrap();
        assert_eq!(stream.metering, answer.metering.monthly);
        let gateway = answer
            .items
            .iter()
            .find(|item| item.line.service == "API Gateway");
        assert_eq!(
            gateway.unwrap().per_thousand_calls,
            Money::parse("0.0035").unwrap()
        );
    }

    #[test]
    fn amounts_are_billed_by_their_requests() {
        let mut prod = environment("prod");
        prod.meters.insert("rows".to_owned(), Meter::default());
        let bill = |reports: &str| {
            let shape = shape(reports).unwrap();
            let calls = 10_000_000;
            answer(&prod, Traffic { calls, shape }, None).unwrap()
        };
        let amount = |answer: &CostEstimate, item: &str| {
            let found = answer.items.iter().find(|of| of.line.item == item);
            found.map(|of| of.line.amount.clone())
        };
        let all = bill("users=1000");
        for item in [
            "requests with amounts",
            "writes of amounts",
            "collector, requests",
        ] {
            assert_eq!(amount(&all, item).as_deref(), Some("10000000"), "{item}");
            assert_eq!(amount(&estimated(10_000_000), item), None, "{item}");
        }
        let few = bill("reports=1%");
        assert_eq!(
            amount(&few, "requests with amounts").as_deref(),
            Some("100000")
        );
        assert!(few.metering.monthly < all.metering.monthly);
    }

    #[test]
    fn a_call_costs_less_the_more_there_are() {
        let per_call = |calls| estimated(calls).metering.per_thousand_calls;
        let all = [10_000_000, 100_000_000, 1_000_000_000, 10_000_000_000].map(per_call);
        assert!(all.windows(2).all(|pair| pair[0] > pair[1]), "{all:?}");
    }

    #[test]
    fn the_answer_says_what_it_rests_on() {
        let answer = estimated(10_000_000);
        let text = text::render(&answer);
        for said in [
            "2026-",
            "Tokyo",
            "synchronous",
            "an exact counter",
            "Lambda@Edge",
            "not hard limits",
        ] {
            assert!(text.contains(said), "{said}: {text}");
        }
        let json = serde_json::to_value(&answer).unwrap();
        assert_eq!(json["items"][0]["monthly"], "35.000000");
        assert_eq!(json["calls"], 10_000_000);
    }
}
