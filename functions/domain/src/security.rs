//! Failures of one hour by address, over all subjects of a bucket.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::leaf::{Source, Sources};

/// What the leaves of one bucket and hour say of failing addresses; each as of that leaf's
/// version, only forward, like a [`RollUp`](crate::rollup::RollUp).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Failures {
    parts: BTreeMap<String, (u64, Sources)>,
}

impl Failures {
    /// Takes a leaf's failures as of its version; `true` where that changed anything.
    pub fn take(&mut self, part: &str, version: u64, sources: &Sources) -> bool {
        match self.parts.get_mut(part) {
            Some(known) if known.0 >= version => false,
            Some(known) => {
                *known = (version, sources.clone());
                true
            }
            None => {
                self.parts
                    .insert(part.to_owned(), (version, sources.clone()));
                true
            }
        }
    }

    /// Failures by address, summed over the subjects.
    pub fn by_address(&self) -> Sources {
        let mut sum = Sources::new();
        for (address, source) in self.parts.values().flat_map(|(_, sources)| sources) {
            merge(sum.entry(address.clone()).or_default(), source);
        }
        sum
    }
}

fn merge(sum: &mut Source, source: &Source) {
    for (minute, (auth_failures, rate_limited)) in &source.minutes {
        let known = sum.minutes.entry(*minute).or_default();
        known.0 += auth_failures;
        known.1 += rate_limited;
    }
    sum.keys.extend(source.keys.iter().cloned());
    sum.last_seen = sum.last_seen.max(source.last_seen);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixMillis;

    fn sources(failures: u64, key: &str, at: i64) -> Sources {
        let source = Source {
            minutes: [(4, (failures, 0))].into(),
            keys: [key.to_owned()].into(),
            last_seen: UnixMillis(at),
        };
        [("192.0.2.1".to_owned(), source)].into()
    }

    #[test]
    fn an_address_is_summed_over_subjects_and_a_subject_only_goes_forward() {
        let mut failures = Failures::default();
        assert!(failures.take("0.0 ip:192.0.2.1", 2, &sources(5, "aa", 10)));
        assert!(!failures.take("0.0 ip:192.0.2.1", 1, &sources(4, "aa", 9)));
        assert!(failures.take("0.0 ann@example.com", 1, &sources(2, "bb", 12)));
        let by_address = failures.by_address();
        let source = &by_address["192.0.2.1"];
        assert_eq!(source.minutes[&4], (7, 0));
        assert_eq!(source.keys.len(), 2);
        assert_eq!(source.last_seen, UnixMillis(12));
    }
}
