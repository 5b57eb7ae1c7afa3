//! What AWS refuses of a change set, and an embedded AWS accepts (CloudFormation User Guide,
//! "Quotas"; Lambda Developer Guide, "Quotas"; Resource Groups, "Tag naming limits"). Pure.

use std::collections::BTreeSet;

use serde_json::Value;

/// The most bytes of a template in a request, and in a bucket.
const INLINE_BYTES: usize = 51_200;
const STORED_BYTES: usize = 1_048_576;
const RESOURCES: usize = 500;
/// The most characters of a parameter's value.
const PARAMETER: usize = 4_096;
/// The most bytes of a function's variables.
const VARIABLES: usize = 4_096;
const TAGS: usize = 50;
const TAG_KEY: usize = 128;
const TAG_VALUE: usize = 256;

/// A request for a change set.
#[derive(Debug, Default)]
pub(super) struct ChangeSet {
    pub(super) template: String,
    /// Whether the request holds the template.
    pub(super) inline: bool,
    pub(super) capabilities: BTreeSet<String>,
    /// Name and value; a parameter that keeps its value has none.
    pub(super) parameters: Vec<(String, Option<String>)>,
    pub(super) tags: Vec<(String, String)>,
    pub(super) imports: bool,
}

/// A refusal: AWS's code, and the reason.
pub(super) type Refusal = (&'static str, String);

impl ChangeSet {
    /// Reads the form of a request; the template may still be missing.
    pub(super) fn of(form: &[(String, String)]) -> Self {
        let mut set = Self::default();
        for (name, value) in form {
            let parts: Vec<&str> = name.split('.').collect();
            match parts.as_slice() {
                ["TemplateBody"] => {
                    set.template.clone_from(value);
                    set.inline = true;
                }
                ["ImportExistingResources"] => set.imports = value == "true",
                ["Capabilities", "member", _] => drop(set.capabilities.insert(value.clone())),
                ["Parameters", "member", _, "ParameterKey"] => {
                    set.parameters.push((value.clone(), None));
                }
                ["Parameters", "member", _, "ParameterValue"] => {
                    if let Some(last) = set.parameters.last_mut() {
                        last.1 = Some(value.clone());
                    }
                }
                ["Tags", "member", _, "Key"] => set.tags.push((value.clone(), String::new())),
                ["Tags", "member", _, "Value"] => {
                    if let Some(last) = set.tags.last_mut() {
                        last.1.clone_from(value);
                    }
                }
                _ => {}
            }
        }
        set
    }

    /// The first reason for which AWS refuses the request.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        let Ok(template) = serde_json::from_str::<Value>(&self.template) else {
            return Some(invalid("the template is not JSON"));
        };
        let resources = resources(&template);
        let most = if self.inline {
            INLINE_BYTES
        } else {
            STORED_BYTES
        };
        let size = self.template.len();
        if size > most {
            return Some(invalid(format!("the template has {size} bytes of {most}")));
        }
        if resources.len() > RESOURCES {
            return Some(invalid("the template has too many resources"));
        }
        self.lacks_capability(&resources)
            .or_else(|| self.has_wrong_parameters(&template))
            .or_else(|| self.has_wrong_tags())
            .or_else(|| {
                resources
                    .iter()
                    .find_map(|(id, one)| too_many_variables(id, one))
            })
    }

    fn lacks_capability(&self, resources: &[(&str, &Value)]) -> Option<Refusal> {
        let mut roles = resources
            .iter()
            .filter(|(_, one)| matches!(kind(one), "AWS::IAM::Role" | "AWS::IAM::Policy"));
        roles.clone().next()?;
        let is_named = roles.any(|(_, role)| role.pointer("/Properties/RoleName").is_some());
        let has = |capability: &str| self.capabilities.contains(capability);
        if has("CAPABILITY_NAMED_IAM") || (!is_named && has("CAPABILITY_IAM")) {
            return None;
        }
        let required = if is_named {
            "CAPABILITY_NAMED_IAM"
        } else {
            "CAPABILITY_IAM"
        };
        Some((
            "InsufficientCapabilitiesException",
            format!("Requires capabilities : [{required}]"),
        ))
    }

    fn has_wrong_parameters(&self, template: &Value) -> Option<Refusal> {
        let declared = template.get("Parameters").and_then(Value::as_object);
        let is_declared = |name: &str| declared.is_some_and(|all| all.contains_key(name));
        self.parameters.iter().find_map(|(name, value)| {
            let length = value.as_ref().map_or(0, |value| value.chars().count());
            if !is_declared(name) {
                Some(invalid(format!("the template has no parameter `{name}`")))
            } else if length > PARAMETER {
                Some(invalid(format!(
                    "parameter `{name}` has {length} characters of {PARAMETER}"
                )))
            } else {
                None
            }
        })
    }

    fn has_wrong_tags(&self) -> Option<Refusal> {
        if self.tags.len() > TAGS {
            return Some(invalid(format!(
                "there are {} tags of {TAGS}",
                self.tags.len()
            )));
        }
        let is_wrong =
            |text: &str, most: usize| text.chars().count() > most || !text.chars().all(of_tag);
        let mut tags = self.tags.iter();
        let wrong = tags.find(|(key, value)| {
            let reserved = key.to_ascii_lowercase().starts_with("aws:");
            key.is_empty() || reserved || is_wrong(key, TAG_KEY) || is_wrong(value, TAG_VALUE)
        });
        wrong.map(|(key, value)| invalid(format!("the tag `{key}`: `{value}` is not allowed")))
    }

    /// The tables, log groups and streams with fixed names that the stack would create, although
    /// `there` already: they exist, and are not imported.
    pub(super) fn would_collide(&self, there: impl Fn(&str, &str) -> bool) -> Option<Refusal> {
        let template: Value = serde_json::from_str(&self.template).ok()?;
        resources(&template).into_iter().find_map(|(id, resource)| {
            let named_by = match kind(resource) {
                "AWS::DynamoDB::Table" => "TableName",
                "AWS::Logs::LogGroup" => "LogGroupName",
                "AWS::Kinesis::Stream" => "Name",
                _ => return None,
            };
            let name = resource.get("Properties")?.get(named_by)?.as_str()?;
            let policy = resource.get("DeletionPolicy").and_then(Value::as_str);
            let retained = matches!(policy, Some("Retain" | "RetainExceptOnCreate"));
            let imported = self.imports && retained;
            (!imported && there(kind(resource), name))
                .then(|| invalid(format!("`{id}`: `{name}` already exists")))
        })
    }
}

fn invalid(message: impl Into<String>) -> Refusal {
    ("ValidationError", message.into())
}

fn resources(template: &Value) -> Vec<(&str, &Value)> {
    let resources = template.get("Resources").and_then(Value::as_object);
    let resources = resources.into_iter().flatten();
    resources
        .map(|(id, resource)| (id.as_str(), resource))
        .collect()
}

fn kind(resource: &Value) -> &str {
    resource
        .get("Type")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Whether a tag may hold the character.
fn of_tag(character: char) -> bool {
    character.is_alphanumeric() || " _.:/=+-@".contains(character)
}

/// The variables of a function, as JSON with references as short as they can be.
fn too_many_variables(id: &str, resource: &Value) -> Option<Refusal> {
    let variables = resource
        .pointer("/Properties/Environment/Variables")?
        .as_object()?;
    let sizes = variables.iter().map(|(name, value)| {
        // Quotation marks, colon and comma.
        name.len() + value.as_str().map_or(0, str::len) + 6
    });
    let size = sizes.sum::<usize>();
    (size > VARIABLES).then(|| {
        let message = format!("the variables of `{id}` have {size} bytes of {VARIABLES}");
        ("ValidationError", message)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(template: &Value, form: &[(&str, &str)]) -> ChangeSet {
        let template = ("TemplateBody", template.to_string());
        let capability = ("Capabilities.member.1", "CAPABILITY_NAMED_IAM".to_owned());
        let form = form
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        let form = form.chain([template, capability]);
        let form = form.map(|(name, value)| (name.to_owned(), value));
        ChangeSet::of(&form.collect::<Vec<_>>())
    }

    #[track_caller]
    fn refused(set: &ChangeSet, reason: &str) {
        let (_, message) = set.refusal().unwrap();
        assert!(message.contains(reason), "{message}");
    }

    fn function(value: &str) -> Value {
        json!({"Resources": {"F": {"Type": "AWS::Lambda::Function",
            "Properties": {"Environment": {"Variables": {"PLANS": value}}}}}})
    }

    #[test]
    fn a_function_has_four_kilobytes_of_variables() {
        assert_eq!(set(&function(&"x".repeat(4_000)), &[]).refusal(), None);
        refused(
            &set(&function(&"x".repeat(4_090)), &[]),
            "the variables of `F`",
        );
    }

    #[test]
    fn a_parameter_is_declared_and_short() {
        let template = json!({"Parameters": {"P": {"Type": "String"}}});
        let with = |name: &str, value: &str| {
            let form = [
                ("Parameters.member.1.ParameterKey", name),
                ("Parameters.member.1.ParameterValue", value),
            ];
            set(&template, &form)
        };
        assert_eq!(with("P", &"x".repeat(4_096)).refusal(), None);
        refused(&with("P", &"x".repeat(4_097)), "4097 characters");
        refused(&with("Q", ""), "no parameter `Q`");
    }

    #[test]
    fn a_tag_has_letters_digits_and_few_marks() {
        let with = |key: &str, value: &str| {
            set(
                &json!({}),
                &[("Tags.member.1.Key", key), ("Tags.member.1.Value", value)],
            )
        };
        assert_eq!(with("cost centre", "ops/é @1").refusal(), None);
        for (key, value) in [
            ("a", "r&d"),
            ("a,b", "c"),
            ("aws:x", "y"),
            ("", "y"),
            ("a", "(b)"),
        ] {
            refused(&with(key, value), "is not allowed");
        }
        let many: Vec<(String, String)> = (0..51)
            .map(|number| (format!("Tags.member.{number}.Key"), number.to_string()))
            .collect();
        let many = ChangeSet {
            template: "{}".to_owned(),
            ..ChangeSet::of(&many)
        };
        refused(&many, "51 tags");
    }

    #[test]
    fn a_template_in_a_request_is_small() {
        let large = json!({"Description": "x".repeat(INLINE_BYTES)});
        refused(&set(&large, &[]), "of 51200");
        let stored = ChangeSet {
            inline: false,
            ..set(&large, &[])
        };
        assert_eq!(stored.refusal(), None);
    }

    #[test]
    fn roles_need_the_capability_that_their_names_do() {
        let role = |properties: Value| json!({"Resources": {"R": {"Type": "AWS::IAM::Role", "Properties": properties}}});
        let with = |properties: Value, capabilities: &[&str]| ChangeSet {
            template: role(properties).to_string(),
            capabilities: capabilities.iter().map(|one| (*one).to_owned()).collect(),
            ..ChangeSet::default()
        };
        let code = |set: ChangeSet| set.refusal().map(|(code, _)| code);
        let refused = Some("InsufficientCapabilitiesException");
        assert_eq!(code(with(json!({}), &["CAPABILITY_IAM"])), None);
        assert_eq!(code(with(json!({}), &[])), refused);
        let named = || json!({"RoleName": "r"});
        assert_eq!(code(with(named(), &["CAPABILITY_IAM"])), refused);
        assert_eq!(code(with(named(), &["CAPABILITY_NAMED_IAM"])), None);
    }

    #[test]
    fn a_name_that_exists_is_imported_or_refused() {
        let table = |policy: &str| {
            let template = json!({"Resources": {"T": {"Type": "AWS::DynamoDB::Table",
                "DeletionPolicy": policy, "Properties": {"TableName": "t"}}}});
            set(&template, &[("ImportExistingResources", "true")])
        };
        let exists = |kind: &str, name: &str| (kind, name) == ("AWS::DynamoDB::Table", "t");
        assert_eq!(table("Retain").would_collide(exists), None);
        assert_eq!(table("Delete").would_collide(|_, _| false), None);
        let (_, message) = table("Delete").would_collide(exists).unwrap();
        assert_eq!(message, "`T`: `t` already exists");
    }
}
