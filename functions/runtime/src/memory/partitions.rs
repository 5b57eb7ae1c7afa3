//! What a table holds, by key.

use std::collections::BTreeMap;
use std::ops::Bound;

use domain::table::ItemKey;

use super::Held;

/// What a table holds, by partition key and sort key.
#[derive(Clone, Default)]
pub(super) struct Partitions(BTreeMap<String, BTreeMap<String, Held>>);

impl Partitions {
    pub(super) fn get(&self, key: &ItemKey) -> Option<&Held> {
        self.0.get(&key.pk)?.get(&key.sk)
    }

    pub(super) fn get_mut(&mut self, key: &ItemKey) -> Option<&mut Held> {
        self.0.get_mut(&key.pk)?.get_mut(&key.sk)
    }

    pub(super) fn insert(&mut self, key: &ItemKey, held: Held) {
        if let Some(partition) = self.0.get_mut(&key.pk) {
            partition.insert(key.sk.clone(), held);
        } else {
            let partition = BTreeMap::from([(key.sk.clone(), held)]);
            self.0.insert(key.pk.clone(), partition);
        }
    }

    pub(super) fn remove(&mut self, key: &ItemKey) -> Option<Held> {
        let partition = self.0.get_mut(&key.pk)?;
        let held = partition.remove(&key.sk);
        if partition.is_empty() {
            self.0.remove(&key.pk);
        }
        held
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ItemKey, &Held)> {
        self.0.iter().flat_map(|(pk, partition)| {
            let items = partition.iter();
            items.map(move |(sk, held)| (ItemKey::new(pk, sk), held))
        })
    }

    /// The items of a partition between two sort keys, both included.
    pub(super) fn range<'a>(
        &'a self,
        pk: &str,
        from: &'a str,
        to: &'a str,
    ) -> impl Iterator<Item = (&'a String, &'a Held)> {
        let partition = self.0.get(pk).filter(|_| from <= to);
        let range = (Bound::Included(from), Bound::Included(to));
        partition
            .into_iter()
            .flat_map(move |partition| partition.range::<str, _>(range))
    }
}
