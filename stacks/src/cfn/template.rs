//! A template: its declarations and its JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde_json::{Map, Value, json};

use super::check::Problem;
use super::properties::{ResourceType, Tags};
use super::value::{Id, Val};

/// The name of a resource inside its template: letters and digits, fixed for the life of the
/// stack. Changing one replaces the resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogicalId(String);

impl LogicalId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for LogicalId {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for LogicalId {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for LogicalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A declared resource, for references from others.
pub struct Handle<R> {
    id: LogicalId,
    of: PhantomData<fn() -> R>,
}

impl<R> Handle<R> {
    /// The handle of a resource that will be declared under this id.
    pub(crate) const fn of(id: LogicalId) -> Self {
        Self {
            id,
            of: PhantomData,
        }
    }

    /// Its logical id.
    pub fn logical_id(&self) -> &LogicalId {
        &self.id
    }

    /// `Ref`: its name or id.
    pub fn reference(&self) -> Val<Id<R>> {
        Val::intrinsic(json!({ "Ref": self.id.as_str() }))
    }

    /// `Fn::GetAtt`.
    pub(crate) fn attribute<T>(&self, name: &str) -> Val<T> {
        Val::intrinsic(json!({ "Fn::GetAtt": [self.id.as_str(), name] }))
    }
}

impl<R> Clone for Handle<R> {
    fn clone(&self) -> Self {
        Self {
            id: self.id.clone(),
            of: PhantomData,
        }
    }
}

impl<R> fmt::Debug for Handle<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.id.0).finish()
    }
}

/// An output of a template.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its description.
    pub description: &'static str,
    /// Its value.
    pub value: Val<String>,
}

/// The parts of one resource's JSON.
#[derive(Clone, Debug)]
pub(crate) struct Declaration {
    pub(crate) kind: &'static str,
    pub(crate) stateful: bool,
    pub(crate) tags: Option<Tags>,
    pub(crate) properties: Map<String, Value>,
    pub(crate) depends_on: Vec<LogicalId>,
    pub(crate) retained: bool,
    pub(crate) reasons: BTreeMap<&'static str, String>,
    /// Findings of linters that stay, each with its reason.
    pub(crate) findings: Vec<Value>,
}

/// A template under construction. Logical ids are unique and sorted. Problems are collected until
/// [`Template::finish`], which reports all of them.
///
/// It has no parameters: an update without a parameter keeps its previous value, whatever the
/// template says by then, and a value has at most 4,096 bytes.
#[derive(Clone, Debug, Default)]
pub struct Template {
    description: String,
    resources: BTreeMap<LogicalId, Declaration>,
    outputs: BTreeMap<&'static str, Output>,
    undeployable: Option<&'static str>,
    problems: Vec<Problem>,
}

impl Template {
    /// An empty template.
    pub fn new(description: impl Into<String>) -> Self {
        Self {
            description: description.into(),
            ..Self::default()
        }
    }

    /// Declares a resource under a logical id.
    pub fn add<R: ResourceType>(&mut self, id: impl Into<LogicalId>, resource: R) -> Handle<R> {
        let id = id.into();
        let (values, problems) = resource.into_properties().into_parts();
        self.problems
            .extend(problems.into_iter().map(|p| p.within(id.as_str())));
        let alphanumeric = id.0.chars().all(|c| c.is_ascii_alphanumeric());
        if !alphanumeric || id.0.is_empty() || id.0.len() > 255 {
            self.problem(&id, "a logical id is 1 to 255 ASCII letters and digits");
        }
        let declaration = Declaration {
            kind: R::TYPE,
            stateful: R::STATEFUL,
            tags: R::TAGS,
            properties: values
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            depends_on: Vec::new(),
            retained: false,
            reasons: BTreeMap::new(),
            findings: Vec::new(),
        };
        if self.resources.insert(id.clone(), declaration).is_some() {
            self.problem(&id, "is declared twice");
        }
        Handle::of(id)
    }

    /// Retains the resource when it leaves the template, when it is replaced, and when the stack is
    /// deleted.
    pub fn retain<R>(&mut self, resource: &Handle<R>) {
        if let Some(declaration) = self.resources.get_mut(&resource.id) {
            declaration.retained = true;
        }
    }

    /// Makes one resource wait for another if no reference implies it.
    pub fn depends_on<R, S>(&mut self, resource: &Handle<R>, on: &Handle<S>) {
        if let Some(declaration) = self.resources.get_mut(&resource.id) {
            declaration.depends_on.push(on.id.clone());
            declaration.depends_on.sort();
            declaration.depends_on.dedup();
        }
    }

    /// Writes beside a resource the reason for a feature of it, if a check requires one.
    pub fn explain<R>(&mut self, resource: &Handle<R>, what: &'static str, why: impl Into<String>) {
        if let Some(declaration) = self.resources.get_mut(&resource.id) {
            declaration.reasons.insert(what, why.into());
        }
    }

    /// Makes CloudFormation refuse the template, with this reason.
    pub fn never_deploy(&mut self, reason: &'static str) {
        self.undeployable = Some(reason);
    }

    /// Declares an output.
    pub fn output(
        &mut self,
        name: &'static str,
        description: &'static str,
        value: impl Into<Val<String>>,
    ) {
        let value = value.into();
        self.outputs.insert(name, Output { description, value });
    }

    /// Records a problem of a resource, for [`Template::finish`].
    pub fn problem(&mut self, id: &LogicalId, message: impl Into<String>) {
        self.problems
            .push(Problem::here(message).within(id.as_str()));
    }

    /// Records a problem inside a resource.
    pub(crate) fn problem_within(&mut self, id: &LogicalId, problem: Problem) {
        self.problems.push(problem.within(id.as_str()));
    }

    pub(crate) fn resources(&self) -> &BTreeMap<LogicalId, Declaration> {
        &self.resources
    }

    pub(crate) fn declarations(&mut self) -> impl Iterator<Item = &mut Declaration> {
        self.resources.values_mut()
    }

    /// Adds tags to every resource that can be tagged.
    pub fn tag(&mut self, tags: &BTreeMap<String, String>) {
        for declaration in self.resources.values_mut() {
            declaration.tag(tags);
        }
    }

    /// The template's JSON: keys sorted, a trailing newline.
    ///
    /// # Errors
    ///
    /// All problems, in the order of the declarations.
    pub fn finish(self) -> Result<String, Vec<Problem>> {
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        let mut document = Map::new();
        document.insert("AWSTemplateFormatVersion".into(), "2010-09-09".into());
        document.insert("Description".into(), self.description.into());
        if let Some(reason) = self.undeployable {
            document.insert("Rules".into(), never_fulfilled(reason));
        }
        insert(
            &mut document,
            "Resources",
            self.resources,
            Declaration::json,
        );
        insert(
            &mut document,
            "Outputs",
            self.outputs,
            |output| json!({ "Description": output.description, "Value": output.value.into_json() }),
        );
        Ok(format!("{:#}\n", sorted(Value::Object(document))))
    }
}

fn insert<K: ToString, V>(
    document: &mut Map<String, Value>,
    section: &str,
    entries: BTreeMap<K, V>,
    json: impl Fn(V) -> Value,
) {
    if entries.is_empty() {
        return;
    }
    let entries = entries.into_iter();
    let entries = entries.map(|(key, value)| (key.to_string(), json(value)));
    document.insert(section.to_owned(), Value::Object(entries.collect()));
}

/// A rule that no deployment satisfies (CloudFormation User Guide, "Template rules").
fn never_fulfilled(reason: &str) -> Value {
    let assertion = json!({
        "Assert": { "Fn::Equals": ["deployable", "not deployable"] },
        "AssertDescription": reason,
    });
    json!({ "NotDeployable": { "Assertions": [assertion] } })
}

impl Declaration {
    fn tag(&mut self, tags: &BTreeMap<String, String>) {
        match self.tags {
            None => {}
            Some(Tags::Map(property)) => {
                let held = self.properties.entry(property).or_insert_with(|| json!({}));
                if let Some(held) = held.as_object_mut() {
                    let tags = tags.iter();
                    held.extend(tags.map(|(key, value)| (key.clone(), value.clone().into())));
                }
            }
            Some(Tags::List(property)) => {
                let held = self.properties.entry(property).or_insert_with(|| json!([]));
                if let Some(held) = held.as_array_mut() {
                    held.retain(|tag| {
                        let key = tag.get("Key").and_then(Value::as_str);
                        key.is_none_or(|key| !tags.contains_key(key))
                    });
                    let tags = tags.iter();
                    held.extend(tags.map(|(key, value)| json!({ "Key": key, "Value": value })));
                }
            }
        }
    }

    fn json(self) -> Value {
        let mut resource = Map::new();
        resource.insert("Type".into(), self.kind.into());
        if !self.depends_on.is_empty() {
            let ids: Vec<Value> = self.depends_on.into_iter().map(|id| id.0.into()).collect();
            resource.insert("DependsOn".into(), ids.into());
        }
        if self.retained {
            resource.insert("DeletionPolicy".into(), "Retain".into());
            resource.insert("UpdateReplacePolicy".into(), "Retain".into());
        }
        let mut metadata = Map::new();
        if !self.reasons.is_empty() {
            let reasons = self.reasons.into_iter();
            let reasons: Map<String, Value> = reasons
                .map(|(key, why)| (key.to_owned(), why.into()))
                .collect();
            metadata.insert("Reasons".into(), reasons.into());
        }
        if !self.findings.is_empty() {
            metadata.insert("checkov".into(), json!({ "skip": self.findings }));
        }
        if !metadata.is_empty() {
            resource.insert("Metadata".into(), metadata.into());
        }
        if !self.properties.is_empty() {
            resource.insert("Properties".into(), Value::Object(self.properties));
        }
        Value::Object(resource)
    }
}

/// Sorts keys, whatever features of `serde_json` another crate of the build enables.
pub(crate) fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let entries: BTreeMap<String, Value> = map.into_iter().collect();
            let entries = entries.into_iter().map(|(key, value)| (key, sorted(value)));
            Value::Object(entries.collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        scalar => scalar,
    }
}
