//! A metered API, and the pipeline that counts its calls, without an environment file.
//!
//! `cargo run -p stacks --example usage_pipeline` prints the templates, in the order of deployment. The
//! functions' zips come from `cargo xtask build`.

use std::collections::BTreeMap;
use std::io::Write as _;

use stacks::constructs::{
    Integration, MeteredApi, MeteredApiSettings, Passage, Stack, UsagePipeline,
    UsagePipelineSettings, Verb,
};
use stacks::environment::{Architecture, Bounded, LimitMode, Plan};
use stacks::{Function, FunctionAsset, Names, StackKind};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let names = Names::new("orders", "Orders", "live");
    let free = Plan {
        rate_per_second: Bounded::clamped(10),
        burst: Bounded::clamped(20),
        monthly_quota: Some(10_000),
        alerts_percent: vec![Bounded::clamped(80)],
        limit_mode: LimitMode::Soft,
        timezone: None,
        period_anchor_day: None,
    };
    let plans = BTreeMap::from([("free".to_owned(), free)]);
    let settings = UsagePipelineSettings::new(names.clone(), plans);
    let zips = Function::ALL.map(|function| {
        let asset = FunctionAsset {
            sha256: "00".repeat(32),
            zip: format!("target/{}.zip", function.folder()).into(),
            architecture: Architecture::Arm64,
        };
        (function, asset)
    });
    let pipeline = UsagePipeline::new(settings, zips.into());
    let mut data = Stack::new(names.stack(StackKind::Data), "What counts calls");
    pipeline.declare_data(&mut data)?;
    let mut stream = Stack::new(names.stack(StackKind::Kinesis), "Usage in real time");
    pipeline.declare_stream(&mut stream)?;
    let mut gate = Stack::new(names.stack(StackKind::Api), "What decides about calls");
    pipeline.declare_gate(&mut gate)?;

    let mut orders = Stack::new("Orders", "Takes orders");
    let settings = MeteredApiSettings {
        names: &names,
        name: "orders",
        description: "Takes orders",
        stage: "v1",
        throttle: (1_000, 500),
        binary: false,
    };
    let mut api = MeteredApi::new(&mut orders, "Api", &settings);
    let upstream = Integration::Upstream(Passage {
        address: "https://orders.example.com",
        headers: &BTreeMap::new(),
        streams: false,
    });
    api.route(&mut orders, "One", (Verb::Get, "/orders"), upstream);
    api.deploy(&mut orders, "Stage");

    for stack in [data, stream, gate, orders] {
        let template = stack.synthesise();
        let template = template.map_err(|problems| format!("{problems:?}"))?;
        std::io::stdout().write_all(template.as_bytes())?;
    }
    Ok(())
}
