//! `keys`: creates, lists, rotates, changes, imports and revokes API keys. Each change is recorded
//! in the audit log.

mod import;
mod rotate;
mod set;

use anyhow::Context as _;
use deployer::{AuditLog, KeyTable};
use domain::key::{ApiKey, KeyDetails, KeyRecord, UserSettings, normal_email};
use domain::time::UnixMillis;
use serde::Serialize;
use stacks::environment::Environment;

use crate::aws::{Reached, reach};
use crate::cli::{Consent, KeyAction};
use crate::clock;
use crate::context::Context;
use crate::stop::{Exit, Stop};

/// A key that was just created. Its secret is visible only here.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewKey {
    pub(super) id: String,
    pub(super) key: String,
    pub(super) email: String,
    plan: String,
    created_at: String,
    expires_at: Option<String>,
}

#[derive(Debug, Serialize)]
struct Listed {
    keys: Vec<ListedKey>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedKey {
    id: String,
    prefix: String,
    email: String,
    plan: String,
    status: &'static str,
    created_at: String,
    expires_at: Option<String>,
    /// To the hour.
    last_used_at: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Revoked {
    id: String,
    revoked_at: String,
}

pub(super) async fn run(context: &Context, action: KeyAction) -> anyhow::Result<Exit> {
    match action {
        KeyAction::Create {
            email,
            plan,
            expires,
            consent,
        } => {
            let now = clock::now();
            let expires = expires.map(|when| when.from(now));
            create(context, &email, &plan, expires, consent).await
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

async fn create(
    context: &Context,
    email: &str,
    plan: &str,
    expires: Option<UnixMillis>,
    consent: Consent,
) -> anyhow::Result<Exit> {
    let environment = context.environment()?;
    let email = normal_email(email).map_err(|error| Stop::usage(error.to_string()))?;
    check_plan(&environment, plan)?;
    if expires.is_some_and(|expires| expires <= clock::now()) {
        return Err(Stop::usage("the key would have expired already").into());
    }
    let reached = reach(context).await?;
    reached.deployed().await?;
    if consent.dry_run {
        context.out.step(&format!(
            "would create a key for `{email}` on plan `{plan}`"
        ));
        return Ok(Exit::Done);
    }
    let question = format!("create a key for `{email}` in `{}`?", environment.name);
    if !agreed(context, &environment, consent, &question)? {
        return Ok(Exit::Failed);
    }
    let user = settings_of(&reached, &email).await?;
    let created = make(&reached, &email, plan, expires, user).await?;
    context.out.answer(&created, |created| {
        format!("{}\n{}", created.id, created.key)
    })?;
    context
        .out
        .step("the key is shown only this once; only its hash is stored");
    // Only after the key is shown: if this fails, nothing shows the key again.
    note(&reached, "keys create", &created.id).await?;
    Ok(Exit::Done)
}

/// Every change outside `local` needs a confirmation.
pub(super) fn agreed(
    context: &Context,
    environment: &Environment,
    consent: Consent,
    question: &str,
) -> anyhow::Result<bool> {
    if consent.yes || environment.is_local() {
        return Ok(true);
    }
    context.out.confirm(question)
}

/// Creates a key and stores its record.
pub(super) async fn make(
    reached: &Reached,
    email: &str,
    plan: &str,
    expires: Option<UnixMillis>,
    user: UserSettings,
) -> anyhow::Result<NewKey> {
    let environment = &reached.environment;
    let key = ApiKey::mint(environment.resource_prefix.as_str(), random()?);
    let record = KeyRecord {
        key_hash: key.hash(),
        id: new_id()?,
        prefix: key.shown().to_owned(),
        email: email.to_owned(),
        plan: plan.to_owned(),
        created_at: clock::now(),
        expires_at: expires,
        revoked_at: None,
        more: KeyDetails {
            user,
            ..KeyDetails::default()
        },
    };
    table(reached).insert(&record).await?;
    Ok(NewKey {
        id: record.id,
        key: key.reveal().to_owned(),
        email: record.email,
        plan: record.plan,
        created_at: record.created_at.to_string(),
        expires_at: record.expires_at.map(|time| time.to_string()),
    })
}

/// The settings that override a user's plan: every key of the user carries them.
async fn settings_of(reached: &Reached, email: &str) -> anyhow::Result<UserSettings> {
    let keys = table(reached).of_user(email).await?;
    let newest = keys.last();
    Ok(newest.map(|key| key.more.user).unwrap_or_default())
}

/// Records a change in the audit log.
pub(super) async fn note(reached: &Reached, what: &str, subject: &str) -> anyhow::Result<()> {
    let who = if reached.environment.is_local() {
        "local".to_owned()
    } else {
        reached.session.identity().await?
    };
    let log = AuditLog::new(&reached.session, &reached.environment.names());
    let number = u64::from_be_bytes(random()?);
    log.note(clock::now(), number, &who, what, subject).await?;
    Ok(())
}

/// The key with the id `id`.
pub(super) async fn find(reached: &Reached, id: &str) -> anyhow::Result<KeyRecord> {
    let found = table(reached).find(id).await?;
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

pub(super) fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).context("reading random bytes")?;
    Ok(bytes)
}

fn new_id() -> anyhow::Result<String> {
    let bytes: [u8; 8] = random()?;
    Ok(format!("key_{:016x}", u64::from_be_bytes(bytes)))
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
            .map(|record| listed(record, now))
            .collect(),
    };
    context.out.answer(&listed, Listed::text)?;
    Ok(Exit::Done)
}

fn listed(record: &KeyRecord, now: UnixMillis) -> ListedKey {
    ListedKey {
        id: record.id.clone(),
        prefix: record.prefix.clone(),
        email: record.email.clone(),
        plan: record.plan.clone(),
        status: record.status(now).as_str(),
        created_at: record.created_at.to_string(),
        expires_at: record.expires_at.map(|time| time.to_string()),
        last_used_at: record.more.last_used_at.map(|time| time.to_string()),
    }
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
    let keys = table(&reached);
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
    if !agreed(context, &reached.environment, consent, &question)? {
        return Ok(Exit::Failed);
    }
    let revoked = Revoked {
        id: record.id.clone(),
        revoked_at: keys.revoke(&record, clock::now()).await?.to_string(),
    };
    note(&reached, "keys revoke", &revoked.id).await?;
    context.out.answer(&revoked, |revoked| {
        format!("{} revoked at {}", revoked.id, revoked.revoked_at)
    })?;
    context.out.step("it is refused everywhere within 30 s");
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_key_has_the_members_of_the_contract_and_no_hash() {
        let record = KeyRecord {
            key_hash: "hash".into(),
            id: "key_1".into(),
            prefix: "complical_abcd".into(),
            email: "ann@example.com".into(),
            plan: "free".into(),
            created_at: UnixMillis(0),
            expires_at: Some(UnixMillis(1_000)),
            revoked_at: None,
            more: KeyDetails {
                last_used_at: Some(UnixMillis(500_000)),
                ..KeyDetails::default()
            },
        };
        assert_eq!(
            serde_json::to_value(listed(&record, UnixMillis(2_000))).unwrap(),
            serde_json::json!({
                "id": "key_1", "prefix": "complical_abcd", "email": "ann@example.com", "plan": "free",
                "status": "expired", "createdAt": "1970-01-01T00:00:00Z",
                "expiresAt": "1970-01-01T00:00:01Z", "lastUsedAt": "1970-01-01T00:08:20Z",
            })
        );
    }
}
