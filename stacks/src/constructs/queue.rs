//! An SQS queue: encrypted, its messages kept two weeks.

use super::encryption::Encryption;
use super::function::Function;
use super::metric::{Metric, Period, Statistic};
use super::stack::Stack;
use crate::cfn::policy::{self, Statement};
use crate::cfn::{Arn, LogicalId, Val, sqs};

/// A queue of this stack.
#[derive(Clone, Debug)]
pub struct Queue {
    name: String,
    arn: Val<Arn<sqs::Queue>>,
    key: Encryption,
}

/// Whether order and single delivery are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueKind {
    /// At least once, roughly in order.
    Standard,
    /// First in, first out; `.fifo` is added to the name.
    Fifo,
}

/// How a queue differs from the others.
#[derive(Clone, Debug)]
pub struct QueueSettings<'a> {
    /// Its name, without `.fifo`.
    pub name: &'a str,
    /// Whether order is kept.
    pub kind: QueueKind,
    /// Where messages go that were received this often without being deleted.
    pub dead_letters: Option<(&'a Queue, u32)>,
    /// The key that encrypts its messages; SQS's own where it is AWS's.
    pub encryption: Encryption,
}

/// Two weeks, the longest that SQS keeps a message.
const RETENTION_SECONDS: u32 = 1_209_600;

impl Queue {
    /// Declares a queue.
    pub fn new(stack: &mut Stack, id: impl Into<LogicalId>, settings: &QueueSettings<'_>) -> Self {
        let id = id.into();
        if settings.name.contains('.') {
            stack.template().problem(
                &id,
                format!(
                    "`{}` holds a full stop; the kind of queue decides on `.fifo`",
                    settings.name
                ),
            );
        }
        let mut queue = sqs::Queue::new().message_retention_period(RETENTION_SECONDS);
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
            key: settings.encryption.clone(),
        }
    }

    /// Its name, `.fifo` included.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its ARN.
    pub fn arn(&self) -> Val<Arn<sqs::Queue>> {
        self.arn.clone()
    }

    /// How many messages wait.
    pub fn depth(&self, period: Period) -> Metric {
        Metric::new(
            "AWS/SQS",
            "ApproximateNumberOfMessagesVisible",
            Statistic::Maximum,
            period,
        )
        .dimension("QueueName", &self.name)
    }

    /// Lets a function send messages.
    pub fn grant_send(&self, to: &Function) {
        to.grants()
            .allow(Statement::allow(["sqs:SendMessage"], self.arn()));
        // A producer also decrypts: it is told a digest of what was stored (SQS Developer Guide,
        // "Key management").
        self.key.allow(to, ["kms:Decrypt", "kms:GenerateDataKey"]);
    }

    /// Lets a function receive and delete messages.
    pub fn grant_consume(&self, to: &Function) {
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
