//! `prices`: a table of AWS's prices in a region, for `cost`.

mod list;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::Serialize;

use super::cost::prices::Table;
use crate::context::Context;
use crate::output::counted;
use crate::stop::{Exit, Stop};
use list::{PLACES, PriceList};

/// AWS's price list, which needs no credentials.
const LISTS: &str = "https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws";
/// The lists of some services have tens of megabytes.
const PATIENCE: Duration = Duration::from_mins(5);
/// How many lists are fetched at the same time.
const FETCHES: usize = 3;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The region; by default that of the environment
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Option<String>,
    /// Output file; without it, the table goes to stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Where the price lists are, such as a mirror
    #[arg(long, value_name = "URL", default_value = LISTS)]
    pub(crate) from: String,
}

/// What was found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Fetched {
    region: String,
    date: String,
    listed: usize,
    file: Option<PathBuf>,
}

pub(crate) async fn run(context: &Context, args: &Arguments) -> anyhow::Result<Exit> {
    let out = context.out;
    let region = match &args.region {
        Some(region) => region.clone(),
        None => context.environment()?.region.to_string(),
    };
    let lists = fetch(context, args, &region).await?;
    let known = Table::of_this_repository()?;
    let (mut prices, mut missing) = (BTreeMap::new(), Vec::new());
    for place in &PLACES {
        let list = lists.get(place.service);
        match list.and_then(|list| list.price(place)) {
            Some(price) => drop(prices.insert(place.unit, price)),
            None => missing.push(place),
        }
    }
    if prices.is_empty() {
        let message = format!("the price lists have nothing for region `{region}`");
        return Err(Stop::usage(message)
            .hint("name a region of the commercial or the US government partition")
            .into());
    }
    let listed = prices.len();
    let dates = lists.values().map(|list| date(&list.publication_date));
    let date = dates.max().unwrap_or_default();
    let source = format!(
        "AWS price list, {}, without free tiers, volume discounts and taxes",
        args.from
    );
    let (table, lacking) = known.with_prices(&region, date.clone(), source, prices);
    for place in missing {
        let then = if lacking.contains(&place.unit) {
            "add it to the table"
        } else {
            "that of this repository's table stays"
        };
        let (service, price) = (place.service, place.unit.name());
        out.warning(&format!(
            "the price list of `{service}` has no `{price}`: {then}"
        ));
    }
    let text = serde_json::to_string_pretty(&table).context("writing the table")?;
    let Some(file) = &args.out else {
        crate::output::Output::raw(&text)?;
        return Ok(Exit::Done);
    };
    std::fs::write(file, format!("{text}\n"))
        .with_context(|| Stop::failed(format!("cannot write `{}`", file.display())))?;
    let fetched = Fetched {
        region,
        date,
        listed,
        file: Some(file.clone()),
    };
    out.answer(&fetched, |fetched| {
        format!(
            "{} of region `{}`, published until {}, are in `{}`: give it to `cost` as `--prices`",
            counted(fetched.listed, "price"),
            fetched.region,
            fetched.date,
            file.display()
        )
    })?;
    Ok(Exit::Done)
}

/// The lists of all services that have prices of the table.
async fn fetch(
    context: &Context,
    args: &Arguments,
    region: &str,
) -> anyhow::Result<BTreeMap<&'static str, PriceList>> {
    let client = reqwest::Client::builder()
        .timeout(PATIENCE)
        .build()
        .context("making an HTTP client")?;
    let services: BTreeSet<&'static str> = PLACES.iter().map(|place| place.service).collect();
    let requests = services.into_iter().map(async |service| {
        let url = format!("{}/{service}/current/{region}/index.json", args.from);
        let fetched = one(&client, &url).await?;
        if fetched.is_some() {
            context
                .out
                .aside(&format!("read the price list of `{service}`"));
        }
        anyhow::Ok(fetched.map(|list| (service, list)))
    });
    context
        .out
        .step(&format!("fetching AWS's prices of `{region}`"));
    let fetched: Vec<_> = futures_util::stream::iter(requests)
        .buffer_unordered(FETCHES)
        .try_collect()
        .await?;
    Ok(fetched.into_iter().flatten().collect())
}

/// One list; `None` if the service has none of this region.
async fn one(client: &reqwest::Client, url: &str) -> anyhow::Result<Option<PriceList>> {
    let unreachable = || {
        Stop::failed(format!("cannot fetch AWS's price list from `{url}`")).hint(
            "without network, `cost` uses this repository's table; `--from URL` names a mirror",
        )
    };
    let answer = client.get(url).send().await.with_context(unreachable)?;
    // S3 answers 403 for what is not there, unless one may list the bucket.
    if matches!(answer.status().as_u16(), 403 | 404) {
        return Ok(None);
    }
    let answer = answer.error_for_status().with_context(unreachable)?;
    let body = answer.bytes().await.with_context(unreachable)?;
    let list = serde_json::from_slice(&body)
        .with_context(|| Stop::failed(format!("`{url}` is not a price list")))?;
    Ok(Some(list))
}

/// The date of an RFC 3339 time.
fn date(time: &str) -> String {
    time.chars().take_while(|letter| *letter != 'T').collect()
}
