//! `keys`: creates, lists, rotates, changes, imports and revokes API keys. Each change is recorded
//! in the audit log. The rules are those of [`keyring`], which `/v1/keys` uses too.

mod arguments;
mod import;
mod rotate;
mod set;

use deployer::KeyTable;
use domain::key::{KeyDetails, KeyRecord, attribute, normal_email};
use domain::time::UnixMillis;
use keyring::{Actor, DynamoKeys, KeyError, Keyring, ListedKey, NewKey, Order, Role, Terms};
use serde::Serialize;
use stacks::environment::Environment;

use crate::audit::who;
use crate::aws::{Reached, reach};
use crate::clock;
use crate::consent::{Consent, agreed};
use crate::context::Context;
use crate::stop::{Exit, Stop};

pub(crate) use arguments::{Arguments, KeyAction};

#[derive(Debug, Serialize)]
struct Listed {
    keys: Vec<ListedKey>,
}

pub(crate) async fn run(context: &Context, action: KeyAction) -> anyhow::Result<Exit> {
    match action {
        KeyAction::Create {
            email,
            plan,
            expires,
            consent,
        } => {
            let now = clock::now();
            let order = Order {
                email: Some(email),
                plan: Some(plan),
                expires: expires.map(|when| when.from(now)),
            };
            create(context, order, consent).await
        }
        KeyAction::List => list(context).await,
        KeyAction::Rotate { id, grace, consent } => rotate::run(context, &id, grace, consent).await,
        KeyAction::Set {
            id,
            change,
            consent,
        } => set::run(context, &id, change, consent).await,
        KeyAction::Import {
            hash: Some(hash),
            email: Some(email),
            plan,
            expires,
            consent,
            ..
        } => {
            let terms = import::Terms { plan, expires };
            import::one(context, &hash, &email, &terms, consent).await
        }
        KeyAction::Import {
            usage_plan,
            email_from,
            plan,
            expires,
            consent,
            ..
        } => {
            let from = import::FromGateway {
                usage_plan,
                email_from,
            };
            import::all(context, &from, &import::Terms { plan, expires }, consent).await
        }
        KeyAction::Revoke { id, consent } => revoke(context, &id, consent).await,
    }
}

async fn create(context: &Context, order: Order, consent: Consent) -> anyhow::Result<Exit> {
    let environment = context.environment()?;
    let given = order.email.as_deref().unwrap_or_default();
    let email = normal_email(given).map_err(|error| Stop::usage(error.to_string()))?;
    check_plan(&environment, order.plan.as_deref().unwrap_or_default())?;
    let now = clock::now();
    if order.expires.is_some_and(|expires| expires <= now) {
        return Err(Stop::usage("the key would have expired already").into());
    }
    let reached = reach(context).await?;
    reached.deployed().await?;
    if consent.dry_run {
        let plan = order.plan.unwrap_or_default();
        context.out.step(&format!(
            "would create a key for `{email}` on plan `{plan}`"
        ));
        return Ok(Exit::Done);
    }
    let question = format!("create a key for `{email}` in `{}`?", environment.name);
    if !agreed(context, &environment, consent, &question).await? {
        return Ok(Exit::Failed);
    }
    let (ring, operator) = (ring(&reached), operator(&reached).await?);
    let planned = ring.plan_creation(order, &operator, now).await;
    let created = ring
        .create(planned.map_err(refused)?, &operator, now)
        .await
        .map_err(refused)?;
    context.out.answer(&created, |created| {
        format!("{}\n{}", created.id, created.key)
    })?;
    context
        .out
        .step("the key is shown only this once; only its hash is stored");
    Ok(Exit::Done)
}

/// Creates a key for the use of a command, such as the demo's. It is not recorded.
pub(super) async fn make(
    reached: &Reached,
    email: &str,
    plan: &str,
    expires: Option<UnixMillis>,
) -> anyhow::Result<NewKey> {
    let terms = Terms {
        email: email.to_owned(),
        plan: plan.to_owned(),
        expires_at: expires,
        more: KeyDetails::default(),
    };
    let prefix = reached.environment.resource_prefix.as_str();
    let (record, key) = keyring::mint(prefix, terms, clock::now())?;
    table(reached).insert(&record).await?;
    Ok(NewKey::of(record, &key))
}

/// Ends a key that [`make`] created.
pub(super) async fn end(reached: &Reached, key: &str) -> anyhow::Result<()> {
    let ended = [(attribute::REVOKED_AT, Some(clock::now().to_string()))];
    table(reached)
        .change(&domain::key::hash(key), &ended)
        .await?;
    Ok(())
}

/// The rules, on the tables of an environment.
pub(super) fn ring(reached: &Reached) -> Keyring<DynamoKeys> {
    let environment = &reached.environment;
    let names = environment.names();
    let (keys, usage) = (names.api_keys_table(), names.usage_table());
    Keyring {
        table: KeyTable::ruled(&reached.session, &keys, &usage),
        prefix: environment.resource_prefix.as_str().to_owned(),
        plans: environment.plans.keys().cloned().collect(),
    }
}

/// The caller of a command.
pub(super) async fn operator(reached: &Reached) -> anyhow::Result<Actor> {
    Ok(Actor {
        name: who(reached).await?,
        role: Role::Operator,
    })
}

/// A refusal of the rules is an error of usage; a failure of a table is AWS's.
pub(super) fn refused(error: KeyError) -> anyhow::Error {
    match error {
        KeyError::Table(error) => deployer::Error::from(error).into(),
        error @ KeyError::Randomness(_) => error.into(),
        error @ (KeyError::Conflict | KeyError::Exists) => Stop::failed(error.to_string()).into(),
        error @ KeyError::TooManyBlocked => Stop::failed(error.to_string())
            .hint("unblock some, or keep such traffic away with AWS WAF")
            .into(),
        error @ KeyError::NoKey { .. } => Stop::usage(error.to_string())
            .hint("`cargo xtask users list` shows all users")
            .into(),
        error => Stop::usage(error.to_string()).into(),
    }
}

/// The key with the id `id`.
pub(super) async fn find(reached: &Reached, id: &str) -> anyhow::Result<KeyRecord> {
    let found = ring(reached).look_up(id).await.map_err(refused)?;
    Ok(found.ok_or_else(|| {
        Stop::usage(format!("there is no key `{id}`"))
            .hint("`cargo xtask keys list` shows all keys")
    })?)
}

/// The table of API keys.
pub(super) fn table(reached: &Reached) -> KeyTable {
    KeyTable::new(
        &reached.session,
        &reached.environment.names().api_keys_table(),
    )
}

fn check_plan(environment: &Environment, plan: &str) -> anyhow::Result<()> {
    if environment.plans.contains_key(plan) {
        return Ok(());
    }
    let plans: Vec<_> = environment
        .plans
        .keys()
        .map(|plan| format!("`{plan}`"))
        .collect();
    Err(Stop::usage(format!(
        "there is no plan `{plan}`: environment `{}` has {}",
        environment.name,
        plans.join(", ")
    ))
    .into())
}

async fn list(context: &Context) -> anyhow::Result<Exit> {
    let reached = reach(context).await?;
    reached.deployed().await?;
    let now = clock::now();
    let listing = table(&reached).all().await?;
    for error in &listing.unreadable {
        context
            .out
            .warning(&format!("an item is not listed: {error}"));
    }
    let listed = Listed {
        keys: listing
            .records
            .iter()
            .map(|record| ListedKey::of(record, now))
            .collect(),
    };
    context.out.answer(&listed, Listed::text)?;
    Ok(Exit::Done)
}

impl Listed {
    fn text(&self) -> String {
        let lines = self.keys.iter().map(|key| {
            format!(
                "{}  {:<8} {:<10} {}…  {}  {}\n",
                key.id, key.status, key.plan, key.prefix, key.created_at, key.email
            )
        });
        lines.collect()
    }
}

async fn revoke(context: &Context, id: &str, consent: Consent) -> anyhow::Result<Exit> {
    let reached = reach(context).await?;
    reached.deployed().await?;
    let record = find(&reached, id).await?;
    if consent.dry_run {
        context.out.step(&format!(
            "would revoke key `{id}` of `{}` ({})",
            record.email,
            record.status(clock::now()).as_str()
        ));
        return Ok(Exit::Done);
    }
    let question = format!("revoke key `{id}` of `{}`?", record.email);
    if !agreed(context, &reached.environment, consent, &question).await? {
        return Ok(Exit::Failed);
    }
    let operator = operator(&reached).await?;
    let revoked = ring(&reached).revoke(id, &operator, clock::now()).await;
    let revoked = revoked.map_err(refused)?;
    context.out.answer(&revoked, |revoked| {
        format!("{} revoked at {}", revoked.id, revoked.revoked_at)
    })?;
    context.out.step("it is refused everywhere within 30 s");
    Ok(Exit::Done)
}
