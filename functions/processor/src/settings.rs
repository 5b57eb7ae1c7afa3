//! The processor's settings.

use domain::names::env;
use runtime::settings::Days;

runtime::settings! {
    /// The processor's variables.
    pub struct Settings {
        /// Value of the metrics' dimension.
        pub environment: String = env::ENVIRONMENT,
        /// Namespace of the metrics.
        pub metrics_namespace: String = env::METRICS_NAMESPACE,
        /// The table of the journal.
        pub analytics_table: String = env::ANALYTICS_TABLE,
        /// How long the journal is kept.
        pub raw_retention: Days = env::RAW_RETENTION_DAYS,
    }
}
