//! Values of properties: literals and intrinsic functions, typed by their meaning.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde_json::Value;

use super::check::{Check, Problem};

/// A scalar: a literal or an intrinsic function that yields a `T`.
pub struct Val<T> {
    scalar: Scalar,
    of: PhantomData<fn() -> T>,
}

/// The content of a [`Val`], whatever its type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar {
    Text(String),
    Integer(i64),
    Number(f64),
    Boolean(bool),
    Intrinsic(Value),
}

/// The ARN of an `R`: as the type of a [`Val`].
pub struct Arn<R>(PhantomData<fn() -> R>);

/// The name or id of an `R`, what `Ref` yields: as the type of a [`Val`].
pub struct Id<R>(PhantomData<fn() -> R>);

/// A reference to a resource: an ARN, an id, or one of several.
pub trait Reference {}

impl<R> Reference for Arn<R> {}
impl<R> Reference for Id<R> {}

/// An enum of a property's valid values.
pub trait Literal: Copy {
    /// The value in CloudFormation's form.
    fn text(self) -> &'static str;
}

impl<T> Val<T> {
    pub(crate) const fn new(scalar: Scalar) -> Self {
        Self {
            scalar,
            of: PhantomData,
        }
    }

    pub(crate) const fn intrinsic(value: Value) -> Self {
        Self::new(Scalar::Intrinsic(value))
    }

    /// The same value with another type.
    pub(crate) fn cast<U>(self) -> Val<U> {
        Val::new(self.scalar)
    }

    pub(crate) fn into_json(self) -> Value {
        self.scalar.into_json()
    }

    /// The value in a text for `Fn::Sub`: a literal, or the name of what `Ref` refers to.
    pub(crate) fn within_sub(self) -> String {
        match self.into_json() {
            Value::String(text) => text,
            value => match value.get("Ref").and_then(Value::as_str) {
                Some(id) => format!("${{{id}}}"),
                None => value.to_string(),
            },
        }
    }
}

/// A reference to a resource that no template here declares, in AWS's form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Existing(String);

/// A reference, of whichever kind is required, to a resource that no template here declares. Its
/// form is checked if AWS publishes one, but its existence is not.
pub fn existing(text: impl Into<String>) -> Existing {
    Existing(text.into())
}

impl<T: Reference> From<Existing> for Val<T> {
    fn from(existing: Existing) -> Self {
        Self::new(Scalar::Text(existing.0))
    }
}

impl<T> Clone for Val<T> {
    fn clone(&self) -> Self {
        Self::new(self.scalar.clone())
    }
}

impl<T> PartialEq for Val<T> {
    fn eq(&self, other: &Self) -> bool {
        self.scalar == other.scalar
    }
}

impl<T> std::fmt::Debug for Val<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.scalar.fmt(f)
    }
}

impl Scalar {
    pub(crate) fn into_json(self) -> Value {
        match self {
            Self::Text(text) => Value::String(text),
            Self::Integer(number) => number.into(),
            Self::Number(number) => number.into(),
            Self::Boolean(boolean) => boolean.into(),
            Self::Intrinsic(value) => value,
        }
    }
}

impl From<&str> for Val<String> {
    fn from(text: &str) -> Self {
        Self::new(Scalar::Text(text.to_owned()))
    }
}

impl From<String> for Val<String> {
    fn from(text: String) -> Self {
        Self::new(Scalar::Text(text))
    }
}

impl From<&String> for Val<String> {
    fn from(text: &String) -> Self {
        Self::new(Scalar::Text(text.clone()))
    }
}

impl<R> From<Val<Arn<R>>> for Val<String> {
    fn from(arn: Val<Arn<R>>) -> Self {
        arn.cast()
    }
}

impl<R> From<Val<Id<R>>> for Val<String> {
    fn from(id: Val<Id<R>>) -> Self {
        id.cast()
    }
}

impl<R> From<&str> for Val<Id<R>> {
    fn from(text: &str) -> Self {
        existing(text).into()
    }
}

impl<R> From<String> for Val<Id<R>> {
    fn from(text: String) -> Self {
        existing(text).into()
    }
}

macro_rules! numbers {
    ($($type:ty),*) => {
        $(impl From<$type> for Val<i64> {
            fn from(number: $type) -> Self {
                Self::new(Scalar::Integer(i64::from(number)))
            }
        })*
    };
}

numbers!(i64, i32, u32, u16, u8);

impl From<f64> for Val<f64> {
    fn from(number: f64) -> Self {
        Self::new(Scalar::Number(number))
    }
}

impl From<i32> for Val<f64> {
    fn from(number: i32) -> Self {
        Self::new(Scalar::Integer(i64::from(number)))
    }
}

impl From<bool> for Val<bool> {
    fn from(boolean: bool) -> Self {
        Self::new(Scalar::Boolean(boolean))
    }
}

impl<L: Literal> From<L> for Val<L> {
    fn from(literal: L) -> Self {
        Self::new(Scalar::Text(literal.text().to_owned()))
    }
}

/// A type that becomes JSON under a check.
pub(crate) trait Lower {
    fn lower(self, check: &Check, problems: &mut Vec<Problem>) -> Value;
}

impl<T> Lower for Val<T> {
    fn lower(self, check: &Check, problems: &mut Vec<Problem>) -> Value {
        check.scalar(&self.scalar, problems);
        self.into_json()
    }
}

/// A property that AWS leaves open: a policy, a pattern, a document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Json(pub(crate) Value);

impl Json {
    /// Any document, from a type that defines its shape.
    ///
    /// # Errors
    ///
    /// If the type cannot be serialised as JSON, such as a map whose keys are not texts.
    pub fn of(document: &impl serde::Serialize) -> Result<Self, serde_json::Error> {
        serde_json::to_value(document).map(Self)
    }
}

impl Lower for Json {
    fn lower(self, _: &Check, _: &mut Vec<Problem>) -> Value {
        self.0
    }
}

/// A tag of a resource.
#[derive(Clone, Debug)]
pub struct Tag {
    /// At most 128 characters.
    pub key: String,
    /// At most 256 characters.
    pub value: Val<String>,
}

impl Lower for Tag {
    fn lower(self, _: &Check, problems: &mut Vec<Problem>) -> Value {
        Check::ANY
            .length(1, 128)
            .scalar(&Scalar::Text(self.key.clone()), problems);
        let value = self.value.lower(&Check::ANY.length(0, 256), problems);
        serde_json::json!({ "Key": self.key, "Value": value })
    }
}

/// A list of values, in order.
#[derive(Clone, Debug, Default)]
pub struct List<T>(Vec<T>);

impl<T> List<T> {
    /// Creates a list from anything that becomes one.
    pub fn of(items: impl IntoList<T>) -> Self {
        items.into_list()
    }
}

/// The values that a list property accepts: an array, a vector, or a [`List`].
pub trait IntoList<T> {
    /// The list.
    fn into_list(self) -> List<T>;
}

impl<T> IntoList<T> for List<T> {
    fn into_list(self) -> List<T> {
        self
    }
}

impl<T, I: Into<T>> IntoList<T> for Vec<I> {
    fn into_list(self) -> List<T> {
        List(self.into_iter().map(Into::into).collect())
    }
}

impl<T, I: Into<T>, const N: usize> IntoList<T> for [I; N] {
    fn into_list(self) -> List<T> {
        List(self.into_iter().map(Into::into).collect())
    }
}

impl<T: Lower> Lower for List<T> {
    fn lower(self, check: &Check, problems: &mut Vec<Problem>) -> Value {
        check.count(self.0.len(), problems);
        let lowered = self.0.into_iter().enumerate().map(|(index, item)| {
            let mut found = Vec::new();
            let value = item.lower(check, &mut found);
            problems.extend(found.into_iter().map(|p| p.within(&index.to_string())));
            value
        });
        Value::Array(lowered.collect())
    }
}

/// Values by key.
#[derive(Clone, Debug, Default)]
pub struct Map<T>(BTreeMap<String, T>);

impl<T> Map<T> {
    /// Creates a map from anything that becomes one.
    pub fn of(entries: impl IntoMap<T>) -> Self {
        entries.into_map()
    }
}

/// The values that a map property accepts: pairs, or a [`Map`].
pub trait IntoMap<T> {
    /// The map.
    fn into_map(self) -> Map<T>;
}

impl<T> IntoMap<T> for Map<T> {
    fn into_map(self) -> Map<T> {
        self
    }
}

impl<T, K: Into<String>, I: Into<T>, const N: usize> IntoMap<T> for [(K, I); N] {
    fn into_map(self) -> Map<T> {
        Map(self
            .into_iter()
            .map(|(k, v)| (k.into(), v.into()))
            .collect())
    }
}

impl<T, K: Into<String>, I: Into<T>> IntoMap<T> for BTreeMap<K, I> {
    fn into_map(self) -> Map<T> {
        Map(self
            .into_iter()
            .map(|(k, v)| (k.into(), v.into()))
            .collect())
    }
}

impl<T: Lower> Lower for Map<T> {
    fn lower(self, check: &Check, problems: &mut Vec<Problem>) -> Value {
        let lowered = self.0.into_iter().map(|(key, item)| {
            let mut found = Vec::new();
            let value = item.lower(check, &mut found);
            problems.extend(found.into_iter().map(|p| p.within(&key)));
            (key, value)
        });
        Value::Object(lowered.collect())
    }
}
