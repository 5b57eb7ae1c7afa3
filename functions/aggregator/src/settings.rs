//! What the aggregator is told.

use domain::names::env;
use runtime::settings::Days;

runtime::settings! {
    /// The aggregator's variables.
    pub struct Settings {
        /// Value of the metrics' dimension.
        pub environment: String = env::ENVIRONMENT,
        /// Namespace of the metrics.
        pub metrics_namespace: String = env::METRICS_NAMESPACE,
        /// Where leaves, days and the counts of everybody are.
        pub analytics_table: String = env::ANALYTICS_TABLE,
        /// Where months and all-time counts are.
        pub usage_table: String = env::API_USAGE_TABLE,
        /// How long minute aggregates are kept.
        pub minute_retention: Days = env::MINUTE_RETENTION_DAYS,
        /// How long hour aggregates are kept.
        pub hour_retention: Days = env::HOUR_RETENTION_DAYS,
    }
}
