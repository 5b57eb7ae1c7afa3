//! Bearer tokens of the local environment, signed with its own key pair.

use anyhow::{Context as _, anyhow};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use stacks::environment::Key;

/// The claims of a token.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) aud: String,
    pub(crate) sub: String,
    pub(crate) email: String,
    pub(crate) email_verified: bool,
    pub(crate) scope: String,
    pub(crate) iat: i64,
    pub(crate) exp: i64,
}

/// An ES256 key pair.
pub(crate) struct SigningKey {
    pkcs8: Vec<u8>,
    point: Vec<u8>,
}

impl SigningKey {
    /// A new key pair, in the form that [`parse`](Self::parse) reads.
    pub(crate) fn generate() -> anyhow::Result<String> {
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                .map_err(|_| anyhow!("no key pair could be made"))?;
        Ok(BASE64_STANDARD.encode(document.as_ref()))
    }

    /// The key pair in `text`.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let pkcs8 = BASE64_STANDARD
            .decode(text)
            .context("the signing key of the local environment is not base64")?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8)
            .map_err(|error| anyhow!("the signing key of the local environment: {error}"))?;
        let point = pair.public_key().as_ref().to_vec();
        Ok(Self { pkcs8, point })
    }

    /// The public half, as a JSON Web Key (RFC 7517, RFC 7518 section 6.2).
    pub(crate) fn jwk(&self) -> Key {
        // An uncompressed point is `04`, then both coordinates of 32 bytes (SEC 1, 2.3.3).
        let coordinate = |from: usize| {
            let bytes = self.point.get(from..from + 32).unwrap_or_default();
            BASE64_URL_SAFE_NO_PAD.encode(bytes)
        };
        let members = [
            ("kty", "EC".to_owned()),
            ("crv", "P-256".to_owned()),
            ("alg", "ES256".to_owned()),
            ("use", "sig".to_owned()),
            ("kid", self.id()),
            ("x", coordinate(1)),
            ("y", coordinate(33)),
        ];
        let members = members.into_iter();
        members
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect()
    }

    fn id(&self) -> String {
        let hash = domain::key::hash(&BASE64_STANDARD.encode(&self.point));
        hash.chars().take(16).collect()
    }

    /// A token with `claims`.
    pub(crate) fn sign(&self, claims: &Claims) -> anyhow::Result<String> {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.id());
        let key = EncodingKey::from_ec_der(&self.pkcs8);
        jsonwebtoken::encode(&header, claims, &key).context("signing the token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::names::ADMIN_SCOPE;

    #[test]
    fn a_token_is_verified_by_the_published_key_set_and_no_other() {
        let text = SigningKey::generate().unwrap();
        let key = SigningKey::parse(&text).unwrap();
        let claims = Claims {
            iss: "issuer".into(),
            aud: "audience".into(),
            sub: "ann@example.com".into(),
            email: "ann@example.com".into(),
            email_verified: true,
            scope: ADMIN_SCOPE.into(),
            iat: 0,
            exp: 9_999_999_999,
        };
        let token = key.sign(&claims).unwrap();
        let verify = |jwk: Key| {
            let jwk = serde_json::to_value(jwk).unwrap();
            let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(jwk).unwrap();
            let decoding = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
            let mut rules = jsonwebtoken::Validation::new(Algorithm::ES256);
            rules.set_audience(&["audience"]);
            jsonwebtoken::decode::<serde_json::Value>(&token, &decoding, &rules)
        };
        let read = verify(key.jwk()).unwrap().claims;
        assert_eq!(read["email"], "ann@example.com");
        let other = SigningKey::parse(&SigningKey::generate().unwrap()).unwrap();
        assert!(verify(other.jwk()).is_err());
    }
}
