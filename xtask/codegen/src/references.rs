//! Properties that refer to another resource, and the form of the reference: its ARN, or its name
//! or id.

use std::collections::BTreeSet;

use crate::extract::Extract;
use crate::names;

/// The attribute with a resource's own ARN, if it is not called `Arn` or `{Resource}Arn`.
const OWN_ARN: [(&str, &str); 3] = [
    ("AWS::IAM::ManagedPolicy", "PolicyArn"),
    ("AWS::Kinesis::StreamConsumer", "ConsumerARN"),
    ("AWS::Lambda::Version", "FunctionArn"),
];

/// Attributes with the ARN of a part of the resource, and the part's marker type.
const PART_ARN: [(&str, &str, &str); 2] = [
    ("AWS::DynamoDB::Table", "StreamArn", "TableStream"),
    (
        "AWS::DynamoDB::GlobalTable",
        "StreamArn",
        "GlobalTableStream",
    ),
];

/// The marker types of one service's resource parts.
pub(crate) fn parts(service: &str) -> Vec<(&'static str, &'static str)> {
    let prefix = format!("AWS::{service}::");
    PART_ARN
        .iter()
        .filter(|(resource, ..)| resource.starts_with(&prefix))
        .map(|(resource, _, marker)| (*resource, *marker))
        .collect()
}

/// One thing that a property may refer to, as the type parameter of `Val`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// `Arn<super::iam::Role>`
    Arn(String),
    /// `Id<super::apigateway::RestApi>`
    Id(String),
}

impl Target {
    pub(crate) fn rust(&self) -> String {
        match self {
            Self::Arn(path) => format!("Arn<{path}>"),
            Self::Id(path) => format!("Id<{path}>"),
        }
    }
}

/// The resource whose ARN the attribute of a resource holds.
pub(crate) fn arn_of(resource: &str, attribute: &str) -> Option<String> {
    let name = resource.rsplit("::").next().unwrap_or(resource);
    let own = attribute == "Arn"
        || attribute.eq_ignore_ascii_case(&format!("{name}Arn"))
        || OWN_ARN.contains(&(resource, attribute));
    if own {
        return Some(path(resource, name));
    }
    PART_ARN
        .iter()
        .find(|(of, part, _)| *of == resource && *part == attribute)
        .map(|(_, _, marker)| path(resource, marker))
}

/// The targets of a property with these references; empty if the extract contains none of the
/// resources.
pub(crate) fn targets(extract: &Extract, refers: &[String]) -> BTreeSet<Target> {
    refers
        .iter()
        .filter_map(|reference| reference.rsplit_once('.'))
        .filter(|(resource, _)| extract.resources.contains_key(*resource))
        .map(|(resource, attribute)| match arn_of(resource, attribute) {
            Some(arn) => Target::Arn(arn),
            None => Target::Id(path(
                resource,
                resource.rsplit("::").next().unwrap_or(resource),
            )),
        })
        .collect()
}

/// Whether a reference targets a resource type outside the extract.
pub(crate) fn refers_outside(extract: &Extract, refers: &[String]) -> bool {
    refers.iter().any(|reference| {
        reference
            .rsplit_once('.')
            .is_some_and(|(resource, _)| !extract.resources.contains_key(resource))
    })
}

fn path(resource: &str, name: &str) -> String {
    let service = resource.split("::").nth(1).unwrap_or_default();
    format!("super::{}::{name}", names::module(service))
}
