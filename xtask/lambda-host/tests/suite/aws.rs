//! A stand-in for the local AWS with just what the host requests.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Cursor, Write as _},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Response, StatusCode, header::CONTENT_TYPE},
    response::IntoResponse as _,
    routing::{get, post, put},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::example;

/// The stack's properties that a test sets.
#[derive(Default)]
pub(crate) struct Deployed {
    /// Properties of the Kinesis mapping, beside its source and function.
    pub(crate) mapping: Value,
    pub(crate) access_log_format: String,
    pub(crate) gateway_responses: Vec<Value>,
    /// Resources of the API, beside `/v1/x`.
    pub(crate) resources: Vec<Value>,
    /// The URI of the integrations whose responses are streamed.
    pub(crate) streamed: String,
    /// An HTTP API with the stage `http`, if a test wants one: its integrations by id, its routes
    /// beside `GET /v1/x`, and its configuration.
    pub(crate) http: Option<Http>,
    /// Records of the one shard.
    pub(crate) records: Vec<Value>,
    /// The events and messages that it accepted.
    pub(crate) log_lines: BTreeMap<String, Vec<String>>,
    /// Groups that were deleted with their stack.
    pub(crate) deleted_groups: BTreeSet<String>,
    pub(crate) made_groups: Vec<String>,
    pub(crate) metrics: Vec<Value>,
    pub(crate) messages: Vec<Value>,
    pub(crate) updates: Vec<Value>,
}

/// An HTTP API.
#[derive(Clone, Default)]
pub(crate) struct Http {
    pub(crate) integrations: Vec<Value>,
    pub(crate) routes: Vec<Value>,
    pub(crate) cors: Value,
    pub(crate) access_log_format: String,
}

/// A stand-in for the local AWS.
#[derive(Clone)]
pub(crate) struct Aws {
    pub(crate) address: SocketAddr,
    deployed: Arc<Mutex<Deployed>>,
}

impl Aws {
    pub(crate) async fn start(deployed: Deployed) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let aws = Self {
            address: listener.local_addr().unwrap(),
            deployed: Arc::new(Mutex::new(deployed)),
        };
        let router = Router::new()
            .route("/", post(service))
            .route(
                "/2015-03-31/functions/",
                get(async || Json(json!({"Functions": [function()]}))),
            )
            .route(
                "/2015-03-31/functions/f",
                get(async || Json(get_function())),
            )
            .route("/code", get(async || code()))
            .route("/2015-03-31/event-source-mappings/", get(mappings))
            .route("/2015-03-31/event-source-mappings/m", put(update_mapping))
            .route(
                "/restapis",
                get(async || Json(json!({"item": [{"id": "api", "binaryMediaTypes": ["*/*"]}]}))),
            )
            .route("/restapis/api/gatewayresponses", get(gateway_responses))
            .route(
                "/restapis/api/stages",
                get(async || Json(json!({"item": [{"stageName": "local"}]}))),
            )
            .route(
                "/restapis/api/authorizers",
                get(async || Json(authorizers())),
            )
            .route("/restapis/api/resources", get(resources))
            .route("/v2/apis", get(http_apis))
            .route("/v2/apis/h/stages", get(http_stages))
            .route(
                "/v2/apis/h/authorizers",
                get(async || Json(http_authorizers())),
            )
            .route("/v2/apis/h/integrations", get(http_integrations))
            .route("/v2/apis/h/routes", get(http_routes))
            .with_state(aws.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        aws
    }

    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Deployed) -> T) -> T {
        look(&mut self.deployed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn function() -> Value {
    json!({
        "FunctionName": "f", "FunctionArn": "arn:aws:lambda:ap-south-1:000000000000:function:f",
        "Runtime": "provided.al2023", "Handler": "bootstrap", "Timeout": 5, "MemorySize": 128,
        "CodeSha256": "c2hh"
    })
}

fn get_function() -> Value {
    json!({"Configuration": function(), "Code": {"Location": "http://elsewhere:1/code"}})
}

/// The function's code: the probe, packed as a deployment package.
fn code() -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip.start_file("bootstrap", stored).unwrap();
    zip.write_all(&std::fs::read(example("probe")).unwrap())
        .unwrap();
    zip.finish().unwrap().into_inner()
}

const STREAM: &str = "arn:aws:kinesis:ap-south-1:000000000000:stream/s";

async fn mappings(State(aws): State<Aws>) -> Json<Value> {
    let mut mapping = json!({
        "UUID": "m", "State": "Enabled", "EventSourceArn": STREAM,
        "FunctionArn": "arn:aws:lambda:ap-south-1:000000000000:function:f",
        "StartingPosition": "TRIM_HORIZON"
    });
    let properties = aws.with(|deployed| deployed.mapping.clone());
    if let (Some(mapping), Some(properties)) = (mapping.as_object_mut(), properties.as_object()) {
        mapping.extend(properties.clone());
    }
    Json(json!({"EventSourceMappings": [mapping]}))
}

async fn update_mapping(State(aws): State<Aws>, Json(update): Json<Value>) -> Json<Value> {
    aws.with(|deployed| deployed.updates.push(update));
    Json(json!({}))
}

async fn gateway_responses(State(aws): State<Aws>) -> Json<Value> {
    Json(json!({"item": aws.with(|deployed| deployed.gateway_responses.clone())}))
}

fn lambda_uri() -> Value {
    let arn = function()["FunctionArn"].as_str().unwrap().to_owned();
    json!(format!(
        "arn:aws:apigateway:ap-south-1:lambda:path/2015-03-31/functions/{arn}/invocations"
    ))
}

fn authorizers() -> Value {
    json!({"item": [{"id": "gate", "type": "REQUEST", "authorizerUri": lambda_uri()}]})
}

/// `/v1/x`, an authorizer and a proxy integration, both of them the function; and resources added
/// by a test.
async fn resources(State(aws): State<Aws>) -> Json<Value> {
    let mut resources = vec![
        json!({"id": "x", "path": "/v1/x", "resourceMethods": {"GET": {
            "authorizationType": "CUSTOM", "authorizerId": "gate",
            "methodIntegration": {"type": "AWS_PROXY", "uri": lambda_uri()}
        }}}),
    ];
    resources.extend(aws.with(|deployed| deployed.resources.clone()));
    Json(json!({"item": resources}))
}

fn http(aws: &Aws) -> Http {
    aws.with(|deployed| deployed.http.clone())
        .unwrap_or_default()
}

async fn http_apis(State(aws): State<Aws>) -> Json<Value> {
    let Some(api) = aws.with(|deployed| deployed.http.clone()) else {
        return Json(json!({"items": []}));
    };
    let mut found = json!({"apiId": "h", "protocolType": "HTTP"});
    if !api.cors.is_null() {
        found["corsConfiguration"] = api.cors;
    }
    Json(json!({"items": [found, {"apiId": "w", "protocolType": "WEBSOCKET"}]}))
}

async fn http_stages(State(aws): State<Aws>) -> Json<Value> {
    let log = json!({
        "destinationArn": "arn:aws:logs:ap-south-1:000000000000:log-group:/access-of-http:*",
        "format": http(&aws).access_log_format,
    });
    Json(json!({"items": [{"stageName": "http", "accessLogSettings": log}]}))
}

fn http_authorizers() -> Value {
    json!({"items": [{
        "authorizerId": "gate", "authorizerType": "REQUEST", "authorizerUri": lambda_uri(),
        "authorizerPayloadFormatVersion": "2.0", "enableSimpleResponses": true,
        "authorizerResultTtlInSeconds": 0, "identitySource": ["$request.header.Authorization"],
    }]})
}

async fn http_integrations(State(aws): State<Aws>) -> Json<Value> {
    let mut all = vec![json!({
        "integrationId": "f", "integrationType": "AWS_PROXY", "payloadFormatVersion": "2.0",
        "integrationUri": function()["FunctionArn"],
    })];
    all.extend(http(&aws).integrations);
    Json(json!({"items": all}))
}

async fn http_routes(State(aws): State<Aws>) -> Json<Value> {
    let mut all = vec![json!({
        "routeId": "x", "routeKey": "GET /v1/{what}", "target": "integrations/f",
        "authorizationType": "CUSTOM", "authorizerId": "gate",
    })];
    all.extend(http(&aws).routes);
    Json(json!({"items": all}))
}

/// The services that take their action in a header, and CloudFormation.
async fn service(State(aws): State<Aws>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let Some(target) = headers
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok())
    else {
        return cloudformation(&aws, &String::from_utf8_lossy(&body));
    };
    let input: Value = serde_json::from_slice(&body).unwrap_or_default();
    let action = target.rsplit('.').next().unwrap_or_default();
    let answer = aws.with(|deployed| answer(deployed, action, &input));
    let refused = answer.get("__type").is_some();
    let status = if refused {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    };
    (status, Json(answer)).into_response()
}

fn answer(deployed: &mut Deployed, action: &str, input: &Value) -> Value {
    match action {
        "ListShards" => {
            json!({"Shards": [{"ShardId": "shardId-000000000000", "SequenceNumberRange": {}}]})
        }
        "GetShardIterator" => match input["StartingSequenceNumber"].as_str() {
            None => json!({"ShardIterator": "0"}),
            Some(last) => deployed
                .records
                .iter()
                .position(|record| record["SequenceNumber"] == last)
                .map_or_else(
                    || json!({"__type": "TrimmedDataAccessException"}),
                    |at| json!({"ShardIterator": (at + 1).to_string()}),
                ),
        },
        "GetRecords" => {
            let at: usize = input["ShardIterator"].as_str().unwrap().parse().unwrap();
            json!({
                "Records": deployed.records.get(at..).unwrap_or_default(),
                "NextShardIterator": deployed.records.len().to_string(),
                "MillisBehindLatest": 0
            })
        }
        "CreateLogGroup" => {
            let group = input["logGroupName"].as_str().unwrap().to_owned();
            deployed.deleted_groups.remove(&group);
            deployed.made_groups.push(group);
            json!({})
        }
        "CreateLogStream" | "PutLogEvents"
            if deployed
                .deleted_groups
                .contains(input["logGroupName"].as_str().unwrap()) =>
        {
            json!({"__type": "ResourceNotFoundException"})
        }
        "PutLogEvents" => {
            let group = input["logGroupName"].as_str().unwrap().to_owned();
            let lines = input["logEvents"].as_array().into_iter().flatten();
            let lines = lines.map(|event| event["message"].as_str().unwrap().to_owned());
            deployed.log_lines.entry(group).or_default().extend(lines);
            json!({})
        }
        "PutMetricData" => {
            deployed.metrics.push(input.clone());
            json!({})
        }
        "GetSecretValue" if input["SecretId"] == "upstream" => {
            json!({"SecretString": "{\"token\":\"s3cret\"}"})
        }
        "GetSecretValue" => json!({"__type": "ResourceNotFoundException"}),
        "GetQueueUrl" => json!({"QueueUrl": "http://queue"}),
        "SendMessage" => {
            let body = input["MessageBody"].as_str().unwrap();
            deployed.messages.push(serde_json::from_str(body).unwrap());
            json!({})
        }
        _ => json!({}),
    }
}

fn cloudformation(aws: &Aws, form: &str) -> Response<Body> {
    let body = if form.contains("Action=DescribeStacks&") {
        "<R><member><StackName>S</StackName></member></R>".to_owned()
    } else if form.contains("Action=DescribeStackResources&") {
        let member = |logical: &str, physical: &str, kind: &str| {
            format!(
                "<member><LogicalResourceId>{logical}</LogicalResourceId>\
                 <PhysicalResourceId>{physical}</PhysicalResourceId>\
                 <ResourceType>{kind}</ResourceType></member>"
            )
        };
        let members = [
            member("Log", "/access", "AWS::Logs::LogGroup"),
            member("Api", "api", "AWS::ApiGateway::RestApi"),
            member("Stage", "local", "AWS::ApiGateway::Stage"),
            member("Mapping", "m", "AWS::Lambda::EventSourceMapping"),
            member("Streamed", "streamed", "AWS::ApiGateway::Method"),
        ];
        format!("<R>{}</R>", members.concat())
    } else {
        let format = aws.with(|deployed| deployed.access_log_format.clone());
        let streamed = aws.with(|deployed| deployed.streamed.clone());
        let template = json!({"Resources": {
            "Stage": {"Properties": {
                "RestApiId": {"Ref": "Api"},
                "AccessLogSetting": {"DestinationArn": {"Fn::GetAtt": ["Log", "Arn"]}, "Format": format}
            }},
            "Mapping": {"Properties": {"Enabled": true}},
            "Streamed": {"Properties": {
                "Integration": {"Uri": streamed, "ResponseTransferMode": "STREAM"}
            }}
        }});
        let template = template
            .to_string()
            .replace('&', "&amp;")
            .replace('"', "&quot;");
        format!("<R><TemplateBody>{template}</TemplateBody></R>")
    };
    ([(CONTENT_TYPE, "text/xml")], body).into_response()
}
