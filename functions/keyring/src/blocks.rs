//! Who is refused: addresses, which are one list, and users, whose keys all say so.
//!
//! An authorizer reads the list and the keys again within 25 seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use domain::address::{Blocked, network};
use domain::key::{KeyRecord, attribute, normal_email};
use domain::time::UnixMillis;
use serde::Serialize;

use crate::actor::Actor;
use crate::change::{Change, Guard};
use crate::error::KeyError;
use crate::rules::{Keyring, entry};
use crate::table::{KeyTable, Pages};

/// The most keys of one transaction: DynamoDB accepts a hundred items.
const MOST_AT_ONCE: usize = 90;
/// How often the list is read again after a concurrent change.
const MOST_CONFLICTS: u32 = 20;
/// Keys that one page of blocked users looks at.
const KEYS_PER_PAGE: usize = 1_000;

/// Who is blocked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    /// An address as limits know it: IPv6 by its /64.
    Address(String),
    /// A user, by their email.
    User(String),
}

impl Whom {
    /// Reads an address, a /64 or an email.
    ///
    /// # Errors
    ///
    /// It is none of them.
    pub fn read(given: &str) -> Result<Self, KeyError> {
        if given.contains('@') {
            return Ok(Self::User(normal_email(given)?));
        }
        let address = given.strip_suffix("/64").unwrap_or(given);
        let parsed = address.parse::<IpAddr>();
        let is_network = address.len() < given.len();
        let is_sound = parsed.is_ok_and(|address| address.is_ipv6() || !is_network);
        is_sound
            .then(|| Self::Address(network(address)))
            .ok_or_else(|| KeyError::Address {
                given: given.to_owned(),
            })
    }

    /// The address or the email.
    pub fn name(&self) -> &str {
        match self {
            Self::Address(name) | Self::User(name) => name,
        }
    }
}

/// Whether somebody is refused from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BlockResult {
    /// The address, for IPv6 its /64; or the email.
    pub whom: String,
    /// Whether they are refused.
    pub blocked: bool,
}

/// Everybody who is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Blocks {
    /// Addresses; none on later pages.
    pub addresses: Vec<BlockedAddress>,
    /// Users, by email.
    pub users: Vec<BlockedUser>,
    /// The cursor of the next page, which holds further users only.
    pub next: Option<String>,
}

/// A refused address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BlockedAddress {
    /// The address, for IPv6 its /64.
    pub address: String,
    /// Since when.
    pub since: String,
}

/// A refused user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BlockedUser {
    /// The user.
    pub email: String,
    /// Since when.
    pub since: String,
}

impl<T: KeyTable> Keyring<T> {
    /// Blocks or unblocks somebody. To repeat it changes nothing.
    ///
    /// # Errors
    ///
    /// The actor may not, the user has no key, the list is full, or the table failed.
    pub async fn set_blocked(
        &self,
        whom: &Whom,
        blocked: bool,
        actor: &Actor,
        now: UnixMillis,
    ) -> Result<BlockResult, KeyError> {
        must_manage_all(actor)?;
        match whom {
            Whom::Address(address) => self.set_address(address, blocked, actor, now).await?,
            Whom::User(email) => self.set_user(email, blocked, actor, now).await?,
        }
        Ok(BlockResult {
            whom: whom.name().to_owned(),
            blocked,
        })
    }

    async fn set_address(
        &self,
        address: &str,
        blocked: bool,
        actor: &Actor,
        now: UnixMillis,
    ) -> Result<(), KeyError> {
        for _ in 0..MOST_CONFLICTS {
            let (mut list, version) = self.table.blocked().await?;
            if list.since.contains_key(address) == blocked {
                return Ok(());
            }
            if !blocked {
                list.since.remove(address);
            } else if list.since.len() < Blocked::MOST {
                list.since.insert(address.to_owned(), now);
            } else {
                return Err(KeyError::TooManyBlocked);
            }
            let entry = entry(actor, verb(blocked), address, now)?;
            if self.table.set_blocked(&list, version, &entry).await? {
                return Ok(());
            }
        }
        Err(KeyError::Conflict)
    }

    /// Changes every key of a user. If it ends halfway, it can be repeated.
    ///
    /// A key may be created meanwhile, with the settings of a key that was not changed yet. So it
    /// looks again until it finds no more: a key created after that depends on a changed one.
    async fn set_user(
        &self,
        email: &str,
        blocked: bool,
        actor: &Actor,
        now: UnixMillis,
    ) -> Result<(), KeyError> {
        let mut done = BTreeSet::new();
        loop {
            let mut left = self.table.of_user(email).await?;
            left.retain(|key| !done.contains(&key.key_hash));
            if left.is_empty() && done.is_empty() {
                let email = email.to_owned();
                return Err(KeyError::NoKey { email });
            }
            if left.is_empty() {
                return Ok(());
            }
            for keys in left.chunks(MOST_AT_ONCE) {
                let since = blocked.then(|| now.to_string());
                let guards = keys.iter().map(|key| Guard {
                    key: key.clone(),
                    same: &[],
                    set: vec![(attribute::USER_BLOCKED_AT, since.clone())],
                });
                let change = Change {
                    insert: None,
                    guards: guards.collect(),
                    entry: entry(actor, verb(blocked), email, now)?,
                };
                if !self.table.commit(&change).await? {
                    return Err(KeyError::Conflict);
                }
                done.extend(keys.iter().map(|key| key.key_hash.clone()));
            }
        }
    }

    /// Everybody who is refused. Of the users, a page holds those among a thousand keys, in no
    /// particular order of pages: a user with several keys may be on several pages.
    ///
    /// # Errors
    ///
    /// The actor may not see it, or the table failed.
    pub async fn blocks(
        &self,
        after: Option<KeyRecord>,
        actor: &Actor,
    ) -> Result<Blocks, KeyError> {
        must_manage_all(actor)?;
        let addresses = match after {
            None => self.table.blocked().await?.0.since,
            Some(_) => BTreeMap::new(),
        };
        let pages = Pages {
            email: None,
            after,
            limit: KEYS_PER_PAGE,
        };
        let page = self.table.page(&pages).await?;
        let last = page.keys.last().filter(|_| page.is_more);
        let next = last.map(|key| key.id.clone());
        let mut users: BTreeMap<String, UnixMillis> = BTreeMap::new();
        for key in page.keys {
            if let Some(since) = key.more.user.blocked_at {
                users.entry(key.email).or_insert(since);
            }
        }
        let addresses = addresses
            .into_iter()
            .map(|(address, since)| BlockedAddress {
                address,
                since: since.to_string(),
            });
        let users = users.into_iter().map(|(email, since)| BlockedUser {
            email,
            since: since.to_string(),
        });
        Ok(Blocks {
            addresses: addresses.collect(),
            users: users.collect(),
            next,
        })
    }
}

/// The change, as the audit log names it.
const fn verb(blocked: bool) -> &'static str {
    if blocked { "block" } else { "unblock" }
}

pub(crate) fn must_manage_all(actor: &Actor) -> Result<(), KeyError> {
    if actor.manages_all() {
        Ok(())
    } else {
        Err(KeyError::OfAdministrators)
    }
}

#[cfg(test)]
mod tests;
