//! Permissions that a template grants and another did not. Pure.
//!
//! The comparison covers the single grants that statements spell out: who may do what, on what,
//! under which condition. A grant that did not exist verbatim counts as new, even if a wildcard
//! covered it: one confirmation too many is cheap.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

/// One grant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Permission {
    /// Logical id of the resource that grants it; of a role's policy, that of the role.
    pub granted_by: String,
    /// The action, such as `kinesis:PutRecord`; `Deny lifted: …` if a denial is removed.
    pub action: String,
    /// The resource, as the template writes it.
    pub on: String,
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {} on {}", self.granted_by, self.action, self.on)
    }
}

/// The permissions that `new` grants and `old` did not.
pub fn widened(old: Option<&Value>, new: &Value) -> Vec<Permission> {
    let before = old.map(Grants::of).unwrap_or_default();
    let after = Grants::of(new);
    let allowed = after.allowed.difference(&before.allowed).cloned();
    let lifted = before.denied.difference(&after.denied).map(|denied| {
        let mut permission = denied.clone();
        permission.action = format!("deny lifted: {}", permission.action);
        permission
    });
    allowed.chain(lifted).collect()
}

#[derive(Default)]
struct Grants {
    allowed: BTreeSet<Permission>,
    denied: BTreeSet<Permission>,
}

impl Grants {
    fn of(template: &Value) -> Self {
        let mut grants = Self::default();
        let resources = template.get("Resources").and_then(Value::as_object);
        for (id, resource) in resources.into_iter().flatten() {
            grants.add_resource(id, resource);
        }
        grants
    }

    fn add_resource(&mut self, id: &str, resource: &Value) {
        let Some(properties) = resource.get("Properties") else {
            return;
        };
        // A policy's own id changes with its content.
        let id = properties
            .pointer("/Roles/0/Ref")
            .and_then(Value::as_str)
            .unwrap_or(id);
        self.add_documents(id, properties);
        for arn in list(properties.get("ManagedPolicyArns")) {
            self.allow(id, "everything of the managed policy".to_owned(), arn);
        }
        if resource.get("Type").and_then(Value::as_str) == Some("AWS::Lambda::Permission") {
            let principal = text(properties.get("Principal"));
            let source = text(properties.get("SourceArn"));
            let action = text(properties.get("Action"));
            self.allow(
                id,
                format!("{action} for {principal} from {source}"),
                properties.get("FunctionName").unwrap_or(&Value::Null),
            );
        }
    }

    /// Finds policy documents under any name that a resource type gives them.
    fn add_documents(&mut self, id: &str, value: &Value) {
        match value {
            Value::Object(members) => {
                if let Some(statements) = members.get("Statement") {
                    for statement in list(Some(statements)) {
                        self.add_statement(id, statement);
                    }
                }
                for member in members.values() {
                    self.add_documents(id, member);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.add_documents(id, item)),
            _ => {}
        }
    }

    fn add_statement(&mut self, id: &str, statement: &Value) {
        let denies = statement.get("Effect").and_then(Value::as_str) == Some("Deny");
        let term = |word: &str, member: &str| {
            let value = statement.get(member);
            value.map_or_else(String::new, |value| format!(" {word} {value}"))
        };
        let terms = term("for", "Principal") + &term("if", "Condition");
        let everything = Value::String("*".to_owned());
        let resources = match statement.get("Resource") {
            Some(resources) => list(Some(resources)),
            None => vec![&everything],
        };
        for action in list(statement.get("Action")) {
            for resource in &resources {
                let permission = Permission {
                    granted_by: id.to_owned(),
                    action: format!("{}{terms}", text(Some(action))),
                    on: text(Some(resource)),
                };
                if denies {
                    self.denied.insert(permission);
                } else {
                    self.allowed.insert(permission);
                }
            }
        }
    }

    fn allow(&mut self, id: &str, action: String, on: &Value) {
        self.allowed.insert(Permission {
            granted_by: id.to_owned(),
            action,
            on: text(Some(on)),
        });
    }
}

/// The values of a member that may be a single value or a list.
fn list(value: Option<&Value>) -> Vec<&Value> {
    match value {
        None => Vec::new(),
        Some(Value::Array(items)) => items.iter().collect(),
        Some(one) => vec![one],
    }
}

fn text(value: Option<&Value>) -> String {
    match value {
        None => "anything".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn role(statement: &Value) -> Value {
        json!({"Resources": {"Role": {"Type": "AWS::IAM::Role", "Properties": {
            "Policies": [{"PolicyDocument": {"Statement": [statement]}}]}}}})
    }

    fn allow(action: &Value, resource: &str) -> Value {
        role(&json!({"Effect": "Allow", "Action": action, "Resource": resource}))
    }

    #[test]
    fn an_action_more_is_named_and_one_less_is_not() {
        let one = allow(&json!("sqs:SendMessage"), "q");
        let two = allow(&json!(["sqs:SendMessage", "sqs:PurgeQueue"]), "q");
        let shown: Vec<_> = widened(Some(&one), &two)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(shown, ["`Role` sqs:PurgeQueue on q"]);
        assert_eq!(widened(Some(&two), &one), []);
    }

    #[test]
    fn a_policy_of_a_role_counts_as_the_roles_under_any_id() {
        let policy = |id: &str, actions: &Value| {
            json!({"Resources": {id: {"Type": "AWS::IAM::Policy", "Properties": {
                "Roles": [{"Ref": "Role"}], "PolicyDocument": {"Statement": [
                    {"Effect": "Allow", "Action": actions, "Resource": "q"}]}}}}})
        };
        let one = policy("Grants1", &json!(["sqs:SendMessage"]));
        let two = policy("Grants2", &json!(["sqs:SendMessage", "sqs:PurgeQueue"]));
        let shown = widened(Some(&one), &two);
        let shown: Vec<_> = shown.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["`Role` sqs:PurgeQueue on q"]);
        assert_eq!(widened(Some(&two), &one), []);
    }

    #[test]
    fn another_resource_or_a_condition_less_widens() {
        let q = allow(&json!("sqs:SendMessage"), "q");
        assert_eq!(
            widened(Some(&q), &allow(&json!("sqs:SendMessage"), "p")).len(),
            1
        );
        let bound = role(
            &json!({"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "q",
            "Condition": {"StringEquals": {"aws:SourceAccount": "1"}}}),
        );
        assert_eq!(widened(Some(&bound), &q).len(), 1);
    }

    #[test]
    fn a_denial_that_goes_widens_and_one_that_comes_does_not() {
        let denied = role(&json!({"Effect": "Deny", "Action": "s3:*", "Resource": "*"}));
        let empty = json!({"Resources": {}});
        assert_eq!(widened(Some(&empty), &denied), []);
        let shown = widened(Some(&denied), &empty);
        assert_eq!(shown.len(), 1);
        assert!(
            shown
                .iter()
                .all(|lifted| lifted.action == "deny lifted: s3:*")
        );
    }

    #[test]
    fn invoke_permissions_and_managed_policies_count() {
        let template = json!({"Resources": {
            "Invoke": {"Type": "AWS::Lambda::Permission", "Properties": {
                "Action": "lambda:InvokeFunction", "FunctionName": "f", "Principal": "apigateway.amazonaws.com"}},
            "Role": {"Type": "AWS::IAM::Role", "Properties": {"ManagedPolicyArns": ["arn:x"]}}}});
        assert_eq!(widened(None, &template).len(), 2);
    }
}
