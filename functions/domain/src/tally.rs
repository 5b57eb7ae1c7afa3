//! Counts by type, method, endpoint and key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::dimension::{self, Dimensions};
use crate::event::EventType;
use crate::key_calls::KeyCalls;
use crate::meter::{self, Amounts};

/// Counts over some window. Whole numbers only, because they are billed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Events of type `API_CALL`.
    pub calls: u64,
    /// Events of type `API_AUTH_FAILED`.
    pub auth_failures: u64,
    /// Events of type `API_RATE_LIMITED`.
    pub rate_limited: u64,
    /// Units of those calls: the weights of their routes, and amounts that count towards the quota.
    pub units: u64,
    /// Calls by HTTP method.
    pub methods: BTreeMap<String, u64>,
    /// Calls by route template.
    pub endpoints: BTreeMap<String, u64>,
    /// Amounts that upstreams report of those calls, by meter.
    pub meters: Amounts,
    /// Those calls by the values of the declared dimensions.
    pub dimensions: Dimensions,
    /// Those calls by key, if they are one user's.
    pub keys: KeyCalls,
}

/// A tally without its methods and endpoints, for where many are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Events of type `API_CALL`.
    pub calls: u64,
    /// Events of type `API_AUTH_FAILED`.
    pub auth_failures: u64,
    /// Events of type `API_RATE_LIMITED`.
    pub rate_limited: u64,
    /// Units of accepted calls.
    pub units: u64,
}

impl Totals {
    /// Adds the counts of `other`.
    pub const fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.auth_failures += other.auth_failures;
        self.rate_limited += other.rate_limited;
        self.units += other.units;
    }
}

impl Tally {
    /// The counts by type alone.
    pub const fn totals(&self) -> Totals {
        Totals {
            calls: self.calls,
            auth_failures: self.auth_failures,
            rate_limited: self.rate_limited,
            units: self.units,
        }
    }

    /// Counts `count` events of one type, method and endpoint, each with one unit if it is
    /// accepted.
    pub fn count(&mut self, event_type: EventType, method: &str, endpoint: &str, count: u64) {
        self.weigh((event_type, 1), method, endpoint, count);
    }

    /// Counts `count` events of one type, method and endpoint, each with `units` units if it is
    /// accepted.
    pub fn weigh(
        &mut self,
        (event_type, units): (EventType, u32),
        method: &str,
        endpoint: &str,
        count: u64,
    ) {
        match event_type {
            EventType::AuthFailed => self.auth_failures += count,
            EventType::RateLimited => self.rate_limited += count,
            EventType::ApiCall => {
                self.calls += count;
                self.units += count * u64::from(units);
                add(&mut self.methods, method, count);
                add(&mut self.endpoints, endpoint, count);
            }
        }
    }

    /// Counts `count` of the calls as made with a key.
    pub fn count_key(&mut self, key: &str, count: u64) {
        add(&mut self.keys, key, count);
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.calls += other.calls;
        self.auth_failures += other.auth_failures;
        self.rate_limited += other.rate_limited;
        self.units += other.units;
        for (method, count) in &other.methods {
            add(&mut self.methods, method, *count);
        }
        for (endpoint, count) in &other.endpoints {
            add(&mut self.endpoints, endpoint, *count);
        }
        meter::add(&mut self.meters, &other.meters);
        dimension::merge(&mut self.dimensions, &other.dimensions);
        for (key, count) in &other.keys {
            add(&mut self.keys, key, *count);
        }
    }

    /// Whether all counts are zero.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Events of one type.
    pub const fn of(&self, event_type: EventType) -> u64 {
        match event_type {
            EventType::ApiCall => self.calls,
            EventType::AuthFailed => self.auth_failures,
            EventType::RateLimited => self.rate_limited,
        }
    }
}

impl<'a> FromIterator<&'a Tally> for Tally {
    fn from_iter<I: IntoIterator<Item = &'a Tally>>(tallies: I) -> Self {
        let mut sum = Self::default();
        for tally in tallies {
            sum.merge(tally);
        }
        sum
    }
}

fn add(counts: &mut BTreeMap<String, u64>, key: &str, count: u64) {
    if let Some(known) = counts.get_mut(key) {
        *known += count;
    } else {
        counts.insert(key.to_owned(), count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_by_type_method_and_endpoint() {
        let mut one = Tally::default();
        assert!(one.is_empty());
        one.count(EventType::ApiCall, "GET", "/a", 2);
        one.count(EventType::ApiCall, "GET", "/b", 3);
        one.count(EventType::AuthFailed, "GET", "/a", 4);
        one.count(EventType::RateLimited, "GET", "/a", 7);
        one.count(EventType::AuthFailed, "GET", "/a", 6);
        assert!(!one.is_empty());
        let of = |tally: &Tally| EventType::ALL.map(|event_type| tally.of(event_type));
        let expected = EventType::ALL.map(|event_type| match event_type {
            EventType::ApiCall => 5,
            EventType::AuthFailed => 10,
            EventType::RateLimited => 7,
        });
        assert_eq!(of(&one), expected);
        let twice: Tally = [&one, &one].into_iter().collect();
        assert_eq!(of(&twice), expected.map(|count| 2 * count));
        assert_eq!(twice.methods, BTreeMap::from([("GET".to_owned(), 10)]));
        let endpoints = [("/a".to_owned(), 4), ("/b".to_owned(), 6)];
        assert_eq!(twice.endpoints, BTreeMap::from(endpoints));
        one.weigh((EventType::ApiCall, 10), "GET", "/b", 3);
        one.weigh((EventType::AuthFailed, 10), "GET", "/b", 1);
        assert_eq!((one.calls, one.units), (8, 5 + 30));
        let mut totals = one.totals();
        totals.add(one.totals());
        let twice: Tally = [&one, &one].into_iter().collect();
        assert_eq!(totals, twice.totals());
        assert_ne!(totals, one.totals());
    }
}
