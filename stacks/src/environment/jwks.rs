//! A key set in the environment file. A set that could not verify any token is refused.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A JSON Web Key Set (RFC 7517).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Jwks {
    /// The public keys, each with `kty`, `kid`, `alg` and the members of its type: RSA for RS256,
    /// EC with P-256 for ES256. `kid` may be absent if no other key has the type.
    #[serde(deserialize_with = "keys")]
    #[schemars(length(min = 1))]
    pub keys: Vec<Key>,
}

/// One key, in the standard's form.
pub type Key = BTreeMap<String, Value>;

/// Members of a private or a shared key (RFC 7518, sections 6.2.2, 6.3.2 and 6.4.1).
const SECRET: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

fn keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Key>, D::Error> {
    let keys = Vec::<Key>::deserialize(deserializer)?;
    check(&keys).map_err(D::Error::custom)?;
    Ok(keys)
}

fn check(keys: &[Key]) -> Result<(), String> {
    if keys.is_empty() {
        return Err("there are no keys, so no token could be verified".to_owned());
    }
    let mut named = BTreeSet::new();
    for (index, key) in keys.iter().enumerate() {
        let place = |message: String| format!("key {}: {message}", index + 1);
        let of_type = type_of(key).map_err(place)?;
        let Some(kid) = key.get("kid") else {
            let alike = keys
                .iter()
                .filter(|other| other.get("kty") == key.get("kty"));
            if alike.count() > 1 {
                return Err(place(format!(
                    "`kid` is missing, and another key is `{of_type}` too; a token names its key by \
                     `kid`"
                )));
            }
            continue;
        };
        let kid = kid.as_str().filter(|kid| !kid.is_empty());
        let kid = kid.ok_or_else(|| place("`kid` is not a string".to_owned()))?;
        if !named.insert((of_type, kid)) {
            return Err(place(format!(
                "another `{of_type}` key has the `kid` `{kid}` too"
            )));
        }
    }
    Ok(())
}

/// The type of a key that can verify a token.
fn type_of(key: &Key) -> Result<&'static str, String> {
    if let Some(secret) = SECRET.iter().find(|member| key.contains_key(**member)) {
        return Err(format!(
            "`{secret}` belongs to a private or shared key, which templates would show; give the \
             public half, and replace that key"
        ));
    }
    let text = |member: &str| key.get(member).and_then(Value::as_str);
    let (of_type, algorithm, parts) = match text("kty") {
        Some("RSA") => ("RSA", "RS256", ["n", "e"]),
        Some("EC") if text("crv") == Some("P-256") => ("EC", "ES256", ["x", "y"]),
        Some("EC") => {
            return Err("`crv` must be `P-256`: tokens are signed with RS256 or ES256".to_owned());
        }
        _ => {
            return Err(
                "`kty` must be `RSA` or `EC`: tokens are signed with RS256 or ES256".to_owned(),
            );
        }
    };
    for part in parts {
        if !text(part).is_some_and(is_base64url) {
            return Err(format!("`{part}` is missing or not base64url"));
        }
    }
    for (member, allowed) in [("alg", algorithm), ("use", "sig")] {
        if key
            .get(member)
            .is_some_and(|value| value.as_str() != Some(allowed))
        {
            return Err(format!(
                "`{member}` must be `{allowed}` for a key of type `{of_type}`"
            ));
        }
    }
    Ok(of_type)
}

fn is_base64url(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}
