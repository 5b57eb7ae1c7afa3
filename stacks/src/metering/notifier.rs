//! The notifier, a part of `CompliCal-Data-{env}`: alerts wait in a queue, and so does each failed
//! delivery.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use domain::names::{Function as Of, env, kinesis_metric as metric};
use domain::webhook::{CURRENT_SECRET, Endpoint, Endpoints, FIRST_SECRET_CHARACTERS};

use crate::SynthError;
use crate::cfn::{LogicalId, Val};
use crate::constructs::{
    Comparison, Delivery, Function, Period, Queue, QueueKind, QueueSettings, Secret,
    SecretSettings, Stack, Statistic, Table, Topic,
};
use crate::metering::pipeline::{Size, UsagePipeline, dead_letters, variable};
use crate::metering::watch::{Lasting, Watch, unread};

/// The names of the alarms on alerts.
pub(crate) const ALARMS: [&str; 4] = [DELIVERIES_FAILED, QUEUE_IDLE, FAILURES, DEAD_LETTERS];
const DELIVERIES_FAILED: &str = "deliveries-failed";
const QUEUE_IDLE: &str = "alert-queue-idle";
const FAILURES: &str = "notifier-failures";
const DEAD_LETTERS: &str = "alert-dead-letters";

/// Minutes within which a message that failed is received again.
const AGAIN: NonZeroU16 = NonZeroU16::MIN.saturating_add(9);

/// The function's size.
const SIZE: Size = Size {
    memory: 256,
    timeout: 60,
};
/// One slow endpoint takes ten seconds: batches are small, so that it delays few others.
const DELIVERY: Delivery = Delivery {
    batch_size: 5,
    window_seconds: 0,
    concurrency: 2,
    timeout_seconds: SIZE.timeout,
};
/// How often a message is received before it becomes a dead letter: at six minutes each, ten hours.
const RECEIVES: u32 = 100;

/// Declares the queue of alerts, and the notifier behind it.
pub(crate) fn declare(
    context: &UsagePipeline,
    stack: &mut Stack,
    (usage, topic): (&Table, &Topic),
) -> Result<(Queue, Function), SynthError> {
    let dead_letters = dead_letters(
        context,
        stack,
        "AlertDeadLetterQueue",
        &context.names.alert_dead_letter_queue(),
    );
    let queue = Queue::delivered_by(
        stack,
        "AlertQueue",
        &QueueSettings {
            name: &context.names.alert_queue(),
            kind: QueueKind::Standard,
            dead_letters: Some((&dead_letters, RECEIVES)),
            encryption: context.encryption(),
        },
        DELIVERY,
    );
    let notifier = context.function(
        stack,
        "Notifier",
        Of::Notifier,
        "Delivers alerts by email and webhooks",
        &SIZE,
        variables(context, &queue, topic)?,
    )?;
    usage.grant(&notifier, ["dynamodb:GetItem", "dynamodb:PutItem"]);
    topic.grant_publish(&notifier);
    queue.grant_send(&notifier);
    for secret in secrets(context, stack) {
        secret.grant_read(&notifier);
    }
    queue.feed(stack, "NotifierSource", &notifier, DELIVERY);
    for watch in alarms(context, &notifier, [&queue, &dead_letters]) {
        context.alarm(stack, topic, watch);
    }
    Ok((queue, notifier))
}

/// One secret per endpoint. Names of endpoints consist of lower-case letters, digits and hyphens,
/// so no two have the same logical id.
fn secrets(context: &UsagePipeline, stack: &mut Stack) -> Vec<Secret> {
    let webhooks = context.settings.webhooks.iter();
    let declared = webhooks.map(|webhook| {
        let name = webhook.name.as_str();
        let settings = SecretSettings {
            name: &context.names.webhook_secret(name),
            description: &format!("Signs the alerts that webhook {name} receives"),
            member: CURRENT_SECRET,
            characters: FIRST_SECRET_CHARACTERS,
            not_retained: "a secret signs alerts alone; a deploy makes a new one, which the receiver takes from `cargo xtask webhooks secret`",
            encryption: context.encryption(),
        };
        let id = format!("WebhookSecret{}", name.replace('-', "Dash"));
        Secret::new(stack, LogicalId::from(id), &settings)
    });
    declared.collect()
}

fn variables(
    context: &UsagePipeline,
    queue: &Queue,
    topic: &Topic,
) -> Result<BTreeMap<&'static str, Val<String>>, SynthError> {
    let names = &context.names;
    let endpoints = variable("webhooks", &endpoints(context))?;
    Ok(BTreeMap::from([
        (env::ENVIRONMENT, context.names.environment().into()),
        (env::METRICS_NAMESPACE, names.kinesis_namespace().into()),
        (env::EVENT_SOURCE, names.event_source().into()),
        (env::API_USAGE_TABLE, names.usage_table().into()),
        (env::ALERT_QUEUE, queue.url().into()),
        (env::ALERT_TOPIC, topic.arn().into()),
        (env::WEBHOOKS, endpoints.into()),
        (env::WEBHOOK_SECRETS, names.webhook_secrets().into()),
    ]))
}

/// The endpoints in the form that the notifier reads.
fn endpoints(context: &UsagePipeline) -> Endpoints {
    let webhooks = context.settings.webhooks.iter();
    let endpoints = webhooks.map(|webhook| Endpoint {
        name: webhook.name.to_string(),
        url: webhook.url.as_str().to_owned(),
        format: webhook.format.into(),
        allow_private: webhook.allow_private,
        events: webhook
            .events
            .as_ref()
            .map(|events| events.iter().copied().map(Into::into).collect()),
    });
    Endpoints(endpoints.collect())
}

fn alarms(
    context: &UsagePipeline,
    notifier: &Function,
    [queue, dead_letters]: [&Queue; 2],
) -> [Watch<'static>; 4] {
    let minute = Period::MINUTE;
    [
        Watch {
            id: "DeliveriesFailed",
            noun: DELIVERIES_FAILED,
            means: "A webhook endpoint refused an alert for more than a day, and the notifier gave \
                    up the delivery. Counts are not affected. `cargo xtask webhooks list` shows \
                    which delivery failed and why. Once the endpoint works, run `cargo xtask \
                    webhooks redrive`.",
            watched: context
                .kinesis_metric(metric::DELIVERIES_FAILED, Statistic::Sum, minute)
                .into(),
            breaches: Comparison::Above(0.0),
            lasting: Lasting::ONCE,
        },
        Watch {
            id: "AlertQueueIdle",
            noun: QUEUE_IDLE,
            means: "Alerts wait and nothing wakes the notifier: its mapping to the queue is \
                    disabled, deleted or broken. Counts are not affected, but nobody is notified \
                    of crossed thresholds. The queue keeps the alerts. Enable the mapping \
                    `NotifierSource`, or deploy the data stack again.",
            watched: unread(queue).into(),
            breaches: Comparison::Above(0.0),
            lasting: Lasting::TWICE,
        },
        // A message is hidden for six minutes after a failure: one that always fails does so twice.
        Watch {
            id: "NotifierFailures",
            noun: FAILURES,
            means: "The notifier fails repeatedly. Alerts are redelivered for ten hours; until they \
                    succeed, nobody is notified of crossed thresholds. Counts are not affected. \
                    Check `cargo xtask logs notifier`.",
            watched: notifier
                .metric("Errors", Statistic::Sum, Period::minutes(AGAIN))
                .into(),
            breaches: Comparison::Above(1.0),
            lasting: Lasting::ONCE,
        },
        Watch {
            id: "AlertDeadLetters",
            noun: DEAD_LETTERS,
            means: "The notifier could not process alerts for ten hours. Counts are not affected, \
                    but nobody was notified of crossed thresholds. The queue holds the messages: \
                    fix the cause that `cargo xtask logs notifier` shows, then redrive the queue \
                    in the SQS console.",
            watched: dead_letters.depth(minute).into(),
            breaches: Comparison::Above(0.0),
            lasting: Lasting::ONCE,
        },
    ]
}
