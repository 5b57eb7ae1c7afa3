//! The price table: AWS's unit prices by region, with the source of each price.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::money::Money;
use crate::stop::Stop;

/// This repository's table.
const TABLE: &str = include_str!("prices.json");

/// Billed units. Requests and units are priced per million, everything else per one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::verbs) enum Unit {
    GatewayRestRequests,
    GatewayHttpRequests,
    LambdaRequests,
    LambdaArmGbSeconds,
    LambdaX86GbSeconds,
    StreamShardHours,
    StreamRetentionShardHours,
    StreamPutUnits,
    StreamOnDemandHours,
    StreamOnDemandGbIn,
    StreamOnDemandGbOut,
    TableWrites,
    TableReads,
    TableGbMonths,
    TableBackupGbMonths,
    LogGbIn,
    LogGbMonths,
    Metrics,
    MetricRequests,
    AlarmMetrics,
    Dashboards,
    QueueRequests,
    Secrets,
    TransferGbOut,
    EdgeRequests,
    EdgeGbSeconds,
}

impl Unit {
    pub(in crate::verbs) const ALL: [Self; 26] = [
        Self::GatewayRestRequests,
        Self::GatewayHttpRequests,
        Self::LambdaRequests,
        Self::LambdaArmGbSeconds,
        Self::LambdaX86GbSeconds,
        Self::StreamShardHours,
        Self::StreamRetentionShardHours,
        Self::StreamPutUnits,
        Self::StreamOnDemandHours,
        Self::StreamOnDemandGbIn,
        Self::StreamOnDemandGbOut,
        Self::TableWrites,
        Self::TableReads,
        Self::TableGbMonths,
        Self::TableBackupGbMonths,
        Self::LogGbIn,
        Self::LogGbMonths,
        Self::Metrics,
        Self::MetricRequests,
        Self::AlarmMetrics,
        Self::Dashboards,
        Self::QueueRequests,
        Self::Secrets,
        Self::TransferGbOut,
        Self::EdgeRequests,
        Self::EdgeGbSeconds,
    ];

    /// Its name in the table.
    pub(in crate::verbs) fn name(self) -> String {
        let name = serde_json::to_value(self).unwrap_or_default();
        name.as_str().unwrap_or_default().to_owned()
    }

    const fn is_edge(self) -> bool {
        matches!(self, Self::EdgeRequests | Self::EdgeGbSeconds)
    }

    /// The amount that a price is for: amounts are requests, units, hours, MB-milliseconds of
    /// Lambda, bytes, and byte-days of storage.
    const fn per(self) -> u128 {
        const GB: u128 = 1 << 30;
        match self {
            Self::GatewayRestRequests
            | Self::GatewayHttpRequests
            | Self::LambdaRequests
            | Self::StreamPutUnits
            | Self::TableWrites
            | Self::TableReads
            | Self::QueueRequests
            | Self::EdgeRequests => 1_000_000,
            Self::MetricRequests => 1_000,
            Self::LambdaArmGbSeconds | Self::LambdaX86GbSeconds | Self::EdgeGbSeconds => 1_024_000,
            Self::StreamOnDemandGbIn
            | Self::StreamOnDemandGbOut
            | Self::LogGbIn
            | Self::TransferGbOut => GB,
            Self::TableGbMonths | Self::TableBackupGbMonths | Self::LogGbMonths => GB * 30,
            Self::StreamShardHours
            | Self::StreamRetentionShardHours
            | Self::StreamOnDemandHours
            | Self::Metrics
            | Self::AlarmMetrics
            | Self::Dashboards
            | Self::Secrets => 1,
        }
    }
}

/// The source of a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Basis {
    /// The price list, or the service's price page.
    Listed,
    /// Not found for this region; an upper bound.
    Bound,
    /// Published, but not compared with the price list on the table's date.
    Unchecked,
}

/// A price of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::verbs) struct Price {
    usd: String,
    basis: Basis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl Price {
    /// A price of AWS's list.
    pub(in crate::verbs) const fn listed(usd: String) -> Self {
        Self {
            usd,
            basis: Basis::Listed,
            note: None,
        }
    }

    /// An upper bound, with its reason.
    pub(in crate::verbs) const fn bound(usd: String, note: String) -> Self {
        Self {
            usd,
            basis: Basis::Bound,
            note: Some(note),
        }
    }
}

/// The file: prices by region.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::verbs) struct Table {
    date: String,
    source: String,
    regions: BTreeMap<String, BTreeMap<Unit, Price>>,
}

/// The prices of one region.
#[derive(Debug)]
pub(super) struct Prices {
    pub(super) date: String,
    pub(super) source: String,
    by_unit: BTreeMap<Unit, Money>,
    /// Prices that are not from the price list, each with a description.
    pub(super) doubts: Vec<String>,
}

impl Prices {
    /// The prices of `region`, from a file or from this repository's table.
    pub(super) fn load(file: Option<&Path>, region: &str) -> anyhow::Result<Self> {
        let text = match file {
            None => TABLE.to_owned(),
            Some(file) => std::fs::read_to_string(file)
                .with_context(|| Stop::usage(format!("cannot read `{}`", file.display())))?,
        };
        let name = file.map_or_else(
            || "the price table".to_owned(),
            |file| format!("`{}`", file.display()),
        );
        let table: Table = serde_json::from_str(&text)
            .with_context(|| Stop::usage(format!("{name} is not a price table")))?;
        table.of(region, &name)
    }

    /// The cost of an amount.
    pub(super) fn price(&self, unit: Unit, amount: u128) -> Money {
        let price = self.by_unit.get(&unit).copied().unwrap_or(Money::NONE);
        price.of(amount, unit.per())
    }
}

impl Table {
    /// This repository's table.
    pub(in crate::verbs) fn of_this_repository() -> anyhow::Result<Self> {
        serde_json::from_str(TABLE).context("reading this repository's price table")
    }

    /// The table of one region, with these prices instead of the known ones. A price that was listed,
    /// and no longer is, becomes unchecked. Also returns the units without any price.
    pub(in crate::verbs) fn with_prices(
        mut self,
        region: &str,
        date: String,
        source: String,
        mut prices: BTreeMap<Unit, Price>,
    ) -> (Self, Vec<Unit>) {
        let mut known = self.regions.remove(region).unwrap_or_default();
        // Lambda@Edge costs the same everywhere.
        let edge = self.regions.remove("us-east-1").unwrap_or_default();
        let edge = edge.into_iter().filter(|(unit, _)| unit.is_edge());
        for (unit, price) in edge {
            known.entry(unit).or_insert(price);
        }
        for (unit, mut price) in known {
            if price.basis == Basis::Listed {
                price.basis = Basis::Unchecked;
            }
            prices.entry(unit).or_insert(price);
        }
        let lacking = Unit::ALL
            .into_iter()
            .filter(|unit| !prices.contains_key(unit));
        let lacking = lacking.collect();
        let table = Self {
            date,
            source,
            regions: BTreeMap::from([(region.to_owned(), prices)]),
        };
        (table, lacking)
    }

    fn of(mut self, region: &str, name: &str) -> anyhow::Result<Prices> {
        let Some(listed) = self.regions.remove(region) else {
            let known: Vec<_> = self
                .regions
                .keys()
                .map(|region| format!("`{region}`"))
                .collect();
            let message = format!(
                "{name} has no prices of `{region}`, only of {}",
                known.join(", ")
            );
            return Err(Stop::usage(message)
                .hint(format!("`cargo xtask prices --region {region} --out prices.json` makes a table from AWS's price list; give it as `--prices prices.json`"))
                .into());
        };
        let mut by_unit = BTreeMap::new();
        let mut doubts = Vec::new();
        for unit in Unit::ALL {
            let key = unit.name();
            let price = listed
                .get(&unit)
                .ok_or_else(|| Stop::usage(format!("{name} has no price `{key}` of `{region}`")))?;
            let usd = Money::parse(&price.usd).ok_or_else(|| {
                let usd = &price.usd;
                Stop::usage(format!("invalid price `{usd}` of `{key}` in {name}: expected a decimal such as `0.0195`"))
            })?;
            by_unit.insert(unit, usd);
            match price.basis {
                Basis::Listed => {}
                Basis::Bound => {
                    let note = price.note.as_deref().unwrap_or("no source named");
                    doubts.push(format!("{key} {}: an upper bound, {note}", price.usd));
                }
                Basis::Unchecked => doubts.push(format!(
                    "{key} {}: not compared with the price list",
                    price.usd
                )),
            }
        }
        Ok(Prices {
            date: self.date,
            source: self.source,
            by_unit,
            doubts,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_region_of_the_table_has_every_price() {
        let table: Table = serde_json::from_str(TABLE).unwrap();
        assert!(table.regions.len() >= 3);
        for region in table.regions.keys() {
            Prices::load(None, region).unwrap();
        }
    }

    #[test]
    fn prices_are_those_of_the_region() {
        let prices = Prices::load(None, "ap-south-1").unwrap();
        let dollars = |text| Money::parse(text).unwrap();
        assert_eq!(prices.price(Unit::TableWrites, 1_000_000), dollars("0.71"));
        // 512 MB for 9 ms, ten million times: 45,000 GB-seconds.
        let amount = 512 * 9 * 10_000_000;
        assert_eq!(
            prices.price(Unit::LambdaArmGbSeconds, amount),
            dollars("0.600003")
        );
        assert_eq!(prices.price(Unit::LogGbIn, 1 << 31), dollars("1.34"));
        let month = (1 << 30) * 30;
        assert_eq!(prices.price(Unit::TableGbMonths, month), dollars("0.285"));
        assert!(prices.doubts.iter().any(|doubt| doubt.contains("Tokyo")));
    }

    #[test]
    fn an_unknown_region_names_the_known_ones() {
        let message = Prices::load(None, "eu-north-9").unwrap_err().to_string();
        assert!(
            message.contains("`eu-north-9`") && message.contains("`us-east-1`"),
            "{message}"
        );
    }

    #[test]
    fn a_bad_price_or_a_missing_one_is_named() {
        let table = |price: &str| -> Table {
            let text = TABLE.replace("\"0.71\"", price);
            serde_json::from_str(&text).unwrap()
        };
        let message = table("\"a\"")
            .of("ap-south-1", "x")
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("invalid price `a` of `tableWrites`"),
            "{message}"
        );
        let mut table = table("\"0.71\"");
        table
            .regions
            .get_mut("ap-south-1")
            .unwrap()
            .remove(&Unit::Metrics);
        let message = table.of("ap-south-1", "x").unwrap_err().to_string();
        assert!(message.contains("no price `metrics`"), "{message}");
    }
}
