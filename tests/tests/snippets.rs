//! The snippets that `attach` prints are valid in their languages: the CDK synthesises them, and
//! cfn-lint, a validator of `OpenAPI` and a parser of Terraform's language accept them. `lint`
//! checks SAM's.

use std::path::Path;
use std::process::{Command, Output};

use domain::gateway::Gateway;
use serde_json::{Value, json};
use stacks::attach::Language;
use tests::synthesised::snippet;
use tests::tools::Tools;

const BOTH: [Gateway; 2] = [Gateway::Rest, Gateway::Http];
const LOG: &str =
    "arn:aws:logs:ap-south-1:123456789012:log-group:/aws/apigateway/CompliCal-API-test/access:*";

fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()];
    String::from_utf8_lossy(&both.concat()).into_owned()
}

/// A program around the snippet, whose stack declares a route. The CDK is a `CommonJS` module.
fn program(gateway: Gateway) -> String {
    let snippet = snippet(gateway, Language::Cdk);
    let (imports, body) = snippet.split_once("'aws-cdk-lib';").unwrap();
    let (_, imports) = imports.split_once("import ").unwrap();
    let imports = imports.replace(" as ", ": ").replace(" from ", "");
    let route = match gateway {
        Gateway::Rest => "api.root.addResource('orders').addMethod('GET');",
        Gateway::Http => {
            "const { HttpUrlIntegration } = require('aws-cdk-lib/aws-apigatewayv2-integrations');
             api.addRoutes({ path: '/orders/{id}', methods: ['GET'],
               integration: new HttpUrlIntegration('Orders', 'https://orders.example.com') });"
        }
    };
    format!(
        "const {imports} = require('aws-cdk-lib');
         const {{ App }} = require('aws-cdk-lib');
         class Own extends Stack {{
           constructor(scope, id, props) {{ super(scope, id, props);
             {body}
             {route}
           }}
         }}
         const app = new App({{ outdir: process.argv[2], analyticsReporting: false }});
         new Own(app, 'Own', {{ env: {{ account: '123456789012', region: 'ap-south-1' }} }});
         app.synth();"
    )
}

/// The template that the CDK synthesises from the snippet.
fn synthesised(tools: &Tools, folder: &Path, gateway: Gateway) -> Value {
    let file = folder.join(format!("{}.cjs", gateway.as_str()));
    std::fs::write(&file, program(gateway)).unwrap();
    let assembly = folder.join(gateway.as_str());
    let said = Command::new(&tools.node)
        .arg(&file)
        .arg(&assembly)
        .env("NODE_PATH", &tools.node_modules)
        .output()
        .unwrap();
    assert!(said.status.success(), "{gateway:?}: {}", text(&said));
    let template = std::fs::read_to_string(assembly.join("Own.template.json")).unwrap();
    serde_json::from_str(&template).unwrap()
}

/// The properties of the one resource of this type.
fn of_type<'a>(template: &'a Value, kind: &str) -> &'a Value {
    let resources = template["Resources"].as_object().unwrap().values();
    let mut found = resources.filter(|resource| resource["Type"] == kind);
    let properties = &found.next().unwrap()["Properties"];
    assert!(found.next().is_none(), "two of {kind}");
    properties
}

/// The snippet lets the gateway invoke the authorizer. For a known account the CDK adds a permission of its
/// own.
fn permits(template: &Value) {
    let resources = template["Resources"].as_object().unwrap().values();
    let mut permissions =
        resources.filter(|resource| resource["Type"] == "AWS::Lambda::Permission");
    let covers = |permission: &Value| {
        let source = permission["Properties"]["SourceArn"].to_string();
        source.contains("/authorizers/*")
    };
    assert!(permissions.any(covers), "{template:#}");
}

fn linted(tools: &Tools, folder: &Path, name: &str, template: &Value) {
    std::fs::write(folder.join(name), template.to_string()).unwrap();
    let said = Command::new(&tools.cfn_lint)
        .current_dir(folder)
        .args(["--format", "parseable", "--template", name])
        .output()
        .unwrap();
    assert!(said.status.success(), "{}", text(&said));
}

#[test]
fn the_cdk_synthesises_the_snippet_of_a_rest_api() {
    let (tools, folder) = (Tools::ensure(), tempfile::tempdir().unwrap());
    let template = synthesised(&tools, folder.path(), Gateway::Rest);
    let authorizer = of_type(&template, "AWS::ApiGateway::Authorizer");
    assert_eq!(authorizer["Type"], "REQUEST");
    assert_eq!(authorizer["AuthorizerResultTtlInSeconds"], 0);
    assert_eq!(authorizer["IdentitySource"].as_str().unwrap_or(""), "");
    let method = of_type(&template, "AWS::ApiGateway::Method");
    assert_eq!(method["AuthorizationType"], "CUSTOM");
    let log = &of_type(&template, "AWS::ApiGateway::Stage")["AccessLogSetting"];
    assert_eq!(log["DestinationArn"], LOG);
    assert!(
        log["Format"]
            .as_str()
            .unwrap()
            .starts_with(r#"{"version":"3","#)
    );
    let response = of_type(&template, "AWS::ApiGateway::GatewayResponse");
    assert_eq!(
        (&response["ResponseType"], &response["StatusCode"]),
        (&json!("ACCESS_DENIED"), &json!("429"))
    );
    permits(&template);
    // The account has one role for logs for all APIs, and the snippet must not change it.
    assert!(!template.to_string().contains("AWS::ApiGateway::Account"));
    linted(&tools, folder.path(), "rest.json", &template);
}

#[test]
fn the_cdk_synthesises_the_snippet_of_an_http_api() {
    let (tools, folder) = (Tools::ensure(), tempfile::tempdir().unwrap());
    let template = synthesised(&tools, folder.path(), Gateway::Http);
    let authorizer = of_type(&template, "AWS::ApiGatewayV2::Authorizer");
    assert_eq!(authorizer["AuthorizerType"], "REQUEST");
    assert_eq!(authorizer["AuthorizerPayloadFormatVersion"], "2.0");
    assert_eq!(authorizer["EnableSimpleResponses"], true);
    assert_eq!(authorizer["AuthorizerResultTtlInSeconds"], 0);
    let sources = authorizer["IdentitySource"].as_array();
    assert!(sources.is_none_or(Vec::is_empty), "{sources:?}");
    let route = of_type(&template, "AWS::ApiGatewayV2::Route");
    assert_eq!(
        (&route["RouteKey"], &route["AuthorizationType"]),
        (&json!("GET /orders/{id}"), &json!("CUSTOM"))
    );
    let log = &of_type(&template, "AWS::ApiGatewayV2::Stage")["AccessLogSettings"];
    assert_eq!(log["DestinationArn"], LOG);
    assert!(
        log["Format"]
            .as_str()
            .unwrap()
            .starts_with(r#"{"version":"http-1","#)
    );
    permits(&template);
    linted(&tools, folder.path(), "http.json", &template);
}

#[test]
fn the_openapi_snippets_are_parts_of_a_valid_document() {
    let (tools, folder) = (Tools::ensure(), tempfile::tempdir().unwrap());
    for gateway in BOTH {
        let file = folder.path().join(format!("{}.yaml", gateway.as_str()));
        let validate = |text: String| {
            std::fs::write(&file, text).unwrap();
            Command::new(&tools.openapi_validator)
                .arg(&file)
                .output()
                .unwrap()
        };
        let snippet = snippet(gateway, Language::OpenApi);
        let document = format!(
            "openapi: 3.0.1\ninfo: {{title: Orders, version: '1'}}\npaths:\n  /orders/{{id}}:\n    \
             parameters: [{{name: id, in: path, required: true, schema: {{type: string}}}}]\n    \
             get:\n      security: [{{metering: []}}]\n      responses: {{'200': {{description: One}}}}\n{snippet}"
        );
        let said = validate(document.clone());
        assert!(said.status.success(), "{gateway:?}: {}", text(&said));
        let said = validate(document.replace("in: header", "in: nowhere"));
        assert!(!said.status.success(), "the validator does look");
    }
}

/// The only block of a kind and a type, as the parser prints it.
fn block<'a>(parsed: &'a Value, kind: &str, of: &str) -> &'a Value {
    let mut blocks = parsed[kind].as_array().unwrap().iter();
    let quoted = format!("\"{of}\"");
    let found = blocks.find_map(|block| block.get(of).or_else(|| block.get(&quoted)));
    found.unwrap()
}

#[test]
fn the_terraform_snippets_are_read() {
    let (tools, folder) = (Tools::ensure(), tempfile::tempdir().unwrap());
    for (gateway, authorizer) in [
        (Gateway::Rest, "aws_api_gateway_authorizer"),
        (Gateway::Http, "aws_apigatewayv2_authorizer"),
    ] {
        let file = folder.path().join(format!("{}.tf", gateway.as_str()));
        let parse = |text: String| {
            std::fs::write(&file, text).unwrap();
            Command::new(&tools.terraform_parser)
                .arg(&file)
                .output()
                .unwrap()
        };
        let snippet = snippet(gateway, Language::Terraform);
        let said = parse(snippet.clone());
        assert!(said.status.success(), "{gateway:?}: {}", text(&said));
        let parsed: Value = serde_json::from_slice(&said.stdout).unwrap();
        let found = block(&parsed, "resource", authorizer);
        assert!(
            found
                .to_string()
                .contains(r#""authorizer_result_ttl_in_seconds":0"#),
            "{found}"
        );
        block(&parsed, "resource", "aws_lambda_permission");
        let said = parse(snippet.replacen('}', "", 1));
        assert!(!said.status.success(), "the parser does look");
    }
}
