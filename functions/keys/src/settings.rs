//! The settings of the function.

use domain::names::env;
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
    }
}
