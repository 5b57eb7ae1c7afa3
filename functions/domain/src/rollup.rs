//! Roll-ups: counts of a longer window, made of what its parts count.
//!
//! A roll-up takes the *absolute* tally of a part as of that part's version, and only forward.
//! Taking the same again, or an older one later, changes nothing: repeats and reordering cannot
//! change a count. It never takes increments.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::leaf::{Sources, few};
use crate::response::Responses;
use crate::seen::Seen;
use crate::tally::{Tally, Totals};

/// Counts of one window, by part.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RollUp {
    parts: BTreeMap<String, Part>,
    /// Users active in the window, by bucket of users; each as of that bucket's version.
    users: BTreeMap<String, (u64, u64)>,
    seen: Option<Seen>,
}

/// What one part of a window counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Part {
    /// The part's version when it was taken.
    pub version: u64,
    /// Its counts as of then.
    pub tally: Tally,
    /// Counts of each quarter hour where the part is an hour; empty elsewhere.
    pub quarters: Vec<Totals>,
    /// How its calls were answered, as far as the access log has told; empty where everybody's
    /// counts are kept.
    pub responses: Responses,
    /// Where failures came from, in the minutes and hours of busy subjects; empty elsewhere.
    pub sources: Sources,
}

mod stored;

impl RollUp {
    /// Takes a part as of its version; `true` where that changed anything.
    pub fn take(&mut self, name: &str, part: Part) -> bool {
        match self.parts.get_mut(name) {
            Some(known) if known.version >= part.version => false,
            Some(known) => {
                *known = part;
                true
            }
            None => {
                self.parts.insert(name.to_owned(), part);
                true
            }
        }
    }

    /// Whether there is a part of that name.
    pub fn has_part(&self, name: &str) -> bool {
        self.parts.contains_key(name)
    }

    /// Whether any part's name begins with `start`.
    pub fn has_part_of(&self, start: &str) -> bool {
        let from = (Bound::Included(start), Bound::Unbounded);
        let next = self.parts.range::<str, _>(from).next();
        next.is_some_and(|(name, _)| name.starts_with(start))
    }

    /// How many parts there are.
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Takes the number of users active in one bucket as of its version.
    pub fn take_users(&mut self, bucket: &str, version: u64, users: u64) -> bool {
        let known = self.users.entry(bucket.to_owned()).or_default();
        let newer = known.0 < version;
        if newer {
            *known = (version, users);
        }
        newer
    }

    /// Widens the span of events by that of a part; `true` where that changed anything.
    pub fn see(&mut self, seen: Option<Seen>) -> bool {
        match (&mut self.seen, seen) {
            (_, None) => false,
            (Some(known), Some(new)) => known.widen(&new),
            (known @ None, new) => {
                *known = new;
                true
            }
        }
    }

    /// Everything counted in the window.
    pub fn tally(&self) -> Tally {
        self.parts.values().map(|part| &part.tally).collect()
    }

    /// How the calls of the window were answered, as far as the access log has told.
    pub fn responses(&self) -> Responses {
        self.parts.values().map(|part| &part.responses).collect()
    }

    /// Where failures came from, in the minutes and hours of busy subjects, of a few addresses.
    pub fn sources(&self) -> Sources {
        let mut sum = Sources::new();
        for (address, source) in self.parts.values().flat_map(|part| &part.sources) {
            sum.entry(address.clone()).or_default().merge(source);
        }
        few(&sum)
    }

    /// Counts of each quarter hour, where the parts are leaves of one hour or sums of such.
    pub fn quarters(&self) -> [Totals; 4] {
        let mut sum = [Totals::default(); 4];
        for part in self.parts.values() {
            for (sum, quarter) in sum.iter_mut().zip(&part.quarters) {
                sum.add(*quarter);
            }
        }
        sum
    }

    /// Users active in the window.
    pub fn users(&self) -> u64 {
        self.users.values().map(|(_, users)| users).sum()
    }

    /// The parts by name, in the order of their names.
    pub fn parts(&self) -> impl Iterator<Item = (&str, &Part)> {
        self.parts.iter().map(|(name, part)| (name.as_str(), part))
    }

    /// The first and the last event.
    pub fn seen(&self) -> Option<Seen> {
        self.seen.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventType;
    use crate::leaf::Source;
    use crate::response::Response;
    use crate::sample;
    use crate::time::UnixMillis;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the order and however often, the newest version of each part decides.
        #[test]
        fn order_and_repetition_change_nothing(
            takes in proptest::collection::vec((0_u8..4, 1_u64..6), 0..40),
        ) {
            let part = |name: u8, version: u64| Part {
                version,
                tally: Tally { calls: version * 10 + u64::from(name), ..Tally::default() },
                ..Part::default()
            };
            let mut roll_up = RollUp::default();
            for (name, version) in &takes {
                roll_up.take(&name.to_string(), part(*name, *version));
            }
            let newest: BTreeMap<u8, u64> = takes.iter().fold(BTreeMap::new(), |mut newest, (name, version)| {
                let known = newest.entry(*name).or_insert(*version);
                *known = (*known).max(*version);
                newest
            });
            let expected: u64 = newest.iter().map(|(name, version)| part(*name, *version).tally.calls).sum();
            prop_assert_eq!(roll_up.tally().calls, expected);
        }
    }

    #[test]
    fn parts_add_up_by_quarter_and_response() {
        let mut roll_up = RollUp::default();
        for (name, calls, status) in [("b", 2, 200), ("a", 3, 504)] {
            let totals = Totals {
                calls,
                ..Totals::default()
            };
            let mut part = Part {
                version: 1,
                quarters: vec![totals, Totals::default(), totals],
                ..Part::default()
            };
            let latency = None;
            part.responses.count(Response { status, latency });
            roll_up.take(name, part);
        }
        assert_eq!(
            roll_up.quarters().map(|quarter| quarter.calls),
            [5, 0, 5, 0]
        );
        let statuses = roll_up.responses().statuses;
        assert_eq!(statuses, BTreeMap::from([(200, 1), (504, 1)]));
        let names: Vec<&str> = roll_up.parts().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn parts_are_found_by_how_their_names_begin() {
        let mut roll_up = RollUp::default();
        assert!(roll_up.is_empty() && !roll_up.has_part_of(""));
        for name in ["ann@example.com +", "bob@example.com 0"] {
            roll_up.take(name, Part::default());
        }
        assert!(roll_up.len() == 2 && !roll_up.is_empty());
        assert!(roll_up.has_part("ann@example.com +") && !roll_up.has_part("ann@example.com "));
        for (start, known) in [
            ("ann@example.com ", true),
            ("bob@example.com ", true),
            ("ann", true),
            ("ann@example.co ", false),
            ("cat@example.com ", false),
        ] {
            assert_eq!(roll_up.has_part_of(start), known, "{start}");
        }
    }

    #[test]
    fn failures_of_parts_are_summed_by_address_and_of_two_addresses() {
        let part = |version, addresses: &[&str]| {
            let source = |address: &&str| {
                let source = Source {
                    minutes: [(4, (3, 1))].into(),
                    ..Source::default()
                };
                ((*address).to_owned(), source)
            };
            Part {
                version,
                sources: addresses.iter().map(source).collect(),
                ..Part::default()
            }
        };
        let mut roll_up = RollUp::default();
        roll_up.take("0", part(1, &["192.0.2.3", "192.0.2.1"]));
        roll_up.take("1", part(1, &["192.0.2.2", "192.0.2.1"]));
        let sources = roll_up.sources();
        let counted: Vec<_> = sources
            .iter()
            .map(|(address, source)| (address.as_str(), source.minutes[&4]))
            .collect();
        assert_eq!(counted, [("192.0.2.1", (6, 2)), ("192.0.2.2", (3, 1))]);
    }

    #[test]
    fn the_span_only_widens() {
        let seen = |at: i64| {
            let at = UnixMillis(at);
            let event = sample::event(1, "ann@example.com", EventType::ApiCall, at);
            Some(Seen::of(&event))
        };
        let mut roll_up = RollUp::default();
        assert!(!roll_up.see(None));
        for (at, changes) in [(5, true), (5, false), (3, true), (9, true), (4, false)] {
            assert_eq!(roll_up.see(seen(at)), changes, "{at}");
        }
        let span = roll_up.seen().map(|seen| (seen.first.0, seen.last.0));
        assert_eq!(span, Some((3, 9)));
    }

    #[test]
    fn users_of_a_bucket_only_go_forward() {
        let mut roll_up = RollUp::default();
        assert!(roll_up.take_users("3", 7, 40));
        assert!(!roll_up.take_users("3", 6, 39));
        assert!(!roll_up.take_users("3", 7, 40));
        assert!(roll_up.take_users("4", 1, 2));
        assert_eq!(roll_up.users(), 42);
    }
}
