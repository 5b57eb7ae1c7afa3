//! The gateway: our own, and those of APIs that exist already.

use serde_json::{Value, json};
use stacks::Environment;
use tests::synthesised::{OWN_API, assembly_of, environment, parsed, resources, secured};

use super::{assemblies, of_type, template};

#[test]
fn the_gateways_role_is_set_once_for_the_account_and_kept() {
    let api = template(&assembly_of(&environment("test")), "-API-");
    let role = &api["Resources"]["ApiGatewayLogsRole"];
    assert_eq!(
        role["Properties"]["RoleName"],
        "complical-gateway-logs-test"
    );
    for resource in [role, &api["Resources"]["ApiGatewayAccount"]] {
        assert_eq!(resource["DeletionPolicy"], "Retain");
    }
    // An account that has a role keeps it.
    let leaving = environment("test").leaving_gateway_account(true);
    let leaving = template(&assembly_of(&leaving), "-API-");
    for id in ["ApiGatewayLogsRole", "ApiGatewayAccount"] {
        assert_eq!(leaving["Resources"][id], Value::Null, "{id}");
    }
    // All other roles get their names from CloudFormation.
    for assembly in assemblies() {
        for (id, role) in of_type(&resources(&assembly), "AWS::IAM::Role") {
            let named = role["Properties"]["RoleName"].is_string();
            assert_eq!(named, id == "ApiGatewayLogsRole", "{id}");
        }
    }
}

#[test]
fn the_access_log_reports_each_call_and_whether_the_authorizer_was_asked() {
    let api = template(&assembly_of(&environment("test")), "-API-");
    let stage = &api["Resources"]["Stage"]["Properties"]["AccessLogSetting"];
    let format = stage["Format"].as_str().unwrap();
    // The gateway accepts lines of 3 KB and cuts longer ones.
    assert!(format.len() < 2_000, "{}", format.len());
    assert!(format.starts_with(r#"{"version":"3","extendedRequestId":"$context."#));
    let members: Value = serde_json::from_str(format).unwrap();
    for (member, variable) in [
        ("authorizerStatus", "$context.authorizer.status"),
        ("authorizerLatency", "$context.authorizer.latency"),
        ("authorizerRequestId", "$context.authorizer.requestId"),
        (
            "authorizerIntegrationStatus",
            "$context.authorizer.integrationStatus",
        ),
        ("authorizerError", "$context.authorizer.error"),
        ("eventId", "$context.authorizer.eventId"),
    ] {
        assert_eq!(members[member], variable, "{member}");
    }
}

#[test]
fn each_of_the_gateways_own_responses_has_problem_details_with_the_same_code() {
    for assembly in assemblies() {
        let answers = of_type(&resources(&assembly), "AWS::ApiGateway::GatewayResponse");
        for (id, answer) in answers {
            let answer = &answer["Properties"];
            let body = |media_type: &str| -> Value {
                let template = answer["ResponseTemplates"][media_type].as_str().unwrap();
                // The only variable that brings its quotes.
                let template = template.replace("$context.error.messageString", "\"no\"");
                serde_json::from_str(&template).unwrap_or_else(|error| panic!("{id}: {error}"))
            };
            let (plain, problem) = (body("application/json"), body("application/problem+json"));
            assert_eq!(problem["error"], plain["error"], "{id}");
            assert_eq!(problem["detail"], plain["message"], "{id}");
            let status = answer["StatusCode"].as_str();
            let status = status.map(|status| status.parse::<u16>().unwrap());
            assert_eq!(problem["status"].as_u64(), status.map(u64::from), "{id}");
            let title = status.and_then(domain::problem::title);
            assert_eq!(problem["title"].as_str(), title, "{id}");
            assert_eq!(title.is_some(), status.is_some(), "{id}");
            // The gateway names the media type of the template that it used.
            let headers = &answer["ResponseParameters"];
            assert_eq!(
                headers["gatewayresponse.header.Content-Type"],
                Value::Null,
                "{id}"
            );
        }
    }
}

#[test]
fn the_authorizer_says_its_mode() {
    let says = |enabled| {
        let environment = environment("test").with_analytics(Some(enabled));
        let api = template(&assembly_of(&environment), "-API-");
        api["Resources"]["ApiKeyAuthorizerFunction"]["Properties"]["Description"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        says(true),
        "Kinesis-enabled authorizer for real-time analytics"
    );
    assert_eq!(
        says(false),
        "Enhanced authorizer with synchronous usage tracking"
    );
}

#[test]
fn the_api_is_deployed_anew_only_when_it_changes() {
    let deployment = |environment: &Environment| {
        let api = template(&assembly_of(environment), "-API-");
        let ids = api["Resources"].as_object().unwrap().keys();
        ids.into_iter()
            .find(|id| id.starts_with("Deployment"))
            .unwrap()
            .clone()
    };
    let before = deployment(&environment("test"));
    assert_eq!(before, deployment(&environment("test")));
    let stream_off = environment("test").with_analytics(Some(false));
    assert_eq!(before, deployment(&stream_off));
    assert_ne!(
        before,
        deployment(&parsed("upstream: https://api.example.com"))
    );
}

#[test]
fn one_key_cannot_use_up_the_account() {
    let api = template(&assembly_of(&environment("test")), "-API-");
    let every = &api["Resources"]["Stage"]["Properties"]["MethodSettings"][0];
    assert_eq!(every["ResourcePath"], "/*");
    assert_eq!(every["HttpMethod"], "*");
    assert_eq!(every["ThrottlingRateLimit"], 5_000.0);
    assert_eq!(every["ThrottlingBurstLimit"], 2_500);
    let throttled = &api["Resources"]["AnswerThrottled"]["Properties"];
    assert_eq!(throttled["StatusCode"], "429");
    let after = "gatewayresponse.header.Retry-After";
    assert_eq!(throttled["ResponseParameters"][after], "'1'");
    let reserved = |template: &Value, id: &str| {
        template["Resources"][id]["Properties"]["ReservedConcurrentExecutions"].clone()
    };
    assert_eq!(reserved(&api, "ApiKeyAuthorizerFunction"), Value::Null);
    let secured = template(&assembly_of(&secured()), "-API-");
    assert_eq!(reserved(&secured, "ApiKeyAuthorizerFunction"), 100);
    assert_eq!(reserved(&secured, "AnalyticsApi"), 10);
    assert_eq!(reserved(&secured, "Reconciler"), 5);
}

#[test]
fn the_api_before_an_upstream() {
    let assembly = assembly_of(&parsed(OWN_API));
    let api = template(&assembly, "-API-");
    let is_gateways = |resource: &Value| {
        let kind = resource["Type"].as_str().unwrap();
        kind.starts_with("AWS::ApiGateway::") && kind != "AWS::ApiGateway::Deployment"
    };
    let resources = api["Resources"].as_object().unwrap().iter();
    let resources = resources.filter(|(id, resource)| is_gateways(resource) && *id != "Stage");
    let resources: serde_json::Map<String, Value> = resources
        .map(|(id, resource)| (id.clone(), resource.clone()))
        .collect();
    insta::assert_snapshot!(
        "CompliCal-API-test-upstream",
        format!("{:#}", Value::Object(resources))
    );
    let variables =
        &api["Resources"]["ApiKeyAuthorizerFunction"]["Properties"]["Environment"]["Variables"];
    assert_eq!(
        variables["ROUTES"],
        "2 GET / 1 POST /users 1 GET /search 10 GET /users/{id} 1"
    );
    assert_eq!(
        variables["ATTACHED_ROUTES"],
        r#"{"f6g7h8i9j0":"1 GET /parcels 5 GET /parcels/{id} 1","k1l2m3n4o5":"0 POST /orders 3"}"#
    );
    assert_eq!(
        variables["RESERVED_HEADERS"],
        "x-user x-plan x-event-id x-usage-secret"
    );
}

#[test]
fn responses_are_streamed_where_the_file_says_so() {
    let line = "upstream: {url: 'https://api.example.com', responseTransferMode: stream}";
    // A streamed response has its line of the access log at its end, up to fifteen minutes later.
    for (line, expected, logging_seconds) in [
        (line, (json!("STREAM"), json!(900_000)), 1_140),
        (
            &line.replace("stream}", "buffered}"),
            (Value::Null, json!(29_000)),
            240,
        ),
    ] {
        let resources = resources(&assembly_of(&parsed(line)));
        let methods = of_type(&resources, "AWS::ApiGateway::Method");
        let integrations = methods
            .iter()
            .map(|(_, method)| &method["Properties"]["Integration"]);
        let found: Vec<_> = integrations
            .filter(|integration| integration["Type"] == "HTTP_PROXY")
            .map(|integration| {
                let of = |name: &str| integration[name].clone();
                (of("ResponseTransferMode"), of("TimeoutInMillis"))
            })
            .collect();
        assert_eq!(found, vec![expected; 4]);
        let (_, idle) = resources
            .iter()
            .find(|(id, _)| id == "AccessLogIdle")
            .unwrap();
        let metrics = idle["Properties"]["Metrics"].as_array();
        let periods = metrics.unwrap().iter().filter_map(|metric| {
            let period = metric.get("MetricStat")?.get("Period");
            period.and_then(Value::as_u64)
        });
        assert_eq!(periods.collect::<Vec<_>>(), [logging_seconds; 2]);
    }
}

/// The resources of the gateway in a template, for a snapshot.
fn of_http_api(line: &str) -> String {
    let api = template(&assembly_of(&parsed(line)), "-API-");
    let resources = api["Resources"].as_object().unwrap().iter();
    let of_gateway = |resource: &Value| {
        let kind = resource["Type"].as_str().unwrap();
        assert!(!kind.starts_with("AWS::ApiGateway::"), "{kind}");
        kind.starts_with("AWS::ApiGatewayV2::") || kind == "AWS::Lambda::Permission"
    };
    let resources: serde_json::Map<String, Value> = resources
        .filter(|(_, resource)| of_gateway(resource))
        .map(|(id, resource)| (id.clone(), resource.clone()))
        .collect();
    format!("{:#}", Value::Object(resources))
}

#[test]
fn an_http_api_before_the_sample_and_before_an_upstream() {
    insta::assert_snapshot!("CompliCal-API-test-http", of_http_api("gateway: http"));
    let upstream = format!("{OWN_API}\ngateway: http");
    insta::assert_snapshot!("CompliCal-API-test-http-upstream", of_http_api(&upstream));
}

/// A cached answer is an uncounted call, and so is a call that the gateway refuses by itself.
#[test]
fn an_http_apis_authorizer_is_asked_every_time() {
    let resources = resources(&assembly_of(&parsed("gateway: http")));
    let [(_, authorizer)] = &of_type(&resources, "AWS::ApiGatewayV2::Authorizer")[..] else {
        panic!("one authorizer");
    };
    let set = &authorizer["Properties"];
    assert_eq!(set["AuthorizerResultTtlInSeconds"], 0);
    assert_eq!(set["AuthorizerPayloadFormatVersion"], "2.0");
    assert_eq!(set["EnableSimpleResponses"], true);
    assert!(set.get("IdentitySource").is_none());
}

/// A part of another kind under the same logical id would make CloudFormation refuse the change.
#[test]
fn a_change_of_the_gateway_changes_the_type_of_no_resource() {
    let types = |line: &str| {
        let resources = resources(&assembly_of(&parsed(&format!("{OWN_API}\n{line}"))));
        let types = resources.into_iter();
        types
            .map(|(id, resource)| (id, resource["Type"].as_str().unwrap().to_owned()))
            .collect::<std::collections::BTreeMap<_, _>>()
    };
    let (rest, http) = (types("gateway: rest"), types("gateway: http"));
    for (id, kind) in &http {
        assert!(rest.get(id).is_none_or(|of_rest| of_rest == kind), "{id}");
    }
    let account = |of: &std::collections::BTreeMap<String, String>| {
        of.values().any(|kind| kind == "AWS::ApiGateway::Account")
    };
    assert!(
        account(&rest) && !account(&http),
        "HTTP APIs log without the account's role"
    );
}

#[test]
fn the_gateways_of_apis_that_exist_may_ask_the_authorizer() {
    let api = template(&assembly_of(&parsed(OWN_API)), "-API-");
    for id in ["a1b2c3d4e5", "f6g7h8i9j0"] {
        let permission = &api["Resources"][format!("Attached{id}Permission")]["Properties"];
        assert_eq!(permission["Action"], "lambda:InvokeFunction");
        assert_eq!(permission["Principal"], "apigateway.amazonaws.com");
        let source = format!(
            "arn:${{AWS::Partition}}:execute-api:${{AWS::Region}}:${{AWS::AccountId}}:{id}/authorizers/*"
        );
        assert_eq!(permission["SourceArn"]["Fn::Sub"], source);
    }
}

#[test]
fn what_attach_prints_for_an_http_api() {
    use stacks::attach::Language;
    let http = |language| tests::synthesised::snippet(domain::gateway::Gateway::Http, language);
    insta::assert_snapshot!("attach-http-cdk", http(Language::Cdk));
    insta::assert_snapshot!("attach-http-sam", http(Language::Sam));
    insta::assert_snapshot!("attach-http-cloudformation", http(Language::CloudFormation));
    insta::assert_snapshot!("attach-http-terraform", http(Language::Terraform));
    insta::assert_snapshot!("attach-http-openapi", http(Language::OpenApi));
}

#[test]
fn what_attach_prints_for_a_rest_api() {
    use stacks::attach::Language;
    let rest = |language| tests::synthesised::snippet(domain::gateway::Gateway::Rest, language);
    insta::assert_snapshot!("attach-rest-cdk", rest(Language::Cdk));
    insta::assert_snapshot!("attach-rest-sam", rest(Language::Sam));
    insta::assert_snapshot!("attach-rest-cloudformation", rest(Language::CloudFormation));
    insta::assert_snapshot!("attach-rest-terraform", rest(Language::Terraform));
    insta::assert_snapshot!("attach-rest-openapi", rest(Language::OpenApi));
    insta::assert_snapshot!("attach-rest-rust", rest(Language::Rust));
}

#[test]
fn the_secret_of_an_upstream_is_named_and_never_held() {
    let assembly = assembly_of(&parsed(OWN_API));
    let api = template(&assembly, "-API-");
    for method in ["Upstream", "UpstreamRoot"] {
        let integration = &api["Resources"][method]["Properties"]["Integration"];
        assert_eq!(
            integration["RequestParameters"]["integration.request.header.x-usage-secret"],
            "'{{resolve:secretsmanager:example/upstream:SecretString:token}}'"
        );
    }
}

#[test]
fn routes_that_do_not_fit_a_functions_variables_are_refused_with_what_was_measured() {
    use std::fmt::Write as _;
    let mut text = "upstream:\n  url: https://api.example.com\n  routes:\n".to_owned();
    for number in 0..400_u32 {
        let noise = number.wrapping_mul(2_654_435_761);
        let _ = writeln!(
            text,
            "    - GET /{noise:x}/{{id}}/{:x}",
            noise.rotate_left(13)
        );
    }
    let path = tests::synthesised::root().join("stacks/environments/test.yaml");
    let file = std::fs::read_to_string(&path).unwrap();
    let error = Environment::parse("test", &path, &format!("{file}{text}")).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("`ROUTES` takes "), "{error}");
    assert!(error.contains("4096 are allowed"), "{error}");
}

#[test]
fn the_callers_key_does_not_reach_the_upstream() {
    let api = template(
        &assembly_of(&parsed("upstream: https://api.example.com")),
        "-API-",
    );
    let integration = &api["Resources"]["Upstream"]["Properties"]["Integration"];
    assert_eq!(integration["Type"], "HTTP_PROXY");
    assert_eq!(integration["Uri"], "https://api.example.com/{proxy}");
    let parameters = &integration["RequestParameters"];
    assert_eq!(
        parameters["integration.request.header.x-api-key"],
        "'withheld'"
    );
}
