//! A project's own API in its own stack, metered by the environment `test`.
//!
//! `cargo run -p stacks --example own_api` prints the template. The environment is deployed
//! separately (`cargo xtask deploy --env test`), before this stack.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use stacks::constructs::{
    Architecture, Encryption, Function, FunctionLog, FunctionSettings, Integration, LogLevel,
    MeteredApi, MeteredApiSettings, Stack, Verb,
};
use stacks::{Environment, FileAsset};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("environments/test.yaml");
    let environment = Environment::load(&file)?;
    let mut stack = Stack::new("Orders", "Takes orders");

    let orders = FunctionSettings {
        name: "orders",
        description: "Takes orders",
        code: FileAsset::new("orders.zip", "d41d8cd98f00b204", "my-assets"),
        architecture: Architecture::Arm64,
        memory: 256,
        timeout: 10,
        variables: BTreeMap::new(),
        log: FunctionLog {
            days: 30,
            level: LogLevel::Info,
            encryption: Encryption::Managed,
        },
        reserved: None,
        tracing: false,
    };
    let orders = Function::new(&mut stack, "OrdersFunction", orders);

    let settings = MeteredApiSettings {
        names: &environment.names(),
        name: "orders",
        description: "Takes orders",
        stage: "v1",
        throttle: (1_000, 500),
        binary: false,
    };
    let mut api = MeteredApi::new(&mut stack, "Orders", &settings);
    let answers = Integration::Function(&orders);
    api.route(&mut stack, "List", (Verb::Get, "/orders"), answers);
    api.route(&mut stack, "One", (Verb::Get, "/orders/{id}"), answers);
    api.open_route(&mut stack, "Health", (Verb::Get, "/health"), answers);
    let url = api.url();
    api.deploy(&mut stack, "Stage");
    stack.template().output("ApiUrl", "The API's address", url);

    let template = stack
        .synthesise()
        .map_err(|problems| format!("{problems:?}"))?;
    std::io::stdout().write_all(template.as_bytes())?;
    Ok(())
}
