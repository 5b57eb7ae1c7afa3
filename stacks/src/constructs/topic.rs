//! An SNS topic that CloudWatch's alarms publish to.

use super::encryption::Encryption;
use super::grants::Grantee;
use super::stack::Stack;
use crate::cfn::policy::Statement;
use crate::cfn::{Arn, Id, List, LogicalId, Val, account_id, existing, policy, sns, sub};

/// A topic, of this stack or known by its name.
#[derive(Clone, Debug)]
pub struct Topic {
    arn: Val<Arn<sns::Topic>>,
    key: Encryption,
}

impl Topic {
    /// Declares a topic to which this account's alarms may publish. Without a key it is not
    /// encrypted: alarms cannot publish under AWS's own key for SNS (CloudWatch User Guide, "SNS
    /// encryption"), and their messages contain no user's data. A key must be one [used
    /// by](super::EncryptionKey::used_by) `cloudwatch.amazonaws.com`.
    pub fn of_alarms(
        stack: &mut Stack,
        id: &'static str,
        name: &str,
        email: Option<&str>,
        key: &Encryption,
    ) -> Self {
        let mut topic = sns::Topic::new().topic_name(name);
        if let Encryption::Key(key) = key {
            topic = topic.kms_master_key_id(key.clone());
        }
        if let Some(email) = email {
            topic = topic.subscription([sns::TopicSubscription::new(
                sns::TopicSubscriptionRequired {
                    protocol: "email".into(),
                    endpoint: existing(email).into(),
                },
            )]);
        }
        let handle = stack.template().add(id, topic);
        let publish = policy::granted_to(
            "cloudwatch.amazonaws.com",
            &["sns:Publish"],
            handle.topic_arn().into(),
            ("aws:SourceAccount", account_id()),
        );
        stack.template().add(
            LogicalId::from(format!("{id}Policy")),
            sns::TopicPolicy::new(sns::TopicPolicyRequired {
                policy_document: publish,
                topics: List::of([Val::<String>::from(handle.reference())]),
            }),
        );
        Self {
            arn: handle.topic_arn(),
            key: key.clone(),
        }
    }

    /// A topic of another stack, in this account and region.
    pub fn named(name: &str) -> Self {
        Self {
            arn: sub(format!(
                "arn:${{AWS::Partition}}:sns:${{AWS::Region}}:${{AWS::AccountId}}:{name}"
            )),
            key: Encryption::Managed,
        }
    }

    /// Its ARN.
    pub fn arn(&self) -> Val<Arn<sns::Topic>> {
        self.arn.clone()
    }

    /// Allows a grantee to publish.
    pub fn grant_publish(&self, to: &impl Grantee) {
        to.grants()
            .allow(Statement::allow(["sns:Publish"], self.arn()));
        self.key.allow(to, ["kms:Decrypt", "kms:GenerateDataKey"]);
    }

    /// The value of `Ref`: its ARN.
    pub fn reference(&self) -> Val<Id<sns::Topic>> {
        self.arn.clone().cast()
    }
}
