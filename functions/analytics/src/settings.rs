//! What the analytics API is told.

use domain::names::env;
use domain::plan::Plans;
use runtime::settings::Days;

runtime::settings! {
    /// The analytics API's variables.
    pub struct Settings {
        /// Where months and all-time counts are; in synchronous mode days and leaves too.
        pub usage_table: String = env::API_USAGE_TABLE,
        /// Where leaves, days and the counts of everybody are.
        pub analytics_table: String = env::ANALYTICS_TABLE,
        /// What users may use.
        pub plans: Plans = env::PLANS,
        /// Issuer of bearer tokens.
        pub issuer: Option<String> = env::AUTH_ISSUER,
        /// Audience of bearer tokens.
        pub audience: Option<String> = env::AUTH_AUDIENCE,
        /// The key set.
        pub jwks: Option<String> = env::AUTH_JWKS,
        /// Where the key set is.
        pub jwks_url: Option<String> = env::AUTH_JWKS_URL,
        /// How long minute aggregates are kept.
        pub minute_retention: Days = env::MINUTE_RETENTION_DAYS,
        /// How long hour aggregates are kept.
        pub hour_retention: Days = env::HOUR_RETENTION_DAYS,
    }
}
