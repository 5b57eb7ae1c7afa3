//! Who may do what to which key.
//!
//! An operator and an administrator manage every key. A user manages their own, and a key that a
//! user creates has the terms of one of their working keys: its plan, its rate, and an expiry that
//! is no later. Users cannot raise their own limits.
//!
//! A change is first planned, which checks everything, and then made: a command asks for consent in
//! between. The transaction fails if a key on which the plan depends has changed since.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::key::{KeyDetails, KeyRecord, KeyStatus, attribute, normal_email};
use domain::time::UnixMillis;

use crate::actor::{Actor, Role};
use crate::change::{Change, Entry, Guard, OF_USER, REVOCATION, TERMS};
use crate::error::KeyError;
use crate::mint::{Terms, mint, random};
use crate::shown::{NewKey, Revoked, Rotated};
use crate::table::KeyTable;

/// The most working keys that a user can have and still create another.
pub const MOST_WORKING: usize = 10;
/// The most keys that a user can create within 24 hours.
pub const MOST_A_DAY: usize = 20;
const DAY_MILLIS: i64 = 24 * 60 * 60_000;

/// The keys of one environment.
#[derive(Debug, Clone)]
pub struct Keyring<T> {
    /// The table.
    pub table: T,
    /// What new keys begin with.
    pub prefix: String,
    /// The plans of the environment.
    pub plans: BTreeSet<String>,
}

/// A requested key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Order {
    /// The user; by default the actor, if that is a user.
    pub email: Option<String>,
    /// The plan; by default that of the user's working key which lasts longest, if a user asks.
    pub plan: Option<String>,
    /// When the key stops working.
    pub expires: Option<UnixMillis>,
}

/// A planned key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creation {
    /// Its user.
    pub email: String,
    /// Its plan.
    pub plan: String,
    expires_at: Option<UnixMillis>,
    more: KeyDetails,
    guard: Option<Guard>,
}

/// A planned replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The key to replace.
    pub old: KeyRecord,
    /// When it stops working.
    pub until: UnixMillis,
}

impl<T: KeyTable> Keyring<T> {
    /// Plans a new key.
    ///
    /// # Errors
    ///
    /// The order is not valid, or the actor may not give it.
    pub async fn plan_creation(
        &self,
        order: Order,
        actor: &Actor,
        now: UnixMillis,
    ) -> Result<Creation, KeyError> {
        if order.expires.is_some_and(|expires| expires <= now) {
            return Err(KeyError::Expired);
        }
        if actor.role == Role::User {
            self.plan_by_user(order, &actor.name, now).await
        } else {
            self.plan_for_user(order).await
        }
    }

    /// A key that someone who manages all keys gives to a user.
    async fn plan_for_user(&self, order: Order) -> Result<Creation, KeyError> {
        let email = normal_email(&order.email.ok_or(KeyError::NoEmail)?)?;
        let known = || self.plans.iter().cloned().collect();
        let plan = order
            .plan
            .ok_or_else(|| KeyError::NoPlan { known: known() })?;
        self.check_plan(&plan)?;
        let newest = self.table.of_user(&email).await?.pop();
        let user = newest.as_ref().map(|key| key.more.user);
        Ok(Creation {
            email,
            plan,
            expires_at: order.expires,
            more: KeyDetails {
                user: user.unwrap_or_default(),
                ..KeyDetails::default()
            },
            guard: newest.map(|key| unchanged(key, OF_USER)),
        })
    }

    /// A key that a user makes for themselves.
    async fn plan_by_user(
        &self,
        order: Order,
        email: &str,
        now: UnixMillis,
    ) -> Result<Creation, KeyError> {
        if let Some(given) = &order.email {
            let given = normal_email(given)?;
            if given != email {
                return Err(KeyError::Foreign { email: given });
            }
        }
        let working = self.working_of(email, now).await?;
        let model = model(&working, order.plan.as_deref(), email)?;
        self.check_plan(&model.plan)?;
        let latest = model.ends_at();
        let expires_at = match (order.expires, latest) {
            (Some(asked), Some(until)) if asked > until => {
                let plan = model.plan.clone();
                return Err(KeyError::Outlives { plan, until });
            }
            (asked, latest) => asked.or(latest),
        };
        Ok(Creation {
            email: email.to_owned(),
            plan: model.plan.clone(),
            expires_at,
            more: KeyDetails {
                rate: model.more.rate,
                user: model.more.user,
                ..KeyDetails::default()
            },
            guard: Some(unchanged(model.clone(), TERMS)),
        })
    }

    /// The working keys of a user who may have another one.
    async fn working_of(&self, email: &str, now: UnixMillis) -> Result<Vec<KeyRecord>, KeyError> {
        let mut keys = self.table.of_user(email).await?;
        let owner = || email.to_owned();
        if keys.iter().any(|key| key.more.user.blocked_at.is_some()) {
            return Err(KeyError::Blocked { email: owner() });
        }
        let since = now.plus_millis(-DAY_MILLIS);
        let new = keys.iter().filter(|key| key.created_at > since).count();
        keys.retain(|key| key.works(now));
        if keys.is_empty() {
            return Err(KeyError::NoWorkingKey { email: owner() });
        }
        if keys.len() >= MOST_WORKING {
            return Err(KeyError::TooMany { email: owner() });
        }
        if new >= MOST_A_DAY {
            return Err(KeyError::TooManyToday { email: owner() });
        }
        Ok(keys)
    }

    pub(crate) fn check_plan(&self, plan: &str) -> Result<(), KeyError> {
        if self.plans.contains(plan) {
            return Ok(());
        }
        Err(KeyError::UnknownPlan {
            plan: plan.to_owned(),
            known: self.plans.iter().cloned().collect(),
        })
    }

    /// Creates a planned key.
    ///
    /// # Errors
    ///
    /// The key on which the plan depends has changed, or the table failed.
    pub async fn create(
        &self,
        creation: Creation,
        actor: &Actor,
        now: UnixMillis,
    ) -> Result<NewKey, KeyError> {
        let terms = Terms {
            email: creation.email,
            plan: creation.plan,
            expires_at: creation.expires_at,
            more: creation.more,
        };
        let (record, key) = mint(&self.prefix, terms, now)?;
        let entry = entry(actor, "keys create", &record.id, now)?;
        self.commit(Some(&record), creation.guard, entry).await?;
        Ok(NewKey::of(record, &key))
    }

    /// Plans to replace a key. The old one works until the grace period ends, but never longer than
    /// it would have otherwise.
    ///
    /// # Errors
    ///
    /// The key does not exist, the actor may not see it, or it cannot be replaced.
    pub async fn plan_rotation(
        &self,
        id: &str,
        grace: Duration,
        actor: &Actor,
        now: UnixMillis,
    ) -> Result<Rotation, KeyError> {
        let old = self.find(id, actor).await?;
        match old.status(now) {
            KeyStatus::Active => {}
            KeyStatus::Grace if actor.manages_all() => {}
            // Its successor would outlive it.
            KeyStatus::Grace => return Err(KeyError::Replaced),
            status @ (KeyStatus::Expired | KeyStatus::Revoked) => {
                let status = status.as_str();
                return Err(KeyError::NotWorking { status });
            }
        }
        if actor.role == Role::User {
            self.working_of(&old.email, now).await?;
        }
        let grace = i64::try_from(grace.as_millis()).unwrap_or(i64::MAX);
        let until = old.grace_end(now, grace);
        Ok(Rotation { old, until })
    }

    /// Replaces a key as planned.
    ///
    /// # Errors
    ///
    /// The key has changed, or the table failed.
    pub async fn rotate(
        &self,
        Rotation { old, until }: Rotation,
        actor: &Actor,
        now: UnixMillis,
    ) -> Result<Rotated, KeyError> {
        let terms = Terms {
            email: old.email.clone(),
            plan: old.plan.clone(),
            expires_at: old.expires_at,
            more: KeyDetails {
                replaces: Some(old.id.clone()),
                grace_until: None,
                last_used_at: None,
                ..old.more.clone()
            },
        };
        let (record, key) = mint(&self.prefix, terms, now)?;
        let entry = entry(actor, "keys rotate", &old.id, now)?;
        let replaces = old.id.clone();
        let guard = Guard {
            key: old,
            same: TERMS,
            set: vec![(attribute::GRACE_UNTIL, Some(until.to_string()))],
        };
        self.commit(Some(&record), Some(guard), entry).await?;
        Ok(Rotated {
            new: NewKey::of(record, &key),
            replaces,
            grace_until: until.to_string(),
        })
    }

    /// Revokes a key. A key that is revoked already stays as it is, and nothing is recorded.
    ///
    /// # Errors
    ///
    /// The key does not exist, the actor may not see it, or the table failed.
    pub async fn revoke(
        &self,
        id: &str,
        actor: &Actor,
        now: UnixMillis,
    ) -> Result<Revoked, KeyError> {
        let key = self.find(id, actor).await?;
        let revoked = |at: UnixMillis| Revoked {
            id: id.to_owned(),
            revoked_at: at.to_string(),
        };
        if let Some(already) = key.revoked_at {
            return Ok(revoked(already));
        }
        let guard = Guard {
            key,
            same: REVOCATION,
            set: vec![(attribute::REVOKED_AT, Some(now.to_string()))],
        };
        let entry = entry(actor, "keys revoke", id, now)?;
        match self.commit(None, Some(guard), entry).await {
            Ok(()) => Ok(revoked(now)),
            // Somebody else was first.
            Err(KeyError::Conflict) => {
                let already = self.find(id, actor).await?.revoked_at;
                already.map(revoked).ok_or(KeyError::Conflict)
            }
            Err(error) => Err(error),
        }
    }

    /// The key with an id, if the actor may see it.
    ///
    /// # Errors
    ///
    /// The key does not exist, the actor may not see it, or the table failed.
    pub async fn find(&self, id: &str, actor: &Actor) -> Result<KeyRecord, KeyError> {
        let found = self.look_up(id).await?;
        found
            .filter(|key| actor.may_manage(key))
            .ok_or(KeyError::Unknown)
    }

    /// The key with an id, whosever it is. No key has an id that is empty or long, and no table
    /// accepts one.
    ///
    /// # Errors
    ///
    /// The table failed.
    pub async fn look_up(&self, id: &str) -> Result<Option<KeyRecord>, KeyError> {
        const LONGEST_ID: usize = 64;
        if (1..=LONGEST_ID).contains(&id.len()) {
            Ok(self.table.find(id).await?)
        } else {
            Ok(None)
        }
    }

    /// The plans on which the actor may create a key: all of them, or those of a user's working
    /// keys.
    ///
    /// # Errors
    ///
    /// The table failed.
    pub async fn plans_of(&self, actor: &Actor, now: UnixMillis) -> Result<Vec<String>, KeyError> {
        if actor.manages_all() {
            return Ok(self.plans.iter().cloned().collect());
        }
        let working = match self.working_of(&actor.name, now).await {
            Ok(working) => working,
            Err(error @ KeyError::Table(_)) => return Err(error),
            // They may create none at present.
            Err(_) => Vec::new(),
        };
        let plans: BTreeSet<String> = working.into_iter().map(|key| key.plan).collect();
        Ok(plans.intersection(&self.plans).cloned().collect())
    }

    pub(crate) async fn commit(
        &self,
        insert: Option<&KeyRecord>,
        guard: Option<Guard>,
        entry: Entry,
    ) -> Result<(), KeyError> {
        let change = Change {
            insert: insert.cloned(),
            guards: guard.into_iter().collect(),
            entry,
        };
        if self.table.commit(&change).await? {
            Ok(())
        } else {
            Err(KeyError::Conflict)
        }
    }
}

/// The working key whose terms a user's new key has: the one that lasts longest, on the given plan.
fn model<'a>(
    working: &'a [KeyRecord],
    plan: Option<&str>,
    email: &str,
) -> Result<&'a KeyRecord, KeyError> {
    let fitting = working
        .iter()
        .filter(|key| plan.is_none_or(|plan| key.plan == plan));
    let never = UnixMillis(i64::MAX);
    let longest = fitting.max_by_key(|key| key.ends_at().unwrap_or(never));
    longest.ok_or_else(|| {
        let plans: BTreeSet<&String> = working.iter().map(|key| &key.plan).collect();
        KeyError::OtherPlan {
            email: email.to_owned(),
            plan: plan.unwrap_or_default().to_owned(),
            known: plans.into_iter().cloned().collect(),
        }
    })
}

pub(crate) fn unchanged(key: KeyRecord, same: &'static [&'static str]) -> Guard {
    Guard {
        key,
        same,
        set: Vec::new(),
    }
}

pub(crate) fn entry(
    actor: &Actor,
    what: &'static str,
    subject: &str,
    at: UnixMillis,
) -> Result<Entry, KeyError> {
    Ok(Entry {
        at,
        number: u64::from_be_bytes(random()?),
        actor: actor.clone(),
        what,
        subject: subject.to_owned(),
    })
}
