//! The description of the analytics API: an independent validator accepts it, and the stack and the
//! README list the endpoints that it describes.

use std::collections::BTreeSet;
use std::process::{Command, Output};

use analytics::openapi;
use domain::endpoint::{Endpoint, KeyEndpoint};
use serde_json::{Value, json};
use tests::synthesised::{assembly_of, environment, resources, root};
use tests::system::{System, json_of};
use tests::tools::Tools;
use tests::upstream::Upstream;

fn validate(document: &Value) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("openapi.json");
    std::fs::write(&file, document.to_string()).unwrap();
    Command::new(Tools::ensure().openapi_validator)
        .arg(file)
        .output()
        .unwrap()
}

#[test]
fn the_document_is_valid() {
    let said = validate(&openapi::document());
    assert!(said.status.success(), "{said:?}");
}

#[test]
fn the_validator_does_look() {
    let mut document = openapi::document();
    document["paths"]["/v1/analytics/realtime"]["get"]["responses"]["200"]["description"] =
        7.into();
    let said = validate(&document);
    assert!(!said.status.success());
    let found = String::from_utf8_lossy(&said.stdout);
    assert!(found.contains("description"), "{said:?}");
}

/// A path of the deployed API, from its resources.
fn path(resources: &[(String, Value)], id: &str) -> String {
    let (_, resource) = resources.iter().find(|(known, _)| known == id).unwrap();
    let part = resource["Properties"]["PathPart"].as_str().unwrap();
    let parent = resource["Properties"]["ParentId"]["Ref"].as_str();
    let parent = parent.map_or_else(String::new, |parent| path(resources, parent));
    format!("{parent}/{part}")
}

#[test]
fn the_stack_has_a_route_for_each_endpoint() {
    let resources: Vec<(String, Value)> = resources(&assembly_of(&environment("test")))
        .into_iter()
        .collect();
    let routes = resources.iter().filter(|(_, resource)| {
        resource["Type"] == "AWS::ApiGateway::Method"
            && resource["Properties"]["AuthorizationType"] == "NONE"
    });
    let paths: BTreeSet<String> = routes
        .map(|(_, route)| {
            let id = route["Properties"]["ResourceId"]["Ref"].as_str().unwrap();
            path(&resources, id)
        })
        .collect();
    let endpoints = Endpoint::ALL.map(|endpoint| endpoint.path().to_owned());
    assert!(
        endpoints.iter().all(|endpoint| paths.contains(endpoint)),
        "{paths:?}"
    );
    let analytics = paths
        .iter()
        .filter(|path| path.starts_with("/v1/analytics"));
    assert_eq!(analytics.count(), endpoints.len(), "{paths:?}");
}

#[test]
fn the_stack_has_a_route_for_each_endpoint_of_keys() {
    let resources: Vec<(String, Value)> = resources(&assembly_of(&environment("test")))
        .into_iter()
        .collect();
    let document = openapi::document();
    for endpoint in KeyEndpoint::ALL {
        let id = endpoint.route_id();
        let (_, route) = resources.iter().find(|(known, _)| known == id).unwrap();
        let properties = &route["Properties"];
        assert_eq!(properties["HttpMethod"], endpoint.method());
        assert_eq!(properties["AuthorizationType"], "NONE");
        let resource = properties["ResourceId"]["Ref"].as_str().unwrap();
        assert_eq!(path(&resources, resource), endpoint.path());
        let described = &document["paths"][endpoint.path()];
        let operation = &described[endpoint.method().to_ascii_lowercase()];
        assert_eq!(operation["operationId"], endpoint.operation_id());
        // The gateway compares a permission with the caller's path.
        let permission = format!("{id}Permission");
        let (_, permission) = resources.iter().find(|(of, _)| *of == permission).unwrap();
        let source = permission["Properties"]["SourceArn"].to_string();
        let allowed = endpoint.path().replace("{id}", "*");
        assert!(
            source.contains(&format!("{}{allowed}\"", endpoint.method())),
            "{source}"
        );
    }
}

#[test]
fn the_readme_lists_each_endpoint_of_keys() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    for endpoint in KeyEndpoint::ALL {
        let named = format!("`{} {}`", endpoint.method(), endpoint.path());
        assert_eq!(readme.matches(&named).count(), 1, "{named}");
    }
}

#[test]
fn the_readme_lists_each_endpoint() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    for endpoint in Endpoint::ALL {
        let rows = readme.lines().filter(|line| {
            let rest = line
                .strip_prefix("| `GET ")
                .and_then(|rest| rest.strip_prefix(endpoint.path()));
            rest.is_some_and(|rest| rest.starts_with(['?', '`']) || rest.starts_with("/`"))
        });
        assert_eq!(rows.count(), 1, "{}", endpoint.path());
    }
}

/// What the tester cannot know. `OpenAPI` has no words for parameters that exclude each other, for
/// days that exist, or for the plans of an environment. Methods without a route are the gateway's to
/// answer.
const NOT_CHECKED: &str = "positive_data_acceptance,unsupported_method";

/// Sends what the document allows and what it forbids. Returns what the tester says.
fn tested(system: &System, document: &Value, more: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("openapi.json");
    std::fs::write(&file, document.to_string()).unwrap();
    let token = json_of(
        &system
            .place
            .run("token --email ops@example.com --admin --write --json"),
    );
    let token = token["token"].as_str().unwrap();
    Command::new(Tools::ensure().api_tester)
        .current_dir(folder.path())
        .args(["run", "openapi.json", "--url", system.text("/apiUrl")])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        // The same requests each time.
        .args(["--seed", "1", "--generation-deterministic"])
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", "10", "--workers", "2", "--no-color"])
        .args(["--exclude-checks", NOT_CHECKED])
        .args(more)
        .output()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_deployed_api_does_what_its_document_says() {
    let upstream = Upstream::start().await;
    let file = root().join("stacks/environments/local.yaml");
    let file = std::fs::read_to_string(file).unwrap();
    let file = format!(
        "{file}\nupstream: {}\nmeters: {{tokens: {{}}}}\n",
        upstream.url()
    );
    let (system, key) = tokio::task::block_in_place(|| {
        let system = System::deploy_as(&file);
        let key = system.key("ann@example.com");
        (system, key["key"].as_str().unwrap().to_owned())
    });
    // Responses about somebody.
    system.call(Some(&key), 20).await;
    system.call(Some("nobodys"), 5).await;
    system
        .until("user-stats?email=ann@example.com", "/totalCalls", 20)
        .await;
    tokio::task::block_in_place(|| {
        let said = tested(&system, &openapi::document(), &[]);
        let text = String::from_utf8_lossy(&said.stdout);
        assert!(said.status.success(), "{text}");
        assert!(text.contains("Tested: 19"), "{text}");

        // It does look at responses.
        let mut wrong = openapi::document();
        wrong["components"]["schemas"]["Realtime"]["required"] = json!(["nothing"]);
        let path = ["--include-path", "/v1/analytics/realtime"];
        let said = tested(&system, &wrong, &path);
        assert!(
            !said.status.success(),
            "{}",
            String::from_utf8_lossy(&said.stdout)
        );
    });
}
