//! Authentication: bearer tokens (RFC 6750) that are JSON Web Tokens (RFC 7519).
//!
//! RS256 and ES256 only, with a key of the configured set.

use domain::key;
use domain::names::{ADMIN_SCOPE, EmailIsVerified, WRITE_SCOPE};
use domain::time::UnixMillis;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Number, Value};

use crate::keyset::{KeySet, KeySetError};

/// How far an issuer's clock may be ahead, in seconds. An expired token gets no such tolerance.
const ISSUER_AHEAD: i64 = 60;

/// An authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The user; `None` if the token names no email that can own a key.
    pub email: Option<String>,
    /// The claim `sub`: who the caller is to the issuer, if it is a short printable text.
    pub subject: Option<String>,
    /// Whether the caller may see all users' data.
    pub admin: bool,
    /// Whether the caller may report amounts of calls.
    pub writes: bool,
}

/// A request without valid authentication.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// There is no bearer token.
    #[error("a bearer token is needed: `Authorization: Bearer …`")]
    Missing,
    /// There is a token, but it is not accepted.
    #[error("the bearer token {0}")]
    Refused(&'static str),
    /// It is impossible to decide now whether to accept the token.
    #[error("the keys of bearer tokens are unavailable")]
    Keys(#[from] KeySetError),
}

impl AuthError {
    /// The header of the response that refuses the request (RFC 6750, section 3).
    pub fn header(&self) -> (&'static str, String) {
        match self {
            Self::Missing => ("www-authenticate", "Bearer".to_owned()),
            Self::Refused(_) => {
                let challenge =
                    format!(r#"Bearer error="invalid_token", error_description="{self}""#);
                ("www-authenticate", challenge)
            }
            Self::Keys(_) => ("retry-after", "1".to_owned()),
        }
    }
}

/// Accepts tokens of one issuer for one audience.
#[derive(Debug)]
pub struct Verifier {
    /// Issuer that a token must name.
    pub issuer: String,
    /// Audience that a token must name.
    pub audience: String,
    /// When a token's email identifies its bearer.
    pub email_is_verified: EmailIsVerified,
    /// Keys whose signatures are accepted.
    pub keys: KeySet,
}

impl Verifier {
    /// Authenticates the caller by the values of the `Authorization` header.
    pub async fn caller(
        &self,
        authorization: &[&str],
        now: UnixMillis,
    ) -> Result<Caller, AuthError> {
        let token = bearer(authorization)?;
        let header = decode_header(token).map_err(|_| AuthError::Refused("is malformed"))?;
        if !matches!(header.alg, Algorithm::RS256 | Algorithm::ES256) {
            return Err(AuthError::Refused("is not signed with RS256 or ES256"));
        }
        if header.crit.is_some() {
            return Err(AuthError::Refused("demands extensions that are not known"));
        }
        let kid = header.kid.as_deref();
        let key = self.keys.find(kid, header.alg, now).await?;
        let key = key.ok_or(AuthError::Refused(match kid {
            Some(_) => "is signed with an unknown key",
            None => "names no key, and not exactly one fits",
        }))?;
        let claims = self.check(token, header.alg, &key)?;
        claims.check_time(now)?;
        Ok(claims.caller(self.email_is_verified))
    }

    /// Checks everything except times: those are compared with the clock by the caller of this
    /// method.
    fn check(&self, token: &str, algorithm: Algorithm, key: &Jwk) -> Result<Claims, AuthError> {
        let mut rules = Validation::new(algorithm);
        rules.set_issuer(&[&self.issuer]);
        rules.set_audience(&[&self.audience]);
        rules.set_required_spec_claims(&["exp", "iss", "aud"]);
        rules.validate_exp = false;
        rules.validate_nbf = false;
        let key = DecodingKey::from_jwk(key);
        let data = key.and_then(|key| decode::<Claims>(token, &key, &rules));
        data.map(|data| data.claims).map_err(|error| {
            use jsonwebtoken::errors::ErrorKind;
            AuthError::Refused(match error.kind() {
                ErrorKind::InvalidIssuer => "is of another issuer",
                ErrorKind::InvalidAudience => "is for another audience",
                ErrorKind::MissingRequiredClaim(_) => "lacks a usable `exp`, `iss` or `aud`",
                ErrorKind::InvalidSignature => "is not signed with the key it names",
                _ => "is malformed",
            })
        })
    }
}

fn bearer<'a>(authorization: &[&'a str]) -> Result<&'a str, AuthError> {
    let [value] = authorization else {
        return Err(AuthError::Missing);
    };
    let (scheme, token) = value.trim().split_once(' ').ok_or(AuthError::Missing)?;
    if scheme.eq_ignore_ascii_case("Bearer") {
        Ok(token.trim())
    } else {
        Err(AuthError::Missing)
    }
}

#[derive(Debug, Deserialize)]
struct Claims {
    exp: Option<Number>,
    nbf: Option<Number>,
    sub: Option<Value>,
    email: Option<String>,
    email_verified: Option<Value>,
    scope: Option<Scopes>,
    scp: Option<Scopes>,
}

/// Scopes as one text (RFC 8693) or as a list, as some issuers write them.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Scopes {
    Text(String),
    List(Vec<String>),
}

impl Scopes {
    fn hold(&self, wanted: &str) -> bool {
        match self {
            Self::Text(text) => text.split_ascii_whitespace().any(|scope| scope == wanted),
            Self::List(list) => list.iter().any(|scope| scope == wanted),
        }
    }
}

impl Claims {
    fn check_time(&self, now: UnixMillis) -> Result<(), AuthError> {
        let malformed = AuthError::Refused("has a malformed time");
        let Some(expiry) = self.exp.as_ref().and_then(seconds) else {
            return Err(malformed);
        };
        if expiry <= now.seconds() {
            return Err(AuthError::Refused("is expired"));
        }
        match self.nbf.as_ref().map(seconds) {
            Some(None) => Err(malformed),
            Some(Some(start)) if start > now.seconds().saturating_add(ISSUER_AHEAD) => {
                Err(AuthError::Refused("is not valid yet"))
            }
            _ => Ok(()),
        }
    }

    fn caller(self, email_is_verified: EmailIsVerified) -> Caller {
        let holds = |wanted| {
            let scopes = [&self.scope, &self.scp];
            scopes
                .into_iter()
                .flatten()
                .any(|scopes| scopes.hold(wanted))
        };
        let (admin, writes) = (holds(ADMIN_SCOPE), holds(WRITE_SCOPE));
        let verified = match &self.email_verified {
            None | Some(Value::Null) => email_is_verified == EmailIsVerified::Always,
            Some(claim) => *claim == Value::Bool(true) || claim.as_str() == Some("true"),
        };
        let email = self.email.filter(|_| verified);
        Caller {
            email: email.and_then(|email| key::normal_email(&email).ok()),
            subject: self.sub.as_ref().and_then(subject),
            admin,
            writes,
        }
    }
}

fn subject(sub: &Value) -> Option<String> {
    const LONGEST: usize = 255;
    let text = sub.as_str()?;
    let is_sound = text.len() <= LONGEST && text.bytes().all(|byte| byte.is_ascii_graphic());
    (is_sound && !text.is_empty()).then(|| text.to_owned())
}

/// Whole seconds of a `NumericDate`, which may have a fraction.
fn seconds(date: &Number) -> Option<i64> {
    let text = date.to_string();
    text.split('.').next()?.parse().ok()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
