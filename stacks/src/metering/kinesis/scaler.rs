//! The scaler, which changes the stream's shards with its load: a function on a schedule.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use domain::names::{Function as Of, env, kinesis_metric as metric};

use crate::SynthError;
use crate::cfn::policy::Statement;
use crate::constructs::{
    Comparison, Function, Grantee, Period, ScheduleRule, Stack, Statistic, Stream, Topic,
};
use crate::metering::pipeline::{Size, UsagePipeline};
use crate::metering::watch::{Lasting, Watch, recurring, unanswered};

/// The names of the alarms on scaling, as the dashboard shows them.
pub(crate) const ALARMS: [&str; 3] = [REFUSED, FAILURES, TICK];
const REFUSED: &str = "shard-scaling-refused";
const FAILURES: &str = "shard-scaling-failures";
const TICK: &str = "shard-scaler-tick";

/// The function's size: a few calls, and a day of values.
const SIZE: Size = Size {
    memory: 256,
    timeout: 30,
};
/// Minutes between two runs. CloudWatch shows a minute one to three minutes late, and each run
/// queries it four times.
const EVERY: NonZeroU16 = NonZeroU16::MIN.saturating_add(1);

/// Declares the scaler of `stream`, between its fewest and its most shards.
pub(super) fn declare(
    context: &UsagePipeline,
    stack: &mut Stack,
    (stream, topic): (&Stream, &Topic),
    (least, most): (u32, u32),
) -> Result<(), SynthError> {
    let names = &context.names;
    let scaler = context.function(
        stack,
        "ShardScaler",
        Of::Scaler,
        "Scales the stream's shards with its load",
        &SIZE,
        BTreeMap::from([
            (env::ENVIRONMENT, context.names.environment().into()),
            (env::METRICS_NAMESPACE, names.kinesis_namespace().into()),
            (env::USAGE_STREAM, names.usage_stream().into()),
            (env::LEAST_SHARDS, least.to_string().into()),
            (env::MOST_SHARDS, most.to_string().into()),
        ]),
    )?;
    stream.grant_scale(&scaler);
    scaler.grants().allow(Statement::allow_on_all(
        ["cloudwatch:GetMetricStatistics"],
        "GetMetricStatistics has no resource type (Service Authorization Reference, CloudWatch)",
    ));
    ScheduleRule {
        name: &context.names.resource("shard-scaler-tick"),
        description: "Looks at the stream's load",
        every_minutes: EVERY,
    }
    .invoke(stack, "ShardScalerTick", &scaler);
    for watch in watches(context, &scaler, stream) {
        context.alarm(stack, topic, watch);
    }
    let name = scaler.name().to_owned();
    stack.template().output(
        "ShardScalerName",
        "Scales the stream's shards",
        name.as_str(),
    );
    Ok(())
}

/// The first two need a quarter of an hour: one busy minute at `maxShards` is harmless.
fn watches(context: &UsagePipeline, scaler: &Function, stream: &Stream) -> [Watch<'static>; 3] {
    let period = Period::FIVE_MINUTES;
    let tick = recurring(u32::from(EVERY.get()) * 60);
    let put = stream.metric("IncomingRecords", Statistic::Sum, tick);
    let ticks = scaler.metric("Invocations", Statistic::Sum, tick);
    [
        Watch {
            id: "ShardScalingRefused",
            noun: REFUSED,
            means: "The stream needs more shards than it gets: it already has `stream.maxShards`, \
                    its ten changes per day are used up, or AWS refuses. The authorizer appends \
                    refused events to the journal directly, at one write each; none is lost. \
                    `cargo xtask logs scaler` shows which of the three it is.",
            watched: context
                .kinesis_metric(metric::SCALING_REFUSED, Statistic::Maximum, period)
                .into(),
            breaches: Comparison::Above(0.0),
            lasting: Lasting::MOSTLY,
        },
        Watch {
            id: "ShardScalingFailures",
            noun: FAILURES,
            means: "The scaler fails, so the stream keeps its shards under any load. Counts are \
                    not affected. Check `cargo xtask logs scaler`.",
            watched: scaler.metric("Errors", Statistic::Sum, period).into(),
            breaches: Comparison::Above(0.0),
            lasting: Lasting::MOSTLY,
        },
        Watch {
            id: "ShardScalerTickMissing",
            noun: TICK,
            means: "The stream gets records but nothing wakes the scaler, so the stream keeps its \
                    shards under any load. Counts are not affected. Enable the rule \
                    `shard-scaler-tick`, or deploy the stream's stack again.",
            watched: unanswered(put, ticks).into(),
            breaches: Comparison::Above(0.0),
            lasting: Lasting::TWICE,
        },
    ]
}
