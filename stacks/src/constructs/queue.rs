//! An SQS queue: encrypted, with messages kept for two weeks.

use super::encryption::Encryption;
use super::grants::Grantee;
use super::metric::{Metric, Period, Statistic};
use super::stack::Stack;
use crate::cfn::policy::{self, Statement};
use crate::cfn::{Arn, Id, LogicalId, Val, sqs};

/// A queue of this stack.
#[derive(Clone, Debug)]
pub struct Queue {
    name: String,
    arn: Val<Arn<sqs::Queue>>,
    url: Val<Id<sqs::Queue>>,
    key: Encryption,
}

/// How a function receives a queue's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The most messages per batch: 10, or with a window up to 10,000.
    pub batch_size: u32,
    /// Seconds that a batch waits to fill, at most 300.
    pub window_seconds: u32,
    /// Concurrent batches, at least 2.
    pub concurrency: u32,
    /// The function's timeout in seconds.
    pub timeout_seconds: u32,
}

impl Delivery {
    /// Seconds for which a message is hidden while the function has it: six timeouts plus the
    /// window (Lambda Developer Guide, "Creating and configuring an Amazon SQS event source
    /// mapping").
    const fn hidden_seconds(self) -> u32 {
        self.timeout_seconds * 6 + self.window_seconds
    }
}

/// The guarantees about order and duplicates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueKind {
    /// At least once, roughly in order.
    Standard,
    /// First in, first out; `.fifo` is added to the name.
    Fifo,
}

/// The settings in which queues differ.
#[derive(Clone, Debug)]
pub struct QueueSettings<'a> {
    /// Its name, without `.fifo`.
    pub name: &'a str,
    /// Its kind.
    pub kind: QueueKind,
    /// The queue for messages that were received this often without being deleted.
    pub dead_letters: Option<(&'a Queue, u32)>,
    /// The key that encrypts its messages; SQS's own key if it is AWS's.
    pub encryption: Encryption,
}

/// Two weeks, the longest that SQS keeps a message.
const RETENTION_SECONDS: u32 = 1_209_600;

impl Queue {
    /// Declares a queue.
    pub fn new(stack: &mut Stack, id: impl Into<LogicalId>, settings: &QueueSettings<'_>) -> Self {
        let queue = sqs::Queue::new().message_retention_period(RETENTION_SECONDS);
        Self::declare(stack, id.into(), settings, queue)
    }

    /// Declares a queue whose messages a function receives, see [`Queue::feed`].
    pub fn delivered_by(
        stack: &mut Stack,
        id: impl Into<LogicalId>,
        settings: &QueueSettings<'_>,
        delivery: Delivery,
    ) -> Self {
        let queue = sqs::Queue::new()
            .message_retention_period(RETENTION_SECONDS)
            .visibility_timeout(delivery.hidden_seconds());
        Self::declare(stack, id.into(), settings, queue)
    }

    fn declare(
        stack: &mut Stack,
        id: LogicalId,
        settings: &QueueSettings<'_>,
        mut queue: sqs::Queue,
    ) -> Self {
        if settings.name.contains('.') {
            stack.template().problem(
                &id,
                format!(
                    "`{}` holds a full stop; the kind of queue decides on `.fifo`",
                    settings.name
                ),
            );
        }
        queue = match &settings.encryption {
            Encryption::Managed => queue.sqs_managed_sse_enabled(true),
            Encryption::Key(key) => queue.kms_master_key_id(key.clone()),
        };
        let name = match settings.kind {
            QueueKind::Standard => settings.name.to_owned(),
            QueueKind::Fifo => {
                queue = queue.fifo_queue(true);
                format!("{}.fifo", settings.name)
            }
        };
        queue = queue.queue_name(name.as_str());
        if let Some((dead_letters, receives)) = settings.dead_letters {
            queue = queue.redrive_policy(policy::redrive(dead_letters.arn(), receives));
        }
        let handle = stack.template().add(id, queue);
        Self {
            name,
            arn: handle.arn(),
            url: handle.reference(),
            key: settings.encryption.clone(),
        }
    }

    /// Its name, including `.fifo`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its ARN.
    pub fn arn(&self) -> Val<Arn<sqs::Queue>> {
        self.arn.clone()
    }

    /// The URL to send messages to.
    pub fn url(&self) -> Val<Id<sqs::Queue>> {
        self.url.clone()
    }

    /// The number of waiting messages.
    pub fn depth(&self, period: Period) -> Metric {
        Self::depth_of(&self.name, period)
    }

    /// The number of waiting messages in a queue of another stack.
    pub fn depth_of(queue: &str, period: Period) -> Metric {
        Metric::new(
            "AWS/SQS",
            "ApproximateNumberOfMessagesVisible",
            Statistic::Maximum,
            period,
        )
        .dimension("QueueName", queue)
    }

    /// The age of its oldest message, in seconds.
    pub fn age(&self, period: Period) -> Metric {
        Metric::new(
            "AWS/SQS",
            "ApproximateAgeOfOldestMessage",
            Statistic::Maximum,
            period,
        )
        .dimension("QueueName", &self.name)
    }

    /// The number of messages that a consumer received.
    pub fn received(&self, period: Period) -> Metric {
        Metric::new(
            "AWS/SQS",
            "NumberOfMessagesReceived",
            Statistic::Sum,
            period,
        )
        .dimension("QueueName", &self.name)
    }

    /// The number of messages that were sent to a queue of another stack or part.
    pub fn sent_to(queue: &str, period: Period) -> Metric {
        Metric::new("AWS/SQS", "NumberOfMessagesSent", Statistic::Sum, period)
            .dimension("QueueName", queue)
    }

    /// Allows a grantee to send messages.
    pub fn grant_send(&self, to: &impl Grantee) {
        to.grants()
            .allow(Statement::allow(["sqs:SendMessage"], self.arn()));
        // A producer also decrypts: it receives a digest of what was stored (SQS Developer Guide,
        // "Key management").
        self.key.allow(to, ["kms:Decrypt", "kms:GenerateDataKey"]);
    }

    /// Allows a grantee to receive and delete messages.
    pub fn grant_consume(&self, to: &impl Grantee) {
        to.grants().allow(Statement::allow(
            [
                "sqs:ReceiveMessage",
                "sqs:DeleteMessage",
                "sqs:GetQueueAttributes",
            ],
            self.arn(),
        ));
        self.key.allow(to, ["kms:Decrypt"]);
    }
}
