//! Keys of KMS: AWS's own, or one that a stack declares.

use super::function::Function;
use super::stack::Stack;
use crate::cfn::policy::{self, Statement};
use crate::cfn::{Arn, LogicalId, Val, existing, kms, logs};
use crate::environment::KeyArn;
use crate::rules;

/// The key that encrypts a stream, a table, a queue.
#[derive(Clone, Debug)]
pub enum Encryption {
    /// AWS's own, usable by whoever may use what it encrypts.
    Managed,
    /// The user's own: a grant on what it encrypts grants its use too, on this key and no other.
    Key(Val<Arn<kms::Key>>),
}

impl Encryption {
    /// The key of the user's own under which an ARN of the environment file names it.
    pub fn under(key: &KeyArn) -> Self {
        Self::Key(existing(key.as_str()).into())
    }

    /// A log group under the user's own key. The key's policy must let CloudWatch Logs use it, for a
    /// log group has no role that a grant could reach.
    pub fn encrypt_log(&self, group: logs::LogGroup) -> logs::LogGroup {
        match self {
            Self::Managed => group,
            Self::Key(key) => group.kms_key_id(key.clone()),
        }
    }

    /// Allows actions on the user's own key; with AWS's there is nothing to allow.
    pub(super) fn allow<const N: usize>(&self, to: &Function, actions: [&'static str; N]) {
        if let Self::Key(key) = self {
            to.grants().allow(Statement::allow(actions, key.clone()));
        }
    }
}

/// A symmetric key of a stack's own: rotated each year, retained with what it encrypts.
#[derive(Clone, Debug)]
pub struct EncryptionKey {
    arn: Val<Arn<kms::Key>>,
}

impl EncryptionKey {
    /// Declares a key that this account's policies decide on.
    pub fn new(stack: &mut Stack, id: impl Into<LogicalId>, description: &str) -> Self {
        Self::used_by(stack, id, description, [])
    }

    /// Declares a key that services, too, may use on behalf of this account:
    /// `cloudwatch.amazonaws.com` where alarms publish to a topic that it encrypts, for alarms
    /// have no role that a grant could reach.
    pub fn used_by<const N: usize>(
        stack: &mut Stack,
        id: impl Into<LogicalId>,
        description: &str,
        services: [&'static str; N],
    ) -> Self {
        let key = kms::Key::new()
            .description(description)
            .enable_key_rotation(true)
            .key_policy(policy::of_key(&services));
        let handle = stack.template().add(id, key);
        stack.template().retain(&handle);
        stack.template().explain(
            &handle,
            rules::ANY_RESOURCE,
            "in a key's policy `*` is the key itself, and without `kms:*` for the account nobody could ever change it (KMS Developer Guide, \"Default key policy\")",
        );
        Self { arn: handle.arn() }
    }

    /// Its ARN.
    pub fn arn(&self) -> Val<Arn<kms::Key>> {
        self.arn.clone()
    }

    /// As what encrypts a resource.
    pub fn encryption(&self) -> Encryption {
        Encryption::Key(self.arn())
    }
}
