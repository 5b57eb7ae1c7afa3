//! The reconciler's settings.

use domain::names::env;
use runtime::settings::{Days, Seconds};

runtime::settings! {
    /// The reconciler's variables.
    pub struct Settings {
        /// Value of the metrics' dimension.
        pub environment: String = env::ENVIRONMENT,
        /// Namespace of the metrics.
        pub metrics_namespace: String = env::METRICS_NAMESPACE,
        /// `source` of the events.
        pub event_source: String = env::EVENT_SOURCE,
        /// The table of the journal.
        pub analytics_table: String = env::ANALYTICS_TABLE,
        /// How long the journal is kept.
        pub raw_retention: Days = env::RAW_RETENTION_DAYS,
        /// The URL of the queue that collects lines.
        pub reconcile_queue: String = env::RECONCILE_QUEUE,
        /// The window in which lines are collected.
        pub reconcile_window: Seconds = env::RECONCILE_WINDOW_SECONDS,
    }
}
