//! `keys import`: a key that another system created, known by its SHA-256 alone.

use domain::key::{KeyDetails, KeyRecord, normal_email};
use serde::Serialize;

use super::{agreed, check_plan, new_id, note, settings_of, table};
use crate::aws::reach;
use crate::cli::Consent;
use crate::clock;
use crate::context::Context;
use crate::duration::When;
use crate::stop::{Exit, Stop};

/// The known properties of an imported key.
#[derive(Debug)]
pub(super) struct Imported {
    pub(super) hash: String,
    pub(super) email: String,
    pub(super) plan: String,
    pub(super) expires: Option<When>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    id: String,
    email: String,
    plan: String,
    created_at: String,
    expires_at: Option<String>,
}

pub(super) async fn run(
    context: &Context,
    new: Imported,
    consent: Consent,
) -> anyhow::Result<Exit> {
    let environment = context.environment()?;
    let hash = hash(&new.hash)?;
    let email = normal_email(&new.email).map_err(|error| Stop::usage(error.to_string()))?;
    check_plan(&environment, &new.plan)?;
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
    if !agreed(context, &environment, consent, &question)? {
        return Ok(Exit::Failed);
    }
    let now = clock::now();
    let record = KeyRecord {
        prefix: "imported".to_owned(),
        key_hash: hash,
        id: new_id()?,
        plan: new.plan,
        created_at: now,
        expires_at: new.expires.map(|when| when.from(now)),
        revoked_at: None,
        more: KeyDetails {
            user: settings_of(&reached, &email).await?,
            ..KeyDetails::default()
        },
        email,
    };
    table(&reached).insert(&record).await?;
    note(&reached, "keys import", &record.id).await?;
    let answer = Answer {
        id: record.id,
        email: record.email,
        plan: record.plan,
        created_at: record.created_at.to_string(),
        expires_at: record.expires_at.map(|time| time.to_string()),
    };
    context.out.answer(&answer, |answer| answer.id.clone())?;
    Ok(Exit::Done)
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
}
