//! The aggregator's settings.

use domain::names::env;
use domain::plan::Plans;
use domain::report::Units;
use runtime::settings::{Days, Seconds};

runtime::settings! {
    /// The aggregator's variables.
    pub struct Settings {
        /// Value of the metrics' dimension.
        pub environment: String = env::ENVIRONMENT,
        /// Namespace of the metrics.
        pub metrics_namespace: String = env::METRICS_NAMESPACE,
        /// Namespace of the metrics of each plan; none if nobody looks at them.
        pub plan_metrics_namespace: Option<String> = env::PLAN_METRICS_NAMESPACE,
        /// The table of the journal and of the totals over all users.
        pub analytics_table: String = env::ANALYTICS_TABLE,
        /// The table of users' hours, days, months and all time.
        pub usage_table: String = env::API_USAGE_TABLE,
        /// How long the journal is kept.
        pub raw_retention: Days = env::RAW_RETENTION_DAYS,
        /// How long minute aggregates are kept.
        pub minute_retention: Days = env::MINUTE_RETENTION_DAYS,
        /// How long hour aggregates are kept.
        pub hour_retention: Days = env::HOUR_RETENTION_DAYS,
        /// The plans that keys may name.
        pub plans: Plans = env::PLANS,
        /// URL of the queue that takes alerts.
        pub alert_queue: String = env::ALERT_QUEUE,
        /// The units of time that have scheduled reports.
        pub reports: Units = env::REPORTS,
        /// The bucket of scheduled reports; none if there are none.
        pub report_bucket: Option<String> = env::REPORT_BUCKET,
        /// How long after its minute a call that only the log knows counts as reconciled.
        pub reconcile_seconds: Seconds = env::RECONCILE_SECONDS,
    }
}
