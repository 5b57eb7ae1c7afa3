//! What gets too large or too long for AWS.

use std::path::Path;

use stacks::Environment;

use super::{URL, accepted, folder, refused};

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
