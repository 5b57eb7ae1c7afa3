//! `keys import`: keys that another system created, known by their SHA-256 alone, and the keys of
//! API Gateway.

use deployer::GatewayKey;
use domain::key::normal_email;
use keyring::{Import, ImportedKey};
use serde::Serialize;

use super::arguments::EmailSource;
use super::{check_plan, operator, refused, ring, table};
use crate::aws::reach;
use crate::clock;
use crate::consent::{Consent, agreed};
use crate::context::Context;
use crate::duration::When;
use crate::output::counted;
use crate::stop::{Exit, Stop};

/// What applies to every imported key.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) plan: String,
    pub(super) expires: Option<When>,
}

impl Terms {
    fn of(&self, hash: String, email: String) -> Import {
        Import {
            hash,
            email,
            plan: self.plan.clone(),
            expires: self.expires.map(|when| when.from(clock::now())),
        }
    }
}

/// Which keys of API Gateway to import, and where they name their user.
#[derive(Debug)]
pub(super) struct FromGateway {
    pub(super) usage_plan: Option<String>,
    pub(super) email_from: EmailSource,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Imported {
    #[serde(flatten)]
    key: ImportedKey,
    /// API Gateway's id of the key.
    gateway_id: String,
}

/// What became of API Gateway's keys.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct ImportResult {
    imported: Vec<Imported>,
    /// Keys that were imported before.
    known: Vec<String>,
    /// Keys that API Gateway refuses.
    disabled: Vec<String>,
    /// Keys whose user is unknown.
    nameless: Vec<String>,
}

pub(super) async fn one(
    context: &Context,
    given: &str,
    email: &str,
    terms: &Terms,
    consent: Consent,
) -> anyhow::Result<Exit> {
    let environment = context.environment()?;
    let hash = hash(given)?;
    let email = normal_email(email).map_err(|error| Stop::usage(error.to_string()))?;
    check_plan(&environment, &terms.plan)?;
    let reached = reach(context).await?;
    reached.deployed().await?;
    if let Some(known) = table(&reached).by_hash(&hash).await? {
        let message = format!(
            "the key exists already, as `{}` of `{}`",
            known.id, known.email
        );
        return Err(Stop::usage(message).into());
    }
    if consent.dry_run {
        context
            .out
            .step(&format!("would import a key for `{email}`"));
        return Ok(Exit::Done);
    }
    let question = format!("import a key for `{email}` into `{}`?", environment.name);
    if !agreed(context, &environment, consent, &question).await? {
        return Ok(Exit::Failed);
    }
    let (ring, operator) = (ring(&reached), operator(&reached).await?);
    let import = terms.of(hash, email);
    let imported = ring.import(import, &operator, clock::now()).await;
    let imported = imported.map_err(refused)?;
    context
        .out
        .answer(&imported, |imported| imported.id.clone())?;
    Ok(Exit::Done)
}

/// Imports API Gateway's keys. A key that cannot be imported keeps no other from it, and a key that
/// was imported before stays as it is, so that the command can be run again.
pub(super) async fn all(
    context: &Context,
    from: &FromGateway,
    terms: &Terms,
    consent: Consent,
) -> anyhow::Result<Exit> {
    let environment = context.environment()?;
    check_plan(&environment, &terms.plan)?;
    let reached = reach(context).await?;
    reached.deployed().await?;
    let keys = deployer::gateway_keys(&reached.session, from.usage_plan.as_deref()).await?;
    let records = table(&reached).all().await?.records;
    let known = |hash: &str| records.iter().any(|record| record.key_hash == hash);
    let (mut report, new) = sorted(keys, &from.email_from, known);
    for id in &report.nameless {
        context.out.warning(&format!(
            "key `{id}` of API Gateway names no email: name its user there, or import it by its hash"
        ));
    }
    let question = format!(
        "import {} for plan `{}` into `{}`?",
        counted(new.len(), "key"),
        terms.plan,
        environment.name
    );
    if consent.dry_run {
        context
            .out
            .step(&format!("would {}", question.trim_end_matches('?')));
        return Ok(Exit::Done);
    }
    if !new.is_empty() && !agreed(context, &environment, consent, &question).await? {
        return Ok(Exit::Failed);
    }
    let (ring, operator) = (ring(&reached), operator(&reached).await?);
    for (key, email) in new {
        let import = terms.of(key.hash, email);
        let imported = ring.import(import, &operator, clock::now()).await;
        report.imported.push(Imported {
            key: imported.map_err(refused)?,
            gateway_id: key.id,
        });
    }
    context.out.answer(&report, ImportResult::text)?;
    Ok(if report.nameless.is_empty() {
        Exit::Done
    } else {
        Exit::Failed
    })
}

/// The keys to import with their users, and what becomes of the others.
fn sorted(
    keys: Vec<GatewayKey>,
    email_from: &EmailSource,
    known: impl Fn(&str) -> bool,
) -> (ImportResult, Vec<(GatewayKey, String)>) {
    let mut report = ImportResult::default();
    let mut new = Vec::new();
    for key in keys {
        if known(&key.hash) {
            report.known.push(key.id);
        } else if !key.enabled {
            report.disabled.push(key.id);
        } else if let Some(email) = user_of(&key, email_from) {
            new.push((key, email));
        } else {
            report.nameless.push(key.id);
        }
    }
    (report, new)
}

fn user_of(key: &GatewayKey, email_from: &EmailSource) -> Option<String> {
    let text = match email_from {
        EmailSource::Name => key.name.as_ref(),
        EmailSource::Description => key.description.as_ref(),
        EmailSource::CustomerId => key.customer_id.as_ref(),
        EmailSource::Tag(tag) => key.tags.get(tag),
    };
    normal_email(text?).ok()
}

impl ImportResult {
    fn text(&self) -> String {
        let Self {
            imported,
            known,
            disabled,
            nameless,
        } = self;
        let lines = imported
            .iter()
            .map(|key| format!("{}  {}  {}\n", key.key.id, key.gateway_id, key.key.email));
        format!(
            "{}{} imported, {} known, {} disabled, {} without an email",
            lines.collect::<String>(),
            imported.len(),
            known.len(),
            disabled.len(),
            nameless.len()
        )
    }
}

/// A SHA-256 in lower-case hex.
fn hash(given: &str) -> Result<String, Stop> {
    let hash = given.trim().to_ascii_lowercase();
    if hash.len() == 64 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Ok(hash);
    }
    Err(Stop::usage(format!(
        "invalid hash `{given}`: expected the 64 hex digits of the key\u{2019}s SHA-256"
    ))
    .hint("`printf %s KEY | sha256sum`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_has_64_hex_digits() {
        let sound = "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD";
        assert_eq!(hash(sound).ok(), Some(sound.to_ascii_lowercase()));
        for bad in ["", "abc", &sound.replace('B', "G"), &format!("{sound}0")] {
            assert!(hash(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_of_api_gateway_are_imported_with_the_user_that_they_name() {
        let key = |id: &str, name: &str, enabled| GatewayKey {
            id: id.to_owned(),
            hash: format!("hash of {id}"),
            enabled,
            name: Some(name.to_owned()),
            tags: [("owner".to_owned(), format!("{id}@example.com"))].into(),
            ..GatewayKey::default()
        };
        let keys = vec![
            key("one", "Ann@Example.com", true),
            key("two", "the key of Bob", true),
            key("three", "cyd@example.com", false),
            key("four", "dan@example.com", true),
        ];
        let is_known = |hash: &str| hash == "hash of four";
        let (report, new) = sorted(keys.clone(), &EmailSource::Name, is_known);
        let new: Vec<_> = new
            .iter()
            .map(|(key, email)| (&*key.id, &**email))
            .collect();
        assert_eq!(new, [("one", "ann@example.com")]);
        assert_eq!(report.known, ["four"]);
        assert_eq!(report.disabled, ["three"]);
        assert_eq!(report.nameless, ["two"]);
        let (report, new) = sorted(keys, &EmailSource::Tag("owner".to_owned()), is_known);
        let emails: Vec<_> = new.iter().map(|(_, email)| &**email).collect();
        assert_eq!(emails, ["one@example.com", "two@example.com"]);
        assert!(report.nameless.is_empty(), "{report:?}");
    }
}
