//! The parts of a deployment that cost money, read from the synthesised templates.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use domain::names::{Function, Names, PLAN_DIMENSION, TrackingMode};
use serde_json::{Map, Value};
use stacks::{Assembly, Environment};

use super::shape::Traffic;

/// A function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deployed {
    pub(super) memory_mb: u64,
    pub(super) is_arm: bool,
    /// Whether the platform writes START, END and REPORT for each invocation.
    pub(super) has_platform_lines: bool,
}

/// How the stream is scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Capacity {
    Shards(u64),
    OnDemand,
}

/// The stream and its mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stream {
    pub(super) capacity: Capacity,
    pub(super) retention_hours: u64,
    pub(super) window_seconds: u64,
    pub(super) batch_size: u64,
    pub(super) parallelization: u64,
}

/// The type of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gateway {
    Rest,
    Http,
}

/// All billed parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Deployment {
    pub(super) functions: BTreeMap<Function, Deployed>,
    pub(super) stream: Option<Stream>,
    pub(super) gateway: Gateway,
    pub(super) fold_window_seconds: u64,
    pub(super) raw_retention_days: u64,
    pub(super) log_retention_days: u64,
    pub(super) has_backups: bool,
    /// Metrics that alarms watch; AWS charges for each.
    pub(super) alarm_metrics: u64,
    pub(super) dashboards: u64,
    pub(super) secrets: u64,
    /// Custom metrics that alarms and dashboards name.
    pub(super) metrics: u64,
}

impl Deployment {
    /// The deployment of this environment. No function is built for it: templates hold digests
    /// only.
    pub(super) fn of(environment: &Environment) -> anyhow::Result<Self> {
        let assembly =
            stacks::synthesise_unbuilt(environment).context("synthesising the stacks")?;
        Self::read(&Resources::of(&assembly)?, &environment.names())
    }

    /// The same with as few shards as the peak needs, one day of retention, and one concurrent
    /// batch per shard.
    pub(super) fn lean(mut self, traffic: Traffic) -> Self {
        if let Some(stream) = &mut self.stream {
            stream.retention_hours = 24;
            stream.capacity = Capacity::Shards(traffic.shards());
            stream.parallelization = 1;
        }
        self
    }

    pub(super) const fn mode(&self) -> TrackingMode {
        if self.stream.is_some() {
            TrackingMode::Stream
        } else {
            TrackingMode::Synchronous
        }
    }

    pub(super) fn function(&self, function: Function) -> anyhow::Result<Deployed> {
        let deployed = self.functions.get(&function).copied();
        deployed
            .with_context(|| format!("the templates declare no function `{}`", function.folder()))
    }

    fn read(resources: &Resources, names: &Names) -> anyhow::Result<Self> {
        let http = resources.of_type("AWS::ApiGatewayV2::Api").next().is_some();
        let aggregator = resources.mapping(&names.function(Function::Aggregator))?;
        let aggregator_function = resources.function(&names.function(Function::Aggregator))?;
        let days = aggregator_function.pointer("/Environment/Variables/RAW_RETENTION_DAYS");
        let days = days
            .and_then(Value::as_str)
            .and_then(|days| days.parse().ok());
        let retention = resources.of_type("AWS::Logs::LogGroup");
        let retention = retention.map(|group| number(group, "RetentionInDays"));
        let mut tables = resources.of_type("AWS::DynamoDB::Table");
        Ok(Self {
            functions: resources.functions(names),
            stream: resources.stream(names)?,
            gateway: if http { Gateway::Http } else { Gateway::Rest },
            fold_window_seconds: number(aggregator, "MaximumBatchingWindowInSeconds").unwrap_or(0),
            raw_retention_days: days.context("the aggregator has no `RAW_RETENTION_DAYS`")?,
            log_retention_days: retention.flatten().max().unwrap_or(30),
            has_backups: tables.any(|table| {
                let on =
                    table.pointer("/PointInTimeRecoverySpecification/PointInTimeRecoveryEnabled");
                on == Some(&Value::Bool(true))
            }),
            alarm_metrics: resources
                .of_type("AWS::CloudWatch::Alarm")
                .map(alarm_metrics)
                .sum(),
            dashboards: count(resources.of_type("AWS::CloudWatch::Dashboard").count()),
            secrets: count(resources.of_type("AWS::SecretsManager::Secret").count()),
            metrics: count(resources.custom_metrics().len()),
        })
    }
}

/// The properties of every resource, by type and logical id.
struct Resources(Vec<(String, String, Value)>);

impl Resources {
    fn of(assembly: &Assembly) -> anyhow::Result<Self> {
        let mut all = Vec::new();
        for stack in &assembly.stacks {
            let template: Value = serde_json::from_str(&stack.template)
                .with_context(|| format!("reading the template of `{}`", stack.name))?;
            let resources = template.get("Resources").and_then(Value::as_object);
            for (id, resource) in resources.into_iter().flatten() {
                let of_type = resource
                    .get("Type")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                let properties = resource.get("Properties").cloned().unwrap_or_default();
                all.push((of_type.to_owned(), id.clone(), properties));
            }
        }
        Ok(Self(all))
    }

    fn of_type(&self, of_type: &'static str) -> impl Iterator<Item = &Value> {
        let all = self.0.iter().filter(move |(has, _, _)| has == of_type);
        all.map(|(_, _, properties)| properties)
    }

    fn named(&self, name: &str) -> Option<(&str, &Value)> {
        let found = self.0.iter().find(|(of_type, _, properties)| {
            let has = properties.get("FunctionName").and_then(Value::as_str);
            of_type == "AWS::Lambda::Function" && has == Some(name)
        });
        found.map(|(_, id, properties)| (id.as_str(), properties))
    }

    fn function(&self, name: &str) -> anyhow::Result<&Value> {
        let found = self.named(name).map(|(_, properties)| properties);
        found.with_context(|| format!("the templates declare no function `{name}`"))
    }

    /// The event source mapping of a function.
    fn mapping(&self, function: &str) -> anyhow::Result<&Value> {
        let (id, _) = self
            .named(function)
            .with_context(|| format!("the templates declare no function `{function}`"))?;
        let mut mappings = self.of_type("AWS::Lambda::EventSourceMapping");
        let found = mappings.find(|mapping| {
            mapping.pointer("/FunctionName/Ref").and_then(Value::as_str) == Some(id)
                || mapping.get("FunctionName").and_then(Value::as_str) == Some(function)
        });
        found.with_context(|| format!("nothing invokes `{function}`"))
    }

    fn functions(&self, names: &Names) -> BTreeMap<Function, Deployed> {
        let all = Function::ALL.into_iter();
        let deployed = all.filter_map(|function| {
            let (_, properties) = self.named(&names.function(function))?;
            let architecture = properties
                .pointer("/Architectures/0")
                .and_then(Value::as_str);
            let logging = |key: &str| {
                let value = properties.pointer(&format!("/LoggingConfig/{key}"));
                value.and_then(Value::as_str).unwrap_or_default()
            };
            let is_silent = logging("LogFormat") == "JSON" && logging("SystemLogLevel") == "WARN";
            let deployed = Deployed {
                memory_mb: number(properties, "MemorySize").unwrap_or(128),
                is_arm: architecture == Some("arm64"),
                has_platform_lines: !is_silent,
            };
            Some((function, deployed))
        });
        deployed.collect()
    }

    fn stream(&self, names: &Names) -> anyhow::Result<Option<Stream>> {
        let Some(stream) = self.of_type("AWS::Kinesis::Stream").next() else {
            return Ok(None);
        };
        let mapping = self.mapping(&names.function(Function::Processor))?;
        let mode = stream
            .pointer("/StreamModeDetails/StreamMode")
            .and_then(Value::as_str);
        Ok(Some(Stream {
            capacity: match mode {
                Some("ON_DEMAND") => Capacity::OnDemand,
                _ => Capacity::Shards(number(stream, "ShardCount").unwrap_or(1)),
            },
            retention_hours: number(stream, "RetentionPeriodHours").unwrap_or(24),
            window_seconds: number(mapping, "MaximumBatchingWindowInSeconds").unwrap_or(0),
            batch_size: number(mapping, "BatchSize").unwrap_or(100),
            parallelization: number(mapping, "ParallelizationFactor").unwrap_or(1),
        }))
    }

    /// Metrics outside AWS's namespaces that an alarm or a dashboard names: namespace, name, and the
    /// plan if it is that of one.
    fn custom_metrics(&self) -> BTreeSet<CustomMetric> {
        let mut found = BTreeSet::new();
        for alarm in self.of_type("AWS::CloudWatch::Alarm") {
            let own = alarm.as_object().into_iter();
            let math = alarm.pointer("/Metrics").and_then(Value::as_array);
            let math = math.into_iter().flatten();
            let math = math.filter_map(|of| of.pointer("/MetricStat/Metric")?.as_object());
            found.extend(own.chain(math).filter_map(custom));
        }
        for dashboard in self.of_type("AWS::CloudWatch::Dashboard") {
            let body = dashboard
                .pointer("/DashboardBody/Fn::Sub")
                .and_then(Value::as_str);
            let body = body.or_else(|| dashboard.get("DashboardBody")?.as_str());
            let body: Value = serde_json::from_str(body.unwrap_or("null")).unwrap_or_default();
            let widgets = body.get("widgets").and_then(Value::as_array);
            for widget in widgets.into_iter().flatten() {
                let rows = widget
                    .pointer("/properties/metrics")
                    .and_then(Value::as_array);
                for row in rows.into_iter().flatten() {
                    found.extend(custom_row(row));
                }
            }
        }
        found
    }
}

/// Namespace, name and plan of a metric.
type CustomMetric = (String, String, Option<String>);

/// A metric of an alarm. None watches a plan's.
fn custom(metric: &Map<String, Value>) -> Option<CustomMetric> {
    let text = |key: &str| metric.get(key).and_then(Value::as_str).map(str::to_owned);
    let (namespace, name) = (text("Namespace")?, text("MetricName")?);
    is_custom(&namespace).then_some((namespace, name, None))
}

/// A row of a dashboard: `[namespace, name, dimension, value, …, {options}]`.
fn custom_row(row: &Value) -> Option<CustomMetric> {
    let texts = row.as_array()?.iter().map_while(Value::as_str);
    let texts: Vec<&str> = texts.collect();
    let [namespace, name, dimensions @ ..] = texts.as_slice() else {
        return None;
    };
    let mut dimensions = dimensions.as_chunks::<2>().0.iter();
    let plan = dimensions.find(|[dimension, _]| *dimension == PLAN_DIMENSION);
    let plan = plan.map(|[_, plan]| (*plan).to_owned());
    is_custom(namespace).then(|| ((*namespace).to_owned(), (*name).to_owned(), plan))
}

fn is_custom(namespace: &str) -> bool {
    namespace.contains('/') && !namespace.starts_with("AWS/")
}

/// AWS charges an alarm for each metric that it watches.
fn alarm_metrics(alarm: &Value) -> u64 {
    let metrics = alarm.get("Metrics").and_then(Value::as_array);
    let watched = metrics
        .into_iter()
        .flatten()
        .filter(|of| of.get("MetricStat").is_some());
    count(watched.count()).max(1)
}

fn number(properties: &Value, key: &str) -> Option<u64> {
    properties.get(key).and_then(Value::as_u64)
}

fn count(of: usize) -> u64 {
    u64::try_from(of).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An environment of this repository.
    pub(in super::super) fn environment(name: &str) -> Environment {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .unwrap();
        Environment::load(&root.join(format!("stacks/environments/{name}.yaml"))).unwrap()
    }

    #[test]
    fn what_costs_is_read_from_the_templates() {
        let deployment = Deployment::of(&environment("prod")).unwrap();
        let stream = deployment.stream.unwrap();
        assert_eq!(stream.capacity, Capacity::Shards(2));
        assert_eq!((stream.retention_hours, stream.window_seconds), (168, 10));
        assert_eq!((stream.batch_size, stream.parallelization), (100, 10));
        assert_eq!(deployment.fold_window_seconds, 60);
        assert_eq!(
            (deployment.raw_retention_days, deployment.log_retention_days),
            (90, 90)
        );
        assert!(deployment.has_backups);
        let authorizer = deployment.function(Function::Authorizer).unwrap();
        assert!(authorizer.is_arm);
        assert!(authorizer.memory_mb >= 128);
        // Alarms and dashboards use both metrics of the authorizer and those of the contract's
        // other namespace.
        assert!(deployment.metrics >= 10, "{}", deployment.metrics);
        // AWS charges an alarm on metric math for each of its metrics.
        assert!(
            deployment.alarm_metrics > 15,
            "{}",
            deployment.alarm_metrics
        );
        assert_eq!(deployment.dashboards, 1);
    }

    #[test]
    fn each_plan_pays_for_its_dashboard_and_its_three_metrics() {
        let mut file = environment("prod");
        let none = Deployment::of(&file).unwrap();
        file.dashboards.plans = true;
        let plans = Deployment::of(&file).unwrap();
        file.dashboards.security = true;
        let all = Deployment::of(&file).unwrap();
        let dashboards = [none.dashboards, plans.dashboards, all.dashboards];
        assert_eq!(dashboards, [1, 4, 5]);
        assert_eq!(plans.metrics - none.metrics, 9);
        assert_eq!(all.metrics, plans.metrics);
    }

    #[test]
    fn synchronous_mode_has_neither_stream_nor_processor() {
        let environment = environment("test").with_analytics(Some(false));
        let deployment = Deployment::of(&environment).unwrap();
        assert_eq!(deployment.stream, None);
        assert!(deployment.function(Function::Processor).is_err());
    }
}
