//! Filter criteria: which records of a source reach the function.
//!
//! Source: "Control which events Lambda sends to your function", Lambda developer guide. A record
//! that matches no filter is skipped as if it had been processed.

use serde_json::Value;

/// A mapping's `FilterCriteria`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Filters {
    /// One of these must match; if there are none, every record passes.
    patterns: Vec<Value>,
}

impl Filters {
    /// Reads `FilterCriteria`. A pattern that is not a JSON object cannot be deployed on AWS; here
    /// it matches nothing.
    pub(crate) fn read(criteria: Option<&Value>) -> Self {
        let filters = criteria
            .and_then(|criteria| criteria.get("Filters"))
            .and_then(Value::as_array);
        let patterns = filters
            .into_iter()
            .flatten()
            .filter_map(|filter| filter.get("Pattern")?.as_str())
            .map(|pattern| serde_json::from_str(pattern).unwrap_or(Value::Null))
            .collect();
        Self { patterns }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether a record passes: its metadata and, for Kinesis, its decoded payload under `data`. If
    /// the data is not JSON, it is absent, and no pattern for data matches.
    pub(crate) fn pass(&self, record: &Value) -> bool {
        let takes = |pattern: &Value| {
            let has_data = pattern.get("data").is_none() || record.get("data").is_some();
            has_data && matches(pattern, Some(record))
        };
        self.patterns.is_empty() || self.patterns.iter().any(takes)
    }

    /// Whether any pattern concerns a Kinesis record's data.
    pub(crate) fn look_at_data(&self) -> bool {
        self.patterns
            .iter()
            .any(|pattern| pattern.get("data").is_some())
    }
}

/// An object descends; a list holds the rules of which one must match.
fn matches(pattern: &Value, value: Option<&Value>) -> bool {
    match pattern {
        Value::Object(members) => members.iter().all(|(name, pattern)| match name.as_str() {
            "$or" => pattern
                .as_array()
                .is_some_and(|any| any.iter().any(|pattern| matches(pattern, value))),
            _ => matches(pattern, value.and_then(|value| value.get(name))),
        }),
        Value::Array(rules) => rules.iter().any(|rule| rule_matches(rule, value)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn rule_matches(rule: &Value, value: Option<&Value>) -> bool {
    let Value::Object(operators) = rule else {
        return match value {
            Some(Value::Array(values)) => values.iter().any(|value| equal(rule, value)),
            Some(value) => equal(rule, value),
            None => false,
        };
    };
    operators
        .iter()
        .next()
        .is_some_and(|(operator, operand)| operator_matches(operator, operand, value))
}

fn operator_matches(operator: &str, operand: &Value, value: Option<&Value>) -> bool {
    match (operator, value) {
        // For leaves only: a node that is an object does not exist as a value.
        ("exists", value) => {
            let exists = value.is_some_and(|value| !value.is_object());
            operand.as_bool() == Some(exists)
        }
        ("prefix", Some(value)) => affix(operand, value, |text, affix| text.starts_with(affix)),
        ("suffix", Some(value)) => affix(operand, value, |text, affix| text.ends_with(affix)),
        ("equals-ignore-case", Some(value)) => affix(operand, value, |text, other| {
            text.eq_ignore_ascii_case(other)
        }),
        ("anything-but", Some(value)) => anything_but(operand, value),
        ("numeric", Some(value)) => numeric(operand, value),
        _ => false,
    }
}

fn affix(operand: &Value, value: &Value, holds: impl Fn(&str, &str) -> bool) -> bool {
    match (value.as_str(), operand.as_str()) {
        (Some(value), Some(operand)) => holds(value, operand),
        _ => false,
    }
}

fn anything_but(operand: &Value, value: &Value) -> bool {
    match operand {
        Value::Array(values) => !values.iter().any(|excluded| equal(excluded, value)),
        Value::Object(_) => !rule_matches(operand, Some(value)),
        excluded => !equal(excluded, value),
    }
}

/// `["=", 5]` or `[">", 0, "<=", 10]`. Numbers only: a table's numbers are strings in its stream.
fn numeric(operand: &Value, value: &Value) -> bool {
    let (Some(number), Some(tests)) = (value.as_f64(), operand.as_array()) else {
        return false;
    };
    !tests.is_empty()
        && tests.chunks(2).all(|test| match test {
            [operator, bound] => match (operator.as_str(), bound.as_f64()) {
                (Some("="), Some(bound)) => number.total_cmp(&bound).is_eq(),
                (Some("<"), Some(bound)) => number < bound,
                (Some("<="), Some(bound)) => number <= bound,
                (Some(">"), Some(bound)) => number > bound,
                (Some(">="), Some(bound)) => number >= bound,
                _ => false,
            },
            _ => false,
        })
}

/// Values are compared as text: `300` and `300.0` are not equal.
fn equal(left: &Value, right: &Value) -> bool {
    left == right
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filters(patterns: &[Value]) -> Filters {
        let filters: Vec<Value> = patterns
            .iter()
            .map(|pattern| json!({"Pattern": pattern.to_string()}))
            .collect();
        Filters::read(Some(&json!({"Filters": filters})))
    }

    fn takes(pattern: Value, record: &Value) -> bool {
        filters(&[pattern]).pass(record)
    }

    #[test]
    fn a_filter_on_keys_and_event_names_takes_both_only() {
        let pattern = json!({
            "eventName": ["INSERT", "MODIFY"],
            "dynamodb": {"Keys": {"PK": {"S": [{"prefix": "JOURNAL#"}]}}},
        });
        // A stream of keys has no images.
        let record = |name: &str, key: &str| json!({"eventName": name, "dynamodb": {"Keys": {"PK": {"S": key}}}});
        for (name, key, expected) in [
            ("INSERT", "JOURNAL#2026-11-22T16", true),
            ("MODIFY", "JOURNAL#2026-11-22T16", true),
            ("REMOVE", "JOURNAL#2026-11-22T16", false),
            ("INSERT", "MINUTE#2026-11-22T16", false),
        ] {
            let record = record(name, key);
            assert_eq!(takes(pattern.clone(), &record), expected, "{record}");
        }
    }

    // "Filter rule syntax", Lambda developer guide: each comparison operator's example.
    #[test]
    fn comparison_operators_behave_as_documented() {
        let order = json!({
            "UserID": null, "LastName": "", "Name": "Alice", "Weather": "Sunny", "Price": 100,
            "Product": "x", "Region": "us-east-1", "FileName": "photo.png", "Location": "New York", "Day": "Monday"
        });
        for (pattern, expected) in [
            (json!({"UserID": [null]}), true),
            (json!({"LastName": [""]}), true),
            (json!({"Name": ["Alice"]}), true),
            (json!({"Location": ["New York"], "Day": ["Monday"]}), true),
            (json!({"Location": ["New York"], "Day": ["Friday"]}), false),
            (json!({"PaymentType": ["Credit", "Debit"]}), false),
            (
                json!({"$or": [{"Location": ["Paris"]}, {"Day": ["Monday"]}]}),
                true,
            ),
            (json!({"Weather": [{"anything-but": ["Raining"]}]}), true),
            (json!({"Weather": [{"anything-but": ["Sunny"]}]}), false),
            (json!({"Price": [{"numeric": ["=", 100]}]}), true),
            (json!({"Price": [{"numeric": [">", 10, "<=", 20]}]}), false),
            (json!({"Product": [{"exists": true}]}), true),
            (json!({"Other": [{"exists": false}]}), true),
            (json!({"Region": [{"prefix": "us-"}]}), true),
            (json!({"FileName": [{"suffix": ".png"}]}), true),
            (json!({"Name": [{"equals-ignore-case": "alice"}]}), true),
        ] {
            assert_eq!(takes(pattern.clone(), &order), expected, "{pattern}");
        }
    }

    // Event patterns (EventBridge): exists matching works on leaf nodes only.
    #[test]
    fn exists_does_not_match_intermediate_nodes() {
        let record = json!({"person": {"address": {"city": "x"}}});
        assert!(!takes(
            json!({"person": {"address": [{"exists": true}]}}),
            &record
        ));
        assert!(takes(
            json!({"person": {"address": {"city": [{"exists": true}]}}}),
            &record
        ));
    }

    // A table's numbers are strings in its stream: `"N": "5"`.
    #[test]
    fn a_tables_number_is_not_a_number() {
        let record = json!({"dynamodb": {"NewImage": {"count": {"N": "5"}}}});
        let pattern = json!({"dynamodb": {"NewImage": {"count": {"N": [{"numeric": ["=", 5]}]}}}});
        assert!(!takes(pattern, &record));
    }

    // "For numbers, Lambda also uses string representation. For example, 300, 300.0, and 3.0e2 are
    // not considered equal." (Filter rule syntax)
    #[test]
    fn numbers_are_compared_as_written() {
        assert!(takes(json!({"Price": [300]}), &json!({"Price": 300})));
        assert!(!takes(json!({"Price": [300]}), &json!({"Price": 300.0})));
    }

    // "Incoming data format: Non-JSON, filter pattern format: Valid JSON: Lambda drops the
    // record." (Properly filtering Kinesis and DynamoDB messages)
    #[test]
    fn a_pattern_for_data_takes_no_record_whose_data_is_not_json() {
        let pattern = json!({"data": {"city": [{"exists": false}]}});
        assert!(takes(
            pattern.clone(),
            &json!({"partitionKey": "1", "data": {}})
        ));
        assert!(!takes(pattern, &json!({"partitionKey": "1"})));
    }

    // "Your filters are logically ORed together."
    #[test]
    fn one_filter_of_several_is_enough() {
        let filters = filters(&[json!({"a": ["x"]}), json!({"b": ["y"]})]);
        assert!(filters.pass(&json!({"b": "y"})));
        assert!(!filters.pass(&json!({"a": "y", "b": "x"})));
        assert!(Filters::default().pass(&json!({})));
    }
}
