//! The settings of the analytics API.

use domain::dimension::Sources;
use domain::names::env;
use domain::plan::Plans;
use domain::sign_in::SignIn;
use runtime::settings::Days;

runtime::settings! {
    /// The analytics API's variables.
    pub struct Settings {
        /// Users' hours, days and months, and the marks.
        pub usage_table: String = env::API_USAGE_TABLE,
        /// The journal and the counts of all users.
        pub analytics_table: String = env::ANALYTICS_TABLE,
        /// The plans.
        pub plans: Plans = env::PLANS,
        /// The dimensions by which series are grouped.
        pub dimensions: Sources = env::DIMENSIONS,
        /// The usage page's OIDC client.
        pub sign_in: Option<SignIn> = env::AUTH_SIGN_IN,
        /// How long the minutes of all users are kept.
        pub minute_retention: Days = env::MINUTE_RETENTION_DAYS,
        /// How long hours are kept.
        pub hour_retention: Days = env::HOUR_RETENTION_DAYS,
    }
}
