//! The effects of a change set, and those that need a confirmation. Pure.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

/// The most characters of a value that a line shows.
const LONGEST_SHOWN: usize = 160;

/// What happens to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is created.
    Add,
    /// It exists, and the stack adopts it as it is.
    Adopt,
    /// It is changed.
    Modify,
    /// It is deleted or released.
    Remove,
}

/// Whether a changed resource is deleted and created again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Replacement {
    /// No.
    Never,
    /// CloudFormation cannot know yet.
    Perhaps,
    /// Yes.
    Certain,
}

/// A property that changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PropertyChange {
    /// The property with its path, such as `Environment/Variables/PLANS`, or the attribute such as
    /// `Tags`.
    pub name: String,
    /// Its current value, if CloudFormation or the template gives it.
    pub before: Option<String>,
    /// Its new value, if CloudFormation or the template gives it.
    pub after: Option<String>,
    /// If a reference is the only reason for the change: the resource referred to.
    pub caused_by: Option<String>,
    /// Whether a change of this property replaces the resource.
    pub recreates: bool,
    /// What becomes of a change that somebody made outside the stack. Only a deploy that reverts
    /// drift knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<Drift>,
}

/// What becomes of a change that was made outside the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Drift {
    /// The deploy changes it back.
    Reverted,
    /// The template now says the same, so it stays.
    Kept,
}

impl PropertyChange {
    /// Fills in values that CloudFormation omits, from the resource's declarations.
    fn complete(&mut self, old: Option<&Value>, new: Option<&Value>) {
        if self.before.is_some() || self.after.is_some() {
            return;
        }
        let at = |resource: Option<&Value>| {
            let pointer = format!("/Properties/{}", self.name);
            resource?.pointer(&pointer).map(text)
        };
        let (before, after) = (at(old), at(new));
        if before != after {
            (self.before, self.after) = (before, after);
        }
    }

    /// One change for each member that differs, if both values are objects.
    fn leaves(self) -> Vec<Self> {
        let object = |value: &Option<String>| -> Option<Map<String, Value>> {
            serde_json::from_str(value.as_deref()?).ok()
        };
        let (Some(before), Some(after)) = (object(&self.before), object(&self.after)) else {
            return vec![self];
        };
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let changed = names
            .into_iter()
            .filter(|name| before.get(*name) != after.get(*name));
        let leaves = changed.map(|name| Self {
            name: format!("{}/{name}", self.name),
            before: before.get(name).map(text),
            after: after.get(name).map(text),
            caused_by: self.caused_by.clone(),
            recreates: self.recreates,
            drift: self.drift,
        });
        let leaves: Vec<Self> = leaves.flat_map(Self::leaves).collect();
        if leaves.is_empty() {
            vec![self]
        } else {
            leaves
        }
    }

    fn line(&self) -> String {
        let drift = match self.drift {
            None => "",
            Some(Drift::Reverted) => " (changed outside the stack; reverted)",
            Some(Drift::Kept) => " (changed outside the stack; kept)",
        };
        if self.before.is_none() && self.after.is_none() {
            return format!("{}{drift}", self.name);
        }
        let same = match (&self.before, &self.after) {
            (Some(before), Some(after)) => common(before, after),
            _ => 0,
        };
        let value = |value: &Option<String>| match value {
            None => "(unset)".to_owned(),
            Some(text) => around(text, same),
        };
        let (before, after) = (value(&self.before), value(&self.after));
        format!("{}: {before} → {after}{drift}", self.name)
    }
}

/// How many characters two texts have in common at their start.
fn common(one: &str, other: &str) -> usize {
    let pairs = one.chars().zip(other.chars());
    pairs.take_while(|(one, other)| one == other).count()
}

/// A text, cut around what follows its first `same` characters if it is long.
fn around(text: &str, same: usize) -> String {
    let length = text.chars().count();
    if length <= LONGEST_SHOWN {
        return text.to_owned();
    }
    let begins = same
        .saturating_sub(LONGEST_SHOWN / 4)
        .min(length - LONGEST_SHOWN);
    let shown: String = text.chars().skip(begins).take(LONGEST_SHOWN).collect();
    let before = if begins > 0 { "…" } else { "" };
    let after = if begins + LONGEST_SHOWN < length {
        "…"
    } else {
        ""
    };
    format!("{before}{shown}{after}")
}

/// What happens to one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// What happens.
    pub action: Action,
    /// The resource's logical id.
    pub logical_id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it is replaced.
    pub replacement: Replacement,
    /// Whether a removed or replaced resource is kept outside the stack.
    pub retained: bool,
    /// Which properties change.
    pub properties: Vec<PropertyChange>,
}

/// Types whose deletion loses users' data.
const STATEFUL: [&str; 6] = [
    "AWS::DynamoDB::GlobalTable",
    "AWS::DynamoDB::Table",
    "AWS::Kinesis::Stream",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::SQS::Queue",
];

impl Change {
    /// A resource that a stack's first deploy creates.
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

    /// Whether the resource is, or may be, deleted and created again.
    pub fn replaces(&self) -> bool {
        self.action == Action::Modify && self.replacement != Replacement::Never
    }

    /// Whether data is, or may be, deleted.
    pub fn loses_data(&self) -> bool {
        let goes = self.action == Action::Remove || self.replaces();
        goes && !self.retained && STATEFUL.contains(&self.kind.as_str())
    }

    /// Whether the change concerns permissions.
    pub fn is_permission(&self) -> bool {
        self.kind.starts_with("AWS::IAM::")
            || self.kind == "AWS::Lambda::Permission"
            || self.kind.ends_with("Policy")
    }

    /// Fills in values that CloudFormation omits, from the stack's templates.
    pub(crate) fn complete(&mut self, old: Option<&Value>, new: &Value) {
        let declared = |template: &Value| {
            let resources = template.get("Resources")?;
            resources.get(&self.logical_id).cloned()
        };
        let (old, new) = (old.and_then(declared), declared(new));
        for property in &mut self.properties {
            property.complete(old.as_ref(), new.as_ref());
        }
        let properties = std::mem::take(&mut self.properties).into_iter();
        self.properties = properties.flat_map(PropertyChange::leaves).collect();
    }

    /// The change as one line: `+` added, `>` adopted, `~` changed, `-` removed.
    fn line(&self) -> Line {
        let (sign, remark) = match (self.action, self.replacement) {
            (Action::Add, _) => ('+', ""),
            (Action::Adopt, _) => ('>', " adopted"),
            (Action::Remove, _) if self.retained => ('-', " kept outside the stack"),
            (Action::Remove, _) => ('-', ""),
            (Action::Modify, Replacement::Never) => ('~', ""),
            (Action::Modify, Replacement::Perhaps) => ('~', " MAY BE REPLACED"),
            (Action::Modify, Replacement::Certain) => ('~', " WILL BE REPLACED"),
        };
        let loss = if self.loses_data() {
            ", LOSES ITS DATA"
        } else {
            ""
        };
        let tone = if self.replaces() || self.loses_data() {
            Tone::Danger
        } else {
            Tone::Plain
        };
        let text = format!("{sign} {} ({}){remark}{loss}", self.logical_id, self.kind);
        Line { tone, text }
    }

    /// The change and each property that changes.
    fn lines(&self) -> impl Iterator<Item = Line> {
        let distinct: BTreeSet<_> = self.properties.iter().map(PropertyChange::line).collect();
        let properties = distinct.into_iter().map(|line| Line {
            tone: Tone::Plain,
            text: format!("    {line}"),
        });
        std::iter::once(self.line()).chain(properties)
    }
}

/// A value as text: a string verbatim, anything else as JSON.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// How to display a line of a review.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Something is replaced, or data is lost.
    Danger,
    /// It grants more than before.
    Widening,
    /// Anything else.
    Plain,
}

/// A line of a review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How to display it.
    pub tone: Tone,
    /// The text.
    pub text: String,
}

/// All changes of one stack: the source of both the text and the JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Review {
    /// The stack.
    pub stack: String,
    /// Whether the stack exists already.
    pub exists: bool,
    /// What happens to its resources.
    pub changes: Vec<Change>,
    /// Resources that refer to changed ones but stay as they are.
    pub followers: Vec<String>,
    /// Permissions that this change adds.
    pub widened: Vec<crate::Permission>,
}

impl Review {
    /// The review of a stack's first deploy, from its template alone. The stack adopts the resources
    /// with the logical ids `present`.
    pub fn of_new_stack(stack: &str, template: &Value, present: &[String]) -> Self {
        let resources = template.get("Resources").and_then(Value::as_object);
        let changes = resources.into_iter().flatten().map(|(id, resource)| {
            let kind = resource.get("Type").and_then(Value::as_str);
            let added = Change::added(id, kind.unwrap_or("?"));
            Change {
                action: if present.contains(id) {
                    Action::Adopt
                } else {
                    Action::Add
                },
                ..added
            }
        });
        Self {
            stack: stack.to_owned(),
            exists: false,
            changes: changes.collect(),
            followers: Vec::new(),
            widened: crate::widened(None, template),
        }
    }

    /// The review of a stack that stays as it is, or is deleted as a whole.
    pub fn of_nothing(stack: &str) -> Self {
        Self {
            stack: stack.to_owned(),
            exists: true,
            changes: Vec::new(),
            followers: Vec::new(),
            widened: Vec::new(),
        }
    }

    /// The changes as lines: first replacements and losses of data, then other resources, then
    /// permissions separately.
    pub fn lines(&self) -> Vec<Line> {
        let plain = |text: String| Line {
            tone: Tone::Plain,
            text,
        };
        let (dangers, others): (Vec<_>, Vec<_>) = self
            .changes
            .iter()
            .partition(|change| change.replaces() || change.loses_data());
        let (permissions, resources): (Vec<_>, Vec<_>) = others
            .into_iter()
            .partition(|change| change.is_permission());
        let of = |changes: Vec<&Change>| -> Vec<Line> {
            changes.into_iter().flat_map(Change::lines).collect()
        };
        let mut lines = of(dangers);
        lines.extend(of(resources));
        if !permissions.is_empty() {
            lines.push(plain("permissions:".to_owned()));
        }
        lines.extend(of(permissions));
        if !self.followers.is_empty() {
            let followers = self.followers.join(", ");
            lines.push(plain(format!("unchanged, but checked again: {followers}")));
        }
        if self.exists {
            lines.extend(self.widened.iter().map(|permission| Line {
                tone: Tone::Widening,
                text: format!("! now allowed: {permission}"),
            }));
        }
        lines
    }

    /// The reasons to ask for confirmation; empty if there are none. A stack's first deploy widens
    /// nothing: no permission existed before.
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

    fn texts(review: &Review) -> Vec<String> {
        review.lines().into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn what_loses_data_comes_first_and_what_is_allowed_last() {
        let added = change(Action::Add, "AWS::SQS::Queue");
        let mut replaced = change(Action::Modify, "AWS::DynamoDB::Table");
        replaced.replacement = Replacement::Certain;
        let mut review = review(true, vec![added, replaced]);
        review.widened = crate::widened(
            None,
            &serde_json::json!({"Resources": {"R": {"Properties": {
            "Statement": {"Effect": "Allow", "Action": "sqs:*", "Resource": "q"}}}}}),
        );
        let tones: Vec<_> = review.lines().iter().map(|line| line.tone).collect();
        assert_eq!(tones, [Tone::Danger, Tone::Plain, Tone::Widening]);
        assert_eq!(
            texts(&review),
            [
                "~ Thing (AWS::DynamoDB::Table) WILL BE REPLACED, LOSES ITS DATA",
                "+ Thing (AWS::SQS::Queue)",
                "! now allowed: `R` sqs:* on q"
            ]
        );
    }

    #[test]
    fn values_that_cloudformation_leaves_out_come_from_the_templates() {
        let template = |seconds: u32| {
            serde_json::json!({"Resources": {"Thing": {"Properties": {
                "Timeout": seconds, "Name": "same"}}}})
        };
        let property = |name: &str| PropertyChange {
            name: name.into(),
            before: None,
            after: None,
            caused_by: None,
            recreates: false,
            drift: None,
        };
        let mut changed = change(Action::Modify, "AWS::Lambda::Function");
        changed.properties = ["Timeout", "Name", "Tags"].map(property).to_vec();
        changed.complete(Some(&template(3)), &template(5));
        assert_eq!(
            texts(&review(true, vec![changed])).split_off(1),
            ["    Name", "    Tags", "    Timeout: 3 → 5"]
        );
    }

    #[test]
    fn a_change_within_a_property_is_shown_by_its_path_and_cut_if_it_is_long() {
        let property = |name: &str, before: &str, after: &str| PropertyChange {
            name: name.into(),
            before: Some(before.into()),
            after: Some(after.into()),
            caused_by: None,
            recreates: false,
            drift: None,
        };
        let mut changed = change(Action::Modify, "AWS::Lambda::Function");
        changed.properties = vec![
            property(
                "Environment",
                r#"{"Variables": {"A": "1", "B": "2"}}"#,
                r#"{"Variables": {"A": "1", "B": "3", "C": 4}}"#,
            ),
            property("Long", "x", &"y".repeat(500)),
        ];
        changed.complete(None, &Value::Null);
        let long = "y".repeat(LONGEST_SHOWN);
        assert_eq!(
            texts(&review(true, vec![changed])).split_off(1),
            [
                "    Environment/Variables/B: 2 → 3".to_owned(),
                "    Environment/Variables/C: (unset) → 4".to_owned(),
                format!("    Long: x → {long}…"),
            ]
        );
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
            drift: None,
        };
        queue.properties = vec![twice.clone(), twice];
        let role = change(Action::Add, "AWS::IAM::Role");
        assert_eq!(
            texts(&review(false, vec![role, queue])),
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
        let review = Review::of_new_stack("S", &template, &[]);
        assert_eq!(texts(&review), ["permissions:", "+ Role (AWS::IAM::Role)"]);
        assert_eq!(review.widened.len(), 1);
        assert!(review.concerns().is_empty());
    }

    #[test]
    fn a_new_stack_adopts_what_exists_already() {
        let table = serde_json::json!({"Type": "AWS::DynamoDB::Table"});
        let template = serde_json::json!({"Resources": {"Kept": table, "Made": table}});
        let review = Review::of_new_stack("S", &template, &["Kept".to_owned()]);
        assert_eq!(
            texts(&review),
            [
                "> Kept (AWS::DynamoDB::Table) adopted",
                "+ Made (AWS::DynamoDB::Table)"
            ]
        );
    }
}
