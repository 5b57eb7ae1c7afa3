//! The collector's settings.

use domain::meter::Meters;
use domain::names::{EmailIsVerified, env};
use runtime::settings::Days;

runtime::settings! {
    /// The collector's variables.
    pub struct Settings {
        /// The journal.
        pub analytics_table: String = env::ANALYTICS_TABLE,
        /// How long the journal is kept.
        pub raw_retention: Days = env::RAW_RETENTION_DAYS,
        /// The meters.
        pub meters: Meters = env::METERS,
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
