//! What the stack tells the authorizer.

use domain::names::{TrackingMode, env};
use domain::plan::Plans;
use runtime::settings::Days;

runtime::settings! {
    /// The authorizer's settings.
    pub struct Settings {
        /// The environment's name.
        pub environment: String = env::ENVIRONMENT,
        /// `source` of the events.
        pub event_source: String = env::EVENT_SOURCE,
        /// How decisions are reported.
        pub tracking_mode: TrackingMode = env::TRACKING_MODE,
        /// The stream that events go to.
        pub usage_stream: String = env::USAGE_STREAM,
        /// The table of keys.
        pub api_keys_table: String = env::API_KEYS_TABLE,
        /// The table of months and all time, and of everything in synchronous mode.
        pub api_usage_table: String = env::API_USAGE_TABLE,
        /// The table of the events that the stream did not take.
        pub analytics_table: String = env::ANALYTICS_TABLE,
        /// How long raw events are kept there.
        pub raw_retention: Days = env::RAW_RETENTION_DAYS,
        /// Namespace of the metrics.
        pub metrics_namespace: String = env::METRICS_NAMESPACE,
        /// The plans that keys may name.
        pub plans: Plans = env::PLANS,
    }
}
