//! Leaf changes, as the analytics table's stream reports them.

use std::collections::{BTreeMap, BTreeSet};

use aws_lambda_events::event::dynamodb::EventRecord;
use domain::leaf::{Leaf, LeafKey};
use domain::state;
use domain::table::{self, ItemKey, attribute};
use serde_dynamo::{AttributeValue, Item};

/// A leaf that changed, as of the newest version that a batch holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which leaf.
    pub key: LeafKey,
    /// Its newest version in the batch.
    pub version: u64,
    /// Its state as of then.
    pub leaf: Leaf,
    /// Minutes of the hour whose counts differ from before the batch: only those need to be
    /// handed on. A hint by which work is saved, never a count.
    pub minutes: BTreeSet<u8>,
}

/// A stream record that says nothing usable of a leaf.
#[derive(Debug, thiserror::Error)]
pub enum BadChange {
    /// The item's key is none of a leaf's.
    #[error("`{pk}`/`{sk}` is not a leaf's key")]
    Key {
        /// Partition key.
        pk: String,
        /// Sort key.
        sk: String,
    },
    /// The item lacks its version or state.
    #[error("leaf `{pk}`/`{sk}` has no version and state")]
    Incomplete {
        /// Partition key.
        pk: String,
        /// Sort key.
        sk: String,
    },
    /// The state does not decode.
    #[error("leaf `{pk}`/`{sk}` cannot be read")]
    State {
        /// Partition key.
        pk: String,
        /// Sort key.
        sk: String,
        /// Why.
        source: state::StateError,
    },
}

/// The leaf change in one record; `None` for a leaf that was deleted, as expired ones are.
fn read(record: &EventRecord) -> Result<Option<Change>, BadChange> {
    let new = &record.change.new_image;
    if new.is_empty() {
        return Ok(None);
    }
    let pk = text(new, attribute::PK).unwrap_or_default();
    let sk = text(new, attribute::SK).unwrap_or_default();
    let Some(key) = table::parse_leaf(&ItemKey::new(&pk, &sk)) else {
        return Err(BadChange::Key { pk, sk });
    };
    let decoded = versioned(new).map(|(version, bytes)| (version, state::decode::<Leaf>(bytes)));
    let (version, leaf) = match decoded {
        Some((version, Ok(leaf))) => (version, leaf),
        Some((_, Err(source))) => return Err(BadChange::State { pk, sk, source }),
        None => return Err(BadChange::Incomplete { pk, sk }),
    };
    let before = versioned(&record.change.old_image)
        .and_then(|(_, bytes)| state::decode::<Leaf>(bytes).ok())
        .unwrap_or_default();
    let minutes = leaf.minutes();
    let minutes = minutes
        .into_iter()
        .filter(|minute| leaf.minute(*minute) != before.minute(*minute));
    let minutes = minutes.collect();
    Ok(Some(Change {
        key,
        version,
        leaf,
        minutes,
    }))
}

/// The changes of a batch, one a leaf, and the records that were of no use.
pub fn collect(records: &[EventRecord]) -> (Vec<Change>, Vec<BadChange>) {
    let mut changes: BTreeMap<LeafKey, Change> = BTreeMap::new();
    let mut bad = Vec::new();
    for record in records {
        match read(record) {
            Ok(None) => {}
            Err(error) => bad.push(error),
            Ok(Some(change)) => merge(&mut changes, change),
        }
    }
    (changes.into_values().collect(), bad)
}

fn merge(changes: &mut BTreeMap<LeafKey, Change>, change: Change) {
    match changes.get_mut(&change.key) {
        None => {
            changes.insert(change.key.clone(), change);
        }
        Some(known) => {
            known.minutes.extend(&change.minutes);
            if known.version < change.version {
                known.version = change.version;
                known.leaf = change.leaf;
            }
        }
    }
}

fn versioned(item: &Item) -> Option<(u64, &[u8])> {
    let AttributeValue::N(version) = item.get(attribute::VERSION)? else {
        return None;
    };
    let AttributeValue::B(state) = item.get(attribute::STATE)? else {
        return None;
    };
    Some((version.parse().ok()?, state))
}

fn text(item: &Item, name: &str) -> Option<String> {
    match item.get(name)? {
        AttributeValue::S(text) => Some(text.clone()),
        _ => None,
    }
}
