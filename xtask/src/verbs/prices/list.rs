//! AWS's price list of a service in a region
//! (<https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/bulk-api-reading-price-list-files.html>).
//! Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::verbs::cost::money::Money;
use crate::verbs::cost::prices::{Price, Unit};

/// Where the list has the price of a unit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) unit: Unit,
    /// The service's code.
    pub(super) service: &'static str,
    /// The type of usage, without the prefix of its region, such as `APS3-`.
    usage: &'static str,
    /// How many of the list's units the table's price is for.
    per: u128,
}

const fn place(unit: Unit, service: &'static str, usage: &'static str, per: u128) -> Place {
    Place {
        unit,
        service,
        usage,
        per,
    }
}

const MILLION: u128 = 1_000_000;

/// Every unit that the lists of regions have. Lambda@Edge is in none.
pub(super) const PLACES: [Place; 24] = [
    place(
        Unit::GatewayRestRequests,
        "AmazonApiGateway",
        "ApiGatewayRequest",
        MILLION,
    ),
    place(
        Unit::GatewayHttpRequests,
        "AmazonApiGateway",
        "ApiGatewayHttpRequest",
        MILLION,
    ),
    place(Unit::LambdaRequests, "AWSLambda", "Request", MILLION),
    place(
        Unit::LambdaArmGbSeconds,
        "AWSLambda",
        "Lambda-GB-Second-ARM",
        1,
    ),
    place(Unit::LambdaX86GbSeconds, "AWSLambda", "Lambda-GB-Second", 1),
    place(
        Unit::StreamShardHours,
        "AmazonKinesis",
        "Storage-ShardHour",
        1,
    ),
    place(
        Unit::StreamRetentionShardHours,
        "AmazonKinesis",
        "Extended-ShardHour",
        1,
    ),
    place(
        Unit::StreamPutUnits,
        "AmazonKinesis",
        "PutRequestPayloadUnits",
        MILLION,
    ),
    place(
        Unit::StreamOnDemandHours,
        "AmazonKinesis",
        "OnDemand-StreamHour",
        1,
    ),
    place(
        Unit::StreamOnDemandGbIn,
        "AmazonKinesis",
        "OnDemand-BilledIncomingBytes",
        1,
    ),
    place(
        Unit::StreamOnDemandGbOut,
        "AmazonKinesis",
        "OnDemand-BilledOutgoingBytes",
        1,
    ),
    place(
        Unit::TableWrites,
        "AmazonDynamoDB",
        "WriteRequestUnits",
        MILLION,
    ),
    place(
        Unit::TableReads,
        "AmazonDynamoDB",
        "ReadRequestUnits",
        MILLION,
    ),
    place(
        Unit::TableGbMonths,
        "AmazonDynamoDB",
        "TimedStorage-ByteHrs",
        1,
    ),
    place(
        Unit::TableBackupGbMonths,
        "AmazonDynamoDB",
        "TimedPITRStorage-ByteHrs",
        1,
    ),
    place(Unit::LogGbIn, "AmazonCloudWatch", "DataProcessing-Bytes", 1),
    place(
        Unit::LogGbMonths,
        "AmazonCloudWatch",
        "TimedStorage-ByteHrs",
        1,
    ),
    place(
        Unit::Metrics,
        "AmazonCloudWatch",
        "CW:MetricMonitorUsage",
        1,
    ),
    place(
        Unit::MetricRequests,
        "AmazonCloudWatch",
        "CW:Requests",
        1_000,
    ),
    place(
        Unit::AlarmMetrics,
        "AmazonCloudWatch",
        "CW:AlarmMonitorUsage",
        1,
    ),
    place(
        Unit::Dashboards,
        "AmazonCloudWatch",
        "DashboardsUsageHour",
        1,
    ),
    place(
        Unit::QueueRequests,
        "AWSQueueService",
        "Requests-Tier1",
        MILLION,
    ),
    place(
        Unit::Secrets,
        "AWSSecretsManager",
        "AWSSecretsManager-Secrets",
        1,
    ),
    place(
        Unit::TransferGbOut,
        "AWSDataTransfer",
        "DataTransfer-Out-Bytes",
        1,
    ),
];

/// The list of one service in one region.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PriceList {
    /// When AWS published it (RFC 3339).
    pub(super) publication_date: String,
    products: BTreeMap<String, Product>,
    terms: Terms,
}

#[derive(Debug, Deserialize)]
struct Product {
    #[serde(default)]
    attributes: Attributes,
}

#[derive(Debug, Default, Deserialize)]
struct Attributes {
    #[serde(default)]
    usagetype: String,
}

/// Offers by product, each under a key of its own.
#[derive(Debug, Deserialize)]
struct Terms {
    #[serde(rename = "OnDemand", default)]
    on_demand: BTreeMap<String, BTreeMap<String, Offer>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Offer {
    price_dimensions: BTreeMap<String, Tier>,
}

/// The price from one amount on.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tier {
    begin_range: Option<String>,
    price_per_unit: BTreeMap<String, String>,
}

impl Offer {
    /// The price of the first tier that is not free.
    fn price(&self) -> Option<Money> {
        let priced = self.price_dimensions.values().filter_map(|tier| {
            let begins = tier.begin_range.as_deref().unwrap_or("0");
            let usd = Money::parse(tier.price_per_unit.get("USD")?)?;
            (usd > Money::NONE).then_some((Money::parse(begins)?, usd))
        });
        priced.min().map(|(_, usd)| usd)
    }
}

impl PriceList {
    /// The price at a place, if the list has one. If several products share the type of usage, the
    /// highest price is an upper bound.
    pub(super) fn price(&self, place: &Place) -> Option<Price> {
        let products = self.products.iter();
        let products = products.filter(|(_, product)| is_of(&product.attributes, place.usage));
        let offers = products.filter_map(|(sku, _)| self.terms.on_demand.get(sku));
        let prices: BTreeSet<Money> = offers
            .flat_map(BTreeMap::values)
            .filter_map(Offer::price)
            .collect();
        let highest = prices.last()?.of(place.per, 1).exact();
        Some(if prices.len() == 1 {
            Price::listed(highest)
        } else {
            let note = format!(
                "the highest of {} prices of `{}`",
                prices.len(),
                place.usage
            );
            Price::bound(highest, note)
        })
    }
}

/// Whether the type of usage is this one, with or without the prefix of its region.
fn is_of(attributes: &Attributes, usage: &str) -> bool {
    let given = attributes.usagetype.as_str();
    let is_prefix = |text: &str| {
        let mut bytes = text.bytes();
        bytes.all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    };
    let without = given.split_once('-');
    let without = without.filter(|(prefix, _)| is_prefix(prefix));
    given == usage || without.is_some_and(|(_, rest)| rest == usage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A list of products: the type of usage, and the tiers by their begin.
    fn list(products: &[(&str, &[(&str, &str)])]) -> PriceList {
        let numbered = || products.iter().enumerate();
        let skus: BTreeMap<String, Value> = numbered()
            .map(|(number, (usage, _))| {
                let product =
                    json!({"sku": "S", "attributes": {"usagetype": usage, "location": "M"}});
                (format!("S{number}"), product)
            })
            .collect();
        let terms: BTreeMap<String, Value> = numbered()
            .map(|(number, (_, tiers))| {
                let tiers: BTreeMap<String, Value> = tiers
                    .iter()
                    .map(|(begins, usd)| {
                        let tier = json!({"beginRange": begins, "endRange": "Inf", "pricePerUnit": {"USD": usd}});
                        (format!("T{begins}"), tier)
                    })
                    .collect();
                let offer = json!({"priceDimensions": tiers});
                (format!("S{number}"), json!({"O": offer}))
            })
            .collect();
        let list = json!({
            "publicationDate": "2026-11-20T00:00:00Z",
            "products": skus,
            "terms": {"OnDemand": terms},
        });
        serde_json::from_value(list).unwrap()
    }

    fn of(unit: Unit) -> Place {
        let mut places = PLACES.into_iter();
        places.find(|place| place.unit == unit).unwrap()
    }

    #[test]
    fn the_first_tier_that_is_not_free_is_the_price() {
        let storage = [("0", "0.0000000000"), ("25", "0.2850000000")];
        let gateway = [
            ("333000000", "0.0000028000"),
            ("0", "0.0000035000"),
            ("1000000000", "0.0000023800"),
        ];
        let list = list(&[
            ("APS3-TimedStorage-ByteHrs", &storage),
            ("APS3-ApiGatewayRequest", &gateway),
        ]);
        let price = |unit| list.price(&of(unit)).unwrap();
        assert_eq!(price(Unit::TableGbMonths), Price::listed("0.285".into()));
        assert_eq!(
            price(Unit::GatewayRestRequests),
            Price::listed("3.50".into())
        );
    }

    #[test]
    fn only_the_region_stands_before_the_type_of_usage() {
        let list = list(&[
            ("APS3-Lambda-Edge-Request", &[("0", "0.0000006000")]),
            ("APS3-IA-WriteRequestUnits", &[("0", "0.0000012000")]),
            ("WriteRequestUnits", &[("0", "0.0000006250")]),
        ]);
        assert_eq!(list.price(&of(Unit::LambdaRequests)), None);
        assert_eq!(
            list.price(&of(Unit::TableWrites)),
            Some(Price::listed("0.625".into()))
        );
    }

    #[test]
    fn of_several_prices_the_highest_is_a_bound() {
        let list = list(&[
            ("EU-DataProcessing-Bytes", &[("0", "0.25")]),
            ("EU-DataProcessing-Bytes", &[("0", "0.57")]),
            ("EU-CW:Requests", &[("0", "0.00001")]),
            ("EU-CW:Requests", &[("0", "0.0000100000")]),
        ]);
        assert_eq!(
            list.price(&of(Unit::LogGbIn)),
            Some(Price::bound(
                "0.57".into(),
                "the highest of 2 prices of `DataProcessing-Bytes`".into()
            ))
        );
        assert_eq!(
            list.price(&of(Unit::MetricRequests)),
            Some(Price::listed("0.01".into()))
        );
    }

    #[test]
    fn every_unit_but_those_of_the_edge_has_one_place() {
        let placed: BTreeSet<Unit> = PLACES.iter().map(|place| place.unit).collect();
        assert_eq!(placed.len(), PLACES.len());
        let missing: Vec<Unit> = Unit::ALL
            .into_iter()
            .filter(|unit| !placed.contains(unit))
            .collect();
        assert_eq!(missing, [Unit::EdgeRequests, Unit::EdgeGbSeconds]);
    }
}
