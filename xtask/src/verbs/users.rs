//! `users`: settings that override a user's plan. Every key of the user carries them, so that one
//! look-up finds both.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, Subcommand};
use deployer::StateTable;
use domain::key::{KeyRecord, Quota, UserSettings, attribute, normal_email};
use domain::table::ItemKey;
use serde::Serialize;

use super::keys::table;
use crate::audit::note;
use crate::aws::{Reached, reach};
use crate::consent::{Consent, agreed};
use crate::context::Context;
use crate::output::counted;
use crate::stop::{Exit, Stop};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) action: UserAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserAction {
    /// List users with the settings that override their plan
    List,
    /// Override the plan's rate limit, burst or quota for a user
    Set {
        /// The user
        email: String,
        #[command(flatten)]
        change: UserChange,
        #[command(flatten)]
        consent: Consent,
    },
}

/// The change that `users set` makes.
#[derive(Debug, Clone, Copy, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct UserChange {
    /// Calls per second, over all keys
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) rate: Option<u32>,
    /// Burst, over all keys
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) burst: Option<u32>,
    /// Units per period, over all keys; `none` for no limit
    #[arg(long, value_name = "N")]
    pub(crate) quota: Option<Quota>,
    /// Return to the plan's values for every option that is not given
    #[arg(long)]
    pub(crate) by_plan: bool,
}

#[derive(Debug, Serialize)]
struct Listed {
    users: Vec<User>,
}

/// A user with the settings that override the plan.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct User {
    email: String,
    keys: usize,
    rate_per_second: Option<u32>,
    burst: Option<u32>,
    /// A number of units, or `none`.
    monthly_quota: Option<String>,
    blocked_at: Option<String>,
}

pub(crate) async fn run(context: &Context, action: UserAction) -> anyhow::Result<Exit> {
    match action {
        UserAction::List => list(context).await,
        UserAction::Set {
            email,
            change,
            consent,
        } => set(context, &email, change, consent).await,
    }
}

async fn list(context: &Context) -> anyhow::Result<Exit> {
    let reached = reach(context).await?;
    reached.deployed().await?;
    let mut users: BTreeMap<String, User> = BTreeMap::new();
    for record in table(&reached).all().await?.records {
        let settings = record.more.user;
        let user = users.entry(record.email.clone());
        let user = user.or_insert_with(|| shown(&record.email, 0, settings));
        // The newest key's settings apply.
        *user = shown(&record.email, user.keys + 1, settings);
    }
    let listed = Listed {
        users: users.into_values().collect(),
    };
    context.out.answer(&listed, |listed| {
        let lines = listed.users.iter().map(User::text);
        lines.collect()
    })?;
    Ok(Exit::Done)
}

fn shown(email: &str, keys: usize, settings: UserSettings) -> User {
    User {
        email: email.to_owned(),
        keys,
        rate_per_second: settings.rate_per_second,
        burst: settings.burst,
        monthly_quota: settings.monthly_quota.map(|quota| quota.to_string()),
        blocked_at: settings.blocked_at.map(|time| time.to_string()),
    }
}

impl User {
    fn text(&self) -> String {
        let mut parts = vec![self.email.clone(), counted(self.keys, "key")];
        parts.extend(self.rate_per_second.map(|rate| format!("rate {rate}")));
        parts.extend(self.burst.map(|burst| format!("burst {burst}")));
        parts.extend(
            self.monthly_quota
                .iter()
                .map(|quota| format!("quota {quota}")),
        );
        parts.extend(self.blocked_at.iter().map(|at| format!("blocked at {at}")));
        parts.join("  ") + "\n"
    }
}

async fn set(
    context: &Context,
    email: &str,
    change: UserChange,
    consent: Consent,
) -> anyhow::Result<Exit> {
    let reached = reach(context).await?;
    reached.deployed().await?;
    let keys = keys_of(&reached, email).await?;
    let email = keys.first().map_or(email, |key| key.email.as_str());
    if consent.dry_run {
        context
            .out
            .step(&format!("would change the settings of `{email}`"));
        return Ok(Exit::Done);
    }
    let question = format!("change the settings of `{email}`?");
    if !agreed(context, &reached.environment, consent, &question).await? {
        return Ok(Exit::Failed);
    }
    change_all(&reached, &keys, &attributes(change)).await?;
    set_quota(&reached, email, change).await?;
    note(&reached, "users set", email).await?;
    let settings = table(&reached).of_user(email).await?;
    let settings = settings.last().map(|key| key.more.user).unwrap_or_default();
    let user = shown(email, keys.len(), settings);
    context.out.answer(&user, User::text)?;
    context.out.step("it takes effect everywhere within 30 s");
    Ok(Exit::Done)
}

/// Makes thresholds follow the quota that applies to the user.
async fn set_quota(reached: &Reached, email: &str, change: UserChange) -> anyhow::Result<()> {
    if change.quota.is_none() && !change.by_plan {
        return Ok(());
    }
    let table = StateTable::new(&reached.session, &reached.environment.names());
    let set = |_: Option<&Option<Quota>>| Some(change.quota);
    table.change(&ItemKey::settings(email), set).await?;
    Ok(())
}

/// The keys of a user, who must have at least one.
async fn keys_of(reached: &Reached, email: &str) -> anyhow::Result<Vec<KeyRecord>> {
    let email = normal_email(email).map_err(|error| Stop::usage(error.to_string()))?;
    let keys = table(reached).of_user(&email).await?;
    if keys.is_empty() {
        return Err(Stop::usage(format!("`{email}` has no key"))
            .hint("`cargo xtask users list` shows all users")
            .into());
    }
    Ok(keys)
}

/// Changes every key of a user. If it ends halfway, the command can be run again.
///
/// A key may be created meanwhile, with the settings of a key that was not changed yet. So it looks
/// again until it finds no more: a key created after that depends on a changed one.
async fn change_all(
    reached: &Reached,
    keys: &[KeyRecord],
    changes: &[(&str, Option<String>)],
) -> anyhow::Result<()> {
    let mut done = BTreeSet::new();
    let mut left = keys.to_vec();
    while let Some(email) = left.first().map(|key| key.email.clone()) {
        for key in left {
            table(reached).change(&key.key_hash, changes).await?;
            done.insert(key.key_hash);
        }
        left = table(reached).of_user(&email).await?;
        left.retain(|key| !done.contains(&key.key_hash));
    }
    Ok(())
}

fn attributes(change: UserChange) -> Vec<(&'static str, Option<String>)> {
    let number = |number: Option<u32>| number.map(|number| number.to_string());
    let all = [
        (attribute::USER_RATE, number(change.rate)),
        (attribute::USER_BURST, number(change.burst)),
        (
            attribute::USER_QUOTA,
            change.quota.map(|quota| quota.to_string()),
        ),
    ];
    let is_changed = |value: &Option<String>| value.is_some() || change.by_plan;
    all.into_iter()
        .filter(|(_, value)| is_changed(value))
        .collect()
}
