//! The environment file: what is refused, at which position, with which message.

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
fn a_page_whose_sign_in_could_not_work_is_refused() {
    const AT: &str = "https://login.example.com";
    let sign_in = |client: &str, authorize: &str, token: &str| {
        format!(
            "  signIn:\n    clientId: {client}\n    authorizationEndpoint: {authorize}\n    tokenEndpoint: {token}\n\nlogs:"
        )
    };
    let page = "complical-analytics";
    let accepted = accepted("\nlogs:", &sign_in(page, AT, AT)).auth.sign_in;
    let client = domain::sign_in::SignIn::from(&accepted.unwrap());
    assert_eq!(
        (client.client_id.as_str(), client.scope.as_str()),
        (page, "openid email")
    );
    let refused = |client, authorize, token, why| {
        refused_with("\nlogs:", &sign_in(client, authorize, token), why);
    };
    refused(
        "other",
        AT,
        AT,
        "54:15: auth.signIn.clientId: is not the `audience`",
    );
    refused(
        page,
        "http://login.example.com",
        AT,
        "55:28: auth.signIn.authorizationEndpoint: `http://login.example.com` is not `https`",
    );
    refused(
        page,
        AT,
        "http://127.0.0.1:9/token",
        "53:3: `auth.signIn` is on this machine, which AWS cannot reach",
    );
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

const URL: &str = "  jwksUrl: https://auth.test.example.com/.well-known/jwks.json\n";
const EC: &str = "kty: EC, crv: P-256, alg: ES256, x: AAAA, y: AAAA";

#[test]
fn key_sets_that_verify_no_token_are_refused() {
    for (keys, why) in [
        (String::new(), "there are no keys"),
        (
            format!("{{{EC}, d: AAAA, kid: a}}"),
            "key 1: `d` belongs to a private or shared key",
        ),
        (
            "{kty: oct, k: AAAA, kid: a}".to_owned(),
            "key 1: `k` belongs to a private or shared key",
        ),
        (
            "{kty: OKP, crv: Ed25519, x: AAAA, kid: a}".to_owned(),
            "key 1: `kty` must be `RSA` or `EC`",
        ),
        (
            "{kty: EC, crv: P-384, x: A, y: A, kid: a}".to_owned(),
            "key 1: `crv` must be `P-256`",
        ),
        (
            "{kty: RSA, n: AAAA, kid: a}".to_owned(),
            "key 1: `e` is missing or not base64url",
        ),
        (
            "{kty: RSA, n: 'A+A=', e: AQAB, kid: a}".to_owned(),
            "key 1: `n` is missing or not base64url",
        ),
        (
            "{kty: RSA, n: AAAA, e: AQAB, alg: RS512, kid: a}".to_owned(),
            "key 1: `alg` must be `RS256`",
        ),
        (
            format!("{{{EC}, use: enc, kid: a}}"),
            "key 1: `use` must be `sig`",
        ),
        (format!("{{{EC}, kid: 7}}"), "key 1: `kid` is not a string"),
        (
            format!("{{{EC}, kid: a}}, {{{EC}}}"),
            "key 2: `kid` is missing, and another key is `EC` too",
        ),
        (
            format!("{{{EC}, kid: a}}, {{{EC}, kid: a}}"),
            "key 2: another `EC` key has the `kid` `a` too",
        ),
    ] {
        let error = refused(URL, &format!("  jwks: {{keys: [{keys}]}}\n"));
        let start = "stacks/environments/test.yaml:52:9: auth.jwks: ";
        assert!(error.starts_with(start), "{error}");
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn a_key_needs_no_name_where_no_other_is_of_its_type() {
    let rsa = "{kty: RSA, n: AAAA, e: AQAB}";
    let environment = accepted(URL, &format!("  jwks: {{keys: [{{{EC}}}, {rsa}]}}\n"));
    assert_eq!(environment.auth.jwks.unwrap().keys.len(), 2);
}

#[test]
fn an_issuer_or_audience_of_nothing_is_refused() {
    refused_with(
        "issuer: https://auth.test.example.com",
        "issuer: \"\"",
        "50:11: auth.issuer: an empty text is given",
    );
    refused_with(
        "audience: complical-analytics",
        "audience: \"  \"",
        "51:13: auth.audience: an empty text is given",
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
fn what_nothing_would_enforce_is_refused_in_local() {
    let text = std::fs::read_to_string(folder().join("local.yaml")).unwrap();
    for (given, setting) in [
        ("tracing: true", "tracing"),
        ("waf: {callsPerFiveMinutes: 100}", "waf"),
        ("tlsPolicy: TLS_1_2", "tlsPolicy"),
    ] {
        let text = format!("{text}{given}\n");
        let error = Environment::parse("local", Path::new("local.yaml"), &text).unwrap_err();
        let expected = format!("`{setting}` has no effect in `local`");
        assert!(error.to_string().contains(&expected), "{error}");
    }
}

#[test]
fn options_of_security_that_cannot_work_are_refused() {
    for (given, expected) in [
        (
            "encryption: {key: alias/mine}",
            "`alias/mine` is not the ARN of a KMS key",
        ),
        (
            "encryption: {key: \"arn:aws:kms:eu-west-1:123456789012:key/a\"}",
            "the key is in region `eu-west-1`, the environment in `ap-south-1`",
        ),
        ("tlsPolicy: TLS_1_0", "`TLS_1_0` is not a security policy"),
        ("waf: {callsPerFiveMinutes: 9}", "`9` is out of range"),
        ("concurrency: {reconciler: 2}", "`2` is out of range"),
        ("logs: {level: warn}", "unknown variant `warn`"),
        (
            "throttle: {ratePerSecond: 900}",
            "plan `enterprise` promises 1000 calls a second, and the gateway accepts 900",
        ),
    ] {
        let (given, instead) = if given.starts_with("logs") {
            ("logs:\n  retentionDays: 14", given.to_owned())
        } else {
            ("logs:", format!("{given}\nlogs:"))
        };
        let error = refused(given, &instead);
        assert!(error.contains(expected), "{error}");
        assert!(
            error.starts_with("stacks/environments/test.yaml:5"),
            "{error}"
        );
    }
}

#[test]
fn no_key_encrypts_in_china() {
    let text = std::fs::read_to_string(folder().join("test.yaml")).unwrap();
    let text = text.replace("ap-south-1", "cn-north-1");
    let key = "encryption: {key: \"arn:aws-cn:kms:cn-north-1:123456789012:key/a\"}";
    let text = text.replacen("logs:", &format!("{key}\nlogs:"), 1);
    let error = Environment::parse("test", Path::new("test.yaml"), &text).unwrap_err();
    let expected = "test.yaml:54:13: `encryption` is not supported in `cn-north-1`";
    assert!(error.to_string().starts_with(expected), "{error}");
}

#[test]
fn names_that_get_too_long_are_refused_before_anything_is_built() {
    let prefix = "a".repeat(20);
    let text = std::fs::read_to_string(folder().join("test.yaml")).unwrap();
    let text = text.replacen("region:", &format!("stackPrefix: {prefix}\nregion:"), 1);
    let path = Path::new("a-long-long-name.yaml");
    let error = Environment::parse("a-long-long-name", path, &text).unwrap_err();
    let error = error.to_string();
    assert!(
        error.starts_with("a-long-long-name.yaml:4:14: stack `"),
        "{error}"
    );
    assert!(error.contains("has 66 characters"), "{error}");
}

#[test]
fn a_prefix_that_is_awss_own_is_refused() {
    for given in ["stackPrefix: AWS", "resourcePrefix: aws"] {
        let error = refused("region: ap-south-1", given);
        assert!(error.contains("and not `aws`"), "{error}");
    }
}

/// Lambda's limits for the stack's functions, with the measured sizes.
#[test]
fn plans_and_key_sets_larger_than_a_functions_variables_are_refused() {
    let plans = (0..60)
        .map(|n| format!("  plan-{n}: {{ratePerSecond: 10, burst: 20, monthlyQuota: 100000}}\n"));
    let plans = plans.collect::<Vec<_>>().concat();
    let error = refused("plans:\n", &format!("plans:\n{plans}"));
    assert!(
        error.starts_with("stacks/environments/test.yaml:30:1: stack `CompliCal-Data-test`"),
        "{error}"
    );
    assert!(
        error.contains("bytes as Lambda measures them, 4096 are allowed; `PLANS` takes"),
        "{error}"
    );
    let key = format!("{{kty: RSA, n: {}, e: AQAB, kid: K}}", "A".repeat(342));
    let keys: Vec<String> = (0..10)
        .map(|n| key.replace('K', &format!("k{n}")))
        .collect();
    let error = refused(URL, &format!("  jwks: {{keys: [{}]}}\n", keys.join(", ")));
    assert!(
        error.starts_with("stacks/environments/test.yaml:52:9: stack `CompliCal-API-test`"),
        "{error}"
    );
    assert!(error.contains("`AUTH_JWKS` takes"), "{error}");
    accepted(
        URL,
        &format!("  jwks: {{keys: [{}]}}\n", keys[..4].join(", ")),
    );
}

/// Settings that have no bound of their own, each where it stands.
#[test]
fn a_variable_that_takes_too_much_is_reported_at_its_setting() {
    const HOST: &str = "https://a.example.com";
    let long = "a".repeat(5_000);
    let webhooks =
        (0..40).map(|n| format!("  - {{name: w{n}, url: '{HOST}/{n}/{}'}}\n", "b".repeat(90)));
    let webhooks = webhooks.collect::<Vec<_>>().concat();
    let sign_in = format!(
        "  signIn:\n    clientId: complical-analytics\n    authorizationEndpoint: {HOST}\n    tokenEndpoint: {HOST}/{long}\n"
    );
    for (given, instead, place, variable) in [
        (
            "\nlogs:",
            format!("\nwebhooks:\n{webhooks}logs:"),
            "54:1",
            "WEBHOOKS",
        ),
        (
            "\nlogs:",
            format!("{sign_in}\nlogs:"),
            "53:3",
            "AUTH_SIGN_IN",
        ),
        (
            URL,
            format!("  jwksUrl: {HOST}/{long}\n"),
            "52:12",
            "AUTH_JWKS_URL",
        ),
        (
            "  issuer: https://auth.test.example.com\n",
            format!("  issuer: {HOST}/{long}\n"),
            "50:11",
            "AUTH_ISSUER",
        ),
        (
            "  audience: complical-analytics\n",
            format!("  audience: {long}\n"),
            "51:13",
            "AUTH_AUDIENCE",
        ),
    ] {
        let error = refused(given, &instead);
        let expected = format!("stacks/environments/test.yaml:{place}: stack");
        assert!(error.starts_with(&expected), "{variable}: {error}");
        assert!(error.contains(&format!("`{variable}` takes")), "{error}");
    }
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
fn an_upstream_is_an_address_or_an_address_with_routes() {
    let plain = with("upstream: https://api.example.com").unwrap();
    let upstream = plain.upstream.unwrap();
    assert_eq!(upstream.url.as_str(), "https://api.example.com");
    assert_eq!(
        upstream.reserved_headers(),
        ["x-usage-user", "x-usage-plan", "x-usage-event-id"]
    );
    assert!(!upstream.pass_key);
    let full = with("upstream:\n  url: https://api.example.com\n  routes: [GET /a, 'GET /{id}']");
    let upstream = full.unwrap().upstream.unwrap();
    let routes: Vec<String> = upstream.routes.iter().map(ToString::to_string).collect();
    assert_eq!(routes, ["GET /a", "GET /{id}"]);
    assert_eq!(upstream.examples, ["/a"]);
}

#[test]
fn the_routes_are_read_from_an_openapi_document_beside_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(self::folder().join("test.yaml")).unwrap();
    let more = "upstream:\n  url: https://api.example.com\n  openapi: api.yaml\n";
    let file = folder.path().join("test.yaml");
    std::fs::write(&file, format!("{text}{more}")).unwrap();
    let error = Environment::load(&file).unwrap_err().to_string();
    assert!(
        error.contains(":61:12: upstream.openapi: cannot read `"),
        "{error}"
    );
    let document = "openapi: 3.1.0\npaths: {'/users/{id}': {get: {}, delete: {}}}\n";
    std::fs::write(folder.path().join("api.yaml"), document).unwrap();
    let upstream = Environment::load(&file).unwrap().upstream.unwrap();
    let routes: Vec<String> = upstream.routes.iter().map(ToString::to_string).collect();
    assert_eq!(routes, ["DELETE /users/{id}", "GET /users/{id}"]);
}

#[test]
fn the_sample_document_has_routes_and_calls() {
    let more = "upstream: {url: 'https://shop.example', openapi: ../examples/shop/openapi.yaml}";
    let upstream = with(more).unwrap().upstream.unwrap();
    let routes: Vec<String> = upstream.routes.iter().map(ToString::to_string).collect();
    assert_eq!(
        routes,
        [
            "GET /health",
            "GET /items",
            "POST /items",
            "DELETE /items/{id}",
            "GET /items/{id}",
            "GET /search"
        ]
    );
    assert_eq!(
        upstream.examples,
        ["/health", "/items", "/items/1", "/search?q=tea"]
    );
}

#[test]
fn an_upstream_that_cannot_be_is_refused() {
    for (more, expected) in [
        (
            "upstream: api.example.com",
            "upstream: `api.example.com` is not an address",
        ),
        ("upstream: https://a.example/x?y=1", "holds a query"),
        (
            "upstream:\n  url: https://a.example\n  routes: [GET users]",
            "`GET users` is not a route: the template begins with `/`",
        ),
        (
            "upstream:\n  url: https://a.example\n  routes: ['GET /{a}', 'GET /{b}']",
            "upstream.routes: the routes `GET /{a}` and `GET /{b}` match the same calls",
        ),
        (
            "upstream:\n  url: https://a.example\n  routes: []\n  openapi: a.yaml",
            "upstream.routes: conflicts with `openapi`; give one of them",
        ),
        (
            "upstream:\n  url: https://a.example\n  identity: {user: authorization}",
            "`authorization` cannot be a header of the gateway's",
        ),
        (
            "upstream:\n  url: https://a.example\n  identity: {user: x-a, plan: x-a}",
            "two members name the header `x-a`",
        ),
        (
            "upstream:\n  url: https://a.example\n  secret: {secretsManager: 'arn:aws:x'}",
            "the name, not its ARN",
        ),
        (
            "upstream:\n  url: https://a.example\n  paths: []",
            "unknown key `paths`",
        ),
    ] {
        refused_at_the_end(more, expected);
    }
}

#[test]
fn units_are_given_for_routes_that_are_there() {
    let upstream = "upstream: {url: 'https://a.example', routes: [GET /search, GET /]}";
    let environment = with(&format!("{upstream}\nunits: {{GET /search: 10, other: 0}}")).unwrap();
    let units: Vec<u32> = environment
        .routes()
        .iter()
        .map(|route| environment.units_of(Some(route)))
        .collect();
    assert_eq!(units, [10, 1]);
    assert_eq!(environment.units_of(None), 0);
    assert!(with("units: {GET /v1/deadlines: 3}").is_ok(), "the sample");
    for (units, expected) in [
        (
            "{GET /find: 3}",
            "units: `GET /find` is not a route of this API",
        ),
        ("{/search: 3}", "`/search` is not a route"),
        (
            "{GET /search: 1.5}",
            "expected a whole number from 0 to 1000000",
        ),
        ("{GET /search: -1}", "`-1` is out of range"),
    ] {
        refused_at_the_end(&format!("{upstream}\nunits: {units}"), expected);
    }
}

#[test]
fn meters_are_declared_by_name_and_are_few() {
    let meters = "meters:\n  tokens: {countsToQuota: true}\n  rows: {}\n  gpu_ms:";
    let meters = with(meters).unwrap().meters;
    let counted: Vec<_> = meters
        .iter()
        .map(|(name, meter)| (name.as_str(), meter.counts_to_quota))
        .collect();
    assert_eq!(
        counted,
        [("gpu_ms", false), ("rows", false), ("tokens", true)]
    );
    let eleven = (0..11).map(|number| format!("\n  m{number}: {{}}"));
    let eleven = eleven.collect::<Vec<_>>().concat();
    for (more, expected) in [
        ("meters:\n  2d: {}".to_owned(), "`2d` cannot name a meter"),
        (
            "meters:\n  tokens: {unit: token}".to_owned(),
            "unknown key `unit`, expected `countsToQuota`",
        ),
        (
            "meters:\n  tokens: {countsToQuota: 2}".to_owned(),
            "invalid type: integer `2`, expected a boolean",
        ),
        (
            format!("meters:{eleven}"),
            "`m10` is one meter too many: expected at most 10",
        ),
        ("meters: [tokens]".to_owned(), "expected meters by name"),
        (
            "concurrency: {collector: 2}".to_owned(),
            "the collector needs `meters`",
        ),
    ] {
        refused_at_the_end(&more, expected);
    }
}

/// An amount is known only after its call was let through.
#[test]
fn no_hard_quota_counts_amounts() {
    let parse = |limits: &str, meter: &str| {
        let text = std::fs::read_to_string(folder().join("test.yaml")).unwrap();
        let text = text.replacen("limitMode: soft", limits, 1);
        let text = format!("{text}meters:\n  tokens: {meter}\n");
        Environment::parse("test", Path::new("test.yaml"), &text)
    };
    let counts = "{countsToQuota: true}";
    let error = parse("limitMode: hard", counts).unwrap_err().to_string();
    let expected = "meters: `tokens` counts to the quota, and the quota of plan `free` is hard";
    assert!(error.contains(expected), "{error}");
    let lines = std::fs::read_to_string(folder().join("test.yaml")).unwrap();
    let line = lines.lines().count() + 1;
    assert!(
        error.starts_with(&format!("test.yaml:{line}:1: ")),
        "{error}"
    );
    assert!(parse("limitMode: hard", "{}").is_ok());
    assert!(parse("limitMode: soft", counts).is_ok());
}

#[test]
fn pages_that_may_call_are_listed_or_all() {
    use stacks::environment::Origins;
    let cors = with("cors: {origins: ['*']}").unwrap().cors.unwrap();
    assert_eq!(cors.origins, Origins::Any);
    assert_eq!(cors.headers, ["x-api-key", "content-type"]);
    assert_eq!(
        cors.methods,
        ["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"]
    );
    for (more, expected) in [
        ("cors: {origins: []}", "cors.origins: no page may call"),
        (
            "cors: {origins: ['*', 'https://a.example']}",
            "cors.origins: `*` includes all others",
        ),
        (
            "cors: {origins: ['*'], credentials: true}",
            "cors.credentials: browsers send none",
        ),
        (
            "cors: {origins: ['https://a.example/']}",
            "`https://a.example/` is not the origin of a page",
        ),
        (
            "cors: {origins: ['https://a.example'], methods: [TRACE]}",
            "`TRACE` is not a method that pages may use",
        ),
        (
            "cors: {origins: ['https://a.example'], headers: [X-Trace]}",
            "`X-Trace` is not a header's name",
        ),
    ] {
        refused_at_the_end(more, expected);
    }
}

#[test]
fn attached_apis_are_of_one_kind_and_named_once() {
    use stacks::environment::ApiKind;
    let attached = "attached: [{apiId: a1, stage: $default, kind: http}, {apiId: a1, stage: v2, kind: http}, {apiId: b2}]";
    let attached = with(attached).unwrap().attached;
    let kinds: Vec<ApiKind> = attached.iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [ApiKind::Http, ApiKind::Http, ApiKind::Rest]);
    let stages = attached.iter().map(|one| {
        one.stage
            .as_ref()
            .map(stacks::environment::StageName::as_str)
    });
    assert_eq!(
        stages.collect::<Vec<_>>(),
        [Some("$default"), Some("v2"), None]
    );
    for (more, expected) in [
        (
            "attached: [{apiId: a1, kind: http}, {apiId: a1}]",
            "the API `a1` is of two kinds",
        ),
        (
            "attached: [{apiId: a1, stage: v1}, {apiId: a1, stage: v1}]",
            "the API `a1` is listed twice",
        ),
        (
            "attached: [{apiId: a1, stage: v.1}]",
            "`v.1` is not a stage",
        ),
        ("attached: [{apiId: a1, kind: websocket}]", "unknown"),
        ("attached: [{apiId: A1}]", "`A1` is not the id of an API"),
    ] {
        refused_at_the_end(more, expected);
    }
}

#[test]
fn no_more_apis_are_attached_than_the_authorizers_policy_holds() {
    let attached = |count: usize| {
        let apis = (0..count).map(|n| format!("{{apiId: a{n}}}, {{apiId: a{n}, stage: v1}}"));
        format!("attached: [{}]", apis.collect::<Vec<_>>().join(", "))
    };
    assert_eq!(with(&attached(40)).unwrap().attached.len(), 80);
    refused_at_the_end(
        &attached(41),
        "test.yaml:59:11: attached: 41 APIs are given, 40 are allowed: each takes a statement",
    );
}

/// At most half of what AWS accepts in each region: this API leaves room for others.
#[test]
fn the_gateway_takes_half_of_its_regions_quota_unless_the_file_says_otherwise() {
    let throttle = |region: &str, more: &str| {
        let environment = accepted("region: ap-south-1", &format!("region: {region}{more}"));
        environment.throttle.within(&environment.region)
    };
    for region in ["ap-south-1", "us-east-1", "cn-north-1"] {
        assert_eq!(throttle(region, ""), (5_000, 2_500), "{region}");
    }
    for region in ["ap-south-2", "af-south-1", "mx-central-1"] {
        assert_eq!(throttle(region, ""), (1_250, 625), "{region}");
    }
    let given = "\nthrottle: {ratePerSecond: 2000}";
    assert_eq!(throttle("ap-south-2", given), (2_000, 625));
    // A plan that half of the quota does not serve.
    let text = std::fs::read_to_string(folder().join("test.yaml")).unwrap();
    let text = text.replace("ap-south-1", "ap-south-2");
    let text = text.replace("ratePerSecond: 1000", "ratePerSecond: 1300");
    let error = Environment::parse("test", Path::new("test.yaml"), &text).unwrap_err();
    let expected = "test.yaml:30:1: plan `enterprise` promises 1300 calls a second, and the gateway accepts 1250";
    assert!(error.to_string().starts_with(expected), "{error}");
}

#[test]
fn a_setting_that_nothing_enforces_is_unknown() {
    refused_at_the_end("gateway: http", "unknown key");
}

const UPSTREAM: &str = "upstream: {url: 'https://a.example', routes: ['GET /users/{id}']}\n";

#[test]
fn dimensions_have_a_name_and_a_source_each() {
    let environment = with(&format!(
        "{UPSTREAM}dimensions:\n  - {{name: account, path: id}}\n  - {{name: region, query: r, values: 5}}\n  \
         - name: tenant\n    header: x-tenant\n    values: 50"
    ));
    let dimensions = environment.unwrap().dimensions;
    let names: Vec<String> = dimensions.iter().map(|of| of.name.to_string()).collect();
    assert_eq!(names, ["account", "region", "tenant"]);
    // The templates of an attached API are its own.
    let attached = "attached: [{apiId: abc}]\ndimensions: [{name: account, path: id}]";
    assert!(with(attached).is_ok());
}

#[test]
fn a_dimension_that_no_call_could_have_or_that_would_store_a_secret_is_refused_where_it_stands() {
    for (dimensions, expected) in [
        (
            "{name: a, path: id, query: b}",
            "`a` needs exactly one of `path`, `query` and `header`",
        ),
        ("{name: a}", "`a` needs exactly one of"),
        ("{name: a, cookie: b}", "unknown key `cookie`"),
        ("{name: 1a, path: id}", "`1a` cannot name a dimension"),
        (
            "{name: status, path: id}",
            "`status` cannot name a dimension",
        ),
        ("{name: other, path: id}", "`other` cannot name a dimension"),
        ("{name: a b, path: id}", "`a b` cannot name a dimension"),
        (
            "{name: a, path: id}, {name: a, query: b}",
            "dimensions: `a` occurs twice",
        ),
        (
            "{name: a, query: c}, {name: b, query: c}",
            "`a` and `b` have the same source",
        ),
        (
            "{name: a, query: a}, {name: b, query: b}, {name: c, query: c}, {name: d, query: d}",
            "dimensions: 4 are declared, expected at most 3",
        ),
        (
            "{name: a, path: name}",
            "`a` is the variable `name` of a route, and no route has it",
        ),
        (
            "{name: a, path: '{id}'}",
            "`{id}` is not a variable of a route: give `id`",
        ),
        (
            "{name: a, header: authorization}",
            "`authorization` carries a credential",
        ),
        (
            "{name: a, header: x-api-key}",
            "`x-api-key` carries a credential",
        ),
        ("{name: a, header: cookie}", "`cookie` carries a credential"),
        ("{name: a, header: X-Tenant}", "1 to 64 lower-case letters"),
        (
            "{name: a, header: x-usage-user}",
            "`x-usage-user`, which the gateway sets",
        ),
        (
            "{name: a, query: Access_Token}",
            "`Access_Token` carries a credential",
        ),
        ("{name: a, query: 'a b'}", "`a b` is not a parameter's name"),
        (
            "{name: a, query: a, values: 0}",
            "is out of range: expected 1 to 50",
        ),
        (
            "{name: a, query: a, values: 51}",
            "is out of range: expected 1 to 50",
        ),
    ] {
        let more = format!("{UPSTREAM}dimensions: [{dimensions}]");
        refused_at_the_end(&more, expected);
        let error = with(&more).unwrap_err().to_string();
        let text = std::fs::read_to_string(folder().join("test.yaml")).unwrap();
        let line = text.lines().count() + 2;
        assert!(error.contains(&format!("test.yaml:{line}:")), "{error}");
    }
    let sample = "dimensions: [{name: a, path: id}]";
    refused_at_the_end(sample, "no route has it");
}

#[test]
fn an_http_api_refuses_what_only_a_rest_api_keeps() {
    use stacks::environment::ApiKind;
    assert_eq!(with("").unwrap().gateway, ApiKind::Rest);
    assert_eq!(with("gateway: http").unwrap().gateway, ApiKind::Http);
    let lines = std::fs::read_to_string(folder().join("test.yaml")).unwrap();
    let line = lines.lines().count() + 2;
    for (setting, value) in [
        ("waf", "{callsPerFiveMinutes: 100}"),
        ("tlsPolicy", "SecurityPolicy_TLS13_1_3_2025_09"),
    ] {
        let more = format!("gateway: http\n{setting}: {value}");
        let column = setting.len() + 3;
        let place =
            format!("test.yaml:{line}:{column}: `{setting}` has no effect with `gateway: http`");
        refused_at_the_end(&more, &place);
        assert!(with(&more.replace("http", "rest")).is_ok());
    }
    refused_at_the_end(
        "gateway: soap",
        "unknown variant `soap`, expected `rest` or `http`",
    );
}
