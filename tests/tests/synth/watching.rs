//! Alarms and the dashboard.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stacks::Assembly;
use tests::synthesised::{assembly_of, environment, parsed, resources};

use super::{assemblies, dashboard, in_region, of_type, template};

#[test]
fn the_dashboard_is_in_the_console_of_its_partition() {
    for (region, console) in [
        ("ap-south-1", ".console.aws.amazon.com/"),
        ("cn-north-1", ".console.amazonaws.cn/"),
        ("us-gov-west-1", ".console.amazonaws-us-gov.com/"),
    ] {
        let environment = in_region(region);
        let api = template(&assembly_of(&environment), "-API-");
        let url = api["Outputs"]["DashboardUrl"]["Value"]["Fn::Sub"].as_str();
        assert!(url.unwrap().contains(console), "{url:?}");
    }
}

fn alarm_names(assembly: &Assembly) -> BTreeSet<String> {
    let alarms = of_type(&resources(assembly), "AWS::CloudWatch::Alarm");
    let names = alarms.into_iter().map(|(_, alarm)| {
        let name = alarm["Properties"]["AlarmName"].as_str();
        name.unwrap().to_owned()
    });
    names.collect()
}

#[test]
fn every_alarm_notifies_the_one_topic_of_trouble_and_of_recovery() {
    let assembly = assembly_of(&environment("test"));
    let names = alarm_names(&assembly);
    let expected = [
        "complical-access-log-idle-test",
        "complical-aggregator-dead-letters-test",
        "complical-aggregator-duration-test",
        "complical-aggregator-failures-test",
        "complical-aggregator-idle-test",
        "complical-aggregator-tick-test",
        "complical-alert-dead-letters-test",
        "complical-alert-queue-idle-test",
        "complical-analytics-table-throttles-test",
        "complical-authorizer-duration-test",
        "complical-authorizer-throttles-test",
        "complical-background-throttles-test",
        "complical-concurrency-test",
        "complical-dead-letters-test",
        "complical-deliveries-failed-test",
        "complical-fold-age-test",
        "complical-gateway-errors-test",
        "complical-items-parked-test",
        "complical-iterator-age-test",
        "complical-keys-table-throttles-test",
        "complical-no-tracking-success-test",
        "complical-notifier-failures-test",
        "complical-processed-not-incoming-test",
        "complical-processing-failures-test",
        "complical-processing-latency-test",
        "complical-processor-duration-test",
        "complical-reconcile-dead-letters-test",
        "complical-reconcile-queue-age-test",
        "complical-reconcile-queue-idle-test",
        "complical-reconciled-calls-test",
        "complical-reconciler-failures-test",
        "complical-records-failed-test",
        "complical-shard-scaler-tick-test",
        "complical-shard-scaling-failures-test",
        "complical-shard-scaling-refused-test",
        "complical-stream-write-throttles-test",
        "complical-tracking-failures-test",
        "complical-undecided-calls-test",
        "complical-usage-table-throttles-test",
    ];
    assert_eq!(names, expected.map(str::to_owned).into());
    for (id, alarm) in of_type(&resources(&assembly), "AWS::CloudWatch::Alarm") {
        let properties = &alarm["Properties"];
        assert_eq!(properties["AlarmActions"], properties["OKActions"], "{id}");
        let told = properties["AlarmActions"].to_string();
        assert!(
            told.contains("complical-alarms-test") || told.contains("AlarmTopic"),
            "{id}"
        );
    }
}

#[test]
fn the_dashboard_shows_every_alarm_of_its_mode() {
    for assembly in assemblies() {
        let body = dashboard(&assembly);
        let shown = body["widgets"][0]["properties"]["alarms"].as_array();
        let shown = shown.unwrap().iter().map(|arn| {
            let (_, name) = arn.as_str().unwrap().rsplit_once(':').unwrap();
            name.to_owned()
        });
        assert_eq!(shown.collect::<BTreeSet<_>>(), alarm_names(&assembly));
    }
}

#[test]
fn the_dashboard_fits_its_grid_and_no_id_is_there_twice() {
    let body = dashboard(&assembly_of(&environment("test")));
    let widgets = body["widgets"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    for widget in widgets {
        let right = widget["x"].as_u64().unwrap() + widget["width"].as_u64().unwrap();
        assert!(right <= 24, "{widget}");
        for row in widget["properties"]["metrics"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let id = row.as_array().unwrap().last().unwrap()["id"]
                .as_str()
                .unwrap();
            assert!(ids.insert(id.to_owned()), "`{id}` is there twice");
        }
    }
    assert!(ids.len() > 20, "{ids:?}");
}

/// The metrics of each kind have other names and dimensions.
#[test]
fn alarms_watch_the_metrics_of_the_gateway_that_is_there() {
    let watched = |line: &str| {
        let resources = resources(&assembly_of(&parsed(line)));
        let alarms = of_type(&resources, "AWS::CloudWatch::Alarm");
        let metrics = alarms.iter().flat_map(|(_, alarm)| {
            let metrics = alarm["Properties"]["Metrics"].as_array().cloned();
            metrics.unwrap_or_default()
        });
        let metrics = metrics.map(|query| query["MetricStat"]["Metric"].clone());
        let metrics = metrics.filter(|metric| metric["Namespace"] == "AWS/ApiGateway");
        let said = metrics.map(|metric| {
            let name = metric["MetricName"].as_str().unwrap().to_owned();
            (name, metric["Dimensions"].to_string())
        });
        said.collect::<BTreeSet<(String, String)>>()
    };
    let of = |metrics: [&str; 2], dimensions: Value| {
        let dimensions = dimensions.to_string();
        BTreeSet::from(metrics.map(|metric| (metric.to_owned(), dimensions.clone())))
    };
    let stage = json!({"Name": "Stage", "Value": "test"});
    let rest = json!([{"Name": "ApiName", "Value": "CompliCal-API-test"}, stage]);
    assert_eq!(watched(""), of(["Count", "5XXError"], rest));
    let http = json!([{"Name": "ApiId", "Value": {"Ref": "HttpApi"}}, stage]);
    assert_eq!(watched("gateway: http"), of(["Count", "5xx"], http));
}
