//! The arguments of `keys`.

use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::consent::Consent;
use crate::duration::{When, duration, when};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) action: KeyAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyAction {
    /// Create a key; its secret is shown once
    Create {
        /// The user
        #[arg(long, value_name = "EMAIL")]
        email: String,
        /// A plan of the environment
        #[arg(long)]
        plan: String,
        /// When the key stops working: `30d`, or a time
        #[arg(long, value_name = "WHEN", value_parser = when)]
        expires: Option<When>,
        #[command(flatten)]
        consent: Consent,
    },
    /// List all keys
    List,
    /// Replace a key by a new one; the old one works until its grace period ends
    Rotate {
        /// The key's id
        id: String,
        /// How long the old key keeps working, at most until it would expire
        #[arg(long, value_name = "TIME", value_parser = duration, default_value = "24h")]
        grace: Duration,
        #[command(flatten)]
        consent: Consent,
    },
    /// Change a key's plan, or give it its own rate limit within its user's
    Set {
        /// The key's id
        id: String,
        #[command(flatten)]
        change: KeyChange,
        #[command(flatten)]
        consent: Consent,
    },
    /// Accept keys that another system created
    ///
    /// `--from-api-gateway` needs `apigateway:GET` on `/apikeys` and `/usageplans/*/keys`. It imports no key
    /// twice, so it can be run again.
    Import {
        /// SHA-256 of the whole key, 64 hex digits
        #[arg(
            long,
            value_name = "HEX",
            requires = "email",
            required_unless_present = "from_api_gateway"
        )]
        hash: Option<String>,
        /// The user
        #[arg(long, value_name = "EMAIL", requires = "hash")]
        email: Option<String>,
        /// Accept the API keys that API Gateway holds in this account and region
        #[arg(long, conflicts_with_all = ["hash", "email"])]
        from_api_gateway: bool,
        /// Of API Gateway's keys, only those of this usage plan
        #[arg(long, value_name = "ID", requires = "from_api_gateway")]
        usage_plan: Option<String>,
        /// Where API Gateway's keys name their user: `name`, `description`, `customerId` or `tag:KEY`
        #[arg(
            long,
            value_name = "WHERE",
            requires = "from_api_gateway",
            default_value = "name"
        )]
        email_from: EmailSource,
        /// A plan of the environment
        #[arg(long)]
        plan: String,
        /// When the keys stop working: `30d`, or a time
        #[arg(long, value_name = "WHEN", value_parser = when)]
        expires: Option<When>,
        #[command(flatten)]
        consent: Consent,
    },
    /// Revoke a key
    Revoke {
        /// The key's id
        id: String,
        #[command(flatten)]
        consent: Consent,
    },
}

/// Where a key of API Gateway names its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EmailSource {
    Name,
    Description,
    CustomerId,
    Tag(String),
}

impl FromStr for EmailSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "name" => Ok(Self::Name),
            "description" => Ok(Self::Description),
            "customerId" => Ok(Self::CustomerId),
            _ => match text.strip_prefix("tag:") {
                Some(key) if !key.is_empty() => Ok(Self::Tag(key.to_owned())),
                _ => Err("expected `name`, `description`, `customerId` or `tag:KEY`".to_owned()),
            },
        }
    }
}

/// The change that `keys set` makes.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct KeyChange {
    /// A plan of the environment
    #[arg(long)]
    pub(crate) plan: Option<String>,
    /// Calls per second with this key
    #[arg(long, value_name = "N", requires = "burst", conflicts_with = "no_rate", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) rate: Option<u32>,
    /// Burst with this key
    #[arg(long, value_name = "N", requires = "rate", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) burst: Option<u32>,
    /// Remove the key's own rate limit
    #[arg(long)]
    pub(crate) no_rate: bool,
}
