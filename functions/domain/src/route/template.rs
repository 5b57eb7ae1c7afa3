//! One path template, and which paths match it.

use std::cmp::Reverse;

use percent_encoding::percent_decode;

use super::LONGEST_TEMPLATE;

/// A path template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    text: String,
    segments: Vec<Segment>,
}

/// What a segment of a path must match, from the most specific to the least.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    /// These bytes.
    Literal(Vec<u8>),
    /// These texts in this order, with at least one byte between two of them. `{id}.json` is an
    /// empty text, then `.json`.
    Pattern(Vec<Vec<u8>>),
    /// This segment and all following ones.
    Rest,
}

impl Template {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        if !text.starts_with('/') {
            return Err("the template begins with `/`");
        }
        if text.len() > LONGEST_TEMPLATE {
            return Err("the template has more than 256 bytes");
        }
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"\\?#".contains(&byte);
        if !text.bytes().all(plain) {
            return Err(
                "the template is printable ASCII without `\"`, `\\`, `?` and `#`; write other characters percent-encoded",
            );
        }
        let mut parts = text.split('/').filter(|part| !part.is_empty()).peekable();
        let mut segments = Vec::new();
        while let Some(part) = parts.next() {
            let segment = Segment::parse(part)?;
            if segment == Segment::Rest && parts.peek().is_some() {
                return Err("`{name+}` takes the rest of the path and stands last");
            }
            segments.push(segment);
        }
        Ok(Self {
            text: text.to_owned(),
            segments,
        })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn fits_as(&self, other: &Self) -> bool {
        self.segments == other.segments
    }

    /// Whether a path, split by [`segments`], matches.
    pub(super) fn fits(&self, path: &[Vec<u8>]) -> bool {
        let mut path = path.iter();
        for segment in &self.segments {
            let Some(part) = path.next() else {
                return false;
            };
            match segment {
                Segment::Literal(text) if text != part => return false,
                Segment::Pattern(texts) if !fits(texts, part) => return false,
                Segment::Rest => return true,
                Segment::Literal(_) | Segment::Pattern(_) => {}
            }
        }
        path.next().is_none()
    }

    /// The names of its variables.
    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        self.text.split('/').flat_map(variables)
    }

    /// The value that a variable has in a path that matches, split by [`segments`].
    pub(super) fn variable(&self, path: &[Vec<u8>], name: &str) -> Option<Vec<u8>> {
        let parts = self.text.split('/').filter(|part| !part.is_empty());
        for (place, (part, segment)) in parts.zip(&self.segments).enumerate() {
            let Some(number) = variables(part).position(|of| of == name) else {
                continue;
            };
            return match segment {
                Segment::Literal(_) => None,
                Segment::Pattern(texts) => {
                    let mut values = Vec::new();
                    split(texts, path.get(place)?, |value| values.push(value));
                    values.get(number).map(|value| value.to_vec())
                }
                Segment::Rest => Some(path.get(place..)?.join(&b'/')),
            };
        }
        None
    }

    /// A key that sorts the more specific template first.
    pub(super) fn order(&self) -> Vec<(u8, Reverse<usize>)> {
        self.segments.iter().map(Segment::order).collect()
    }
}

impl Segment {
    fn parse(part: &str) -> Result<Self, &'static str> {
        let mut texts = Vec::new();
        let mut rest = part;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or("a `{` is not closed")?;
            if name.is_empty() || name.contains('{') || before.contains('}') {
                return Err("a variable is a name in braces, such as `{id}`");
            }
            if name.ends_with('+') {
                let alone = before.is_empty() && after.is_empty() && texts.is_empty();
                return if alone {
                    Ok(Self::Rest)
                } else {
                    Err("`{name+}` is a segment of its own")
                };
            }
            if before.is_empty() && !texts.is_empty() {
                return Err("two variables need a character between them");
            }
            texts.push(decoded(before.as_bytes()));
            rest = after;
        }
        if rest.contains('}') {
            return Err("a `}` is not opened");
        }
        if texts.is_empty() {
            return Ok(Self::Literal(decoded(part.as_bytes())));
        }
        texts.push(decoded(rest.as_bytes()));
        Ok(Self::Pattern(texts))
    }

    fn order(&self) -> (u8, Reverse<usize>) {
        match self {
            Self::Literal(_) => (0, Reverse(0)),
            Self::Pattern(texts) => {
                let literal: usize = texts.iter().map(Vec::len).sum();
                (1, Reverse(literal))
            }
            Self::Rest => (2, Reverse(0)),
        }
    }
}

/// The names of the variables in a part of a template.
fn variables(part: &str) -> impl Iterator<Item = &str> {
    let after = part.split('{').skip(1);
    let names = after.filter_map(|after| Some(after.split_once('}')?.0));
    names.map(|name| name.strip_suffix('+').unwrap_or(name))
}

/// Whether a segment consists of these texts in order, with at least one byte between two of them.
fn fits(texts: &[Vec<u8>], part: &[u8]) -> bool {
    split(texts, part, |_| {})
}

/// Likewise; `value` gets what is between two of them.
fn split<'p>(texts: &[Vec<u8>], part: &'p [u8], mut value: impl FnMut(&'p [u8])) -> bool {
    let [first, between @ .., last] = texts else {
        return false;
    };
    let Some(rest) = part.strip_prefix(first.as_slice()) else {
        return false;
    };
    let Some(mut rest) = rest.strip_suffix(last.as_slice()) else {
        return false;
    };
    for text in between {
        let mut places = rest.windows(text.len()).enumerate().skip(1);
        let Some((place, _)) = places.find(|(_, window)| window == text) else {
            return false;
        };
        value(rest.get(..place).unwrap_or_default());
        rest = rest.get(place + text.len()..).unwrap_or_default();
    }
    value(rest);
    !rest.is_empty()
}

/// The segments of a path as the upstream sees them: decoded, without empty and dot segments.
pub(super) fn segments(path: &str) -> Vec<Vec<u8>> {
    let path = decoded(path.as_bytes());
    let mut segments: Vec<Vec<u8>> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                segments.pop();
            }
            part => segments.push(part.to_owned()),
        }
    }
    segments
}

/// The bytes that percent-encoded text stands for; invalid encodings stay as they are.
fn decoded(text: &[u8]) -> Vec<u8> {
    percent_decode(text).collect()
}
