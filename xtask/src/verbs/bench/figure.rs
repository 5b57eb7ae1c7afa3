//! A figure, held against its target and against a peer of the same run.

use serde::{Deserialize, Serialize};

/// One figure, and its references.
#[derive(Debug, Serialize)]
pub(super) struct Figure {
    pub(super) id: &'static str,
    pub(super) name: String,
    pub(super) value: f64,
    pub(super) unit: &'static str,
    pub(super) target: Option<String>,
    pub(super) met: Option<bool>,
    /// The peer measured beside it.
    pub(super) peer: Option<String>,
    /// The ratio of the value to the peer's.
    pub(super) ratio: Option<f64>,
}

impl Figure {
    pub(super) fn new(id: &'static str, name: &str, value: f64, unit: &'static str) -> Self {
        Self {
            id,
            name: name.to_owned(),
            value,
            unit,
            target: None,
            met: None,
            peer: None,
            ratio: None,
        }
    }

    pub(super) fn at_most(mut self, most: f64) -> Self {
        self.target = Some(format!("≤ {most:.1}"));
        self.met = Some(self.value <= most);
        self
    }

    pub(super) fn at_least(mut self, least: f64) -> Self {
        self.target = Some(format!("≥ {least:.0}"));
        self.met = Some(self.value >= least);
        self
    }

    pub(super) fn beside(mut self, peer: &str, value: f64) -> Self {
        self.peer = Some(format!("{peer}: {value:.1} {}", self.unit));
        self.ratio = Some((100.0 * self.value / value).round() / 100.0);
        self
    }
}

/// Nanoseconds.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Spread {
    pub(super) p50: u32,
    pub(super) p99: u32,
}

pub(super) fn micros(nanos: u32) -> f64 {
    f64::from(nanos / 100) / 10.0
}

pub(super) fn millis(nanos: u32) -> f64 {
    f64::from(nanos / 10_000) / 100.0
}
