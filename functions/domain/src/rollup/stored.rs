//! How a roll-up is stored: methods and endpoints once each, and the parts refer to them by position.
//! An item holds many parts and few routes, and costs by its size.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Part, RollUp};
use crate::leaf::Sources;
use crate::response::Responses;
use crate::seen::Seen;
use crate::tally::{Tally, Totals};

/// Counts by the position of their label.
type Counts = Vec<(u32, u64)>;

#[derive(Serialize)]
struct Written<'a> {
    labels: Vec<&'a str>,
    parts: Vec<PartWritten<'a>>,
    users: &'a BTreeMap<String, (u64, u64)>,
    seen: &'a Option<Seen>,
}

#[derive(Serialize)]
struct PartWritten<'a> {
    name: &'a str,
    version: u64,
    totals: Totals,
    methods: Counts,
    endpoints: Counts,
    quarters: &'a [Totals],
    responses: &'a Responses,
    sources: &'a Sources,
}

#[derive(Deserialize)]
struct Read {
    labels: Vec<String>,
    parts: Vec<PartRead>,
    users: BTreeMap<String, (u64, u64)>,
    seen: Option<Seen>,
}

#[derive(Deserialize)]
struct PartRead {
    name: String,
    version: u64,
    totals: Totals,
    methods: Counts,
    endpoints: Counts,
    quarters: Vec<Totals>,
    responses: Responses,
    sources: Sources,
}

/// Labels in the order in which they were first met.
#[derive(Default)]
struct Labels<'a> {
    positions: BTreeMap<&'a str, u32>,
    labels: Vec<&'a str>,
}

impl<'a> Labels<'a> {
    fn counts(&mut self, counts: &'a BTreeMap<String, u64>) -> Counts {
        let counts = counts.iter();
        counts
            .map(|(label, count)| (self.position(label), *count))
            .collect()
    }

    fn position(&mut self, label: &'a str) -> u32 {
        *self.positions.entry(label).or_insert_with(|| {
            self.labels.push(label);
            // An item holds some 400,000 bytes: this never saturates.
            u32::try_from(self.labels.len() - 1).unwrap_or(u32::MAX)
        })
    }
}

impl Serialize for RollUp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut labels = Labels::default();
        let parts = self.parts.iter().map(|(name, part)| PartWritten {
            name,
            version: part.version,
            totals: part.tally.totals(),
            methods: labels.counts(&part.tally.methods),
            endpoints: labels.counts(&part.tally.endpoints),
            quarters: &part.quarters,
            responses: &part.responses,
            sources: &part.sources,
        });
        let parts = parts.collect();
        let written = Written {
            labels: labels.labels,
            parts,
            users: &self.users,
            seen: &self.seen,
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RollUp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Read {
            labels,
            parts,
            users,
            seen,
        } = Read::deserialize(deserializer)?;
        let label = |position: u32| {
            let place = usize::try_from(position).ok();
            let label = place.and_then(|place| labels.get(place)).cloned();
            label.ok_or_else(|| D::Error::custom(format!("there is no label {position}")))
        };
        let named = |counts: Counts| {
            let counts = counts.into_iter();
            counts
                .map(|(position, count)| Ok((label(position)?, count)))
                .collect::<Result<BTreeMap<_, _>, D::Error>>()
        };
        let parts = parts.into_iter().map(|part| {
            let Totals {
                calls,
                auth_failures,
                rate_limited,
            } = part.totals;
            let tally = Tally {
                calls,
                auth_failures,
                rate_limited,
                methods: named(part.methods)?,
                endpoints: named(part.endpoints)?,
            };
            let read = Part {
                version: part.version,
                tally,
                quarters: part.quarters,
                responses: part.responses,
                sources: part.sources,
            };
            Ok((part.name, read))
        });
        Ok(Self {
            parts: parts.collect::<Result<_, D::Error>>()?,
            users,
            seen,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state;
    use proptest::prelude::*;
    use proptest::sample::select;

    fn counts() -> impl Strategy<Value = BTreeMap<String, u64>> {
        let label = select(vec!["GET", "/v1/deadlines", "/v1/accounts/{id}", ""]);
        proptest::collection::btree_map(label.prop_map(str::to_owned), any::<u64>(), 0..4)
    }

    prop_compose! {
        fn a_part()(
            version: u64, totals: [u64; 3], methods in counts(), endpoints in counts(), quarter: u64,
            status: u16,
        ) -> Part {
            let [calls, auth_failures, rate_limited] = totals;
            let mut part = Part {
                version,
                tally: Tally { calls, auth_failures, rate_limited, methods, endpoints },
                quarters: vec![Totals { calls: quarter, ..Totals::default() }],
                ..Part::default()
            };
            part.responses.statuses.insert(status, version);
            part
        }
    }

    proptest! {
        #[test]
        fn a_roll_up_reads_back_as_stored(
            parts in proptest::collection::btree_map("[a-z]{0,3}", a_part(), 0..6),
            users in proptest::collection::btree_map("[0-9]", any::<(u64, u64)>(), 0..3),
        ) {
            let roll_up = RollUp { parts, users, seen: None };
            let stored = state::encode(&roll_up).unwrap();
            prop_assert_eq!(state::decode::<RollUp>(&stored).unwrap(), roll_up);
            for cut in 0..stored.len() {
                prop_assert!(state::decode::<RollUp>(&stored[..cut]).is_err());
            }
        }
    }

    #[test]
    fn many_parts_of_the_same_routes_name_them_once() {
        let endpoint = "/v1/accounts/{id}/statements/{statement}";
        let mut roll_up = RollUp::default();
        let mut tally = Tally::default();
        tally.count(crate::event::EventType::ApiCall, "GET", endpoint, 7);
        for number in 100..200 {
            let part = Part {
                version: 1,
                tally: tally.clone(),
                ..Part::default()
            };
            roll_up.take(&number.to_string(), part);
        }
        let stored = state::encode(&roll_up).unwrap();
        let times = stored.windows(endpoint.len());
        assert_eq!(times.filter(|at| *at == endpoint.as_bytes()).count(), 1);
        assert!(stored.len() < 100 * 25, "{} bytes", stored.len());
    }

    #[test]
    fn a_label_that_is_not_there_is_refused() {
        let mut roll_up = RollUp::default();
        let mut part = Part::default();
        part.tally.methods.insert("GET".to_owned(), 1);
        roll_up.take("a", part);
        let mut stored = state::encode(&roll_up).unwrap();
        let at = stored.iter().position(|byte| *byte == b'G').unwrap();
        // No labels: what follows is read otherwise, and never as counts of another label.
        stored.drain(at - 1..at + 3);
        stored[1] = 0;
        assert!(state::decode::<RollUp>(&stored).is_err());
    }
}
