//! `token`: a bearer token for the analytics API, in `local` only. Elsewhere the issuer in the
//! environment's `auth` issues tokens.

use anyhow::Context as _;
use clap::Args;
use domain::names::{ADMIN_SCOPE, WRITE_SCOPE};
use domain::time::UnixMillis;
use serde::Serialize;
use stacks::environment::{Environment, Words};

use crate::aws::nothing_deployed;
use crate::clock;
use crate::context::Context;
use crate::context::is_embedded;
use crate::local::{Claims, SigningKey, State};
use crate::stop::{Exit, Stop};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The user
    #[arg(long, value_name = "EMAIL")]
    pub(crate) email: String,
    /// With the scope `metering:admin`: may read all users' data
    #[arg(long)]
    pub(crate) admin: bool,
    /// With the scope `metering:write`: may report amounts of calls
    #[arg(long)]
    pub(crate) write: bool,
}

/// How long a token is valid: a working day.
const HOURS: i64 = 12;

/// A token with its validity.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Issued {
    pub(super) token: String,
    email: String,
    scopes: Vec<&'static str>,
    expires_at: String,
}

pub(crate) fn run(context: &Context, args: &Arguments) -> anyhow::Result<Exit> {
    let environment = context.environment()?;
    if !is_embedded(&environment) {
        return Err(Stop::usage(format!(
            "`token` works in `local` only: in `{}` tokens come from `{}`",
            environment.name,
            environment
                .auth
                .issuer
                .as_ref()
                .map_or("its issuer", Words::as_str)
        ))
        .into());
    }
    let email =
        domain::key::normal_email(&args.email).map_err(|error| Stop::usage(error.to_string()))?;
    let scopes = [(args.admin, ADMIN_SCOPE), (args.write, WRITE_SCOPE)];
    let scopes = scopes.into_iter().filter(|(wanted, _)| *wanted);
    let scopes = scopes.map(|(_, scope)| scope).collect();
    let issued = issue(&environment, &context.local().state()?, &email, scopes)?;
    context.out.answer(&issued, |issued| issued.token.clone())?;
    Ok(Exit::Done)
}

/// A token for a user of the local environment.
pub(super) fn issue(
    environment: &Environment,
    state: &State,
    email: &str,
    scopes: Vec<&'static str>,
) -> anyhow::Result<Issued> {
    let key = state
        .signing_key
        .as_deref()
        .with_context(|| nothing_deployed(environment))?;
    let now = clock::now();
    let expires = UnixMillis::from_seconds(now.seconds() + HOURS * 3_600);
    let claims = Claims {
        iss: named(environment.auth.issuer.as_ref()),
        aud: named(environment.auth.audience.as_ref()),
        sub: email.to_owned(),
        email: email.to_owned(),
        email_verified: true,
        scope: scopes.join(" "),
        iat: now.seconds(),
        exp: expires.seconds(),
    };
    Ok(Issued {
        token: SigningKey::parse(key)?.sign(&claims)?,
        email: email.to_owned(),
        scopes,
        expires_at: expires.to_string(),
    })
}

fn named(words: Option<&Words>) -> String {
    words.map(ToString::to_string).unwrap_or_default()
}
