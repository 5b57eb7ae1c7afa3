//! The settings of the function.

use domain::names::{EmailIsVerified, env};
use domain::plan::Plans;

runtime::settings! {
    /// The variables of `/v1/keys`.
    pub struct Settings {
        /// The table of keys.
        pub api_keys_table: String = env::API_KEYS_TABLE,
        /// The table with the audit log.
        pub usage_table: String = env::API_USAGE_TABLE,
        /// What new keys begin with.
        pub key_prefix: String = env::KEY_PREFIX,
        /// The plans.
        pub plans: Plans = env::PLANS,
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
