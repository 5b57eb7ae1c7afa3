//! The roster: which users were active in a window, exactly and without their names.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::event::Subject;

/// Over how many items the users of a window are spread.
pub const BUCKETS: u8 = 8;

/// The bucket that a subject falls into, in every window.
pub fn bucket_of(subject: &Subject) -> u8 {
    let [first, ..] = subject.digest();
    first % BUCKETS
}

/// Users of one bucket and window: eight bytes each. Only ever grows within its window.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Roster {
    members: BTreeSet<[u8; 8]>,
}

impl Roster {
    /// Whether `user` stands here, or finds room among at most so many.
    pub fn takes(&self, user: &Subject, most: usize) -> bool {
        self.members.len() < most || self.members.contains(&user.digest())
    }

    /// Enters a user; `true` where that user is new.
    pub fn enter(&mut self, user: &Subject) -> bool {
        self.members.insert(user.digest())
    }

    /// Users entered.
    pub fn users(&self) -> u64 {
        self.members.len().try_into().unwrap_or(u64::MAX)
    }
}
