//! The collector's settings.

use domain::meter::Meters;
use domain::names::env;
use runtime::settings::Days;

runtime::settings! {
    /// The collector's variables.
    pub struct Settings {
        /// The journal.
        pub analytics_table: String = env::ANALYTICS_TABLE,
        /// How long the journal is kept.
        pub raw_retention: Days = env::RAW_RETENTION_DAYS,
        /// The meters.
        pub meters: Meters = env::METERS,
    }
}
