//! Keys of KMS: AWS's own, or one that a stack declares.

use super::grants::Grantee;
use super::stack::Stack;
use crate::cfn::policy::{self, Statement};
use crate::cfn::{Arn, LogicalId, Val, existing, kms, logs};
use crate::rules;

/// The key that encrypts a stream, a table or a queue.
#[derive(Clone, Debug)]
pub enum Encryption {
    /// AWS's own key, usable by everyone who may use the encrypted resource.
    Managed,
    /// A customer key: a grant on the encrypted resource also grants its use, on this key and no
    /// other.
    Key(Val<Arn<kms::Key>>),
}

impl Encryption {
    /// The customer key with this ARN.
    pub fn under(arn: &str) -> Self {
        Self::Key(existing(arn).into())
    }

    /// Encrypts a log group with the customer key. The key's policy must allow CloudWatch Logs to
    /// use it, because a log group has no role that a grant could reach.
    pub fn encrypt_log(&self, group: logs::LogGroup) -> logs::LogGroup {
        match self {
            Self::Managed => group,
            Self::Key(key) => group.kms_key_id(key.clone()),
        }
    }

    /// Allows actions on the customer key; for AWS's own key there is nothing to allow.
    pub(super) fn allow<const N: usize>(&self, to: &impl Grantee, actions: [&'static str; N]) {
        if let Self::Key(key) = self {
            to.grants().allow(Statement::allow(actions, key.clone()));
        }
    }
}

/// A symmetric key of the stack's own: rotated each year, and retained like the data that it
/// encrypts.
#[derive(Clone, Debug)]
pub struct EncryptionKey {
    arn: Val<Arn<kms::Key>>,
}

impl EncryptionKey {
    /// Declares a key governed by this account's policies.
    pub fn new(stack: &mut Stack, id: impl Into<LogicalId>, description: &str) -> Self {
        Self::used_by(stack, id, description, [])
    }

    /// Declares a key that services may also use on behalf of this account:
    /// `cloudwatch.amazonaws.com` if alarms publish to a topic that it encrypts, because alarms
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

    /// The key in the form that resources accept.
    pub fn encryption(&self) -> Encryption {
        Encryption::Key(self.arn())
    }
}
