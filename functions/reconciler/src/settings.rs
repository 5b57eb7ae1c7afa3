//! What the reconciler is told.

use domain::names::{TrackingMode, env};
use runtime::settings::Days;

runtime::settings! {
    /// The reconciler's variables.
    pub struct Settings {
        /// Value of the metrics' dimension.
        pub environment: String = env::ENVIRONMENT,
        /// Namespace of the metrics.
        pub metrics_namespace: String = env::METRICS_NAMESPACE,
        /// `source` of the events.
        pub event_source: String = env::EVENT_SOURCE,
        /// How the authorizer reports now; lines say how it did when they were written.
        pub tracking_mode: TrackingMode = env::TRACKING_MODE,
        /// Where events of the stream are counted.
        pub analytics_table: String = env::ANALYTICS_TABLE,
        /// Where synchronous ones are, and months and all time.
        pub api_usage_table: String = env::API_USAGE_TABLE,
        /// Where lines wait for the stream.
        pub reconcile_queue: String = env::RECONCILE_QUEUE,
        /// How long raw events are kept.
        pub raw_retention: Days = env::RAW_RETENTION_DAYS,
    }
}
