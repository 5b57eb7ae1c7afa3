//! The rules by which API keys are created, rotated, revoked and listed, and addresses and users are
//! blocked: the command line and the HTTP endpoints both use them.
//!
//! Each change is one transaction over the key, the condition under which the rules were checked,
//! and the entry in the audit log: either all of it is stored, or none. A key's plain text is returned once and never stored.
//!
//! Nothing here reads a clock, authenticates, or formats a response.

mod actor;
mod blocks;
mod change;
mod dynamo;
mod error;
mod managed;
#[cfg(any(test, feature = "memory"))]
#[allow(
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "a test fails by panicking"
)]
pub mod memory;
mod mint;
mod rules;
mod shown;
mod table;
#[cfg(test)]
mod tests;

pub use actor::{Actor, Role};
pub use blocks::{BlockResult, BlockedAddress, BlockedUser, Blocks, Whom};
pub use change::{Change, Entry, Guard};
pub use dynamo::DynamoKeys;
pub use error::{KeyError, TableError};
pub use managed::{Import, ImportedKey, RateSetting, SetKey, Setting};
pub use mint::{Terms, mint, new_id};
pub use rules::{Creation, Keyring, MOST_A_DAY, MOST_WORKING, Order, Rotation};
pub use shown::{ListedKey, NewKey, Revoked, Rotated};
pub use table::{KeyTable, Page, Pages};
