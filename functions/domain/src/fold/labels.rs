//! The dimensions of a minute's calls: which call carries which values, and the calls of each value.
//!
//! Texts are interned once and calls refer to them by number, because callers may invent a value for
//! every call: of such a call a fold keeps some 150 bytes a value, and none once it is finished.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;

use crate::dimension::{Dimension, Dimensions, Label, MOST_BYTES, MOST_DIMENSIONS, Share};

use super::NONE;

/// The labels of one call, by number.
pub(super) type Set = [u32; MOST_DIMENSIONS];
/// No label.
pub(super) const EMPTY: Set = [NONE; MOST_DIMENSIONS];

/// The labels that calls of a minute carry.
#[derive(Debug, Default)]
pub(super) struct Labels {
    /// The dimensions, and how many values of each count apart: the greatest number that any call
    /// carries.
    names: Vec<(String, u8)>,
    /// The number of each dimension and value.
    numbers: HashMap<(u8, Box<str>), u32, RandomState>,
    /// The labels of calls that have any, by the number of their id.
    of_event: HashMap<u32, Set, RandomState>,
}

impl Labels {
    /// The number of a label.
    pub(super) fn number(&mut self, label: &Label<'_>) -> u32 {
        let known = self.names.iter().position(|(name, _)| *name == label.name);
        let name = known.unwrap_or_else(|| {
            self.names.push((label.name.clone().into_owned(), 0));
            self.names.len() - 1
        });
        if let Some((_, values)) = self.names.get_mut(name) {
            *values = label.values.max(*values);
        }
        let next = u32::try_from(self.numbers.len()).unwrap_or(NONE);
        // The file of an environment changes its few dimensions a few times a minute at most.
        let name = u8::try_from(name).unwrap_or(u8::MAX);
        let label = (name, label.value.as_ref().into());
        *self.numbers.entry(label).or_insert(next)
    }

    /// The labels of an event.
    pub(super) fn of(&self, event: u32) -> Set {
        self.of_event.get(&event).copied().unwrap_or(EMPTY)
    }

    /// Sets the labels of an event.
    pub(super) fn set(&mut self, event: u32, set: Set) {
        if set != EMPTY {
            self.of_event.insert(event, set);
        }
    }

    /// The labels by number: the dimension's number, and the value.
    pub(super) fn texts(&self) -> Texts<'_> {
        let mut texts = vec![(0, ""); self.numbers.len()];
        for ((name, value), number) in &self.numbers {
            let place = usize::try_from(*number).unwrap_or(usize::MAX);
            if let Some(text) = texts.get_mut(place) {
                *text = (*name, value.as_ref());
            }
        }
        Texts {
            names: &self.names,
            texts,
        }
    }
}

/// Labels by number.
#[derive(Debug)]
pub(super) struct Texts<'a> {
    names: &'a [(String, u8)],
    texts: Vec<(u8, &'a str)>,
}

impl<'a> Texts<'a> {
    fn label(&self, number: u32) -> Option<(&'a str, &'a str)> {
        let (name, value) = self.texts.get(usize::try_from(number).ok()?)?;
        let (name, _) = self.names.get(usize::from(*name))?;
        Some((name, value))
    }

    /// The labels of a set as texts, which do not depend on the order of entries.
    pub(super) fn of(&self, set: Set) -> Vec<(&'a str, &'a str)> {
        let labels = set.into_iter();
        labels.filter_map(|number| self.label(number)).collect()
    }

    /// The dimensions of shares by label.
    fn dimensions(&self, mut shares: Vec<(u32, Share)>) -> Dimensions {
        shares.sort_unstable_by_key(|(label, _)| *label);
        shares.dedup_by(|(label, share), (before, sum)| {
            let is_same = label == before;
            if is_same {
                sum.add(*share);
            }
            is_same
        });
        let mut by_name: BTreeMap<u8, Vec<(&str, Share)>> = BTreeMap::new();
        for (label, share) in shares {
            let place = usize::try_from(label).unwrap_or(usize::MAX);
            if let Some((name, value)) = self.texts.get(place) {
                by_name.entry(*name).or_default().push((value, share));
            }
        }
        let dimension = |(name, shares)| {
            let (name, most) = self.names.get(usize::from(name))?;
            Some((name.clone(), Dimension::of(*most, MOST_BYTES, shares)))
        };
        by_name.into_iter().filter_map(dimension).collect()
    }
}

/// The calls of each content and label, as they are added up.
#[derive(Debug, Default)]
pub(super) struct Shares {
    /// Content and label of each call.
    calls: Vec<(u32, u32)>,
    /// The amounts of calls that count towards the quota, in units.
    amounts: Vec<(u32, u32, u64)>,
}

impl Shares {
    /// Counts a call that carries `set`, with the units that its amounts are.
    pub(super) fn count(&mut self, content: u32, set: Set, amounts: u64) {
        for label in set.into_iter().filter(|label| *label != NONE) {
            self.calls.push((content, label));
            if amounts > 0 {
                self.amounts.push((content, label, amounts));
            }
        }
    }

    /// The dimensions of everybody and of each subject; `of` gives the subject and the units of a
    /// content.
    pub(super) fn finish<'c>(
        mut self,
        texts: &Texts<'_>,
        of: impl Fn(u32) -> Option<(&'c str, u32)>,
    ) -> (Dimensions, BTreeMap<&'c str, Dimensions>) {
        self.calls.sort_unstable();
        let mut all: Vec<(u32, Share)> = Vec::new();
        let mut by_subject: BTreeMap<&str, Vec<(u32, Share)>> = BTreeMap::new();
        let mut add = |content: u32, label: u32, calls: u64, amounts: u64| {
            if let Some((subject, units)) = of(content) {
                let units = calls * u64::from(units) + amounts;
                let share = Share { calls, units };
                all.push((label, share));
                by_subject.entry(subject).or_default().push((label, share));
            }
        };
        for same in self.calls.chunk_by(|one, other| one == other) {
            if let Some((content, label)) = same.first() {
                add(*content, *label, same.len() as u64, 0);
            }
        }
        for (content, label, units) in &self.amounts {
            add(*content, *label, 0, *units);
        }
        let by_subject = by_subject.into_iter();
        let by_subject = by_subject.map(|(subject, shares)| (subject, texts.dimensions(shares)));
        (texts.dimensions(all), by_subject.collect())
    }
}
