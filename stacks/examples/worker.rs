//! A stack of your own: a queue, a function that empties it, and an alarm on messages that it
//! cannot process.
//!
//! `cargo run -p stacks --example worker` prints the template.

use std::collections::BTreeMap;
use std::io::Write as _;

use stacks::FileAsset;
use stacks::constructs::{
    AlarmSettings, Architecture, Comparison, Encryption, Function, FunctionLog, FunctionSettings,
    Missing, Period, Queue, QueueKind, QueueSettings, Stack, Topic,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut stack = Stack::new("Worker", "Works through orders");
    let queue = |name, dead_letters| QueueSettings {
        name,
        kind: QueueKind::Standard,
        dead_letters,
        encryption: Encryption::Managed,
    };
    let failed = Queue::new(&mut stack, "Failed", &queue("orders-failed", None));
    let orders = Queue::new(&mut stack, "Orders", &queue("orders", Some((&failed, 5))));

    let worker = FunctionSettings {
        name: "worker",
        description: "Works through orders",
        code: FileAsset::new("worker.zip", "d41d8cd98f00b204", "my-assets"),
        architecture: Architecture::Arm64,
        memory: 256,
        timeout: 30,
        variables: BTreeMap::from([("ORDERS", orders.name().into())]),
        log: FunctionLog::kept(30),
        reserved: None,
        tracing: false,
    };
    let worker = Function::new(&mut stack, "Worker", worker);
    orders.grant_consume(&worker);

    let alarm = AlarmSettings {
        name: "orders-failed",
        description: "An order failed five times".into(),
        watched: failed.depth(Period::MINUTE).into(),
        breaches: Comparison::Above(0.0),
        periods: 1,
        breaching: 1,
        missing: Missing::Fine,
        topic: &Topic::named("oncall"),
    };
    stacks::constructs::Alarm::new(&mut stack, "OrdersFailed", alarm);

    let template = stack
        .synthesise()
        .map_err(|problems| format!("{problems:?}"))?;
    std::io::stdout().write_all(template.as_bytes())?;
    Ok(())
}
