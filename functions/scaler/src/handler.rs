//! One run of the scaler.

use domain::names::kinesis_metric;
use domain::time::UnixMillis;
use runtime::metrics::Metric;

use crate::cloudwatch::{SeriesError, Watch};
use crate::decision::{Bounds, Decision, Refusal, decide};
use crate::kinesis::{Asked, Found, Scalable, StreamError};

/// Scales one stream.
#[derive(Debug, Clone)]
pub struct Scaler<S, W> {
    /// The stream.
    pub stream: S,
    /// The metrics of its last day.
    pub watch: W,
    /// The bounds of its shards.
    pub bounds: Bounds,
}

/// Why nothing was decided.
#[derive(Debug, thiserror::Error)]
pub enum ScaleError {
    /// Kinesis did not describe or change the stream.
    #[error("cannot scale the stream")]
    Stream(#[from] StreamError),
    /// CloudWatch did not return its load.
    #[error("cannot read the stream's load")]
    Series(#[from] SeriesError),
}

/// The result of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// The stream was being changed: nothing was decided.
    Changing,
    /// It had this many shards, and this is the decision.
    At(u32, Decision),
}

impl<S: Scalable, W: Watch> Scaler<S, W> {
    /// Reads the stream's metrics at `now`, decides, and changes the stream if necessary.
    pub async fn look(&self, now: UnixMillis) -> Result<Looked, ScaleError> {
        let current = match self.stream.find().await? {
            Found::Changing => return Ok(Looked::Changing),
            Found::Active(shards) => shards,
        };
        let series = self.watch.day(now).await?;
        let decision = decide(&series, now, current, self.bounds);
        let Decision::Change(target) = decision else {
            return Ok(Looked::At(current, decision));
        };
        Ok(match self.stream.scale(target).await? {
            Asked::Begun => Looked::At(current, decision),
            Asked::Changing => Looked::Changing,
            // Not being able to shrink does no harm.
            Asked::Limited if target < current => Looked::At(current, Decision::Stay),
            Asked::Limited => Looked::At(current, Decision::Refused(Refusal::Quota)),
        })
    }
}

impl Looked {
    /// The metrics of the run. The shards are also the memory of [`decide`]: a run emits them only
    /// while the stream is at rest, so that a change in steps counts as one.
    pub fn metrics(self) -> Vec<Metric> {
        match self {
            Self::Changing => Vec::new(),
            Self::At(shards, decision) => {
                let refused = matches!(decision, Decision::Refused(_));
                vec![
                    Metric::count(kinesis_metric::SHARDS, shards.into()),
                    Metric::count(kinesis_metric::SCALING_REFUSED, refused.into()),
                ]
            }
        }
    }
}

#[cfg(test)]
mod tests;
