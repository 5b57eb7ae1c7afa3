//! Options of security, and who may call.

use std::path::Path;

use stacks::Environment;

use super::{folder, refused, refused_at_the_end, with};

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
            "attached: [{apiId: a1}, {apiId: a1, stage: v2, routes: [GET /a]}, {apiId: a1, stage: v3, units: {other: 2}}]",
            "attached: the API `a1` has routes or units twice",
        ),
        (
            "attached: [{apiId: a1, routes: [GET /a], openapi: a.yaml}]",
            "attached: the API `a1`: `routes` conflicts with `openapi`",
        ),
        (
            "attached: [{apiId: a1, routes: [GET /a], units: {GET /b: 2}}]",
            "attached: the API `a1`: `GET /b` has units and is not one of its routes",
        ),
        (
            "attached: [{apiId: a1, routes: ['GET /{a}', 'GET /{b}']}]",
            "attached: the API `a1`: the routes `GET /{a}` and `GET /{b}` match the same calls",
        ),
        (
            "attached: [{apiId: a1, openapi: none.yaml}]",
            "attached: the API `a1`: cannot read `",
        ),
        (
            "attached: [{apiId: a1, routes: [FETCH /a]}]",
            "is not a route",
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
    let streaming = "upstream: {url: 'https://api.example.com', responseTransferMode: stream}";
    refused_at_the_end(
        &format!("gateway: http\n{streaming}"),
        &format!(
            "test.yaml:{line}:11: `upstream.responseTransferMode` has no effect with `gateway: http`"
        ),
    );
    assert!(with(streaming).is_ok());
    assert!(
        with(&format!(
            "gateway: http\n{}",
            streaming.replace("stream}", "buffered}")
        ))
        .is_ok()
    );
    refused_at_the_end(
        "gateway: soap",
        "unknown variant `soap`, expected `rest` or `http`",
    );
}
