//! An authorizer's policy
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html>).

use serde_json::Value;

/// Whether an authorizer's output allows a method to be invoked: a denial outweighs a permission,
/// and without a permission it is denied. `None` for an output without a policy.
pub(super) fn allows(answer: &Value, method_arn: &str) -> Option<bool> {
    let statements = answer.pointer("/policyDocument/Statement")?;
    let statements = match statements {
        Value::Array(statements) => statements.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut allowed = false;
    for statement in statements.iter().filter(|of| is_about(of, method_arn)) {
        match statement.get("Effect").and_then(Value::as_str) {
            Some("Allow") => allowed = true,
            _ => return Some(false),
        }
    }
    Some(allowed)
}

fn is_about(statement: &Value, method_arn: &str) -> bool {
    let any = |member: &str, text: &str| {
        let patterns = statement.get(member);
        match patterns {
            Some(Value::String(pattern)) => fits(pattern.as_bytes(), text.as_bytes()),
            Some(Value::Array(patterns)) => patterns
                .iter()
                .filter_map(Value::as_str)
                .any(|pattern| fits(pattern.as_bytes(), text.as_bytes())),
            _ => false,
        }
    };
    any("Action", "execute-api:Invoke") && any("Resource", method_arn)
}

/// Whether a text matches a pattern in which `*` stands for any text and `?` for any character.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => {
            (0..=text.len()).any(|from| fits(rest, text.get(from..).unwrap_or_default()))
        }
        Some((sign, rest)) => text
            .split_first()
            .is_some_and(|(first, after)| (*sign == b'?' || sign == first) && fits(rest, after)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ARN: &str = "arn:aws:execute-api:r:0:api/local/GET/v1/x";

    fn policy(statements: &Value) -> Value {
        json!({"policyDocument": {"Statement": statements}})
    }

    #[test]
    fn a_denial_goes_before_a_permission_and_nothing_permits_nothing() {
        let of = |effect: &str, resource: &str| json!({"Effect": effect, "Action": "execute-api:Invoke", "Resource": resource});
        for (statements, expected) in [
            (json!([of("Allow", ARN)]), true),
            (of("Allow", "arn:aws:execute-api:*/local/*"), true),
            (json!([of("Allow", "*"), of("Deny", ARN)]), false),
            (json!([of("Deny", "*/POST/*"), of("Allow", "*")]), true),
            (json!([of("Allow", "*/POST/*")]), false),
            (json!([]), false),
        ] {
            assert_eq!(
                allows(&policy(&statements), ARN),
                Some(expected),
                "{statements}"
            );
        }
        assert_eq!(allows(&json!({"isAuthorized": true}), ARN), None);
    }
}
