//! Converts between the SDK's types and ours. Pure.

use std::collections::BTreeMap;

use crate::change_sets::Request;
use crate::changes::{Action, Change, Drift, PropertyChange, Replacement};
use crate::stacks::Deployed;
use aws_sdk_cloudformation::types::{
    self, AttributeChangeType, ChangeAction, ChangeSource, Parameter, PolicyAction,
    RequiresRecreation, Tag,
};

/// A stack in CloudFormation's description.
pub(crate) fn deployed(stack: &types::Stack) -> Deployed {
    let outputs = stack.outputs().iter().filter_map(|output| {
        let key = output.output_key()?.to_owned();
        Some((key, output.output_value()?.to_owned()))
    });
    let parameters = stack.parameters().iter().filter_map(|parameter| {
        let key = parameter.parameter_key()?.to_owned();
        Some((key, parameter.parameter_value()?.to_owned()))
    });
    Deployed {
        name: stack.stack_name().unwrap_or_default().to_owned(),
        id: stack.stack_id().unwrap_or_default().to_owned(),
        status: stack
            .stack_status()
            .map_or("UNKNOWN", |status| status.as_str())
            .to_owned(),
        outputs: outputs.collect(),
        parameters: parameters.collect(),
        protected: stack.enable_termination_protection() == Some(true),
    }
}

/// The given values, and the current ones of all other parameters that the template still declares.
pub(crate) fn parameters(request: &Request<'_>, current: Option<&Deployed>) -> Vec<Parameter> {
    let names = request.template.parameters();
    names
        .filter_map(|name| {
            let parameter = Parameter::builder().parameter_key(name);
            if let Some(value) = request.parameters.get(name) {
                return Some(parameter.parameter_value(value).build());
            }
            let kept = current.is_some_and(|stack| stack.parameters.contains_key(name));
            kept.then(|| parameter.use_previous_value(true).build())
        })
        .collect()
}

/// Tags in the form of requests.
pub(crate) fn tags(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    tags.iter()
        .map(|(key, value)| Tag::builder().key(key).value(value).build())
        .collect()
}

/// One change of a change set.
pub(crate) fn change(change: &types::ResourceChange) -> Change {
    let action = match change.action() {
        Some(ChangeAction::Add) => Action::Add,
        Some(ChangeAction::Import) => Action::Adopt,
        Some(ChangeAction::Remove) => Action::Remove,
        _ => Action::Modify,
    };
    let replacement = match change.replacement() {
        Some(types::Replacement::True) => Replacement::Certain,
        Some(types::Replacement::Conditional) => Replacement::Perhaps,
        _ => Replacement::Never,
    };
    let properties = change.details().iter().filter_map(|detail| {
        let target = detail.target()?;
        let attribute = target.attribute().map(types::ResourceAttribute::as_str);
        Some(PropertyChange {
            name: property(target).or(attribute)?.to_owned(),
            before: target.before_value().map(str::to_owned),
            after: target.after_value().map(str::to_owned),
            caused_by: causing_resource(detail),
            recreates: !matches!(
                target.requires_recreation(),
                None | Some(RequiresRecreation::Never)
            ),
            drift: drift(target),
        })
    });
    Change {
        action,
        logical_id: change.logical_resource_id().unwrap_or("?").to_owned(),
        kind: change.resource_type().unwrap_or("?").to_owned(),
        replacement,
        retained: matches!(
            change.policy_action(),
            Some(PolicyAction::Retain | PolicyAction::ReplaceAndRetain)
        ),
        properties: properties.collect(),
    }
}

/// What becomes of a change outside the stack, if there was one.
fn drift(target: &types::ResourceTargetDefinition) -> Option<Drift> {
    if target.attribute_change_type() == Some(&AttributeChangeType::SyncWithActual) {
        return Some(Drift::Kept);
    }
    target.drift().map(|_| Drift::Reverted)
}

/// The property with its path within `Properties`; without the path if only its name is known.
fn property(target: &types::ResourceTargetDefinition) -> Option<&str> {
    let path = target
        .path()
        .and_then(|path| path.strip_prefix("/Properties/"));
    path.or_else(|| target.name())
}

/// The resource that a property refers to, if that reference is the only reason for the change.
fn causing_resource(detail: &types::ResourceChangeDetail) -> Option<String> {
    let by_reference = matches!(
        detail.change_source(),
        Some(ChangeSource::ResourceReference | ChangeSource::ResourceAttribute)
    );
    let entity = detail.causing_entity().filter(|_| by_reference)?;
    let (resource, _) = entity.split_once('.').unwrap_or((entity, ""));
    Some(resource.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stacks::Template;
    use serde_json::json;

    fn template() -> Template {
        Template::inline(json!({"Parameters": {"Given": {}, "Kept": {}, "Fresh": {}}}))
    }

    #[test]
    fn parameters_are_given_kept_or_left_to_their_default() {
        let template = template();
        let given = BTreeMap::from([
            ("Given".to_owned(), "now".to_owned()),
            ("Undeclared".to_owned(), "x".to_owned()),
        ]);
        let request = Request {
            stack: "S",
            template: &template,
            parameters: &given,
            tags: &BTreeMap::new(),
            reverts_drift: false,
        };
        let current = Deployed {
            name: "S".into(),
            id: "id".into(),
            status: "CREATE_COMPLETE".into(),
            parameters: BTreeMap::from([
                ("Given".to_owned(), "then".to_owned()),
                ("Kept".to_owned(), "then".to_owned()),
            ]),
            ..Deployed::default()
        };
        let shown = |parameters: Vec<Parameter>| -> Vec<(String, Option<String>)> {
            parameters
                .into_iter()
                .map(|one| (one.parameter_key.unwrap_or_default(), one.parameter_value))
                .collect()
        };
        assert_eq!(
            shown(parameters(&request, Some(&current))),
            [
                ("Given".to_owned(), Some("now".to_owned())),
                ("Kept".to_owned(), None)
            ]
        );
        assert_eq!(
            shown(parameters(&request, None)),
            [("Given".to_owned(), Some("now".to_owned()))]
        );
    }

    #[test]
    fn a_change_is_read_with_what_it_replaces_and_keeps() {
        let read = change(
            &types::ResourceChange::builder()
                .action(ChangeAction::Remove)
                .logical_resource_id("Table")
                .resource_type("AWS::DynamoDB::Table")
                .policy_action(PolicyAction::Retain)
                .build(),
        );
        assert!(read.retained && !read.loses_data());
        let replaced = change(
            &types::ResourceChange::builder()
                .action(ChangeAction::Modify)
                .resource_type("AWS::Kinesis::Stream")
                .replacement(types::Replacement::Conditional)
                .build(),
        );
        assert!(replaced.replaces() && replaced.loses_data());
    }
}
