//! Bearer tokens for tests, valid ones and forged ones.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use domain::names::EmailIsVerified;
use domain::time::UnixMillis;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::Verifier;
use crate::keyset::KeySet;

/// The issuer of the tokens.
pub const ISSUER: &str = "https://issuer.example";
/// Their audience.
pub const AUDIENCE: &str = "metering";

/// A key pair under an id.
#[derive(Debug)]
pub struct Signer {
    key: EncodingKey,
    algorithm: Algorithm,
    kid: String,
}

impl Signer {
    /// A key pair for ES256.
    pub fn es256(kid: &str) -> Self {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
        Self {
            key: EncodingKey::from_ec_der(pair.as_ref()),
            algorithm: Algorithm::ES256,
            kid: kid.to_owned(),
        }
    }

    /// A key pair for RS256.
    pub fn rs256(kid: &str) -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let base64 = BASE64_STANDARD.encode(pair.as_der().unwrap().as_ref());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{base64}\n-----END PRIVATE KEY-----\n");
        Self {
            key: EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(),
            algorithm: Algorithm::RS256,
            kid: kid.to_owned(),
        }
    }

    /// The public half.
    pub fn jwk(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.kid.clone());
        serde_json::to_value(jwk).unwrap()
    }

    /// The header of its tokens.
    pub fn header(&self) -> Header {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.kid.clone());
        header
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_under(&self.header(), claims)
    }

    /// A token with these claims, under another header.
    pub fn sign_under(&self, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &self.key).unwrap()
    }
}

/// The verifier that accepts the keys in `jwks`.
pub fn verifier(jwks: &[Value]) -> Verifier {
    let jwks = json!({ "keys": jwks }).to_string();
    Verifier {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        email_is_verified: EmailIsVerified::Claimed,
        keys: KeySet::new(Some(&jwks), None).unwrap(),
    }
}

/// The claims of an ordinary user, valid for an hour from `now`.
pub fn claims(email: &str, now: UnixMillis) -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "1", "email": email, "email_verified": true,
        "iat": now.seconds(), "exp": now.seconds() + 3_600,
    })
}

/// A token with any header and any signature.
pub fn forge(header: &Value, claims: &Value, signature: &[u8]) -> String {
    let part = |part: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(part);
    let (header, claims) = (header.to_string(), claims.to_string());
    format!(
        "{}.{}.{}",
        part(header.as_bytes()),
        part(claims.as_bytes()),
        part(signature)
    )
}
