//! IAM policy documents: typed statements, so that a role's permissions can be read and checked.

use serde_json::{Value, json};

use super::generated::actions::ACTIONS;
use super::intrinsic::account_id;
use super::sqs;
use super::value::{Arn, Json, Val};

/// Actions for which the Service Authorization Reference lists no resource type, although AWS's own
/// samples or the action's parameters name one. Not tried on AWS: if it refuses one of them there,
/// the action must be allowed on `*`.
const NAMED_ANYWAY: [&str; 5] = [
    // The Kinesis developer guide's sample of a scaling function names the stream.
    "kinesis:UpdateShardCount",
    // Each has the parameter `StreamARN` (Kinesis API Reference).
    "kinesis:DisableEnhancedMonitoring",
    "kinesis:EnableEnhancedMonitoring",
    "kinesis:UpdateStreamMode",
    // Its parameter is a list of log groups (CloudWatch Logs API Reference).
    "logs:DescribeIndexPolicies",
];

/// One statement that allows something.
#[derive(Clone, Debug)]
pub struct Statement {
    pub(crate) actions: Vec<&'static str>,
    pub(crate) resources: Resources,
    pub(crate) conditions: Vec<Condition>,
}

/// The resources of a statement.
#[derive(Clone, Debug)]
pub(crate) enum Resources {
    Exact(Vec<Val<String>>),
    /// `*`, and the reason why nothing narrower exists.
    Any(&'static str),
}

/// A condition: operator, key, value.
#[derive(Clone, Debug)]
pub struct Condition {
    operator: &'static str,
    key: &'static str,
    value: Val<String>,
}

impl Statement {
    /// Allows actions on one resource. Actions are `service:Action`.
    pub fn allow<R, const N: usize>(actions: [&'static str; N], on: Val<Arn<R>>) -> Self {
        Self::allow_each(actions, [on.into()])
    }

    /// Allows actions on several resources.
    pub fn allow_each<const N: usize, const M: usize>(
        actions: [&'static str; N],
        on: [Val<String>; M],
    ) -> Self {
        Self {
            actions: actions.into(),
            resources: Resources::Exact(on.into()),
            conditions: Vec::new(),
        }
    }

    /// Allows actions on `*`: only if AWS offers nothing narrower. The reason is written into the
    /// template.
    pub fn allow_on_all<const N: usize>(actions: [&'static str; N], reason: &'static str) -> Self {
        Self {
            actions: actions.into(),
            resources: Resources::Any(reason),
            conditions: Vec::new(),
        }
    }

    /// Allows actions on several resources, for computed lists.
    pub(crate) const fn of(actions: Vec<&'static str>, on: Vec<Val<String>>) -> Self {
        Self {
            actions,
            resources: Resources::Exact(on),
            conditions: Vec::new(),
        }
    }

    /// Only if the request's `key` is an ARN like `value`, in which `*` stands for anything.
    #[must_use]
    pub(crate) fn when_like(mut self, key: &'static str, value: impl Into<Val<String>>) -> Self {
        self.conditions.push(Condition {
            operator: "ArnLike",
            key,
            value: value.into(),
        });
        self
    }

    /// Only if the partition key of each of the request's items is like `value`, in which `*` stands
    /// for anything (DynamoDB Developer Guide, "Using IAM policy conditions for fine-grained access
    /// control").
    #[must_use]
    pub(crate) fn when_partition_like(mut self, value: impl Into<Val<String>>) -> Self {
        self.conditions.push(Condition {
            operator: "ForAllValues:StringLike",
            key: "dynamodb:LeadingKeys",
            value: value.into(),
        });
        self
    }

    /// Only if the request's `key` equals `value`.
    #[must_use]
    pub fn when_equal(mut self, key: &'static str, value: impl Into<Val<String>>) -> Self {
        self.conditions.push(Condition {
            operator: "StringEquals",
            key,
            value: value.into(),
        });
        self
    }

    /// The reason for `*`, if the statement has it.
    pub(crate) fn reason(&self) -> Option<&'static str> {
        match self.resources {
            Resources::Exact(_) => None,
            Resources::Any(reason) => Some(reason),
        }
    }

    /// Problems: statements that AWS would refuse, or that are wider than necessary.
    pub(crate) fn problems(&self) -> Vec<String> {
        let actions = self.actions.iter();
        actions
            .filter_map(|action| match (known(action), &self.resources) {
                (None, _) => Some(format!("`{action}` is not an IAM action")),
                (Some(true), Resources::Any(_)) => Some(format!(
                    "`{action}` is allowed on `*`, but can name a resource"
                )),
                (Some(false), Resources::Exact(_)) if !NAMED_ANYWAY.contains(action) => {
                    Some(format!(
                        "`{action}` can name no resource, so it is allowed on `*` or not at all"
                    ))
                }
                _ => None,
            })
            .collect()
    }

    fn json(self) -> Value {
        let resource = match self.resources {
            Resources::Exact(mut resources) if resources.len() == 1 => {
                resources.remove(0).into_json()
            }
            Resources::Exact(resources) => resources.into_iter().map(Val::into_json).collect(),
            Resources::Any(_) => "*".into(),
        };
        let mut statement = json!({
            "Effect": "Allow",
            "Action": self.actions,
            "Resource": resource,
        });
        conditions(&mut statement, self.conditions);
        statement
    }
}

/// Whether an action can name a resource; `None` if the action does not exist.
fn known(action: &str) -> Option<bool> {
    let action = action.to_ascii_lowercase();
    let found = ACTIONS.binary_search_by(|(name, _)| (*name).cmp(action.as_str()));
    found
        .ok()
        .and_then(|index| ACTIONS.get(index))
        .map(|(_, narrow)| *narrow)
}

fn conditions(statement: &mut Value, conditions: Vec<Condition>) {
    for Condition {
        operator,
        key,
        value,
    } in conditions
    {
        if let Some(object) = statement.as_object_mut() {
            let block = object.entry("Condition").or_insert_with(|| json!({}));
            if let Some(block) = block.as_object_mut() {
                let tests = block.entry(operator).or_insert_with(|| json!({}));
                if let Some(tests) = tests.as_object_mut() {
                    tests.insert(key.to_owned(), value.into_json());
                }
            }
        }
    }
}

/// A document of statements, in the order given.
pub fn document(statements: impl IntoIterator<Item = Statement>) -> Json {
    let statements: Vec<Value> = statements.into_iter().map(Statement::json).collect();
    Json(json!({ "Version": "2012-10-17", "Statement": statements }))
}

/// Allows principals of the account to assume a role, if their own policies do.
pub(crate) fn assumed_by_account() -> Json {
    Json(json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": { "AWS": { "Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root" } },
            "Action": "sts:AssumeRole",
        }],
    }))
}

/// Allows a service to assume a role: `lambda.amazonaws.com`.
pub fn assumed_by(service: &'static str) -> Json {
    Json(json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": { "Service": service },
            "Action": "sts:AssumeRole",
        }],
    }))
}

/// Allows a service to act on a resource, for one source only.
pub fn granted_to(
    service: &'static str,
    actions: &[&'static str],
    on: Val<String>,
    source: (&'static str, Val<String>),
) -> Json {
    let mut statement = json!({
        "Effect": "Allow",
        "Principal": { "Service": service },
        "Action": actions,
        "Resource": on.into_json(),
    });
    let (key, value) = source;
    let from = Condition {
        operator: "StringEquals",
        key,
        value,
    };
    conditions(&mut statement, vec![from]);
    Json(json!({ "Version": "2012-10-17", "Statement": [statement] }))
}

/// Denies everybody a bucket and its files without TLS. `bucket` is its ARN in the form of `Fn::Sub`.
pub fn tls_only(bucket: &str) -> Json {
    Json(json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [{ "Fn::Sub": bucket }, { "Fn::Sub": format!("{bucket}/*") }],
            "Condition": { "Bool": { "aws:SecureTransport": "false" } },
        }],
    }))
}

/// Leaves a key to the policies of its account, and allows services to use it on the account's
/// behalf.
pub fn of_key(services: &[&'static str]) -> Json {
    let mut statements = vec![json!({
        "Effect": "Allow",
        "Principal": { "AWS": { "Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root" } },
        "Action": "kms:*",
        "Resource": "*",
    })];
    if !services.is_empty() {
        let mut statement = json!({
            "Effect": "Allow",
            "Principal": { "Service": services },
            "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
            "Resource": "*",
        });
        let here = Condition {
            operator: "StringEquals",
            key: "aws:SourceAccount",
            value: account_id(),
        };
        conditions(&mut statement, vec![here]);
        statements.push(statement);
    }
    Json(json!({ "Version": "2012-10-17", "Statement": statements }))
}

/// Where a queue sends messages that were received this often without being deleted.
pub fn redrive(dead_letters: Val<Arn<sqs::Queue>>, receives: u32) -> Json {
    Json(json!({
        "deadLetterTargetArn": dead_letters.into_json(),
        "maxReceiveCount": receives,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_allowed_on_what_it_can_name() {
        let stream = || vec!["arn:of:the:stream".into()];
        let on_one = |action| Statement::of(vec![action], stream());
        let on_all = |action| Statement::allow_on_all([action], "no reason");
        assert_eq!(on_one("kinesis:PutRecord").problems(), [""; 0]);
        assert_eq!(
            on_all("kinesis:PutRecord").problems(),
            ["`kinesis:PutRecord` is allowed on `*`, but can name a resource"]
        );
        assert_eq!(on_all("cloudwatch:GetMetricStatistics").problems(), [""; 0]);
        assert_eq!(
            on_one("cloudwatch:GetMetricStatistics").problems(),
            [
                "`cloudwatch:GetMetricStatistics` can name no resource, so it is allowed on `*` or not at all"
            ]
        );
        assert_eq!(
            on_one("kinesis:PutRecrod").problems(),
            ["`kinesis:PutRecrod` is not an IAM action"]
        );
    }

    #[test]
    fn an_action_is_named_anyway_only_while_the_reference_lists_no_resource() {
        for action in NAMED_ANYWAY {
            assert_eq!(known(action), Some(false), "{action}");
        }
    }
}
