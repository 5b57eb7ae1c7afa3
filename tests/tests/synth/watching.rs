//! Alarms and the dashboard.

use std::collections::{BTreeMap, BTreeSet};

use domain::access_log;
use domain::gateway::Gateway;
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
fn dashboards_fit_their_grid_and_no_id_is_there_twice() {
    for (name, body) in dashboards(&assembly_of(&parsed(DASHBOARDS))) {
        fits_its_grid(&name, &body);
    }
}

fn fits_its_grid(name: &str, body: &Value) {
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
    assert!(ids.len() > 5, "{name}: {ids:?}");
}

/// Every dashboard.
const DASHBOARDS: &str = "dashboards: {plans: true, security: true}";

/// The bodies of all dashboards, by name.
fn dashboards(assembly: &Assembly) -> BTreeMap<String, Value> {
    let all = of_type(&resources(assembly), "AWS::CloudWatch::Dashboard");
    let bodies = all.into_iter().map(|(_, dashboard)| {
        let properties = &dashboard["Properties"];
        let name = properties["DashboardName"].as_str().unwrap().to_owned();
        let body = properties["DashboardBody"]["Fn::Sub"].as_str().unwrap();
        (name, serde_json::from_str(body).unwrap())
    });
    bodies.collect()
}

#[test]
fn each_plan_and_security_have_a_dashboard_that_asks_and_shows_the_logs() {
    let all = dashboards(&assembly_of(&parsed(DASHBOARDS)));
    let names: Vec<&str> = all.keys().map(String::as_str).collect();
    let expected = [
        "complical-plan-enterprise-test",
        "complical-plan-free-test",
        "complical-plan-pro-test",
        "complical-security-test",
        "complical-usage-analytics-test",
    ];
    assert_eq!(names, expected);
    let operations = "#dashboards/dashboard/complical-usage-analytics-test";
    for (name, body) in all.iter().filter(|(name, _)| *name != expected[4]) {
        let mut kinds = BTreeSet::new();
        for widget in body["widgets"].as_array().unwrap() {
            let (kind, of) = (widget["type"].as_str().unwrap(), &widget["properties"]);
            kinds.insert(kind.to_owned());
            if kind == "text" {
                let words = of["markdown"].as_str().unwrap();
                assert!(words.contains(operations), "{name}: {words}");
            } else {
                let title = of["title"].as_str().unwrap();
                assert!(title.contains('?'), "{name}: {title}");
            }
        }
        assert!(kinds.is_superset(&["log", "metric", "text"].map(str::to_owned).into()));
    }
    insta::assert_json_snapshot!("dashboard-of-a-plan", all[expected[1]]);
    insta::assert_json_snapshot!("dashboard-of-security", all[expected[3]]);
    let links = all[expected[4]].to_string();
    for name in &expected[..4] {
        assert!(
            links.contains(&format!("#dashboards/dashboard/{name}")),
            "{name}"
        );
    }
}

/// Dashboards and metrics cost money, so there are none that nobody asks for.
#[test]
fn dashboards_and_metrics_of_plans_follow_the_file() {
    let namespace = |line: &str| {
        let resources = resources(&assembly_of(&parsed(line)));
        let functions = of_type(&resources, "AWS::Lambda::Function");
        let variables = functions.into_iter().map(|(_, of)| {
            let variables = &of["Properties"]["Environment"]["Variables"];
            variables["PLAN_METRICS_NAMESPACE"].clone()
        });
        let set: Vec<Value> = variables.filter(|value| !value.is_null()).collect();
        set
    };
    assert_eq!(namespace(""), [""]);
    assert_eq!(namespace("dashboards: {security: true}"), [""]);
    assert_eq!(namespace("dashboards: {plans: true}"), ["CompliCal/Plans"]);
    let count = |line: &str| dashboards(&assembly_of(&parsed(line))).len();
    let lines = [
        "",
        "dashboards: {security: true}",
        "dashboards: {plans: true}",
    ];
    assert_eq!(lines.map(count), [1, 2, 4]);
}

/// The queries cut members out of a line in the line's own order. The members that callers can choose
/// come last.
#[test]
fn queries_of_the_access_log_read_members_that_no_caller_chooses() {
    for (line, gateway, members) in [
        ("", Gateway::Rest, access_log::MEMBERS.as_slice()),
        (
            "gateway: http\n",
            Gateway::Http,
            &access_log::MEMBERS_OF_HTTP,
        ),
    ] {
        let text = access_log::write(gateway, |member| format!("<{member}>"));
        let chosen = members
            .iter()
            .position(|member| *member == access_log::REQUEST_ID);
        let mut found = 0;
        let line = format!("{line}{DASHBOARDS}");
        for (name, body) in dashboards(&assembly_of(&parsed(&line))) {
            for widget in body["widgets"].as_array().unwrap() {
                let query = widget["properties"]["query"].as_str().unwrap_or_default();
                for part in query.split("parse @message '").skip(1) {
                    let (cut, _) = part.split_once("*\"'").unwrap();
                    let member = cut.trim_start_matches('"').trim_end_matches("\":\"");
                    let place = members.iter().position(|of| *of == member);
                    assert!(place.is_some() && place < chosen, "{name}: {member}");
                    assert!(
                        text.contains(&format!("{cut}<{member}>\"")),
                        "{name}: {cut}"
                    );
                    found += 1;
                }
            }
        }
        assert!(found > 10, "{found} fields in {line}");
    }
}

/// An alarm's threshold is a line across the chart of its metric.
#[test]
fn thresholds_of_alarms_are_drawn() {
    let assembly = assembly_of(&environment("test"));
    let alarms = of_type(&resources(&assembly), "AWS::CloudWatch::Alarm");
    let threshold = |noun: &str| {
        let name = format!("complical-{noun}-test");
        let mut alarms = alarms.iter();
        let (_, alarm) = alarms
            .find(|(_, of)| of["Properties"]["AlarmName"] == name)
            .unwrap();
        alarm["Properties"]["Threshold"].as_f64().unwrap()
    };
    let body = dashboard(&assembly);
    let drawn: BTreeMap<String, f64> = body["widgets"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|widget| widget["properties"]["annotations"]["horizontal"].as_array())
        .flatten()
        .map(|line| {
            let label = line["label"].as_str().unwrap().to_owned();
            (label, line["value"].as_f64().unwrap())
        })
        .collect();
    let of = |noun: &str| drawn[&format!("alarm complical-{noun}-test")];
    assert_eq!(drawn.len(), 3, "{drawn:?}");
    for noun in ["tracking-failures", "iterator-age"] {
        assert!((of(noun) - threshold(noun)).abs() < f64::EPSILON, "{noun}");
    }
    // The alarm watches what is beyond the batching window, and `test` has one of ten seconds.
    let latency = of("processing-latency") - threshold("processing-latency");
    assert!((latency - 10_000.0).abs() < f64::EPSILON, "{latency}");
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
