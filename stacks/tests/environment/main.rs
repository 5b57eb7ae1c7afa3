//! The environment file: what is refused, at which position, with which message.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod auth;
mod dimensions;
mod reports;
mod security;
mod sizes;
mod upstream;

use std::path::{Path, PathBuf};

use stacks::Environment;
use stacks::environment::StreamCapacity;

/// A line of `test.yaml`.
const URL: &str = "  jwksUrl: https://auth.test.example.com/.well-known/jwks.json\n";

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

/// `test.yaml` with one text replaced by another valid one.
fn accepted(given: &str, instead: &str) -> Environment {
    let text = std::fs::read_to_string(folder().join("test.yaml")).unwrap();
    let text = text.replacen(given, instead, 1);
    Environment::parse("test", Path::new("test.yaml"), &text).unwrap()
}

/// Checks the position and the beginning of the message.
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
        "4:9: region: `ap-south-9` is not an AWS region, such as `ap-south-1`: expected one of af-",
    );
}

#[test]
fn a_number_out_of_range_is_refused_with_the_range() {
    refused_with(
        "shards: 2",
        "shards: 900",
        "11:11: stream.shards: `900` is out of range: expected 1 to 500",
    );
    refused_with(
        "batchSize: 100",
        "batchSize: many",
        "18:14: processor.batchSize: invalid type: string \"many\", expected a whole number from 1 to 10000",
    );
    refused_with(
        "[50, 80, 100]",
        "[50, 80, 300]",
        "35:29: plans.free.alertsPercent[2]: `300` is out of range: expected 1 to 200",
    );
    refused_with(
        "aggregator:\n  windowSeconds: 10",
        "aggregator:\n  windowSeconds: 301",
        "24:18: aggregator.windowSeconds: `301` is out of range: expected 0 to 300",
    );
    refused_with(
        "reconciler:\n  windowSeconds: 60",
        "reconciler:\n  windowSeconds: 901",
        "28:18: reconciler.windowSeconds: `901` is out of range: expected 0 to 900",
    );
    refused_with(
        "retentionDays: 14",
        "retentionDays: 15",
        "55:18: logs.retentionDays: `15` days is not a retention of CloudWatch Logs: expected one of 1, 3,",
    );
}

#[test]
fn entries_of_a_day_cannot_expire_before_its_second_count() {
    for key in ["rawDays", "hourDays"] {
        let retention = format!("retention:\n  {key}: 11\n");
        let error = refused("logs:", &format!("{retention}logs:"));
        let column = 5 + key.len();
        let expected = format!(
            "stacks/environments/test.yaml:55:{column}: retention.{key}: `11` is out of range: expected \
             12 to 3650: a day is counted a second time nine days after it ended"
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
        "minShards: 1",
        "minShards: 5",
        "12:14: stream.minShards: `5` is more than `maxShards`, which is 4",
    );
    refused_with(
        "minShards: 1",
        "minShards: 3",
        "11:11: stream.shards: `2` lies outside `minShards` 3 to `maxShards` 4",
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
fn a_stream_is_scaled_only_between_bounds_that_are_given_and_differ() {
    let scaled = |stream: &str| {
        let given = "  shards: 2\n  minShards: 1\n  maxShards: 4\n";
        let StreamCapacity::Provisioned { shards, .. } = accepted(given, stream).stream.capacity
        else {
            unreachable!("the file says `provisioned`");
        };
        (shards, accepted(given, stream).stream.capacity.scaled())
    };
    assert_eq!(
        scaled("  shards: 2\n  minShards: 1\n  maxShards: 4\n"),
        (2, Some((1, 4)))
    );
    assert_eq!(scaled("  shards: 3\n"), (3, None));
    assert_eq!(
        scaled("  shards: 3\n  minShards: 3\n  maxShards: 3\n"),
        (3, None)
    );
    assert_eq!(scaled("  shards: 3\n  maxShards: 9\n"), (3, Some((3, 9))));
    assert_eq!(
        scaled("  minShards: 4\n  maxShards: 9\n"),
        (4, Some((4, 9)))
    );
    assert_eq!(scaled("  maxShards: 1\n"), (1, None));
    assert_eq!(scaled(""), (2, None));
}

#[test]
fn a_scaled_stream_keeps_the_shards_it_was_made_with_and_another_takes_those_of_the_file() {
    let shards = |environment: Environment| match environment.stream.capacity {
        StreamCapacity::Provisioned { shards, .. } => Some(shards),
        StreamCapacity::OnDemand => None,
    };
    let scaled = || accepted("region:", "region:");
    assert_eq!(shards(scaled().with_stream_of(3)), Some(3));
    let fixed = accepted("  minShards: 1\n  maxShards: 4\n", "");
    assert_eq!(shards(fixed.with_stream_of(3)), Some(2));
}

#[test]
fn local_scales_no_stream() {
    let path = folder().join("local.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replacen("shards: 2", "shards: 2\n  maxShards: 4", 1);
    let error = Environment::parse("local", Path::new("local.yaml"), &text).unwrap_err();
    let expected =
        "local.yaml:11:1: stream: `local` scales no stream, because its embedded AWS drops";
    assert!(error.to_string().starts_with(expected), "{error}");
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
    let one = "{name: billing, url: \"https://x.example\"}";
    refused_with(
        "tags:",
        &format!("webhooks: [{one}, {one}]\ntags:"),
        "57:11: webhooks: webhook `billing` occurs twice",
    );
}

#[test]
fn a_period_begins_on_a_day_that_every_bill_can_end_on() {
    refused_with(
        "burst: 20\n",
        "burst: 20\n    periodAnchorDay: 32\n",
        "34:22: plans.free.periodAnchorDay: ",
    );
    refused_with(
        "burst: 20\n",
        "burst: 20\n    periodAnchorDay: 0\n",
        "34:22: plans.free.periodAnchorDay: ",
    );
    refused_with(
        "burst: 20\n",
        "burst: 20\n    periodAnchorDay: 28\n    timezone: Pacific/Pago_Pago\n",
        "30:1: plans: the `periodAnchorDay` of `free`, 28, may be the last day of a month",
    );
    let path = std::path::Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/environments/test.yaml"
    ));
    let text = std::fs::read_to_string(path).unwrap();
    let anchored = text.replace(
        "burst: 20\n",
        "burst: 20\n    periodAnchorDay: 31\n    timezone: Asia/Kolkata\n",
    );
    assert_ne!(anchored, text);
    let environment = Environment::parse("test", path, &anchored).unwrap();
    let plan = domain::plan::Plan::from(&environment.plans["free"]);
    let period = plan.period("2027-02-15T00:00:00Z".parse().unwrap());
    assert_eq!(period.start.to_string(), "2027-01-30T18:30:00Z");
    assert_eq!(period.end.to_string(), "2027-02-27T18:30:00Z");
}

#[test]
fn addresses_that_nothing_can_be_asked_at_are_refused() {
    let key_set = "https://auth.test.example.com/.well-known/jwks.json";
    for (address, why) in [
        (
            "http://auth.test.example.com/keys",
            "`http://auth.test.example.com/keys` is not `https`",
        ),
        (
            "https://me:secret@auth.example/keys",
            "the address of `auth.example` holds credentials",
        ),
        (
            "https://auth.example/keys#one",
            "`https://auth.example/keys#one` holds a fragment",
        ),
        (
            "http://127.0.0.1:8080/keys",
            "`auth.jwksUrl` is on this machine",
        ),
        ("https://", "`https://` is not an address"),
        (
            "https://auth..example",
            "`https://auth..example` is not an address",
        ),
    ] {
        let error = refused(key_set, address);
        let start = "stacks/environments/test.yaml:52:12: ";
        assert!(error.starts_with(start), "{error}");
        assert!(error.contains(why), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
    for (address, why) in [
        ("https://api.example.com?team=1", "holds a query"),
        ("https://api.example.com/#top", "holds a fragment"),
        (
            "https://me:secret@api.example.com",
            "the address of `api.example.com` holds credentials",
        ),
        (
            "https://api.example.com/{id}",
            "which the gateway reads as parameters",
        ),
        ("https://${stageVariables.host}/", "is not an address"),
        (
            "https://api.example.com:22",
            "on a port that the gateway does not connect to",
        ),
        ("http://localhost:8080", "`upstream` is on this machine"),
        ("ftp://api.example.com", "is not an address"),
    ] {
        let error = refused("tags:", &format!("upstream: {address}\ntags:"));
        let start = "stacks/environments/test.yaml:57:11: ";
        assert!(error.starts_with(start), "{error}");
        assert!(error.contains(why), "{error}");
    }
    refused_with(
        "tags:",
        "endpoint: https://aws.example.com/?region=1\ntags:",
        "57:11: endpoint: `https://aws.example.com/?region=1` holds a query",
    );
}

#[test]
fn tags_that_a_service_would_not_take_are_refused() {
    for (tag, why) in [
        ("team: a&b", "`a&b` cannot be the value of a tag"),
        ("team: \"a, b\"", "`a, b` cannot be the value of a tag"),
        ("team: \"[a]\"", "`[a]` cannot be the value of a tag"),
        ("team: \"\"", "`` cannot be the value of a tag"),
        ("team: \" a\"", "` a` cannot be the value of a tag"),
        ("\"a(b)\": c", "`a(b)` cannot be the key of a tag"),
        ("AWS:team: c", "`AWS:team` cannot be the key of a tag"),
        (
            "Application: other",
            "the tag `application` occurs twice, ignoring case",
        ),
        (
            "complical:Environment: test",
            "is the one that names the environment",
        ),
    ] {
        let error = refused("tags:\n", &format!("tags:\n  {tag}\n"));
        assert!(error.contains(":57:") || error.contains(":58:"), "{error}");
        assert!(error.contains(why), "{tag}: {error}");
    }
    let many = (0..49).map(|n| format!("  tag{n}: x\n"));
    let many = many.collect::<Vec<_>>().concat();
    refused_with(
        "tags:\n",
        &format!("tags:\n{many}"),
        "57:1: 50 tags are given, 49 are allowed",
    );
    let words = accepted("tags:\n", "tags:\n  Größe: \"5 + 3 = 8 @ a/b:c_d-e.f\"\n");
    assert_eq!(words.tags.len(), 2);
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

/// `test.yaml` with more text at its end.
fn with(more: &str) -> Result<Environment, stacks::EnvironmentError> {
    let text = std::fs::read_to_string(folder().join("test.yaml")).unwrap();
    let path = folder().join("test.yaml");
    Environment::parse("test", &path, &format!("{text}{more}\n"))
}

#[track_caller]
fn refused_at_the_end(more: &str, expected: &str) {
    let error = with(more).unwrap_err().to_string();
    let error = error.replace(&format!("{}/", folder().display()), "");
    assert!(error.contains(expected), "\n{error}\n{expected}");
}

#[test]
fn a_setting_that_nothing_enforces_is_unknown() {
    refused_at_the_end("otlp: {endpoint: 'https://a.example'}", "unknown key");
}

#[test]
fn production_is_what_the_file_says_and_else_what_the_name_says() {
    let text = std::fs::read_to_string(folder().join("test.yaml")).unwrap();
    for (name, more, expected) in [
        ("test", "", false),
        ("prod", "", true),
        ("production", "", true),
        ("test", "production: true", true),
        ("prod", "production: false", false),
    ] {
        let environment =
            Environment::parse(name, Path::new("a.yaml"), &format!("{text}{more}\n")).unwrap();
        assert_eq!(environment.is_production(), expected, "{name}, {more}");
    }
}
