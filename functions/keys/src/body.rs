//! Bodies of requests and responses.

use std::time::Duration;

use domain::duration::{duration, when};
use domain::limit::Rate;
use domain::time::UnixMillis;
use keyring::{Import, ListedKey, Order, RateSetting, Setting, Whom};
use runtime::request::Request;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::error::RequestError;

/// The media type of a request's body.
pub const MEDIA_TYPE: &str = "application/json";
/// The most bytes of a request's body.
pub const MOST_BYTES: usize = 10_000;
/// The greatest rate and burst of a key, as over the command line.
const MOST_RATE: u32 = 100_000;
const MOST_BURST: u32 = 1_000_000;
/// How long a replaced key keeps working, as over the command line.
const GRACE: Duration = Duration::from_hours(24);

/// The key to create.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Creation {
    email: Option<String>,
    plan: Option<String>,
    expires: Option<String>,
}

/// How to replace a key.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Rotation {
    grace: Option<String>,
}

/// What to change of a key. A member that is absent stays as it is.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Change {
    plan: Option<String>,
    rate: Given,
}

/// A rate that may be absent or `null`, which leaves the key only its user's.
#[derive(Debug, Default)]
enum Given {
    #[default]
    Absent,
    Null,
    Rate(OwnRate),
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = Option::<OwnRate>::deserialize(deserializer)?;
        Ok(given.map_or(Self::Null, Self::Rate))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct OwnRate {
    rate_per_second: u32,
    burst: u32,
}

/// The key to import.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Importing {
    hash: String,
    email: String,
    plan: String,
    expires: Option<String>,
}

/// Whom to block.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Blocking {
    whom: String,
}

/// A page of keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The keys.
    pub keys: Vec<ListedKey>,
    /// The cursor of the next page.
    pub next: Option<String>,
    /// The plans on which the caller may create a key.
    pub plans: Vec<String>,
}

/// Reads the order of a key.
pub(crate) fn order(request: &Request, now: UnixMillis) -> Result<Order, RequestError> {
    let given: Creation = read(request)?;
    let expires = given.expires.as_deref().map(when).transpose();
    let expires = expires.map_err(|message| RequestError::parameter("expires", message))?;
    Ok(Order {
        email: given.email,
        plan: given.plan,
        expires: expires.map(|when| when.from(now)),
    })
}

/// Reads the grace period of a rotation.
pub(crate) fn grace(request: &Request) -> Result<Duration, RequestError> {
    let given: Rotation = read(request)?;
    let grace = given.grace.as_deref().map(duration).transpose();
    let grace = grace.map_err(|message| RequestError::parameter("grace", message))?;
    Ok(grace.unwrap_or(GRACE))
}

/// Reads what to change of a key.
pub(crate) fn setting(request: &Request) -> Result<Setting, RequestError> {
    let given: Change = read(request)?;
    Ok(Setting {
        plan: given.plan,
        rate: match &given.rate {
            Given::Absent => RateSetting::Unchanged,
            Given::Null => RateSetting::None,
            Given::Rate(rate) => RateSetting::To(own_rate(rate)?),
        },
    })
}

/// A rate within the bounds that the command line has.
fn own_rate(given: &OwnRate) -> Result<Rate, RequestError> {
    for (name, number, most) in [
        ("ratePerSecond", given.rate_per_second, MOST_RATE),
        ("burst", given.burst, MOST_BURST),
    ] {
        if !(1..=most).contains(&number) {
            let message = format!("expected a whole number from 1 to {most}, found `{number}`");
            return Err(RequestError::parameter(name, message));
        }
    }
    Ok(Rate {
        per_second: given.rate_per_second,
        burst: given.burst,
    })
}

/// Reads the key to import.
pub(crate) fn import(request: &Request, now: UnixMillis) -> Result<Import, RequestError> {
    let given: Importing = read(request)?;
    let expires = given.expires.as_deref().map(when).transpose();
    let expires = expires.map_err(|message| RequestError::parameter("expires", message))?;
    Ok(Import {
        hash: given.hash,
        email: given.email,
        plan: given.plan,
        expires: expires.map(|when| when.from(now)),
    })
}

/// Reads whom to block.
pub(crate) fn whom(request: &Request) -> Result<Whom, RequestError> {
    let given: Blocking = read(request)?;
    Ok(Whom::read(&given.whom)?)
}

/// Reads a body. Every member is optional, so there may be none.
fn read<T: DeserializeOwned + Default>(request: &Request) -> Result<T, RequestError> {
    let malformed = |problem: String| RequestError::Malformed(problem);
    let body = request
        .body()
        .ok_or_else(|| malformed("the body is not Base64".to_owned()))?;
    if body.is_empty() {
        return Ok(T::default());
    }
    if body.len() > MOST_BYTES {
        return Err(RequestError::TooLarge { bytes: body.len() });
    }
    let given = request.header("content-type");
    let given = given.first().copied().unwrap_or_default();
    let media_type = given.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case(MEDIA_TYPE) {
        let found = given.to_owned();
        return Err(RequestError::MediaType { found });
    }
    // Read as an object first: a struct would also be read from a list.
    let members: Result<Map<String, Value>, _> = serde_json::from_slice(&body);
    members
        .and_then(|members| serde_json::from_value(Value::Object(members)))
        .map_err(|error| malformed(format!("the body is not a valid request: {error}")))
}
