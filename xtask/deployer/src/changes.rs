//! What a change set would do, and what in it needs a question. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

/// What happens to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// It is made.
    Add,
    /// It exists, and the stack takes it over as it is.
    Adopt,
    /// It is changed.
    Modify,
    /// It is deleted, or let go.
    Remove,
}

/// Whether a changed resource is deleted and made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replacement {
    /// No.
    Never,
    /// CloudFormation cannot tell yet.
    Perhaps,
    /// Yes.
    Certain,
}

/// A property that changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PropertyChange {
    /// The property, or the attribute such as `Tags`.
    pub name: String,
    /// Its value now, where CloudFormation says.
    pub before: Option<String>,
    /// Its value then, where CloudFormation says.
    pub after: Option<String>,
    /// The resource whose change might reach this property by reference, where nothing else does.
    pub caused_by: Option<String>,
    /// Whether a change of this property replaces the resource.
    pub recreates: bool,
}

/// What happens to one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What happens.
    pub action: Action,
    /// The resource's logical id.
    pub logical_id: String,
    /// Its type.
    pub kind: String,
    /// Whether it is replaced.
    pub replacement: Replacement,
    /// Whether what is removed or replaced stays, outside the stack.
    pub retained: bool,
    /// Which properties change.
    pub properties: Vec<PropertyChange>,
}

/// Types whose deletion loses what users put in.
const STATEFUL: [&str; 6] = [
    "AWS::DynamoDB::GlobalTable",
    "AWS::DynamoDB::Table",
    "AWS::Kinesis::Stream",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::SQS::Queue",
];

impl Change {
    /// A resource that is made by a stack's first deploy.
    fn added(logical_id: &str, kind: &str) -> Self {
        Self {
            action: Action::Add,
            logical_id: logical_id.to_owned(),
            kind: kind.to_owned(),
            replacement: Replacement::Never,
            retained: false,
            properties: Vec::new(),
        }
    }

    /// Whether the resource is deleted and made anew, or may be.
    pub fn replaces(&self) -> bool {
        self.action == Action::Modify && self.replacement != Replacement::Never
    }

    /// Whether data is deleted, or may be.
    pub fn loses_data(&self) -> bool {
        let goes = self.action == Action::Remove || self.replaces();
        goes && !self.retained && STATEFUL.contains(&self.kind.as_str())
    }

    /// Whether this is about who may do what.
    pub fn is_permission(&self) -> bool {
        self.kind.starts_with("AWS::IAM::")
            || self.kind == "AWS::Lambda::Permission"
            || self.kind.ends_with("Policy")
    }

    /// The change in a line, `+` added, `>` adopted, `~` changed, `-` removed.
    pub fn line(&self) -> String {
        let (sign, remark) = match (self.action, self.replacement) {
            (Action::Add, _) => ('+', ""),
            (Action::Adopt, _) => ('>', " adopted"),
            (Action::Remove, _) if self.retained => ('-', " kept outside the stack"),
            (Action::Remove, _) => ('-', ""),
            (Action::Modify, Replacement::Never) => ('~', ""),
            (Action::Modify, Replacement::Perhaps) => ('~', " MAY BE REPLACED"),
            (Action::Modify, Replacement::Certain) => ('~', " WILL BE REPLACED"),
        };
        format!("{sign} {} ({}){remark}", self.logical_id, self.kind)
    }

    /// A line for each property that changes.
    pub fn property_lines(&self) -> Vec<String> {
        let distinct: BTreeSet<_> = self.properties.iter().collect();
        distinct
            .into_iter()
            .map(|change| match (&change.before, &change.after) {
                (None, None) => change.name.clone(),
                (before, after) => format!(
                    "{}: {} → {}",
                    change.name,
                    before.as_deref().unwrap_or("(unset)"),
                    after.as_deref().unwrap_or("(unset)")
                ),
            })
            .collect()
    }
}

/// All changes of one stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// The stack.
    pub stack: String,
    /// Whether the stack is there already.
    pub exists: bool,
    /// What happens to its resources.
    pub changes: Vec<Change>,
    /// Resources that refer to changed ones and stay as they are.
    pub followers: Vec<String>,
    /// What may be done after it that may not be done before.
    pub widened: Vec<crate::Permission>,
}

impl Review {
    /// The review of a stack's first deploy, from its template alone.
    pub fn of_new_stack(stack: &str, template: &Value) -> Self {
        let resources = template.get("Resources").and_then(Value::as_object);
        let changes = resources.into_iter().flatten().map(|(id, resource)| {
            let kind = resource.get("Type").and_then(Value::as_str);
            Change::added(id, kind.unwrap_or("?"))
        });
        Self {
            stack: stack.to_owned(),
            exists: false,
            changes: changes.collect(),
            followers: Vec::new(),
            widened: crate::widened(None, template),
        }
    }

    /// The changes as lines: resources first, then permissions apart.
    pub fn lines(&self) -> Vec<String> {
        let (permissions, resources): (Vec<_>, Vec<_>) = self
            .changes
            .iter()
            .partition(|change| change.is_permission());
        let mut lines = Vec::new();
        for change in resources {
            push(&mut lines, change);
        }
        if !permissions.is_empty() {
            lines.push("permissions:".to_owned());
        }
        for change in permissions {
            push(&mut lines, change);
        }
        if !self.followers.is_empty() {
            lines.push(format!(
                "unchanged, but checked again: {}",
                self.followers.join(", ")
            ));
        }
        if self.exists {
            lines.extend(
                self.widened
                    .iter()
                    .map(|permission| format!("! now allowed: {permission}")),
            );
        }
        lines
    }

    /// Why someone should be asked before this is done; empty where nothing speaks against it.
    /// A stack's first deploy widens nothing: there was nothing to widen.
    pub fn concerns(&self) -> Vec<String> {
        let mut concerns = Vec::new();
        for change in &self.changes {
            if change.loses_data() {
                concerns.push(format!("`{}` loses its data", change.logical_id));
            } else if change.replaces() {
                concerns.push(format!("`{}` is replaced", change.logical_id));
            }
        }
        if self.exists && !self.widened.is_empty() {
            concerns.push(format!("permissions widen in `{}`", self.stack));
        }
        concerns
    }
}

fn push(lines: &mut Vec<String>, change: &Change) {
    lines.push(change.line());
    let properties = change.property_lines();
    lines.extend(properties.into_iter().map(|line| format!("    {line}")));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(action: Action, kind: &str) -> Change {
        Change {
            action,
            ..Change::added("Thing", kind)
        }
    }

    fn review(exists: bool, changes: Vec<Change>) -> Review {
        Review {
            stack: "S".into(),
            exists,
            changes,
            followers: Vec::new(),
            widened: Vec::new(),
        }
    }

    #[test]
    fn a_table_that_is_kept_raises_no_concern() {
        let mut removed = change(Action::Remove, "AWS::DynamoDB::Table");
        assert_eq!(
            review(true, vec![removed.clone()]).concerns(),
            ["`Thing` loses its data"]
        );
        removed.retained = true;
        assert!(review(true, vec![removed]).concerns().is_empty());
    }

    #[test]
    fn a_possible_replacement_is_a_concern() {
        let mut changed = change(Action::Modify, "AWS::Lambda::Function");
        assert!(review(true, vec![changed.clone()]).concerns().is_empty());
        changed.replacement = Replacement::Perhaps;
        assert_eq!(
            review(true, vec![changed]).concerns(),
            ["`Thing` is replaced"]
        );
    }

    #[test]
    fn permissions_stand_apart_and_properties_under_their_resource() {
        let mut queue = change(Action::Modify, "AWS::SQS::Queue");
        let twice = PropertyChange {
            name: "VisibilityTimeout".into(),
            before: Some("30".into()),
            after: Some("60".into()),
            caused_by: None,
            recreates: false,
        };
        queue.properties = vec![twice.clone(), twice];
        let role = change(Action::Add, "AWS::IAM::Role");
        assert_eq!(
            review(false, vec![role, queue]).lines(),
            [
                "~ Thing (AWS::SQS::Queue)",
                "    VisibilityTimeout: 30 → 60",
                "permissions:",
                "+ Thing (AWS::IAM::Role)",
            ]
        );
    }

    #[test]
    fn a_new_stack_adds_every_resource_and_concerns_nobody() {
        let template = serde_json::json!({"Resources": {"Role": {"Type": "AWS::IAM::Role", "Properties": {
            "Policies": [{"PolicyName": "p", "PolicyDocument": {"Statement": [
                {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}]}}]}}}});
        let review = Review::of_new_stack("S", &template);
        assert_eq!(review.lines(), ["permissions:", "+ Role (AWS::IAM::Role)"]);
        assert_eq!(review.widened.len(), 1);
        assert!(review.concerns().is_empty());
    }
}
