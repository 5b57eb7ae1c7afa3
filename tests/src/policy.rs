//! Decides what IAM policies allow, as far as this project's policies go: statements with actions,
//! resources and conditions, of which a denial wins (IAM User Guide, "Policy evaluation logic").
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;

use serde_json::Value;

/// One right that a call requires.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// The action, as IAM names it: `dynamodb:PutItem`.
    pub action: String,
    /// The ARN of the resource; `*` for an action that has none.
    pub resource: String,
    /// The partition key of the item that the call names; empty if it names none.
    pub partition: String,
}

impl Right {
    /// The last part of the resource's ARN.
    pub fn name(&self) -> &str {
        let parts = self.resource.rsplit([':', '/']);
        parts.into_iter().next().unwrap_or_default()
    }
}

/// What a request says about itself, by condition key.
pub type Context = BTreeMap<&'static str, String>;

/// The policies of one principal.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policies(Vec<Value>);

impl Policies {
    /// The statements of policy documents in which every reference is resolved.
    pub fn new(documents: impl IntoIterator<Item = Value>) -> Self {
        let statements = documents
            .into_iter()
            .flat_map(|document| list(document.get("Statement")).cloned().collect::<Vec<_>>());
        Self(statements.collect())
    }

    /// Whether some statement allows the request and none denies it.
    pub fn allow(&self, right: &Right, context: &Context) -> bool {
        let applies = |effect: &str| {
            let mut statements = self.0.iter();
            statements.any(|one| {
                one.get("Effect").and_then(Value::as_str) == Some(effect)
                    && covers(one, right)
                    && conditions_hold(one, context)
            })
        };
        applies("Allow") && !applies("Deny")
    }
}

/// Whether a statement is about an action on a resource.
fn covers(statement: &Value, right: &Right) -> bool {
    assert!(
        statement.get("NotAction").is_none() && statement.get("NotResource").is_none(),
        "neither `NotAction` nor `NotResource` is known here: {statement}"
    );
    // IAM does not distinguish the case of actions, but that of resources.
    let action = right.action.to_ascii_lowercase();
    let mut actions = texts(statement.get("Action"));
    let mut resources = texts(statement.get("Resource"));
    actions.any(|pattern| matches(&pattern.to_ascii_lowercase(), &action))
        && resources.any(|pattern| matches(pattern, &right.resource))
}

/// Whether each condition holds; one about a key that the request lacks does not.
fn conditions_hold(statement: &Value, context: &Context) -> bool {
    let blocks = statement.get("Condition").and_then(Value::as_object);
    let mut tests = blocks.into_iter().flatten().flat_map(|(operator, keys)| {
        let keys = keys.as_object().unwrap().iter();
        keys.map(move |(key, values)| (operator.as_str(), key.as_str(), values))
    });
    tests.all(|(operator, key, values)| {
        let (operator, is_met_without) = match operator.strip_prefix("ForAllValues:") {
            Some(operator) => (operator, true),
            None => (operator, false),
        };
        let Some(actual) = context.get(key) else {
            return is_met_without;
        };
        texts(Some(values)).any(|expected| match operator {
            "StringEquals" => expected == actual,
            "StringLike" | "ArnLike" | "ArnEquals" => matches(expected, actual),
            other => panic!("the condition operator `{other}` is not known here"),
        })
    })
}

/// Whether a pattern, in which `*` stands for any characters and `?` for one, matches a text.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut of) = (0, 0);
    // Where to go on if the last `*` has to stand for one character more.
    let mut retry = None;
    while let Some(byte) = text.get(at) {
        match pattern.get(of) {
            Some(b'*') => {
                retry = Some((at, of));
                of += 1;
            }
            Some(expected) if *expected == b'?' || expected == byte => {
                at += 1;
                of += 1;
            }
            _ => {
                let Some((from, star)) = retry else {
                    return false;
                };
                retry = Some((from + 1, star));
                at = from + 1;
                of = star + 1;
            }
        }
    }
    pattern.iter().skip(of).all(|rest| *rest == b'*')
}

/// The values of a member that may be a single value or a list.
fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    let (many, one) = match value {
        Some(Value::Array(items)) => (items.as_slice(), None),
        other => (&[][..], other),
    };
    many.iter().chain(one)
}

fn texts(value: Option<&Value>) -> impl Iterator<Item = &str> {
    list(value).map(|text| {
        let resolved = text.as_str();
        resolved.unwrap_or_else(|| panic!("a reference is not resolved: {text}"))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TABLE: &str = "arn:aws:dynamodb:ap-south-1:000000000000:table/usage";

    fn right(action: &str, resource: &str) -> Right {
        Right {
            partition: String::new(),
            action: action.to_owned(),
            resource: resource.to_owned(),
        }
    }

    fn policies(statements: &Value) -> Policies {
        Policies::new([json!({"Version": "2012-10-17", "Statement": statements})])
    }

    fn allow(action: &Value, resource: &Value) -> Policies {
        policies(&json!([{"Effect": "Allow", "Action": action, "Resource": resource}]))
    }

    #[test]
    fn a_statement_allows_its_actions_on_its_resources_alone() {
        let index = format!("{TABLE}/index/byTime");
        let granted = allow(
            &json!(["dynamodb:Query", "dynamodb:PutItem"]),
            &json!(TABLE),
        );
        let allowed = |action: &str, on: &str| granted.allow(&right(action, on), &Context::new());
        assert!(allowed("dynamodb:Query", TABLE) && allowed("dynamodb:PutItem", TABLE));
        assert!(
            allowed("DynamoDB:putitem", TABLE),
            "IAM ignores the case of actions"
        );
        for (action, on) in [
            ("dynamodb:DeleteItem", TABLE),
            ("dynamodb:Query", index.as_str()),
            (
                "dynamodb:Query",
                "arn:aws:dynamodb:ap-south-1:000000000000:table/Usage",
            ),
            ("dynamodb:Query", "*"),
        ] {
            assert!(!allowed(action, on), "{action} on {on}");
        }
        let nothing = Policies::default();
        assert!(!nothing.allow(&right("dynamodb:Query", TABLE), &Context::new()));
    }

    #[test]
    fn wildcards_stand_for_any_characters_or_one() {
        for (pattern, text) in [
            ("a:b/*", "a:b/c"),
            ("a*c*e", "abcde"),
            ("a*c", "acbc"),
            ("secret:name-??????", "secret:name-a1B2c3"),
            ("*", ""),
            ("abc", "abc"),
            ("a?c*", "abc"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("a:b/*", "a:c/b"),
            ("abc", "abcd"),
            ("a*c", "abcd"),
            ("secret:name-??????", "secret:name-more-a1B2c3"),
            ("?", ""),
            ("", "a"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
        let all = allow(&json!("dynamodb:*"), &json!("*"));
        assert!(all.allow(&right("dynamodb:Scan", TABLE), &Context::new()));
        assert!(!all.allow(&right("sqs:SendMessage", TABLE), &Context::new()));
    }

    #[test]
    fn a_denial_wins() {
        let both = policies(&json!([
            {"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*"},
            {"Effect": "Deny", "Action": "dynamodb:DeleteItem", "Resource": TABLE},
        ]));
        assert!(both.allow(&right("dynamodb:PutItem", TABLE), &Context::new()));
        assert!(!both.allow(&right("dynamodb:DeleteItem", TABLE), &Context::new()));
    }

    #[test]
    fn a_condition_holds_only_for_a_request_that_meets_it() {
        let key = "arn:aws:kms:ap-south-1:000000000000:key/k";
        let through = policies(&json!([{
            "Effect": "Allow", "Action": "kms:Decrypt", "Resource": key,
            "Condition": {"StringEquals": {"kms:ViaService": "dynamodb.ap-south-1.amazonaws.com"}},
        }]));
        let asked = right("kms:Decrypt", key);
        let via = |service: &str| Context::from([("kms:ViaService", service.to_owned())]);
        assert!(through.allow(&asked, &via("dynamodb.ap-south-1.amazonaws.com")));
        assert!(!through.allow(&asked, &via("sqs.ap-south-1.amazonaws.com")));
        assert!(!through.allow(&asked, &Context::new()));
        let like = policies(&json!([{
            "Effect": "Allow", "Action": "lambda:*", "Resource": "*",
            "Condition": {"ArnLike": {"lambda:FunctionArn": "arn:aws:lambda:*:*:function:api-*"}},
        }]));
        let function = |name: &str| {
            let arn = format!("arn:aws:lambda:ap-south-1:000000000000:function:{name}");
            Context::from([("lambda:FunctionArn", arn)])
        };
        let asked = right("lambda:UpdateEventSourceMapping", "*");
        assert!(like.allow(&asked, &function("api-one")));
        assert!(!like.allow(&asked, &function("other")));
    }

    #[test]
    #[should_panic(expected = "is not known here")]
    fn an_operator_that_nobody_checks_is_not_taken_for_met() {
        let odd = policies(&json!([{
            "Effect": "Allow", "Action": "*", "Resource": "*",
            "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
        }]));
        let from = Context::from([("aws:SourceIp", "10.0.0.1".to_owned())]);
        odd.allow(&right("sqs:SendMessage", "*"), &from);
    }
}
