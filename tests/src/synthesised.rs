//! The stacks of an environment, synthesised over stand-in zips.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking"
)]

use std::path::{Path, PathBuf};

use domain::gateway::Gateway;
use serde_json::Value;
use stacks::attach::{Attachment, Language};
use stacks::environment::Architecture;
use stacks::{Assembly, Environment, Function, FunctionAsset, FunctionAssets, synthesise};

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// An environment of this repository.
pub fn environment(name: &str) -> Environment {
    Environment::load(&root().join(format!("stacks/environments/{name}.yaml"))).unwrap()
}

/// The environment `test` with an additional line.
pub fn parsed(line: &str) -> Environment {
    with("test", line)
}

/// An environment of this repository with an additional line.
pub fn with(name: &str, line: &str) -> Environment {
    let path = root().join(format!("stacks/environments/{name}.yaml"));
    let text = std::fs::read_to_string(&path).unwrap();
    Environment::parse(name, &path, &format!("{text}{line}\n")).unwrap()
}

/// An upstream with every option set, called by pages of two origins.
pub const OWN_API: &str = "
upstream:
  url: https://api.example.com/v2/
  routes:
    - GET /
    - GET /users/{id}
    - POST /users
    - GET /search
  identity: {user: x-user, plan: x-plan, eventId: x-event-id}
  secret: {secretsManager: example/upstream, key: token}
units: {GET /search: 10, other: 2}
meters: {tokens: {countsToQuota: true}, rows: {}}
attached:
  - {apiId: a1b2c3d4e5, stage: v1}
  - {apiId: a1b2c3d4e5, stage: v2}
  - {apiId: f6g7h8i9j0, stage: $default, kind: http, routes: [GET /parcels, 'GET /parcels/{id}'], units: {GET /parcels: 5}}
  - {apiId: k1l2m3n4o5, units: {'POST /orders': 3, other: 0}}
webhooks: [{name: billing, url: 'https://example.com/hooks'}]
reports: {weekly: true}
cors:
  origins: ['https://app.example.com', 'https://admin.example.com']
  headers: [content-type, x-trace]
  methods: [GET, POST]
  credentials: true";

/// A key of some account.
pub const KEY: &str =
    "arn:aws:kms:ap-south-1:123456789012:key/6f1c2a8e-1d2b-4c3d-9e4f-5a6b7c8d9e0f";

/// The environment `test` with every option of security set.
pub fn secured() -> Environment {
    parsed(&format!(
        "encryption:\n  key: {KEY}\ntracing: true\nwaf:\n  callsPerFiveMinutes: 10000\n\
         tlsPolicy: SecurityPolicy_TLS13_1_3_2025_09\n\
         concurrency:\n  authorizer: 100\n  analytics: 10\n  collector: 2\n  reconciler: 5\n\
         meters: {{tokens: {{}}}}\n\
         reports: {{weekly: true, monthly: true, retentionDays: 60}}\n\
         webhooks:\n  - {{name: billing, url: 'https://example.com/hooks'}}\n\
         \x20 - {{name: user-alerts, url: 'https://example.com/chat', format: slack}}"
    ))
}

/// Every variant of a deployment, each with a word for its special feature.
pub fn variants() -> Vec<(&'static str, Assembly)> {
    let upstream = parsed("upstream: https://api.example.com");
    let own_api = parsed(OWN_API);
    [
        ("local", environment("local")),
        ("test", environment("test")),
        ("prod", environment("prod")),
        (
            "synchronous",
            environment("test").with_analytics(Some(false)),
        ),
        ("upstream", upstream),
        ("own API", own_api),
        ("secured", secured()),
        ("HTTP API", parsed("gateway: http")),
        ("own HTTP API", parsed(&format!("{OWN_API}\ngateway: http"))),
    ]
    .map(|(variant, environment)| (variant, assembly_of(&environment)))
    .into()
}

/// One zip per function, each under its own digest.
pub fn assets(folder: &Path) -> FunctionAssets {
    let all = Function::ALL.into_iter().enumerate();
    all.map(|(index, function)| {
        let zip = folder.join(format!("{}.zip", function.folder()));
        std::fs::write(&zip, function.folder()).unwrap();
        let sha256 = format!("{:x}", index + 1).repeat(64);
        let architecture = Architecture::Arm64;
        (
            function,
            FunctionAsset {
                sha256,
                zip,
                architecture,
            },
        )
    })
    .collect()
}

/// The assembly of an environment.
pub fn assembly_of(environment: &Environment) -> Assembly {
    let folder = tempfile::tempdir().unwrap();
    synthesise(environment, &assets(folder.path())).unwrap()
}

/// The resources of every stack, by logical id.
pub fn resources(assembly: &Assembly) -> Vec<(String, Value)> {
    let templates = assembly.stacks.iter();
    templates
        .flat_map(|stack| {
            let template: Value = serde_json::from_str(&stack.template).unwrap();
            template
                .get("Resources")
                .and_then(Value::as_object)
                .cloned()
                .unwrap()
        })
        .collect()
}

/// The declarations that `attach` prints for the environment `test`.
pub fn snippet(gateway: Gateway, language: Language) -> String {
    let names = environment("test").names();
    let attachment = Attachment {
        environment: "test",
        names: &names,
        account: "123456789012",
        region: "ap-south-1",
        gateway,
    };
    attachment.snippet(language).unwrap()
}

/// The statements of a role's policies.
pub fn statements(resources: &[(String, Value)], role: &str) -> Vec<Value> {
    let policies = resources.iter().map(|(_, one)| one).filter(|one| {
        let holder = one.pointer("/Properties/Roles/0/Ref");
        let is_policy = one
            .get("Type")
            .is_some_and(|kind| kind == "AWS::IAM::Policy");
        is_policy && holder.is_some_and(|holder| holder == role)
    });
    let statements = policies.flat_map(|policy| {
        let statements = policy.pointer("/Properties/PolicyDocument/Statement");
        statements.and_then(Value::as_array).unwrap().clone()
    });
    statements.collect()
}
