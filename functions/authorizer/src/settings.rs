//! The authorizer's settings.

use domain::dimension::Sources;
use domain::names::{TrackingMode, env};
use domain::plan::Plans;
use domain::route::{AttachedRoutes, Routes};
use runtime::settings::{Days, Words};

runtime::settings! {
    /// The authorizer's variables.
    pub struct Settings {
        /// Value of the metrics' dimension.
        pub environment: String = env::ENVIRONMENT,
        /// `source` of the events.
        pub event_source: String = env::EVENT_SOURCE,
        /// Prefix of the keys of this deployment.
        pub key_prefix: String = env::KEY_PREFIX,
        /// How decisions are reported.
        pub tracking_mode: TrackingMode = env::TRACKING_MODE,
        /// The stream that events go to.
        pub usage_stream: String = env::USAGE_STREAM,
        /// The table of keys.
        pub api_keys_table: String = env::API_KEYS_TABLE,
        /// The table of the counters of limits, and of the units that folds have counted.
        pub usage_table: String = env::API_USAGE_TABLE,
        /// The table of the journal.
        pub analytics_table: String = env::ANALYTICS_TABLE,
        /// How long the journal is kept.
        pub raw_retention: Days = env::RAW_RETENTION_DAYS,
        /// Namespace of the metrics.
        pub metrics_namespace: String = env::METRICS_NAMESPACE,
        /// The plans that keys may name.
        pub plans: Plans = env::PLANS,
        /// The templates under which calls are counted.
        pub routes: Routes = env::ROUTES,
        /// Those of attached APIs that have their own.
        pub attached: AttachedRoutes = env::ATTACHED_ROUTES,
        /// The dimensions that calls carry.
        pub dimensions: Sources = env::DIMENSIONS,
        /// Headers that a call must not carry.
        pub reserved_headers: Words = env::RESERVED_HEADERS,
    }
}
