//! Whether a function's policy lets a gateway invoke it. Pure.

use serde_json::Value;

const GATEWAY: &str = "apigateway.amazonaws.com";

/// Whether `policy` lets API Gateway invoke the function on behalf of the authorizer `source` of
/// `account`. A statement with other conditions is not evaluated, and counts as not allowing it.
pub(super) fn lets_invoke(policy: &Value, source: &str, account: &str) -> bool {
    let statements = list(policy.get("Statement"));
    let mut statements = statements.into_iter();
    statements.any(|statement| allows(statement, source, account))
}

fn allows(statement: &Value, source: &str, account: &str) -> bool {
    let is = |member: &str, wanted: &[&str]| {
        let values = list(statement.get(member)).into_iter();
        values
            .filter_map(Value::as_str)
            .any(|value| wanted.contains(&value))
    };
    let principal = statement.get("Principal");
    let services = list(principal.and_then(|principal| principal.get("Service")));
    let is_gateways = services
        .iter()
        .any(|service| service.as_str() == Some(GATEWAY));
    is("Effect", &["Allow"])
        && is("Action", &["lambda:InvokeFunction", "lambda:*", "*"])
        && (is_gateways || principal.and_then(Value::as_str) == Some("*"))
        && conditions_hold(statement.get("Condition"), source, account)
}

fn conditions_hold(condition: Option<&Value>, source: &str, account: &str) -> bool {
    let Some(condition) = condition else {
        return true;
    };
    let operators = condition.as_object().into_iter().flatten();
    let mut terms = operators.flat_map(|(operator, terms)| {
        let terms = terms.as_object().into_iter().flatten();
        terms.map(move |(key, values)| (operator.as_str(), key.to_ascii_lowercase(), values))
    });
    terms.all(|(operator, key, values)| {
        let value = match key.as_str() {
            "aws:sourcearn" => source,
            "aws:sourceaccount" => account,
            _ => return false,
        };
        let fits: fn(&str, &str) -> bool = match operator {
            "ArnLike" | "ArnEquals" | "StringLike" => covers,
            "StringEquals" => |pattern, text| pattern == text,
            _ => return false,
        };
        let patterns = list(Some(values)).into_iter().filter_map(Value::as_str);
        patterns.into_iter().any(|pattern| fits(pattern, value))
    })
}

/// The values of a member that may be a single value or a list.
fn list(value: Option<&Value>) -> Vec<&Value> {
    match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) => items.iter().collect(),
        Some(one) => vec![one],
    }
}

/// Whether a pattern, in which `*` is any text and `?` any character, covers a text.
fn covers(pattern: &str, text: &str) -> bool {
    let Some(first) = pattern.chars().next() else {
        return text.is_empty();
    };
    let rest = pattern.get(first.len_utf8()..).unwrap_or_default();
    let mut characters = text.char_indices();
    match first {
        '*' => {
            let mut starts = characters.map(|(at, _)| at).chain([text.len()]);
            starts.any(|at| text.get(at..).is_some_and(|left| covers(rest, left)))
        }
        first => characters.next().is_some_and(|(_, found)| {
            (first == '?' || first == found)
                && text
                    .get(found.len_utf8()..)
                    .is_some_and(|left| covers(rest, left))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SOURCE: &str = "arn:aws:execute-api:ap-south-1:123456789012:a1b2c3d4e5/authorizers/x9";

    fn policy(change: impl FnOnce(&mut Value)) -> Value {
        let mut statement = json!({
            "Sid": "metering",
            "Effect": "Allow",
            "Principal": {"Service": "apigateway.amazonaws.com"},
            "Action": "lambda:InvokeFunction",
            "Resource": "arn:aws:lambda:ap-south-1:123456789012:function:f",
            "Condition": {"ArnLike": {"AWS:SourceArn":
                "arn:aws:execute-api:ap-south-1:123456789012:a1b2c3d4e5/authorizers/*"}},
        });
        change(&mut statement);
        json!({"Version": "2012-10-17", "Statement": [statement]})
    }

    #[test]
    fn a_permission_covers_the_authorizers_of_its_api() {
        let account = "123456789012";
        let lets = |policy: &Value| lets_invoke(policy, SOURCE, account);
        assert!(lets(&policy(|_| ())));
        assert!(lets(&policy(|of| {
            of.as_object_mut().unwrap().remove("Condition");
        })));
        assert!(lets(&policy(|of| {
            of["Condition"]["StringEquals"] = json!({"aws:SourceAccount": account});
        })));
        for (pointer, value) in [
            ("/Effect", json!("Deny")),
            ("/Action", json!("lambda:GetFunction")),
            ("/Principal", json!({"Service": "events.amazonaws.com"})),
            ("/Principal", json!({"AWS": "123456789012"})),
            (
                "/Condition/ArnLike/AWS:SourceArn",
                json!("arn:aws:execute-api:ap-south-1:123456789012:other/*"),
            ),
            (
                "/Condition/ArnLike/AWS:SourceArn",
                json!("arn:aws:execute-api:ap-south-1:123456789012:a1b2c3d4e5/*/GET/*"),
            ),
            (
                "/Condition",
                json!({"Bool": {"aws:SecureTransport": "true"}}),
            ),
            (
                "/Condition",
                json!({"StringEquals": {"aws:SourceAccount": "210987654321"}}),
            ),
        ] {
            let policy = policy(|of| *of.pointer_mut(pointer).unwrap() = value.clone());
            assert!(!lets(&policy), "{pointer} {value}");
        }
        assert!(!lets(&Value::Null));
        assert!(!lets(&json!({"Statement": "text"})));
    }

    #[test]
    fn patterns_cover_what_they_say() {
        assert!(covers("a:b/*", "a:b/c") && covers("a*c*e", "abcde") && covers("a?c", "abc"));
        assert!(covers("*", "") && covers("é*", "éa") && covers("**", "x"));
        assert!(!covers("a:b/*", "a:c/b") && !covers("abc", "abcd") && !covers("a?c", "ac"));
    }
}
