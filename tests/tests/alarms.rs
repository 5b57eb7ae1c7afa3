//! The alarms as the templates declare them, over series of traffic: none goes off without a
//! failure, and each failure raises an alarm within ten minutes.

use std::collections::{BTreeMap, BTreeSet};

use stacks::Environment;
use tests::alarms::{Alarm, Fault, Lateness, World, calls};
use tests::synthesised::{assembly_of, environment, resources, root};

/// Minutes of thirty days.
const MONTH: usize = 30 * 24 * 60;
/// Minutes of a day.
const DAY: usize = 24 * 60;
/// Minutes within which a failure raises an alarm.
const TOLD_WITHIN: usize = 10;

/// The alarms on events that fail to happen or take too long.
const DERIVED: [&str; 9] = [
    "ProcessedNotIncoming",
    "ProcessingLatency",
    "NoTrackingSuccess",
    "AggregatorIdle",
    "AggregatorTickMissing",
    "AccessLogIdle",
    "ReconcileQueueIdle",
    "ShardScalerTickMissing",
    "GatewayErrors",
];

/// The environment `test` with these windows in seconds.
fn windowed(processor: u32, aggregator: u32) -> Environment {
    let path = root().join("stacks/environments/test.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text
        .replace(
            "batchingWindowSeconds: 10",
            &format!("batchingWindowSeconds: {processor}"),
        )
        .replace(
            "aggregator:\n  windowSeconds: 10",
            &format!("aggregator:\n  windowSeconds: {aggregator}"),
        );
    let environment = Environment::parse("test", &path, &text).unwrap();
    assert_eq!(
        environment.processor.batching_window_seconds.get(),
        processor
    );
    assert_eq!(environment.aggregator.window_seconds.get(), aggregator);
    environment
}

fn alarms(environment: &Environment) -> BTreeMap<String, Alarm> {
    let resources = resources(&assembly_of(environment));
    let alarms = resources
        .iter()
        .filter(|(id, _)| DERIVED.contains(&id.as_str()));
    let alarms: BTreeMap<_, _> = alarms
        .map(|(id, resource)| (id.clone(), Alarm::declared(id, resource)))
        .collect();
    assert_eq!(alarms.len(), DERIVED.len());
    alarms
}

/// The windows of `local`, `test` and `prod`, and one of a minute.
const WINDOWS: [(u32, u32); 4] = [(0, 1), (10, 10), (10, 60), (60, 60)];

/// The alarms that go off without a failure, with the minutes.
fn false_alarms(
    environment: &Environment,
    calls: &[i64],
    minutes: usize,
    lateness: Lateness,
) -> Vec<(String, Vec<usize>)> {
    let world = World {
        environment,
        minutes,
        fault: Fault::None,
        lateness,
    };
    let series = world.under(calls, 3);
    let alarms = alarms(environment).into_values();
    let off = alarms.map(|alarm| (alarm.id.clone(), alarm.goes_off(&series)));
    off.filter(|(_, minutes)| !minutes.is_empty()).collect()
}

const NONE: [(String, Vec<usize>); 0] = [];

#[test]
fn a_quiet_month_and_a_month_of_sparse_or_steady_calls_give_no_false_alarm() {
    for (processor, aggregator) in WINDOWS {
        let environment = windowed(processor, aggregator);
        // One call in 50 minutes, in ten, in three, in one; then 0.1 and 0.3 calls per second.
        for millihertz in [0, 1, 5, 16, 100, 300] {
            let calls = calls(millihertz, MONTH, 7);
            for lateness in [Lateness::Usual, Lateness::EffectsLate] {
                let off = false_alarms(&environment, &calls, MONTH, lateness);
                assert_eq!(
                    off, NONE,
                    "{processor} s, {aggregator} s, {millihertz} mHz, {lateness:?}"
                );
            }
        }
    }
}

#[test]
fn three_days_of_one_to_three_calls_a_second_give_no_false_alarm() {
    for (processor, aggregator) in WINDOWS {
        let environment = windowed(processor, aggregator);
        for millihertz in [1_000, 3_000] {
            let calls = calls(millihertz, 3 * DAY, 11);
            for lateness in [Lateness::Usual, Lateness::EffectsLate] {
                let off = false_alarms(&environment, &calls, 3 * DAY, lateness);
                assert_eq!(
                    off, NONE,
                    "{processor} s, {aggregator} s, {millihertz} mHz, {lateness:?}"
                );
            }
        }
    }
}

/// No calls, then a thousand within seconds, at every second of a minute; and a few calls every few
/// minutes at the end of a minute.
#[test]
fn bursts_and_jobs_at_the_end_of_a_minute_give_no_false_alarm() {
    for (processor, aggregator) in WINDOWS {
        let environment = windowed(processor, aggregator);
        let days = 2 * DAY;
        let bursts: Vec<i64> = (0..60)
            .flat_map(|n| (0..1_000).map(move |call| (n * 47 * 60 + n) * 1_000 + call * 20))
            .collect();
        let mut jobs: Vec<i64> = Vec::new();
        for run in 0..i64::try_from(days).unwrap() / 4 {
            // Of growing and shrinking size, two seconds before the minute ends.
            let size = 1 + run % 40;
            jobs.extend((0..size).map(|call| (run * 4 + 3) * 60_000 + 58_000 + call * 10));
        }
        for (name, calls) in [("bursts", bursts), ("jobs", jobs)] {
            for lateness in [Lateness::Usual, Lateness::EffectsLate] {
                let off = false_alarms(&environment, &calls, days, lateness);
                assert_eq!(
                    off, NONE,
                    "{name}: {processor} s, {aggregator} s, {lateness:?}"
                );
            }
        }
    }
}

#[test]
fn every_failure_is_reported_within_ten_minutes_by_its_alarm_and_by_no_other_first() {
    let from = 120;
    let faults = [
        (Fault::Processor(from), "ProcessedNotIncoming", 100),
        (Fault::Tracking(from), "NoTrackingSuccess", 100),
        (Fault::Mapping(from), "AggregatorIdle", 0),
        (Fault::Tick(from), "AggregatorTickMissing", 100),
        // Too few calls per minute to judge: the age of the oldest record covers them.
        (Fault::Slow(from), "ProcessingLatency", 1_000),
        (Fault::Log(from), "AccessLogIdle", 100),
        (Fault::Queue(from), "ReconcileQueueIdle", 100),
        (Fault::Scaler(from), "ShardScalerTickMissing", 100),
        (Fault::Upstream(from), "GatewayErrors", 100),
    ];
    for (processor, aggregator) in WINDOWS {
        let environment = windowed(processor, aggregator);
        for (fault, expected, least) in faults {
            for millihertz in [0, 100, 300, 1_000, 3_000]
                .into_iter()
                .filter(|rate| *rate >= least)
            {
                for lateness in [Lateness::Usual, Lateness::EffectsLate] {
                    let world = World {
                        environment: &environment,
                        minutes: from + 30,
                        fault,
                        lateness,
                    };
                    let series = world.under(&calls(millihertz, from + 30, 5), 9);
                    let told = alarms(&environment)[expected].goes_off(&series);
                    let context = format!(
                        "{fault:?}, {processor} s, {aggregator} s, {millihertz} mHz, {lateness:?}: {told:?}"
                    );
                    let first = *told.first().unwrap_or_else(|| panic!("{context}"));
                    assert!(first >= from, "{context}");
                    assert!(first <= from + TOLD_WITHIN, "{context}");
                }
            }
        }
    }
}

/// The whole text of an alarm, its `Fn::Sub` with the longest region in it.
fn description(resource: &serde_json::Value) -> String {
    let text = resource["Properties"]["AlarmDescription"]["Fn::Sub"].as_str();
    text.unwrap().replace("${AWS::Region}", "ap-southeast-1")
}

#[test]
fn every_alarm_says_what_to_do_and_where_to_read_on() {
    let runbook = std::fs::read_to_string(root().join("RUNBOOK.md")).unwrap();
    let mut entries: BTreeSet<&str> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    let environment = environment("test");
    for (id, resource) in resources(&assembly_of(&environment)) {
        if resource["Type"] != "AWS::CloudWatch::Alarm" {
            continue;
        }
        let name = resource["Properties"]["AlarmName"].as_str().unwrap();
        let noun = name
            .strip_prefix("complical-")
            .unwrap()
            .strip_suffix("-test")
            .unwrap();
        let text = description(&resource);
        assert!(text.chars().count() <= 1_024, "{id}: {}", text.len());
        assert!(
            text.contains(&format!("Runbook: RUNBOOK.md#{noun}.")),
            "{id}: {text}"
        );
        assert!(
            text.contains("#dashboards/dashboard/complical-usage-analytics-test"),
            "{id}"
        );
        assert!(entries.remove(noun), "RUNBOOK.md has no entry `{noun}`");
    }
    assert_eq!(
        entries,
        BTreeSet::new(),
        "entries of alarms that are not there"
    );
}
