//! Separates a change set's real changes from those that will not happen. Pure.

use std::collections::BTreeSet;

use crate::changes::{Action, Change, PropertyChange, Replacement};

/// Splits changes into certain ones and those that a change set lists although they will not
/// happen.
///
/// A change set also lists resources that refer to a changed one, some of them as "may be
/// replaced", because the reference *might* yield another value. It does so only if the resource
/// itself is recreated: a function with new code keeps its ARN.
pub(crate) fn settled(changes: Vec<Change>) -> (Vec<Change>, Vec<String>) {
    let mut anew: BTreeSet<String> = changes
        .iter()
        .filter(|change| change.action == Action::Add || change.replacement == Replacement::Certain)
        .map(|change| change.logical_id.clone())
        .collect();
    let known: BTreeSet<String> = changes
        .iter()
        .map(|change| change.logical_id.clone())
        .collect();
    let effective = |property: &PropertyChange, anew: &BTreeSet<String>| {
        let cause = property.caused_by.as_ref();
        cause.is_none_or(|cause| anew.contains(cause) || !known.contains(cause))
    };
    // A resource that is replaced because of another replacement may cause the next one.
    loop {
        let more: Vec<String> = changes
            .iter()
            .filter(|change| change.replaces() && !anew.contains(&change.logical_id))
            .filter(|change| {
                let mut properties = change.properties.iter();
                properties.any(|property| property.recreates && effective(property, &anew))
            })
            .map(|change| change.logical_id.clone())
            .collect();
        if more.is_empty() {
            break;
        }
        anew.extend(more);
    }
    let mut certain = Vec::new();
    let mut followers = Vec::new();
    for mut change in changes {
        let listed = !change.properties.is_empty();
        change
            .properties
            .retain(|property| effective(property, &anew));
        if change.action == Action::Modify && listed && change.properties.is_empty() {
            followers.push(change.logical_id);
            continue;
        }
        if change.replacement == Replacement::Perhaps && !anew.contains(&change.logical_id) {
            change.replacement = Replacement::Never;
        }
        certain.push(change);
    }
    (certain, followers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refers(id: &str, to: &str) -> Change {
        Change {
            logical_id: id.into(),
            replacement: Replacement::Perhaps,
            properties: vec![PropertyChange {
                name: "SourceArn".into(),
                before: None,
                after: None,
                caused_by: Some(to.into()),
                recreates: true,
                drift: None,
            }],
            ..modified("AWS::Lambda::Permission")
        }
    }

    #[test]
    fn what_refers_to_a_resource_that_is_not_replaced_only_follows() {
        let mut function = modified("AWS::Lambda::Function");
        function.logical_id = "F".into();
        let listed = vec![
            function.clone(),
            refers("Rule", "F"),
            refers("Permission", "Rule"),
        ];
        let (certain, followers) = settled(listed.clone());
        assert_eq!(certain, [function]);
        assert_eq!(followers, ["Rule", "Permission"]);

        let mut replaced = listed;
        for change in &mut replaced {
            if change.logical_id == "F" {
                change.replacement = Replacement::Certain;
            }
        }
        let (certain, followers) = settled(replaced);
        assert!(certain.iter().all(Change::replaces));
        assert_eq!((certain.len(), followers.len()), (3, 0));
    }

    #[test]
    fn a_parameter_that_changes_a_property_is_a_change_of_its_own() {
        let (certain, followers) = settled(vec![refers("Function", "SomeParameter")]);
        assert_eq!((certain.len(), followers.len()), (1, 0));
        assert!(certain.iter().all(Change::replaces));
    }

    fn modified(kind: &str) -> Change {
        Change {
            action: Action::Modify,
            logical_id: "Thing".into(),
            kind: kind.into(),
            replacement: Replacement::Never,
            retained: false,
            properties: Vec::new(),
        }
    }
}
