//! The settings of a function that verifies bearer tokens.

use domain::names::{EmailIsVerified, env};

use crate::Verifier;
use crate::keyset::{KeySet, KeySetError};

runtime::settings! {
    /// The variables that name the issuer, and the keys with which it signs.
    pub struct Settings {
        /// Issuer of bearer tokens.
        pub issuer: Option<String> = env::AUTH_ISSUER,
        /// Audience of bearer tokens.
        pub audience: Option<String> = env::AUTH_AUDIENCE,
        /// When a token's email identifies its bearer.
        pub email_is_verified: EmailIsVerified = env::AUTH_EMAIL_IS_VERIFIED,
        /// Keys that verify bearer tokens, in addition to those at the URL.
        pub jwks: Option<String> = env::AUTH_JWKS,
        /// URL of a key set to fetch.
        pub jwks_url: Option<String> = env::AUTH_JWKS_URL,
    }
}

impl Settings {
    /// A verifier with the keys of the set, those at the URL, or both. Without an issuer and an
    /// audience it accepts no token.
    ///
    /// # Errors
    ///
    /// If the set is not a key set, or the URL is not valid.
    pub fn verifier(self) -> Result<Verifier, KeySetError> {
        let keys = if self.issuer.is_some() && self.audience.is_some() {
            KeySet::new(self.jwks.as_deref(), self.jwks_url.as_deref())?
        } else {
            tracing::warn!("no issuer or audience is configured: every bearer token is refused");
            KeySet::new(None, None)?
        };
        Ok(Verifier {
            issuer: self.issuer.unwrap_or_default(),
            audience: self.audience.unwrap_or_default(),
            email_is_verified: self.email_is_verified,
            keys,
        })
    }
}
