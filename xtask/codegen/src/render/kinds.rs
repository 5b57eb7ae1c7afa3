//! The Rust type, the parameter and the check of a property's content.

use std::fmt::Write as _;

use super::{Module, Shape};
use crate::CodegenError;
use crate::extract::{Kind, Property};
use crate::patterns;
use crate::references::{self, Target};

/// How a property is written in Rust.
pub(super) struct Item {
    /// The type of a field: `Val<String>`.
    pub(super) held: String,
    /// The type of a method's parameter: `impl Into<Val<String>>`.
    pub(super) parameter: String,
    /// The conversion from the parameter to the field.
    pub(super) conversion: &'static str,
    /// The limits, as an expression.
    pub(super) check: String,
}

impl Module<'_> {
    pub(super) fn item(
        &mut self,
        shape: &Shape<'_>,
        property: &str,
        spec: &Property,
    ) -> Result<Item, CodegenError> {
        let held = self.held(shape, property, &spec.kind)?;
        let (parameter, conversion) = match &spec.kind {
            Kind::Ref { .. } | Kind::Tag {} => (held.clone(), ""),
            Kind::List { of, .. } => {
                let element = self.element(shape, property, of);
                (format!("impl IntoList<{element}>"), ".into_list()")
            }
            Kind::Map { of } => {
                let element = self.element(shape, property, of);
                (format!("impl IntoMap<{element}>"), ".into_map()")
            }
            _ => (format!("impl Into<{held}>"), ".into()"),
        };
        Ok(Item {
            held,
            parameter,
            conversion,
            check: check(&spec.kind),
        })
    }

    /// The type of the field; declares the enum or marker that it needs.
    fn held(
        &mut self,
        shape: &Shape<'_>,
        property: &str,
        kind: &Kind,
    ) -> Result<String, CodegenError> {
        let of = format!("{}.{property}", shape.of);
        match kind {
            Kind::String { allowed, .. } if !allowed.is_empty() => {
                self.allowed(&format!("{}{property}", shape.name), &of, allowed)?;
            }
            Kind::String { refers, .. } => {
                let targets = references::targets(self.extract, refers);
                if is_union(&targets, references::refers_outside(self.extract, refers)) {
                    self.union(&format!("{}{property}", shape.name), &of, &targets)?;
                }
            }
            Kind::List { of: element, .. } => {
                self.held(shape, property, element)?;
                return Ok(format!("List<{}>", self.element(shape, property, element)));
            }
            Kind::Map { of: element } => {
                self.held(shape, property, element)?;
                return Ok(format!("Map<{}>", self.element(shape, property, element)));
            }
            _ => {}
        }
        Ok(self.element(shape, property, kind))
    }

    /// The type's name alone.
    fn element(&self, shape: &Shape<'_>, property: &str, kind: &Kind) -> String {
        match kind {
            Kind::String { allowed, .. } if !allowed.is_empty() => {
                format!("Val<{}{property}>", shape.name)
            }
            Kind::String { refers, .. } => {
                let targets = references::targets(self.extract, refers);
                let outside = references::refers_outside(self.extract, refers);
                match targets.first() {
                    Some(_) if is_union(&targets, outside) => {
                        format!("Val<{}{property}>", shape.name)
                    }
                    Some(only) => format!("Val<{}>", only.rust()),
                    None => "Val<String>".to_owned(),
                }
            }
            Kind::Integer { .. } => "Val<i64>".to_owned(),
            Kind::Number { .. } => "Val<f64>".to_owned(),
            Kind::Boolean {} => "Val<bool>".to_owned(),
            Kind::Json {} => "Json".to_owned(),
            Kind::Tag {} => "Tag".to_owned(),
            Kind::List { of, .. } => format!("List<{}>", self.element(shape, property, of)),
            Kind::Map { of } => format!("Map<{}>", self.element(shape, property, of)),
            Kind::Ref { name } => format!("{}{name}", shape.resource),
        }
    }
}

fn is_union(targets: &std::collections::BTreeSet<Target>, outside: bool) -> bool {
    targets.len() > 1 || (outside && !targets.is_empty())
}

/// The limits of a kind as calls on `Check`.
fn check(kind: &Kind) -> String {
    let mut text = String::from("Check::ANY");
    limits(kind, &mut text);
    text
}

fn limits(kind: &Kind, text: &mut String) {
    match kind {
        Kind::String {
            pattern,
            min_length,
            max_length,
            allowed,
            ..
        } if allowed.is_empty() => {
            if min_length.is_some() || max_length.is_some() {
                let _ = write!(text, ".length({})", bounds(*min_length, *max_length));
            }
            if let Some(pattern) = pattern.as_deref().and_then(patterns::runnable) {
                let _ = write!(text, ".pattern({pattern:?})");
            }
        }
        Kind::Integer {
            allowed,
            minimum,
            maximum,
        } => {
            if allowed.is_empty() {
                range(*minimum, *maximum, text);
            } else {
                let _ = write!(text, ".one_of(&{allowed:?})");
            }
        }
        Kind::Number { minimum, maximum } => range(*minimum, *maximum, text),
        Kind::List {
            of,
            min_items,
            max_items,
        } => {
            if min_items.is_some() || max_items.is_some() {
                let _ = write!(text, ".items({})", bounds(*min_items, *max_items));
            }
            limits(of, text);
        }
        Kind::Map { of } => limits(of, text),
        _ => {}
    }
}

fn bounds(least: Option<u64>, most: Option<u64>) -> String {
    let most = most.map_or_else(|| "u64::MAX".to_owned(), |most| most.to_string());
    format!("{}, {most}", least.unwrap_or(0))
}

fn range(least: Option<f64>, most: Option<f64>, text: &mut String) {
    if least.is_some() || most.is_some() {
        let least = least.map_or_else(|| "f64::MIN".to_owned(), |n| format!("{n:?}"));
        let most = most.map_or_else(|| "f64::MAX".to_owned(), |n| format!("{n:?}"));
        let _ = write!(text, ".range({least}, {most})");
    }
}
