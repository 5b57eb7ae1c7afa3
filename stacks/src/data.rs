//! `CompliCal-Data-{env}`: what outlives everything else. Keys, usage, and the topic that all
//! alarms tell, for this stack is there in either mode.

use domain::key::attribute as key;
use domain::names::{KEYS_BY_ID_INDEX, StackKind};
use domain::table::attribute;

use crate::constructs::{
    Comparison, Encryption, Expression, Key, Metric, Period, Stack, Statistic, Table,
    TableSettings, Topic,
};
use crate::context::{Context, Watch};

/// Declares the stack.
pub(crate) fn stack(context: &Context<'_>) -> Stack {
    let environment = context.environment;
    let mut stack = Stack::new(
        context.names.stack(StackKind::Data),
        "API keys and usage. Its tables are retained when it is deleted.",
    );
    let stack_ref = &mut stack;

    let keys = Table::new(
        stack_ref,
        "ApiKeysTable",
        &TableSettings {
            name: &context.names.api_keys_table(),
            key: Key {
                partition: key::KEY_HASH,
                sort: None,
            },
            index: Some((
                KEYS_BY_ID_INDEX,
                Key {
                    partition: key::ID,
                    sort: None,
                },
            )),
            expires: None,
            stream: false,
            protected: !environment.is_local(),
            encryption: Encryption::Managed,
        },
    );
    let usage = Table::new(
        stack_ref,
        "ApiUsageTable",
        &TableSettings {
            name: &context.names.usage_table(),
            key: Key {
                partition: attribute::PK,
                sort: Some(attribute::SK),
            },
            index: None,
            expires: Some(attribute::TTL),
            stream: false,
            protected: !environment.is_local(),
            encryption: Encryption::Managed,
        },
    );
    let topic = Topic::of_alarms(
        stack_ref,
        "AlarmTopic",
        &context.alarm_topic(),
        environment.alarms.email.as_ref(),
        None,
    );
    context.alarm(
        stack_ref,
        &topic,
        Watch {
            id: "UsageTableThrottles",
            noun: USAGE_TABLE_THROTTLES,
            means: "The usage table refuses reads or writes: a plan's users outgrew its warm \
                    throughput, or one partition is hot.",
            watched: (throttles(usage.name(), "ReadThrottleEvents")
                + throttles(usage.name(), "WriteThrottleEvents"))
            .into(),
            breaches: Comparison::Above(0.0),
            periods: 1,
        },
    );

    let template = stack.template();
    template.output("ApiKeysTableName", "The table of API keys", keys.name());
    template.output("ApiUsageTableName", "The usage table", usage.name());
    template.output(
        "AlarmTopicArn",
        "The topic that all alarms tell",
        topic.arn(),
    );
    stack
}

/// What the alarm on the usage table is called.
pub(crate) const USAGE_TABLE_THROTTLES: &str = "usage-table-throttles";

fn throttles(table: &str, metric: &str) -> Expression {
    Expression::from(
        Metric::new("AWS/DynamoDB", metric, Statistic::Sum, Period::MINUTE)
            .dimension("TableName", table),
    )
    .filled(0.0)
}
