//! `CompliCal-Data-{env}`: the tables, which outlive everything else, and the aggregator, which
//! folds the journal into counts. It also holds the topic that all alarms notify, because this
//! stack exists in both modes.
//!
//! The aggregator reads the analytics table's stream. A table stream's ARN contains a time, so only
//! the table's own stack can name it.

mod alarms;

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use domain::key::attribute as key;
use domain::names::{
    AUTHORIZER_SECONDS, BY_TIME_INDEX, FOLD_SECONDS, Function as Of, KEYS_BY_EMAIL_INDEX,
    KEYS_BY_ID_INDEX, StackKind, env,
};
use domain::table::{JOURNAL_PREFIX, attribute};

use crate::SynthError;
use crate::cfn::Val;
use crate::constructs::{
    Bucket, EventSource, EventSourceSettings, Function, Index, Key, Projection, Queue,
    ScheduleRule, Stack, Start, StreamView, Table, TableSettings, Topic,
};
use crate::environment::Email;
use crate::metering::pipeline::{Size, UsagePipeline, dead_letters};
use crate::metering::{notifier, reports};

pub(crate) use alarms::ALARMS;

/// The aggregator's size. A fold holds the ids of a whole minute.
const SIZE: Size = Size {
    memory: 1024,
    timeout: FOLD_SECONDS,
};
/// The most changes of the journal per invocation: Lambda's limit. The more changes of a minute
/// share a batch, the less often that minute is folded.
const BATCH: u32 = 10_000;

/// An environment's stack.
pub(crate) fn stack(context: &UsagePipeline) -> Result<Stack, SynthError> {
    let mut stack = Stack::new(
        context.names.stack(StackKind::Data),
        "API keys, usage, the journal and its aggregator. Its tables are retained when it is deleted.",
    );
    declare(context, &mut stack)?;
    Ok(stack)
}

/// Declares its resources.
pub(super) fn declare(context: &UsagePipeline, stack: &mut Stack) -> Result<(), SynthError> {
    let keys = api_keys_table(context, stack);
    let usage = usage_table(context, stack);
    let analytics = analytics_table(context, stack);
    let topic = Topic::of_alarms(
        stack,
        "AlarmTopic",
        &context.alarm_topic(),
        context.settings.alarms.email.as_ref().map(Email::as_str),
        &context.encryption(),
    );
    let dead_letters = dead_letters(
        context,
        stack,
        "AggregatorDeadLetterQueue",
        &context.names.aggregator_dead_letter_queue(),
    );
    let (alerts, notifier) = notifier::declare(context, stack, (&usage, &topic))?;
    let tables = (&analytics, &usage);
    let bucket = reports::bucket(context, stack);
    let queues = (&dead_letters, &alerts);
    let aggregator = aggregator(context, stack, tables, queues, bucket.as_ref())?;
    let tables = [&keys, &usage, &analytics];
    for watch in alarms::of(context, tables, &aggregator, &dead_letters) {
        context.alarm(stack, &topic, watch);
    }

    let arn = topic.arn();
    let bucket = bucket.map(|bucket| bucket.name());
    let template = stack.template();
    template.output("AlarmTopicArn", "The topic that all alarms notify", arn);
    for (id, description, name) in [
        ("ApiKeysTableName", "The table of API keys", keys.name()),
        ("ApiUsageTableName", "The usage table", usage.name()),
        (
            "AnalyticsTableName",
            "The analytics table",
            analytics.name(),
        ),
        (
            "RealtimeAggregatorName",
            "Folds the journal",
            aggregator.name(),
        ),
        ("NotifierName", "Delivers alerts", notifier.name()),
        (
            "AggregatorDeadLetterQueueName",
            "Its dead letters",
            dead_letters.name(),
        ),
    ] {
        template.output(id, description, name);
    }
    if let Some(name) = bucket {
        template.output("ReportBucketName", "The bucket of reports", name);
    }
    Ok(())
}

fn api_keys_table(context: &UsagePipeline, stack: &mut Stack) -> Table {
    Table::new(
        stack,
        "ApiKeysTable",
        &TableSettings {
            name: &context.names.api_keys_table(),
            key: Key {
                partition: key::KEY_HASH,
                sort: None,
            },
            indexes: &[
                Index {
                    name: KEYS_BY_ID_INDEX,
                    key: Key {
                        partition: key::ID,
                        sort: None,
                    },
                    projection: Projection::All,
                },
                Index {
                    name: KEYS_BY_EMAIL_INDEX,
                    key: Key {
                        partition: key::EMAIL,
                        sort: Some(key::CREATED_AT),
                    },
                    projection: Projection::All,
                },
            ],
            expires: None,
            stream: None,
            protected: context.settings.protected,
            encryption: context.encryption(),
        },
    )
}

/// The key of the analytics and the usage table.
const ITEM_KEY: Key = Key {
    partition: attribute::PK,
    sort: Some(attribute::SK),
};

/// Each user's hours, days, months and all time, and the progress of closing days.
fn usage_table(context: &UsagePipeline, stack: &mut Stack) -> Table {
    Table::new(
        stack,
        "ApiUsageTable",
        &TableSettings {
            name: &context.names.usage_table(),
            key: ITEM_KEY,
            indexes: &[],
            expires: Some(attribute::TTL),
            stream: None,
            protected: context.settings.protected,
            encryption: context.encryption(),
        },
    )
}

/// The journal, the totals over all users, and items that could not be processed.
fn analytics_table(context: &UsagePipeline, stack: &mut Stack) -> Table {
    Table::new(
        stack,
        "AnalyticsTable",
        &TableSettings {
            name: &context.names.analytics_table(),
            key: ITEM_KEY,
            indexes: &[Index {
                name: BY_TIME_INDEX,
                key: Key {
                    partition: attribute::WINDOW,
                    sort: Some(attribute::START),
                },
                projection: Projection::Keys,
            }],
            expires: Some(attribute::TTL),
            // A fold reads the journal itself: it only needs to know which minutes changed.
            stream: Some(StreamView::Keys),
            protected: context.settings.protected,
            encryption: context.encryption(),
        },
    )
}

/// The aggregator, invoked by each change of the journal, and each minute to close days.
fn aggregator(
    context: &UsagePipeline,
    stack: &mut Stack,
    (analytics, usage): (&Table, &Table),
    (dead_letters, alerts): (&Queue, &Queue),
    bucket: Option<&Bucket>,
) -> Result<Function, SynthError> {
    let aggregator = context.function(
        stack,
        "RealtimeAggregator",
        Of::Aggregator,
        "Folds the journal into counts, and closes days",
        &SIZE,
        variables(context, alerts, bucket)?,
    )?;
    alerts.grant_send(&aggregator);
    analytics.grant(
        &aggregator,
        [
            "dynamodb:GetItem",
            "dynamodb:Query",
            "dynamodb:PutItem",
            "dynamodb:DeleteItem",
        ],
    );
    usage.grant(
        &aggregator,
        ["dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem"],
    );
    EventSource::TableStream(analytics).feed(
        stack,
        "RealtimeAggregatorSource",
        &aggregator,
        &EventSourceSettings {
            start: Start::Oldest,
            batch_size: BATCH,
            window_seconds: context.settings.aggregator.window_seconds.get(),
            parallelization: 1,
            dead_letters,
            filter: Some(&journal_only()),
        },
    );
    ScheduleRule {
        name: &context.names.resource("aggregator-tick"),
        description: "Closes days, and folds what the table's stream missed",
        every_minutes: NonZeroU16::MIN,
    }
    .invoke(stack, "AggregatorTick", &aggregator);
    if let Some(bucket) = bucket {
        reports::schedule(context, stack, &aggregator, bucket);
    }
    Ok(aggregator)
}

fn variables(
    context: &UsagePipeline,
    alerts: &Queue,
    bucket: Option<&Bucket>,
) -> Result<BTreeMap<&'static str, Val<String>>, SynthError> {
    let names = &context.names;
    let retention = context.settings.retention;
    // AWS charges for metrics even if no dashboard shows them.
    let of_plans = if context.settings.plan_metrics {
        names.plans_namespace()
    } else {
        String::new()
    };
    let number = |number: u32| Val::<String>::from(number.to_string());
    let units = reports::units(context.settings.reports.as_ref())?;
    let bucket = bucket.map_or_else(|| "".into(), |bucket| Val::<String>::from(bucket.name()));
    Ok(BTreeMap::from([
        (env::REPORTS, units.into()),
        (env::REPORT_BUCKET, bucket),
        (env::PLANS, context.plans()?),
        (env::ALERT_QUEUE, alerts.url().into()),
        (env::ENVIRONMENT, context.names.environment().into()),
        (env::METRICS_NAMESPACE, names.kinesis_namespace().into()),
        (env::PLAN_METRICS_NAMESPACE, of_plans.into()),
        (env::ANALYTICS_TABLE, names.analytics_table().into()),
        (env::API_USAGE_TABLE, names.usage_table().into()),
        (env::RAW_RETENTION_DAYS, number(retention.raw_days.get())),
        (
            env::MINUTE_RETENTION_DAYS,
            number(retention.minute_days.get()),
        ),
        (env::HOUR_RETENTION_DAYS, number(retention.hour_days.get())),
        (
            env::RECONCILE_SECONDS,
            number(seconds_until_reconciled(context)),
        ),
    ]))
}

/// Seconds after a call by which both tracks have reported it, unless one has lost it: its line
/// waits for a window, and its event for the authorizer to end and for the processor's batch to
/// fill.
fn seconds_until_reconciled(context: &UsagePipeline) -> u32 {
    let settings = &context.settings;
    settings.reconciler.window_seconds.get()
        + AUTHORIZER_SECONDS
        + settings.processor.batching_window_seconds.get()
}

/// Counts are written to the same table and must not trigger the fold that writes them. Neither
/// must expiring entries: a fold without them would find fewer facts.
fn journal_only() -> String {
    format!(
        r#"{{"eventName":["INSERT","MODIFY"],"dynamodb":{{"Keys":{{"PK":{{"S":[{{"prefix":"{JOURNAL_PREFIX}"}}]}}}}}}}}"#
    )
}
