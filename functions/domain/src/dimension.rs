//! Dimensions: values that calls carry, by which usage is grouped, such as a tenant or a region.
//!
//! The environment file names up to [`MOST_DIMENSIONS`] and the part of a request that holds the
//! value of each ([`Source`]). Callers choose the values, so the number of values that are counted
//! apart is bounded: those with most calls keep counts of their own, all others count as [`OTHER`].
//! No call is ever dropped.
//!
//! The bound is a function of the counts alone. A minute is bounded when it is folded, and a sum
//! once all of its parts are added up, never in between: so the order in which parts arrive changes
//! nothing. The file decides how many values, and each call carries the decision
//! ([`Label::values`]): a fold needs no file, and folding again gives the same.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::counts::OTHER;
use crate::meter;

mod source;

pub use source::{Declared, Source, Sources};

/// The most dimensions that an environment may declare.
pub const MOST_DIMENSIONS: usize = 3;
/// The most values of a dimension that a sum counts apart: of three dimensions they take some 11 KB
/// of an item.
pub const MOST_VALUES: u8 = 50;
/// The values that a sum counts apart if the file does not say how many.
pub const USUAL_VALUES: u8 = 20;
/// Longest value in bytes. A longer one counts as [`OTHER`].
pub const LONGEST_VALUE: usize = 64;
/// The most bytes that the values of one dimension may take in a minute. An hour of a user has
/// sixty minutes: callers who invent values cannot fill it with more than some 120 KB.
pub const MOST_BYTES: usize = 512;

/// The value of one dimension of a call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Label<'a> {
    /// The dimension.
    pub name: Cow<'a, str>,
    /// The value.
    pub value: Cow<'a, str>,
    /// How many values of the dimension are counted apart.
    pub values: u8,
}

impl Label<'_> {
    /// The label with texts of its own.
    pub fn into_owned(self) -> Label<'static> {
        Label {
            name: self.name.into_owned().into(),
            value: self.value.into_owned().into(),
            values: self.values,
        }
    }

    /// Whether an event may carry it.
    pub fn is_sound(&self) -> bool {
        // An authorizer of an earlier release may have a dimension of this name.
        let is_named = is_name(&self.name) || self.name == BY_KEY;
        is_named && is_value(&self.value) && (1..=MOST_VALUES).contains(&self.values)
    }
}

/// Whether `name` may name a dimension: as a meter, and none of the other groups of a series.
pub fn is_name(name: &str) -> bool {
    meter::is_name(name) && !RESERVED.contains(&name)
}

/// Groups of a series that exist without any dimension, and the label of what is not counted apart.
pub const RESERVED: [&str; 6] = ["type", "method", "endpoint", "status", BY_KEY, OTHER];
/// The group of a series by key.
const BY_KEY: &str = "key";

/// Whether a text counts as a value of its own.
pub fn is_value(text: &str) -> bool {
    (1..=LONGEST_VALUE).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// The calls that carry a value, and their units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Share {
    /// Accepted calls.
    pub calls: u64,
    /// Units of those calls.
    pub units: u64,
}

impl Share {
    /// Adds another share.
    pub const fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.units += other.units;
    }
}

/// Calls by the values of one dimension. Calls without a value are in none of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Dimension {
    /// How many values are counted apart.
    pub most: u8,
    /// By value; [`OTHER`] holds all that are not counted apart.
    pub values: BTreeMap<String, Share>,
}

/// Calls by dimension and value.
pub type Dimensions = BTreeMap<String, Dimension>;

impl Dimension {
    /// The dimension of these shares, of which the `most` with most calls are counted apart, and no
    /// more than fit `bytes`. Of equal ones the first by name comes first.
    pub fn of<'a>(
        most: u8,
        bytes: usize,
        shares: impl IntoIterator<Item = (&'a str, Share)>,
    ) -> Self {
        let mut other = Share::default();
        let mut ranked = Vec::new();
        for (value, share) in shares {
            if value == OTHER {
                other.add(share);
            } else {
                ranked.push((value, share));
            }
        }
        ranked.sort_unstable_by(|(one, share), (another, than)| {
            than.calls.cmp(&share.calls).then_with(|| one.cmp(another))
        });
        let mut left = bytes;
        let mut fits = |(value, _): &&(&str, Share)| {
            let rest = left.checked_sub(value.len());
            left = rest.unwrap_or(0);
            rest.is_some()
        };
        let first = ranked.iter().take(usize::from(most));
        let apart = first.take_while(&mut fits).count();
        let (apart, beyond) = ranked.split_at(apart);
        let mut values: BTreeMap<String, Share> = apart
            .iter()
            .map(|(value, share)| ((*value).to_owned(), *share))
            .collect();
        for (_, share) in beyond {
            other.add(*share);
        }
        if other != Share::default() {
            values.insert(OTHER.to_owned(), other);
        }
        Self { most, values }
    }

    /// The same calls with at most [`Self::most`] values apart.
    #[must_use]
    pub fn bounded(&self) -> Self {
        let values = self.values.iter();
        let values = values.map(|(value, share)| (value.as_str(), *share));
        Self::of(self.most, usize::MAX, values)
    }

    fn merge(&mut self, other: &Self) {
        self.most = self.most.max(other.most);
        for (value, share) in &other.values {
            if let Some(known) = self.values.get_mut(value) {
                known.add(*share);
            } else {
                self.values.insert(value.clone(), *share);
            }
        }
    }
}

/// Adds dimensions to others, without a bound: see [`bounded`].
pub fn merge(to: &mut Dimensions, from: &Dimensions) {
    for (name, dimension) in from {
        if let Some(known) = to.get_mut(name) {
            known.merge(dimension);
        } else {
            to.insert(name.clone(), dimension.clone());
        }
    }
}

/// The dimensions of a sum once all of its parts are in it.
pub fn bounded(dimensions: &Dimensions) -> Dimensions {
    let dimensions = dimensions.iter();
    dimensions
        .map(|(name, dimension)| (name.clone(), dimension.bounded()))
        .collect()
}

#[cfg(test)]
mod tests;
