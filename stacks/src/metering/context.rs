//! The context of every stack: the environment, its names, the zips.

use std::collections::BTreeMap;

use domain::names::{Function as Of, Names};
use serde::Serialize;

use crate::cfn::Val;
use crate::constructs::{
    Encryption, Expression, Function, FunctionLog, FunctionSettings, Metric, Period, Queue,
    QueueKind, QueueSettings, Stack, Statistic, Table,
};
use crate::environment::{Architecture, Bounded, Environment, LogLevel};
use crate::{FileAsset, FunctionAssets, SynthError, assets, constructs};

/// The context that the three stacks of one environment share.
pub(crate) struct StackContext<'a> {
    pub(crate) environment: &'a Environment,
    pub(crate) names: Names,
    assets: &'a FunctionAssets,
}

/// The size of a function.
pub(crate) struct Size {
    pub(crate) memory: u32,
    pub(crate) timeout: u32,
}

impl<'a> StackContext<'a> {
    pub(crate) fn new(environment: &'a Environment, assets: &'a FunctionAssets) -> Self {
        Self {
            environment,
            names: environment.names(),
            assets,
        }
    }

    /// `complical-{noun}-test`: for resources whose name only the stacks read.
    pub(crate) fn named(&self, noun: &str) -> String {
        format!(
            "{}-{noun}-{}",
            self.environment.resource_prefix, self.environment.name
        )
    }

    /// The name of the topic that all alarms notify.
    pub(crate) fn alarm_topic(&self) -> String {
        self.named("alarms")
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
        let settings = self.settings(&name, of, description, size, variables)?;
        Ok(Function::new(stack, id, settings))
    }

    /// The settings that all of this project's functions share.
    pub(crate) fn settings<'s>(
        &self,
        name: &'s str,
        of: Of,
        description: &'s str,
        size: &Size,
        variables: BTreeMap<&'static str, Val<String>>,
    ) -> Result<FunctionSettings<'s>, SynthError> {
        let asset = self.assets.get(&of).ok_or(SynthError::NoAsset { of })?;
        let bucket = assets::bucket_pattern(self.environment);
        Ok(FunctionSettings {
            name,
            description,
            code: FileAsset::new(&asset.zip, &asset.sha256, bucket),
            architecture: match asset.architecture {
                Architecture::Arm64 => constructs::Architecture::Arm64,
                Architecture::X8664 => constructs::Architecture::X8664,
            },
            memory: size.memory,
            timeout: size.timeout,
            variables,
            log: FunctionLog {
                days: self.environment.logs.retention_days.get(),
                level: match self.environment.logs.level {
                    LogLevel::Trace => constructs::LogLevel::Trace,
                    LogLevel::Debug => constructs::LogLevel::Debug,
                    LogLevel::Info => constructs::LogLevel::Info,
                },
                encryption: self.encryption(),
            },
            reserved: self.reserved(of),
            tracing: self.environment.tracing,
        })
    }

    /// The key of everything that is stored.
    pub(crate) fn encryption(&self) -> Encryption {
        let own = self.environment.encryption.as_ref();
        own.map_or(Encryption::Managed, |own| {
            Encryption::under(own.key.as_str())
        })
    }

    /// A table of another stack, by the name that both use.
    pub(crate) fn table(&self, name: &str) -> Table {
        Table::named(name, []).encrypted(self.encryption())
    }

    /// Executions that the environment reserves for a function.
    fn reserved(&self, of: Of) -> Option<u32> {
        let concurrency = &self.environment.concurrency;
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
            .environment
            .plans
            .iter()
            .map(|(name, plan)| (name.clone(), plan.into()))
            .collect();
        Ok(variable("plans", &plans)?.into())
    }

    fn own(&self, namespace: String, name: &str, statistic: Statistic, period: Period) -> Metric {
        Metric::new(namespace, name, statistic, period)
            .dimension(domain::names::METRIC_DIMENSION, &self.environment.name)
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
    context: &StackContext<'_>,
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
