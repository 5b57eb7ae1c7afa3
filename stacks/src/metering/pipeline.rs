//! The pipeline that counts calls, as a construct: the tables and the aggregator, the stream and its
//! processor, the authorizer, and the access log with its reconciler.
//!
//! An environment's stacks declare the same construct. It knows no environment file, no gateway and no
//! API: these are in `api`.

use std::collections::BTreeMap;

use domain::names::{Function as Of, Names, TrackingMode};
use serde::Serialize;

use crate::cfn::Val;
use crate::constructs::{
    Encryption, Expression, Function, FunctionLog, FunctionSettings, Metric, Period, Queue,
    QueueKind, QueueSettings, Stack, Statistic, Table,
};
use crate::environment::{
    Aggregator, Alarms, Architecture, Bounded, Concurrency, Environment, LogLevel, Logs, Plan,
    Processor, Reconciler, Reports, Retention, Stream, Webhooks,
};
use crate::metering::{dashboard, data, gate, kinesis};
use crate::{FileAsset, FunctionAssets, SynthError, assets, constructs};

/// The settings of a pipeline. Those of the environment file have the same names, meanings and
/// bounds; `environments/environment.schema.json` lists them.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a setting of its own, as in the environment file"
)]
pub struct UsagePipelineSettings {
    /// The names of its resources. [`MeteredApi`](crate::constructs::MeteredApi) finds it by these.
    pub names: Names,
    /// Plans by name, with the limits of their users.
    pub plans: BTreeMap<String, Plan>,
    /// Whether usage goes through the stream, or directly to the journal.
    pub mode: TrackingMode,
    /// The stream's capacity and retention.
    pub stream: Stream,
    /// How the processor reads records from the stream.
    pub processor: Processor,
    /// How the aggregator folds the journal into counts.
    pub aggregator: Aggregator,
    /// How the reconciler appends the access log's lines.
    pub reconciler: Reconciler,
    /// How long data is kept.
    pub retention: Retention,
    /// The functions' and the gateway's logs.
    pub logs: Logs,
    /// Endpoints to which alerts are posted.
    pub webhooks: Webhooks,
    /// The recipient of alarms.
    pub alarms: Alarms,
    /// Reports of final usage: stored in a bucket, and announced by mail and webhooks.
    pub reports: Option<Reports>,
    /// Reserved concurrent executions.
    pub concurrency: Concurrency,
    /// The key that encrypts stored data.
    pub encryption: Encryption,
    /// Whether X-Ray traces the functions.
    pub tracing: bool,
    /// Whether each plan has metrics of its own, for which AWS charges.
    pub plan_metrics: bool,
    /// Whether tables refuse to be deleted.
    pub protected: bool,
    /// Whether the bucket of reports refuses requests without TLS.
    pub tls_only: bool,
    /// Whether the account gets a role with which API Gateway writes logs. An account and region has
    /// one for all APIs: leave it alone if it is there.
    pub sets_gateway_role: bool,
    /// The bucket of the functions' zips, in which `${AWS::AccountId}` and `${AWS::Region}` stand for
    /// the target account and region.
    pub bucket: String,
    /// The address of a dashboard for the messages of alarms, for `Fn::Sub`.
    pub dashboard: Option<String>,
}

impl UsagePipelineSettings {
    /// Settings with the defaults of the environment file.
    pub fn new(names: Names, plans: BTreeMap<String, Plan>) -> Self {
        Self {
            bucket: assets::bucket_pattern(&names),
            names,
            plans,
            mode: TrackingMode::Stream,
            stream: Stream::default(),
            processor: Processor::default(),
            aggregator: Aggregator::default(),
            reconciler: Reconciler::default(),
            retention: Retention::default(),
            logs: Logs::default(),
            webhooks: Webhooks::default(),
            alarms: Alarms::default(),
            reports: None,
            concurrency: Concurrency::default(),
            encryption: Encryption::Managed,
            tracing: false,
            plan_metrics: false,
            protected: true,
            tls_only: true,
            sets_gateway_role: true,
            dashboard: None,
        }
    }
}

impl From<&Environment> for UsagePipelineSettings {
    fn from(environment: &Environment) -> Self {
        let names = environment.names();
        let own = environment.encryption.as_ref();
        Self {
            mode: environment.mode(),
            stream: environment.stream,
            processor: environment.processor,
            aggregator: environment.aggregator,
            reconciler: environment.reconciler,
            retention: environment.retention,
            logs: environment.logs,
            webhooks: environment.webhooks.clone(),
            alarms: environment.alarms.clone(),
            reports: environment.reports.clone(),
            concurrency: environment.concurrency,
            encryption: own.map_or(Encryption::Managed, |own| {
                Encryption::under(own.key.as_str())
            }),
            tracing: environment.tracing,
            plan_metrics: environment.dashboards.plans,
            protected: !environment.is_local(),
            // The embedded AWS has no TLS.
            tls_only: !environment.is_local(),
            sets_gateway_role: environment.sets_gateway_role(),
            dashboard: Some(dashboard::address(environment, &names.dashboard())),
            ..Self::new(names, environment.plans.clone())
        }
    }
}

/// What counts the calls of APIs, in stacks of your own: three parts, each in a stack of its own, which
/// are deployed in the order of the methods. They find each other by name.
///
/// The API is a [`MeteredApi`](crate::constructs::MeteredApi) with the same
/// [names](UsagePipelineSettings::names) in a further stack, or any API that has what `attach` prints.
/// `examples/usage_pipeline.rs` is all of it.
#[derive(Clone, Debug)]
pub struct UsagePipeline {
    pub(crate) names: Names,
    pub(crate) settings: UsagePipelineSettings,
    assets: FunctionAssets,
}

/// The size of a function.
pub(crate) struct Size {
    pub(crate) memory: u32,
    pub(crate) timeout: u32,
}

impl UsagePipeline {
    /// A pipeline of these functions' zips.
    pub fn new(settings: UsagePipelineSettings, functions: FunctionAssets) -> Self {
        Self {
            names: settings.names.clone(),
            settings,
            assets: functions,
        }
    }

    /// Declares what holds the counts: the tables of keys, usage and the journal, the aggregator, which
    /// folds the journal into counts, the notifier, which delivers alerts, and the topic that all alarms
    /// notify. The tables are retained.
    ///
    /// # Errors
    ///
    /// If a function has no zip.
    pub fn declare_data(&self, stack: &mut Stack) -> Result<(), SynthError> {
        data::declare(self, stack)
    }

    /// Declares the stream, its processor, which appends events to the journal, and the scaler of its
    /// shards. Synchronous mode needs none of them.
    ///
    /// # Errors
    ///
    /// If a function has no zip.
    pub fn declare_stream(&self, stack: &mut Stack) -> Result<(), SynthError> {
        kinesis::declare(self, stack)
    }

    /// Declares the authorizer, which decides about calls and reports them, and the second track: the
    /// access log of the APIs, and the reconciler, which appends its lines to the journal. Calls count
    /// under the resources of the API, one unit each.
    ///
    /// # Errors
    ///
    /// If a function has no zip.
    pub fn declare_gate(&self, stack: &mut Stack) -> Result<(), SynthError> {
        gate::declare(self, stack)
    }

    /// The name of the topic that all alarms notify.
    pub(crate) fn alarm_topic(&self) -> String {
        self.names.resource("alarms")
    }

    /// Declares one of this project's functions, with exactly the variables that it reads.
    pub(crate) fn function(
        &self,
        stack: &mut Stack,
        id: &'static str,
        of: Of,
        description: &str,
        size: &Size,
        variables: BTreeMap<&'static str, Val<String>>,
    ) -> Result<Function, SynthError> {
        let name = self.names.function(of);
        let settings = self.function_settings(&name, of, description, size, variables)?;
        Ok(Function::new(stack, id, settings))
    }

    /// The settings that all of this project's functions share.
    pub(crate) fn function_settings<'s>(
        &self,
        name: &'s str,
        of: Of,
        description: &'s str,
        size: &Size,
        variables: BTreeMap<&'static str, Val<String>>,
    ) -> Result<FunctionSettings<'s>, SynthError> {
        let asset = self.assets.get(&of).ok_or(SynthError::NoAsset { of })?;
        Ok(FunctionSettings {
            name,
            description,
            code: FileAsset::new(&asset.zip, &asset.sha256, self.settings.bucket.as_str()),
            architecture: match asset.architecture {
                Architecture::Arm64 => constructs::Architecture::Arm64,
                Architecture::X8664 => constructs::Architecture::X8664,
            },
            memory: size.memory,
            timeout: size.timeout,
            variables,
            log: FunctionLog {
                days: self.settings.logs.retention_days.get(),
                level: match self.settings.logs.level {
                    LogLevel::Trace => constructs::LogLevel::Trace,
                    LogLevel::Debug => constructs::LogLevel::Debug,
                    LogLevel::Info => constructs::LogLevel::Info,
                },
                encryption: self.encryption(),
            },
            reserved: self.reserved(of),
            tracing: self.settings.tracing,
        })
    }

    /// The key of everything that is stored.
    pub(crate) fn encryption(&self) -> Encryption {
        self.settings.encryption.clone()
    }

    /// A table of another stack, by the name that both use.
    pub(crate) fn table(&self, name: &str) -> Table {
        Table::named(name, []).encrypted(self.encryption())
    }

    /// Executions that the environment reserves for a function.
    fn reserved(&self, of: Of) -> Option<u32> {
        let concurrency = &self.settings.concurrency;
        match of {
            Of::Authorizer => concurrency.authorizer.map(Bounded::get),
            Of::Analytics => concurrency.analytics.map(Bounded::get),
            Of::Collector => concurrency.collector.map(Bounded::get),
            Of::Keys => concurrency.keys.map(Bounded::get),
            Of::Reconciler => concurrency.reconciler.map(Bounded::get),
            Of::Processor | Of::Aggregator | Of::Notifier | Of::Deadlines | Of::Scaler => None,
        }
    }

    /// DynamoDB's throttles of a table per minute.
    pub(crate) fn throttles(table: &str) -> Expression {
        let throttled = |name| {
            let metric = Metric::new("AWS/DynamoDB", name, Statistic::Sum, Period::MINUTE);
            Expression::from(metric.dimension("TableName", table)).filled(0.0)
        };
        throttled("ReadThrottleEvents") + throttled("WriteThrottleEvents")
    }

    /// A metric that the functions of the API stack emit.
    pub(crate) fn api_metric(&self, name: &str, statistic: Statistic, period: Period) -> Metric {
        self.own(self.names.api_namespace(), name, statistic, period)
    }

    /// A metric about counting, by the processor, the aggregator or the reconciler.
    pub(crate) fn kinesis_metric(
        &self,
        name: &str,
        statistic: Statistic,
        period: Period,
    ) -> Metric {
        self.own(self.names.kinesis_namespace(), name, statistic, period)
    }

    /// A metric of a plan, by the aggregator.
    pub(crate) fn plan_metric(
        &self,
        plan: &str,
        name: &str,
        statistic: Statistic,
        period: Period,
    ) -> Metric {
        self.own(self.names.plans_namespace(), name, statistic, period)
            .dimension(domain::names::PLAN_DIMENSION, plan)
    }

    /// The plans in the form that the functions read.
    pub(crate) fn plans(&self) -> Result<Val<String>, SynthError> {
        let plans: domain::plan::Plans = self
            .settings
            .plans
            .iter()
            .map(|(name, plan)| (name.clone(), plan.into()))
            .collect();
        Ok(variable("plans", &plans)?.into())
    }

    fn own(&self, namespace: String, name: &str, statistic: Statistic, period: Period) -> Metric {
        Metric::new(namespace, name, statistic, period)
            .dimension(domain::names::METRIC_DIMENSION, self.names.environment())
    }
}

/// A setting as the JSON that a function reads from a variable.
pub(crate) fn variable(
    setting: &'static str,
    value: &impl Serialize,
) -> Result<String, SynthError> {
    serde_json::to_string(value).map_err(|source| SynthError::Variable { setting, source })
}

/// Declares a dead-letter queue.
pub(crate) fn dead_letters(
    context: &UsagePipeline,
    stack: &mut Stack,
    id: &'static str,
    name: &str,
) -> Queue {
    let settings = QueueSettings {
        name,
        kind: QueueKind::Standard,
        dead_letters: None,
        encryption: context.encryption(),
    };
    Queue::new(stack, id, &settings)
}
