//! `attach --check` on live APIs of an embedded AWS: it finds what is missing or wrong, and the
//! operator's role is enough for it.

use std::collections::BTreeSet;

use aws_config::SdkConfig;
use aws_sdk_apigateway::types::{
    AuthorizerType, GatewayResponseType, IntegrationType, Op, PatchOperation,
};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{FunctionCode, Runtime};
use serde_json::Value;
use tests::cloud::Cloud;
use tests::server::Server;
use tests::synthesised::{OWN_API, parsed};

const AUTHORIZER: &str = "CompliCal-API-test-ApiKeyAuthorizerFunction";
const ACCOUNT: &str = "000000000000";

/// A cloud with the authorizer's function, and with the access log whose lines the reconciler reads.
async fn cloud() -> (Cloud, SdkConfig) {
    let cloud = Cloud::start(Server::ministack().await).await;
    let sdk = cloud.sdk().await;
    aws_sdk_lambda::Client::new(&sdk)
        .create_function()
        .function_name(AUTHORIZER)
        .role(format!("arn:aws:iam::{ACCOUNT}:role/any"))
        .runtime(Runtime::Providedal2023)
        .handler("bootstrap")
        .code(
            FunctionCode::builder()
                .zip_file(Blob::new(empty_zip()))
                .build(),
        )
        .send()
        .await
        .unwrap();
    let logs = aws_sdk_cloudwatchlogs::Client::new(&sdk);
    let group = "/aws/apigateway/CompliCal-API-test/access";
    logs.create_log_group()
        .log_group_name(group)
        .send()
        .await
        .unwrap();
    logs.put_subscription_filter()
        .log_group_name(group)
        .filter_name("all")
        .filter_pattern("")
        .destination_arn(format!(
            "arn:aws:lambda:ap-south-1:{ACCOUNT}:function:CompliCal-API-test-Reconciler"
        ))
        .send()
        .await
        .unwrap();
    (cloud, sdk)
}

/// An empty archive: only the record of its end.
fn empty_zip() -> Vec<u8> {
    let mut zip = b"PK\x05\x06".to_vec();
    zip.resize(22, 0);
    zip
}

/// The declarations that `attach` prints for a kind of API.
fn printed(cloud: &Cloud, kind: &str) -> Value {
    let arguments = format!("attach --env test --as cdk --kind {kind} --json");
    let ended = tokio::task::block_in_place(|| cloud.place.run(&arguments));
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    serde_json::from_str(&ended.stdout).unwrap()
}

fn text<'a>(printed: &'a Value, member: &str) -> &'a str {
    printed[member].as_str().unwrap()
}

/// The names of the problems that the check finds.
fn wrong(cloud: &Cloud, kind: &str, api: &str, stage: &str) -> Vec<String> {
    let arguments =
        format!("attach --env test --check --api {api} --stage {stage} --kind {kind} --json");
    let ended = tokio::task::block_in_place(|| cloud.place.run(&arguments));
    let answer: Value = serde_json::from_str(&ended.stdout).unwrap();
    let checks = answer["apis"][0]["checks"].as_array().unwrap().iter();
    let wrong = checks.filter(|check| check["ok"] == false);
    let wrong: Vec<String> = wrong
        .map(|check| check["name"].as_str().unwrap().to_owned())
        .collect();
    let expected = i32::from(!wrong.is_empty());
    assert_eq!(ended.code, Some(expected), "{ended:#?}");
    wrong
}

/// Lets the gateway of an API invoke the authorizer.
async fn permit(sdk: &SdkConfig, api: &str) {
    aws_sdk_lambda::Client::new(sdk)
        .add_permission()
        .function_name(AUTHORIZER)
        .statement_id(api)
        .action("lambda:InvokeFunction")
        .principal("apigateway.amazonaws.com")
        .source_arn(format!(
            "arn:aws:execute-api:ap-south-1:{ACCOUNT}:{api}/authorizers/*"
        ))
        .send()
        .await
        .unwrap();
}

fn replace(path: &str, value: &str) -> PatchOperation {
    let operation = PatchOperation::builder().op(Op::Replace);
    operation.path(path).value(value).build()
}

/// An authorizer of a REST API, by the time that its answers are cached and by its identity source.
async fn authorizer(
    gateway: &aws_sdk_apigateway::Client,
    (api, uri): (&str, &str),
    seconds: i32,
    source: &str,
) -> String {
    let created = gateway
        .create_authorizer()
        .rest_api_id(api)
        .name("metering")
        .r#type(AuthorizerType::Request)
        .authorizer_uri(uri)
        .identity_source(source)
        .authorizer_result_ttl_in_seconds(seconds);
    created.send().await.unwrap().id.unwrap()
}

/// A REST API with one method behind an authorizer whose answers are cached, and the method's resource.
async fn rest_api(sdk: &SdkConfig, printed: &Value) -> (String, String) {
    let gateway = aws_sdk_apigateway::Client::new(sdk);
    let api = gateway.create_rest_api().name("orders");
    let api = api.send().await.unwrap().id.unwrap();
    let resources = gateway.get_resources().rest_api_id(&api);
    let root = resources.send().await.unwrap().items()[0]
        .id
        .clone()
        .unwrap();
    let of = (api.as_str(), text(printed, "authorizerUri"));
    let source = "method.request.header.x-api-key";
    let authorizer = authorizer(&gateway, of, 300, source).await;
    let method = gateway
        .put_method()
        .rest_api_id(&api)
        .resource_id(&root)
        .http_method("GET")
        .authorization_type("CUSTOM")
        .authorizer_id(&authorizer);
    method.send().await.unwrap();
    let integration = gateway
        .put_integration()
        .rest_api_id(&api)
        .resource_id(&root)
        .http_method("GET")
        .r#type(IntegrationType::Mock);
    integration.send().await.unwrap();
    let deployment = gateway
        .create_deployment()
        .rest_api_id(&api)
        .stage_name("v1");
    deployment.send().await.unwrap();
    (api, root)
}

/// Gives the API the declarations that `attach` prints. The embedded AWS returns a patched cache time as
/// text, which no client can read, so this creates another authorizer.
async fn complete_rest(sdk: &SdkConfig, printed: &Value, (api, root): (&str, &str)) {
    let gateway = aws_sdk_apigateway::Client::new(sdk);
    let before = gateway.get_authorizers().rest_api_id(api);
    let before = before.send().await.unwrap().items()[0].id.clone().unwrap();
    let gone = gateway.delete_authorizer().rest_api_id(api);
    gone.authorizer_id(before).send().await.unwrap();
    let of = (api, text(printed, "authorizerUri"));
    let authorizer = authorizer(&gateway, of, 0, "").await;
    let update = gateway
        .update_method()
        .rest_api_id(api)
        .resource_id(root)
        .http_method("GET")
        .patch_operations(replace("/authorizerId", &authorizer));
    update.send().await.unwrap();
    let update = gateway
        .update_stage()
        .rest_api_id(api)
        .stage_name("v1")
        .patch_operations(replace(
            "/accessLogSettings/destinationArn",
            text(printed, "accessLog"),
        ))
        .patch_operations(replace(
            "/accessLogSettings/format",
            text(printed, "accessLogFormat"),
        ));
    update.send().await.unwrap();
    let answer = gateway
        .put_gateway_response()
        .rest_api_id(api)
        .response_type(GatewayResponseType::AccessDenied)
        .status_code("429");
    answer.send().await.unwrap();
    permit(sdk, api).await;
}

/// The actions that the operator's role allows if these APIs are attached.
fn operators_actions() -> BTreeSet<String> {
    let template = stacks::roles(&parsed(OWN_API)).unwrap();
    let template: Value = serde_json::from_str(&template).unwrap();
    let policies = template["Resources"].as_object().unwrap().iter();
    let policies = policies.filter(|(id, _)| id.starts_with("Operate"));
    let statements = policies.flat_map(|(_, policy)| {
        let statements = &policy["Properties"]["PolicyDocument"]["Statement"];
        statements.as_array().cloned().unwrap_or_default()
    });
    let actions = statements.flat_map(|statement| match &statement["Action"] {
        Value::Array(actions) => actions.clone(),
        action => vec![action.clone()],
    });
    actions
        .map(|action| action.as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rest_api_is_checked_piece_by_piece() {
    let (cloud, sdk) = cloud().await;
    let printed = printed(&cloud, "rest");
    assert_eq!(wrong(&cloud, "rest", "nosuchapi0", "v1"), ["API"]);

    let (api, root) = rest_api(&sdk, &printed).await;
    let expected = [
        "cache",
        "identity source",
        "permission",
        "denied calls",
        "access log",
        "access log format",
    ];
    assert_eq!(wrong(&cloud, "rest", &api, "v1"), expected);
    complete_rest(&sdk, &printed, (&api, &root)).await;
    assert_eq!(wrong(&cloud, "rest", &api, "v1"), [""; 0]);
    assert_eq!(wrong(&cloud, "rest", &api, "v2"), ["stage"]);

    the_operator_may_ask_this(&cloud);
}

/// The check asked what the operator's role allows, and its own identity, which everyone may ask for.
#[track_caller]
fn the_operator_may_ask_this(cloud: &Cloud) {
    let mut asked = cloud.asked();
    assert!(asked.remove("sts:GetCallerIdentity"));
    let allowed = operators_actions();
    let further: Vec<_> = asked.difference(&allowed).collect();
    assert!(further.is_empty(), "{further:?} not in {allowed:?}");
    for action in [
        "apigateway:GET",
        "lambda:GetPolicy",
        "logs:DescribeSubscriptionFilters",
    ] {
        assert!(asked.contains(action), "{action}: {asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http_api_is_checked_piece_by_piece() {
    use aws_sdk_apigatewayv2::types::{
        AccessLogSettings, AuthorizationType, AuthorizerType, ProtocolType,
    };
    let (cloud, sdk) = cloud().await;
    let printed = printed(&cloud, "http");
    let gateway = aws_sdk_apigatewayv2::Client::new(&sdk);
    let api = gateway
        .create_api()
        .name("orders")
        .protocol_type(ProtocolType::Http);
    let api = api.send().await.unwrap().api_id.unwrap();
    let authorizer = gateway
        .create_authorizer()
        .api_id(&api)
        .name("metering")
        .authorizer_type(AuthorizerType::Request)
        .authorizer_uri(text(&printed, "authorizerUri"))
        .authorizer_payload_format_version("2.0")
        .identity_source("$request.header.x-api-key")
        .authorizer_result_ttl_in_seconds(60);
    let authorizer = authorizer.send().await.unwrap().authorizer_id.unwrap();
    let open = gateway.create_route().api_id(&api).route_key("GET /open");
    open.send().await.unwrap();
    let metered = gateway
        .create_route()
        .api_id(&api)
        .route_key("GET /orders/{id}")
        .authorization_type(AuthorizationType::Custom)
        .authorizer_id(&authorizer);
    metered.send().await.unwrap();
    let stage = gateway.create_stage().api_id(&api).stage_name("v1");
    stage.send().await.unwrap();
    let expected = [
        "cache",
        "identity source",
        "payload",
        "permission",
        "GET /open",
        "access log",
        "access log format",
    ];
    assert_eq!(wrong(&cloud, "http", &api, "v1"), expected);

    let routes = gateway.get_routes().api_id(&api).send().await.unwrap();
    let open = routes
        .items()
        .iter()
        .find(|route| route.route_key() == Some("GET /open"));
    let update = gateway
        .update_route()
        .api_id(&api)
        .route_id(open.unwrap().route_id().unwrap())
        .authorization_type(AuthorizationType::Custom)
        .authorizer_id(&authorizer);
    update.send().await.unwrap();
    let update = gateway
        .update_authorizer()
        .api_id(&api)
        .authorizer_id(&authorizer)
        .set_identity_source(Some(Vec::new()))
        .authorizer_result_ttl_in_seconds(0)
        .enable_simple_responses(true);
    update.send().await.unwrap();
    let log = AccessLogSettings::builder()
        .destination_arn(text(&printed, "accessLog"))
        .format(text(&printed, "accessLogFormat"))
        .build();
    let update = gateway.update_stage().api_id(&api).stage_name("v1");
    update.access_log_settings(log).send().await.unwrap();
    permit(&sdk, &api).await;
    assert_eq!(wrong(&cloud, "http", &api, "v1"), [""; 0]);
    // An API of one kind does not pass as one of the other.
    assert_eq!(wrong(&cloud, "rest", &api, "v1"), ["API"]);
    the_operator_may_ask_this(&cloud);
}
