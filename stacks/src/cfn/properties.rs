//! The properties set so far, which every generated type wraps.

use std::collections::BTreeMap;

use serde_json::Value;

use super::check::{Check, Problem};
use super::value::Lower;

/// Properties by CloudFormation name, with their problems.
#[derive(Clone, Debug, Default)]
pub struct Properties {
    values: BTreeMap<&'static str, Value>,
    problems: Vec<Problem>,
}

/// A resource type of CloudFormation.
pub trait ResourceType {
    /// `AWS::Kinesis::Stream`
    const TYPE: &'static str;
    /// Whether deleting it would lose data.
    const STATEFUL: bool;
    /// The place of its tags, if it can be tagged.
    const TAGS: Option<Tags>;

    /// The properties that were set.
    fn into_properties(self) -> Properties;
}

/// The place of a resource's tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tags {
    /// A list of keys and values under this property.
    List(&'static str),
    /// An object under this property.
    Map(&'static str),
}

impl Properties {
    /// Sets a property, checked; setting it again replaces it.
    pub(crate) fn put(&mut self, name: &'static str, check: Check, value: impl Lower) {
        let mut found = Vec::new();
        let value = value.lower(&check, &mut found);
        self.problems
            .retain(|problem| problem.path.first().is_none_or(|at| at != name));
        self.problems
            .extend(found.into_iter().map(|problem| problem.within(name)));
        self.values.insert(name, value);
    }

    pub(crate) fn into_parts(self) -> (BTreeMap<&'static str, Value>, Vec<Problem>) {
        (self.values, self.problems)
    }
}

impl Lower for Properties {
    fn lower(self, _: &Check, problems: &mut Vec<Problem>) -> Value {
        problems.extend(self.problems);
        let values = self.values.into_iter();
        Value::Object(
            values
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    }
}
