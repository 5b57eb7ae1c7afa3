//! Checkpoints that survive a restart: one JSON file per mapping.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::model::Checkpoint;

/// A mapping's checkpoints on disk.
#[derive(Debug)]
pub(super) struct Checkpoints {
    path: PathBuf,
    source_arn: String,
    shards: BTreeMap<String, Checkpoint>,
    changed: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    /// Sequence numbers mean nothing in another stream, even one of the same name.
    source_arn: String,
    shards: BTreeMap<String, Checkpoint>,
}

impl Checkpoints {
    /// Reads the checkpoints of a mapping. If the file cannot be read, the mapping has no
    /// checkpoints: it begins at its starting position, and nothing is missed.
    pub(super) fn open(folder: &Path, uuid: &str, source_arn: &str) -> Self {
        let path = folder.join(format!("{uuid}.json"));
        let kept = fs::read(&path)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok())
            .filter(|kept| kept.source_arn == source_arn);
        Self {
            path,
            source_arn: source_arn.to_owned(),
            shards: kept.map(|kept| kept.shards).unwrap_or_default(),
            changed: false,
        }
    }

    pub(super) fn shards(&self) -> BTreeMap<String, Checkpoint> {
        self.shards.clone()
    }

    pub(super) fn set(&mut self, shard: String, checkpoint: Checkpoint) {
        self.shards.insert(shard, checkpoint);
        self.changed = true;
    }

    pub(super) const fn is_changed(&self) -> bool {
        self.changed
    }

    /// Writes changes to a new file and replaces the old one with it: the file is complete at every
    /// moment.
    pub(super) fn save(&mut self) -> io::Result<()> {
        if !self.changed {
            return Ok(());
        }
        let kept = Kept {
            source_arn: self.source_arn.clone(),
            shards: self.shards.clone(),
        };
        let part = self.path.with_extension("part");
        fs::write(&part, serde_json::to_vec(&kept)?)?;
        fs::rename(&part, &self.path)?;
        self.changed = false;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::{super::model::Position, *};

    #[test]
    fn checkpoints_are_there_again_for_the_same_source_only() {
        let folder = tempfile::tempdir().unwrap();
        let at = Checkpoint::At(Position::After("42".to_owned()));
        let mut checkpoints = Checkpoints::open(folder.path(), "u", "arn:a");
        checkpoints.set("shard".to_owned(), at.clone());
        checkpoints.save().unwrap();

        let again = Checkpoints::open(folder.path(), "u", "arn:a");
        assert_eq!(again.shards().get("shard"), Some(&at));
        assert!(
            Checkpoints::open(folder.path(), "u", "arn:b")
                .shards()
                .is_empty()
        );
    }

    #[test]
    fn a_damaged_file_is_a_mapping_without_checkpoints() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("u.json"), "{\"sha").unwrap();
        assert!(
            Checkpoints::open(folder.path(), "u", "arn:a")
                .shards()
                .is_empty()
        );
    }
}
