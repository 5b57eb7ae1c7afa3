//! `block` and `unblock`: refused addresses and users.

use std::net::IpAddr;

use clap::Args;
use deployer::StateTable;
use domain::address::{Blocked, network};
use domain::key::attribute;
use domain::table::ItemKey;
use serde::Serialize;

use super::users::{change_all, keys_of};
use crate::audit::note;
use crate::aws::{Reached, reach};
use crate::clock;
use crate::consent::{Consent, agreed};
use crate::context::Context;
use crate::stop::{Exit, Stop};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// An address (for IPv6 its /64 counts), or a user's email
    #[arg(value_name = "ADDRESS|EMAIL")]
    pub(crate) whom: String,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

/// The address or user that is refused or accepted again.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BlockResult {
    /// The address, for IPv6 its /64; or the email.
    whom: String,
    blocked: bool,
}

pub(crate) async fn run(
    context: &Context,
    args: &Arguments,
    blocked: bool,
) -> anyhow::Result<Exit> {
    let reached = reach(context).await?;
    reached.deployed().await?;
    let whom = Whom::read(&args.whom)?;
    let verb = if blocked { "block" } else { "unblock" };
    if args.consent.dry_run {
        context.out.step(&format!("would {verb} `{}`", whom.name()));
        return Ok(Exit::Done);
    }
    let question = format!("{verb} `{}`?", whom.name());
    if !agreed(context, &reached.environment, args.consent, &question)? {
        return Ok(Exit::Failed);
    }
    match &whom {
        Whom::Address(address) => set_address(&reached, address, blocked).await?,
        Whom::User(email) => {
            let since = blocked.then(|| clock::now().to_string());
            let keys = keys_of(&reached, email).await?;
            change_all(&reached, &keys, &[(attribute::USER_BLOCKED_AT, since)]).await?;
        }
    }
    note(&reached, verb, whom.name()).await?;
    let answer = BlockResult {
        whom: whom.name().to_owned(),
        blocked,
    };
    context.out.answer(&answer, |answer| {
        let is = if answer.blocked {
            "blocked"
        } else {
            "not blocked"
        };
        format!("{} is {is}", answer.whom)
    })?;
    context.out.step("it takes effect everywhere within 30 s");
    Ok(Exit::Done)
}

async fn set_address(reached: &Reached, address: &str, blocked: bool) -> anyhow::Result<()> {
    let table = StateTable::new(&reached.session, &reached.environment.names());
    let now = clock::now();
    let after = table
        .change(&ItemKey::blocked_addresses(), |held: Option<&Blocked>| {
            let mut list = held.cloned().unwrap_or_default();
            let is_changed = if blocked {
                let is_new = !list.since.contains_key(address);
                let fits = list.since.len() < Blocked::MOST;
                is_new && fits && list.since.insert(address.to_owned(), now).is_none()
            } else {
                list.since.remove(address).is_some()
            };
            is_changed.then_some(list)
        })
        .await?;
    let is_listed = after.is_some_and(|list| list.since.contains_key(address));
    if blocked && !is_listed {
        let message = format!(
            "{} addresses are blocked, and no more can be",
            Blocked::MOST
        );
        return Err(Stop::failed(message)
            .hint("unblock some, or keep such traffic away with AWS WAF")
            .into());
    }
    Ok(())
}

/// The source of calls.
enum Whom {
    /// An address.
    Address(String),
    /// A user.
    User(String),
}

impl Whom {
    fn read(given: &str) -> Result<Self, Stop> {
        if given.contains('@') {
            let email = domain::key::normal_email(given);
            return email
                .map(Self::User)
                .map_err(|error| Stop::usage(error.to_string()));
        }
        let address = given.trim_end_matches("/64");
        match address.parse::<IpAddr>() {
            Ok(_) => Ok(Self::Address(network(address))),
            Err(_) => Err(Stop::usage(format!(
                "invalid address `{given}`: expected one such as `192.0.2.1` or `2001:db8::1`, or an email"
            ))),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Address(name) | Self::User(name) => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_its_network_and_all_else_an_email_or_an_error() {
        let name = |given| Whom::read(given).ok().map(|whom| whom.name().to_owned());
        assert_eq!(name("192.0.2.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(
            name("2001:db8:1:2::9").as_deref(),
            Some("2001:db8:1:2::/64")
        );
        assert_eq!(
            name("2001:db8:1:2::/64").as_deref(),
            Some("2001:db8:1:2::/64")
        );
        assert_eq!(name("Ann@Example.com").as_deref(), Some("ann@example.com"));
        for bad in ["", "192.0.2", "192.0.2.0/24", "ann", "a@b@c"] {
            assert_eq!(name(bad), None, "{bad}");
        }
    }
}
