//! The environment file: what is refused, where, and what is said.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use stacks::Environment;
use stacks::environment::StreamCapacity;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("environments")
}

/// `test.yaml` with one text replaced.
fn refused(given: &str, instead: &str) -> String {
    let text = std::fs::read_to_string(folder().join("test.yaml")).unwrap();
    assert!(text.contains(given), "`{given}` is not in test.yaml");
    let text = text.replacen(given, instead, 1);
    let path = Path::new("stacks/environments/test.yaml");
    Environment::parse("test", path, &text)
        .unwrap_err()
        .to_string()
}

/// The place and the beginning of the message.
#[track_caller]
fn refused_with(given: &str, instead: &str, expected: &str) {
    let error = refused(given, instead);
    let expected = format!("stacks/environments/test.yaml:{expected}");
    assert!(error.starts_with(&expected), "\n{error}\n{expected}");
}

#[test]
fn the_environments_in_the_tree_are_read() {
    for (name, fold, lines) in [("local", 1, 10), ("test", 10, 60), ("prod", 60, 900)] {
        let path = folder().join(format!("{name}.yaml"));
        let environment = Environment::load(&path).unwrap();
        assert_eq!(environment.name, name);
        assert_eq!(environment.region.as_str(), "ap-south-1");
        assert_eq!(environment.stream.retention_hours.get(), 168);
        assert!(matches!(
            environment.stream.capacity,
            StreamCapacity::Provisioned { shards: 2, .. }
        ));
        assert_eq!(environment.processor.batch_size.get(), 100);
        assert_eq!(environment.processor.parallelization_factor.get(), 10);
        assert_eq!(environment.aggregator.window_seconds.get(), fold);
        assert_eq!(environment.reconciler.window_seconds.get(), lines);
        assert_eq!(environment.plans.len(), 3);
    }
}

#[test]
fn every_file_names_its_schema_first() {
    for name in ["local", "test", "prod"] {
        let text = std::fs::read_to_string(folder().join(format!("{name}.yaml"))).unwrap();
        let first = text.lines().next().unwrap();
        assert_eq!(
            first,
            "# yaml-language-server: $schema=./environment.schema.json"
        );
    }
}

#[test]
fn the_schema_in_the_tree_is_that_of_the_type() {
    let text = std::fs::read_to_string(folder().join("environment.schema.json")).unwrap();
    assert_eq!(text, Environment::schema_text());
}

#[test]
fn an_unknown_key_is_refused_where_it_stands_with_the_nearest() {
    refused_with("region:", "regoin:", "4:1: unknown key `regoin`");
    assert!(refused("region:", "regoin:").ends_with("did you mean `region`?"));
    refused_with(
        "    burst: 20\n",
        "    bust: 20\n",
        "33:5: plans.free: unknown key `bust`, expected one of `ratePerSecond`, `burst`",
    );
    refused_with(
        "  enabled: true",
        "  kinesis: true",
        "7:3: analytics: unknown key `kinesis`, expected `enabled`",
    );
}

#[test]
fn a_region_that_is_none_is_refused_with_those_that_are() {
    refused_with(
        "ap-south-1",
        "ap-south-9",
        "4:9: region: `ap-south-9` is not an AWS region, such as `ap-south-1`; it is one of af-",
    );
}

#[test]
fn a_number_out_of_range_is_refused_with_the_range() {
    refused_with(
        "shards: 2",
        "shards: 900",
        "11:11: stream.shards: `900` is out of range, 1 to 500 is allowed",
    );
    refused_with(
        "batchSize: 100",
        "batchSize: many",
        "18:14: processor.batchSize: invalid type: string \"many\", expected a whole number from 1 to 10000",
    );
    refused_with(
        "[50, 80, 100]",
        "[50, 80, 300]",
        "35:29: plans.free.alertsPercent[2]: `300` is out of range, 1 to 200 is allowed",
    );
    refused_with(
        "aggregator:\n  windowSeconds: 10",
        "aggregator:\n  windowSeconds: 301",
        "24:18: aggregator.windowSeconds: `301` is out of range, 0 to 300 is allowed",
    );
    refused_with(
        "reconciler:\n  windowSeconds: 60",
        "reconciler:\n  windowSeconds: 901",
        "28:18: reconciler.windowSeconds: `901` is out of range, 0 to 900 is allowed",
    );
    refused_with(
        "retentionDays: 14",
        "retentionDays: 15",
        "55:18: logs.retentionDays: `15` days is no retention of CloudWatch Logs; it is one of 1, 3,",
    );
}

#[test]
fn what_a_day_is_counted_from_cannot_expire_before_its_second_count() {
    for key in ["rawDays", "hourDays"] {
        let retention = format!("retention:\n  {key}: 11\n");
        let error = refused("logs:", &format!("{retention}logs:"));
        let column = 5 + key.len();
        let expected = format!(
            "stacks/environments/test.yaml:55:{column}: retention.{key}: `11` is out of range, 12 \
             to 3650 is allowed: a day is counted a second time nine days after it ended"
        );
        assert!(error.starts_with(&expected), "\n{error}\n{expected}");
    }
}

#[test]
fn keys_that_contradict_each_other_are_refused_at_one_of_them() {
    refused_with(
        "shards: 2",
        "shards: 9",
        "11:11: stream.shards: `9` lies outside `minShards` 1 to `maxShards` 4",
    );
    refused_with(
        "mode: provisioned",
        "mode: onDemand",
        "11:11: stream.shards: has no meaning with `mode: onDemand`",
    );
    refused_with(
        "  audience: complical-analytics\n",
        "",
        "49:1: auth: a key set needs `issuer` and `audience`",
    );
    refused_with(
        "  jwksUrl: https://auth.test.example.com/.well-known/jwks.json\n",
        "",
        "49:1: `auth` has neither `jwksUrl` nor `jwks`",
    );
}

#[test]
fn texts_that_cannot_be_are_refused_with_their_form() {
    refused_with(
        "jwksUrl: https://",
        "jwksUrl: ftp://",
        "52:12: auth.jwksUrl: `ftp://auth.test.example.com/.well-known/jwks.json` is not an address",
    );
    refused_with(
        "region: ap-south-1",
        "account: 12345",
        "4:10: account: `12345` is not an AWS account: twelve digits",
    );
    refused_with(
        "region: ap-south-1",
        "resourcePrefix: Comp",
        "4:17: resourcePrefix: `Comp` cannot be a prefix: 1 to 20 lower-case letters",
    );
    refused_with(
        "burst: 20\n",
        "burst: 20\n    timezone: Mars/Olympus\n",
        "34:15: plans.free.timezone: `Mars/Olympus` is not a time zone",
    );
    refused_with(
        "  free:",
        "  Free Plan:",
        "31:3: plans: `Free Plan` cannot name a plan",
    );
    refused_with(
        "tags:",
        "webhooks: [{name: billing, url: \"http://x.example\"}]\ntags:",
        "57:11: webhooks: webhook `billing`: expected an `https://` address, or `allowPrivate: true`",
    );
}

#[test]
fn an_environment_cannot_have_any_name() {
    let text = std::fs::read_to_string(folder().join("test.yaml")).unwrap();
    let error = Environment::parse("Test_1", Path::new("Test_1.yaml"), &text).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`Test_1` cannot name an environment")
    );
}

#[test]
fn what_overrides_the_file_wins() {
    let path = folder().join("test.yaml");
    let on = Environment::load(&path).unwrap();
    assert_eq!(on.clone().with_analytics(None), on);
    let off = on.with_analytics(Some(false));
    assert_eq!(off.mode(), stacks::TrackingMode::Synchronous);
}
