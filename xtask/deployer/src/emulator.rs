//! How the embedded AWS (MiniStack 1.5.33) needs to be handled differently. Pure.
//!
//! It rolls a whole stack back on resources that it cannot create, such as alarms on metric math;
//! `stacks` lists them. This is the only place where a template differs from what AWS gets. The
//! emulator also reports "may be replaced" for each property of a type that it has no table for.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::changes::{Replacement, Review};

/// The template without the resources called `refused`. References to one of them become its name,
/// or its logical id, as a literal.
#[must_use]
pub fn without_refused(mut template: Value, refused: &[String]) -> Value {
    let Some(resources) = template.get_mut("Resources").and_then(Value::as_object_mut) else {
        return template;
    };
    let mut names = BTreeMap::new();
    for id in refused {
        if let Some(resource) = resources.remove(id) {
            let name = resource.pointer("/Properties/AlarmName");
            let name = name.and_then(Value::as_str).unwrap_or(id);
            names.insert(id.clone(), name.to_owned());
        }
    }
    if !names.is_empty() {
        replace_references(&mut template, &names);
    }
    template
}

/// The review without replacements that only the emulator's ignorance suggests. If data depends on
/// it, the doubt stays.
#[must_use]
pub fn without_doubts(mut review: Review) -> Review {
    for change in &mut review.changes {
        if change.replacement == Replacement::Perhaps && !change.loses_data() {
            change.replacement = Replacement::Never;
        }
    }
    review
}

fn replace_references(value: &mut Value, names: &BTreeMap<String, String>) {
    if let Some(name) = referred(value).and_then(|id| names.get(id)) {
        *value = Value::String(name.clone());
        return;
    }
    match value {
        Value::Object(members) => {
            if let Some(dependencies) = members.get_mut("DependsOn") {
                drop_dependencies(dependencies, names);
            }
            for (key, member) in members.iter_mut() {
                if key == "Fn::Sub" {
                    replace_in_sub(member, names);
                }
                replace_references(member, names);
            }
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| replace_references(item, names)),
        _ => {}
    }
}

/// The logical id that `{"Ref": id}` or `{"Fn::GetAtt": [id, …]}` refers to.
fn referred(value: &Value) -> Option<&str> {
    let members = value.as_object().filter(|members| members.len() == 1)?;
    match members.iter().next()? {
        (key, id) if key == "Ref" => id.as_str(),
        (key, Value::Array(path)) if key == "Fn::GetAtt" => path.first()?.as_str(),
        (key, Value::String(path)) if key == "Fn::GetAtt" => path.split('.').next(),
        _ => None,
    }
}

fn drop_dependencies(dependencies: &mut Value, names: &BTreeMap<String, String>) {
    let gone = |value: &Value| value.as_str().is_some_and(|id| names.contains_key(id));
    match dependencies {
        Value::Array(ids) => ids.retain(|id| !gone(id)),
        one if gone(one) => *one = Value::Array(Vec::new()),
        _ => {}
    }
}

fn replace_in_sub(sub: &mut Value, names: &BTreeMap<String, String>) {
    let text = match sub {
        Value::Array(parts) => parts.first_mut(),
        other => Some(other),
    };
    let Some(Value::String(text)) = text else {
        return;
    };
    for (id, name) in names {
        for reference in [format!("${{{id}}}"), format!("${{{id}.Arn}}")] {
            *text = text.replace(&reference, name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::{Action, Change};
    use serde_json::json;

    #[test]
    fn what_is_refused_goes_and_nothing_refers_to_it_any_more() {
        let template = json!({
            "Resources": {
                "Math": {"Type": "AWS::CloudWatch::Alarm", "Properties": {"AlarmName": "math", "Metrics": []}},
                "Plain": {"Type": "AWS::CloudWatch::Alarm", "Properties": {"MetricName": "m"}, "DependsOn": ["Math"]},
                "Board": {"Type": "AWS::CloudWatch::Dashboard", "Properties": {
                    "DashboardBody": {"Fn::Sub": "alarm ${Math.Arn} and ${Plain.Arn}"}}},
            },
            "Outputs": {"Alarm": {"Value": {"Fn::GetAtt": ["Math", "Arn"]}}}
        });
        let stripped = without_refused(template, &["Math".to_owned()]);
        assert_eq!(
            stripped,
            json!({
                "Resources": {
                    "Plain": {"Type": "AWS::CloudWatch::Alarm", "Properties": {"MetricName": "m"}, "DependsOn": []},
                    "Board": {"Type": "AWS::CloudWatch::Dashboard", "Properties": {
                        "DashboardBody": {"Fn::Sub": "alarm math and ${Plain.Arn}"}}},
                },
                "Outputs": {"Alarm": {"Value": "math"}}
            })
        );
    }

    #[test]
    fn a_doubt_stays_only_where_data_hangs_on_it() {
        let change = |kind: &str| Change {
            action: Action::Modify,
            logical_id: kind.into(),
            kind: kind.into(),
            replacement: Replacement::Perhaps,
            retained: false,
            properties: Vec::new(),
        };
        let review = without_doubts(Review {
            stack: "S".into(),
            exists: true,
            changes: vec![change("AWS::ApiGateway::Stage"), change("AWS::SQS::Queue")],
            followers: Vec::new(),
            widened: Vec::new(),
        });
        assert_eq!(review.concerns(), ["`AWS::SQS::Queue` loses its data"]);
    }

    #[test]
    fn a_template_without_it_is_untouched() {
        let template = json!({"Resources": {"Q": {"Type": "AWS::SQS::Queue", "DependsOn": "P"},
            "P": {"Type": "AWS::SQS::Queue"}}});
        assert_eq!(
            without_refused(template.clone(), &["Math".to_owned()]),
            template
        );
    }
}
