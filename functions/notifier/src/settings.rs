//! The notifier's settings.

use domain::names::env;
use domain::webhook::Endpoints;

runtime::settings! {
    /// The notifier's variables.
    pub struct Settings {
        /// Value of the metrics' dimension.
        pub environment: String = env::ENVIRONMENT,
        /// Namespace of the metrics.
        pub metrics_namespace: String = env::METRICS_NAMESPACE,
        /// `source` of the events.
        pub event_source: String = env::EVENT_SOURCE,
        /// The table of alerts and deliveries.
        pub usage_table: String = env::API_USAGE_TABLE,
        /// Address of the queue that deliveries wait in.
        pub alert_queue: String = env::ALERT_QUEUE,
        /// ARN of the topic that alerts are published to.
        pub alert_topic: String = env::ALERT_TOPIC,
        /// The part that the names of the endpoints' secrets start with.
        pub webhook_secrets: String = env::WEBHOOK_SECRETS,
        /// The endpoints to which alerts are posted.
        pub endpoints: Endpoints = env::WEBHOOKS,
    }
}
