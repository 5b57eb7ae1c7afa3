//! Shapes of JSON, and the messages about values with another shape.

use serde_json::{Map, Value};

use crate::cfn::check::Problem;

/// The valid values.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Text,
    /// A text of at least one and at most this many characters.
    TextUpTo(usize),
    OneOf(&'static [&'static str]),
    /// A text that matches, and the name for such texts.
    Like(&'static str, &'static str),
    Flag,
    Number,
    /// A text, number or flag.
    Scalar,
    /// A whole number, both bounds included.
    Whole(u64, u64),
    /// Seconds: whole minutes.
    Minutes,
    /// At least and at most this many items of one shape.
    List(&'static Shape, usize, usize),
    /// One of a shape, or a list of exactly two: the edges of a band.
    OneOrBand(&'static Shape),
    Object(&'static [Member]),
    /// Checked elsewhere.
    Any,
}

/// A member of an object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    name: &'static str,
    required: bool,
    shape: Shape,
}

/// A member that may be absent.
pub(super) const fn may(name: &'static str, shape: Shape) -> Member {
    Member {
        name,
        required: false,
        shape,
    }
}

/// A required member.
pub(super) const fn must(name: &'static str, shape: Shape) -> Member {
    Member {
        name,
        required: true,
        shape,
    }
}

impl Shape {
    /// The problems of a value, each with its place inside the value.
    pub(super) fn check(self, value: &Value, problems: &mut Vec<Problem>) {
        match (self, value) {
            (Self::Any, _)
            | (Self::Text, Value::String(_))
            | (Self::Flag, Value::Bool(_))
            | (Self::Number, Value::Number(_))
            | (Self::Scalar, Value::String(_) | Value::Number(_) | Value::Bool(_)) => {}
            (Self::TextUpTo(most), Value::String(text))
                if (1..=most).contains(&text.chars().count()) => {}
            (Self::OneOf(allowed), Value::String(text)) if allowed.contains(&text.as_str()) => {}
            (Self::Like(pattern, _), Value::String(text)) if matches(pattern, text) => {}
            (Self::Whole(least, most), _)
                if value.as_u64().is_some_and(|n| (least..=most).contains(&n)) => {}
            (Self::Minutes, _) if value.as_u64().is_some_and(|n| n >= 60 && n % 60 == 0) => {}
            (Self::List(of, least, most), Value::Array(items))
                if (least..=most).contains(&items.len()) =>
            {
                of.check_each(items, problems);
            }
            (Self::OneOrBand(of), Value::Array(edges)) if edges.len() == 2 => {
                of.check_each(edges, problems);
            }
            (Self::OneOrBand(of), Value::Object(_)) => of.check(value, problems),
            (Self::Object(members), Value::Object(object)) => object_of(members, object, problems),
            _ => problems.push(Problem::here(format!(
                "`{}` is given, expected {}",
                excerpt(value),
                self.allowed()
            ))),
        }
    }

    fn check_each(self, items: &[Value], problems: &mut Vec<Problem>) {
        for (index, item) in items.iter().enumerate() {
            within(&index.to_string(), problems, |found| {
                self.check(item, found);
            });
        }
    }

    fn allowed(self) -> String {
        match self {
            Self::Text => "a text".to_owned(),
            Self::TextUpTo(most) => format!("a text of 1 to {most} characters"),
            Self::OneOf(allowed) => format!("one of `{}`", allowed.join("`, `")),
            Self::Like(_, called) => called.to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Number => "a number".to_owned(),
            Self::Scalar => "a text, number, true or false".to_owned(),
            Self::Whole(least, u64::MAX) => format!("a whole number from {least}"),
            Self::Whole(least, most) => format!("a whole number from {least} to {most}"),
            Self::Minutes => "a multiple of 60".to_owned(),
            Self::List(_, least, most) => format!("a list of {least} to {most}"),
            Self::OneOrBand(_) => "an object, or a list of two".to_owned(),
            Self::Object(_) | Self::Any => "an object".to_owned(),
        }
    }
}

fn object_of(members: &[Member], object: &Map<String, Value>, problems: &mut Vec<Problem>) {
    for member in members {
        match object.get(member.name) {
            Some(value) => within(member.name, problems, |found| {
                member.shape.check(value, found);
            }),
            None if member.required => {
                problems.push(Problem::here(format!("`{}` is missing", member.name)));
            }
            None => {}
        }
    }
    let known = |name: &str| members.iter().any(|member| member.name == name);
    for name in object.keys().filter(|name| !known(name)) {
        let names: Vec<&str> = members.iter().map(|member| member.name).collect();
        problems.push(Problem::here(format!(
            "`{name}` is unknown, expected one of `{}`",
            names.join("`, `")
        )));
    }
}

/// The problems inside a member or item, with their place.
pub(super) fn within(
    place: &str,
    problems: &mut Vec<Problem>,
    check: impl FnOnce(&mut Vec<Problem>),
) {
    let mut found = Vec::new();
    check(&mut found);
    problems.extend(found.into_iter().map(|problem| problem.within(place)));
}

fn matches(pattern: &str, text: &str) -> bool {
    regex_lite::Regex::new(pattern).is_ok_and(|regex| regex.is_match(text))
}

/// Enough of a value to recognise it.
fn excerpt(value: &Value) -> String {
    const SHOWN: usize = 60;
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let start: String = text.chars().take(SHOWN).collect();
    if start.len() < text.len() {
        return format!("{start}…");
    }
    start
}
