//! The scaler's settings.

use domain::names::env;
use runtime::settings::Setting;

/// A number of shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shards(pub u32);

impl Setting for Shards {
    const ALLOWED: &'static str = "a whole number of shards from 1 to 500";

    fn parse(text: &str) -> Option<Self> {
        let shards = text.parse().ok()?;
        (1..=500).contains(&shards).then_some(Self(shards))
    }
}

runtime::settings! {
    /// The scaler's variables.
    pub struct Settings {
        /// Value of the metrics' dimension.
        pub environment: String = env::ENVIRONMENT,
        /// Namespace of the metrics.
        pub metrics_namespace: String = env::METRICS_NAMESPACE,
        /// The stream.
        pub stream: String = env::USAGE_STREAM,
        /// The fewest shards.
        pub least: Shards = env::LEAST_SHARDS,
        /// The most shards.
        pub most: Shards = env::MOST_SHARDS,
    }
}
