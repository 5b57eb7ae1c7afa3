//! Failures of one hour by address, over all subjects of a bucket.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::leaf::{Source, Sources};

/// Bytes of failures, roughly, after which an item takes no further. Whoever fails from ever new
/// addresses has it written anew each second, at a unit a kilobyte, and a partition takes a thousand
/// units a second: it must hold up nobody's roll-ups.
const MOST_BYTES: usize = 50 * 1024;

/// What the subjects of one bucket and hour say of failing addresses; each as of its version, only
/// forward, like a [`RollUp`](crate::rollup::RollUp).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Failures {
    parts: BTreeMap<String, (u64, Sources)>,
}

impl Failures {
    /// Takes a subject's failures as of a version; `true` where that changed anything. What finds no
    /// room is left out, or stays as it was.
    pub fn take(&mut self, part: &str, version: u64, sources: &Sources) -> bool {
        let known = self.parts.get(part);
        if known.is_some_and(|known| known.0 >= version) {
            return false;
        }
        let others = self.parts.iter().filter(|(name, _)| *name != part);
        let bytes: usize = others.map(|(name, (_, of))| size(name, of)).sum();
        if bytes + size(part, sources) > MOST_BYTES {
            return false;
        }
        self.parts
            .insert(part.to_owned(), (version, sources.clone()));
        true
    }

    /// Failures by address, summed over the subjects.
    pub fn by_address(&self) -> Sources {
        let mut sum = Sources::new();
        for (address, source) in self.parts.values().flat_map(|(_, sources)| sources) {
            sum.entry(address.clone()).or_default().merge(source);
        }
        sum
    }
}

/// About as many bytes as a part is stored in, at most.
fn size(name: &str, sources: &Sources) -> usize {
    let of_source = |(address, source): (&String, &Source)| {
        let keys: usize = source.keys.iter().map(|key| key.len() + 2).sum();
        address.len() + 2 + 7 * source.minutes.len() + keys + 12
    };
    name.len() + 12 + sources.iter().map(of_source).sum::<usize>()
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
    fn ever_new_addresses_fill_no_item() {
        let mut failures = Failures::default();
        let address = |number: u32| format!("2001:db8::{number:x}");
        let of = |number: u32, failed: u64| {
            let source = Source {
                minutes: (0..60).map(|minute| (minute, (failed, 0))).collect(),
                keys: (0..20).map(|key| format!("{key:08x}")).collect(),
                last_seen: UnixMillis(1_795_363_445_007),
            };
            Sources::from([(address(number), source)])
        };
        let taken = (0..10_000).filter(|number| {
            let part = format!("ip:{} 0", address(*number));
            failures.take(&part, 1, &of(*number, 1_000))
        });
        let taken = taken.count();
        assert!((50..500).contains(&taken), "{taken}");
        let stored = crate::state::encode(&failures).unwrap();
        assert!(
            stored.len() <= MOST_BYTES && stored.len() > MOST_BYTES / 2,
            "{}",
            stored.len()
        );
        assert!(failures.take("ip:2001:db8::0 0", 2, &of(0, 2_000)));
        assert!(!failures.take("ip:2001:db8::0 0", 1, &of(0, 1)));
        assert_eq!(failures.by_address()[&address(0)].minutes[&7], (2_000, 0));
        assert_eq!(failures.by_address().len(), taken);
    }

    #[test]
    fn an_address_is_summed_over_subjects_and_a_subject_only_goes_forward() {
        let mut failures = Failures::default();
        assert!(failures.take("ip:192.0.2.1 0", 2, &sources(5, "aa", 10)));
        assert!(!failures.take("ip:192.0.2.1 0", 1, &sources(4, "aa", 9)));
        assert!(failures.take("ann@example.com 0", 1, &sources(2, "bb", 12)));
        let by_address = failures.by_address();
        let source = &by_address["192.0.2.1"];
        assert_eq!(source.minutes[&4], (7, 0));
        assert_eq!(source.keys.len(), 2);
        assert_eq!(source.last_seen, UnixMillis(12));
    }
}
