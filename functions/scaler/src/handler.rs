//! One look at the stream.

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
    /// What is known of its last day.
    pub watch: W,
    /// How many shards it may have.
    pub bounds: Bounds,
}

/// Why nothing was decided.
#[derive(Debug, thiserror::Error)]
pub enum ScaleError {
    /// The stream cannot be described or changed.
    #[error("cannot scale the stream")]
    Stream(#[from] StreamError),
    /// Its load is not known.
    #[error("cannot read the stream's load")]
    Series(#[from] SeriesError),
}

/// What a look found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// The stream was being changed: nothing was decided.
    Changing,
    /// It had so many shards, and this was decided.
    At(u32, Decision),
}

impl<S: Scalable, W: Watch> Scaler<S, W> {
    /// Looks at the stream at `now`, and changes it where that is decided.
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
            // A stream that may not shrink loses nothing.
            Asked::Limited if target < current => Looked::At(current, Decision::Stay),
            Asked::Limited => Looked::At(current, Decision::Refused(Refusal::Quota)),
        })
    }
}

impl Looked {
    /// What the look is to CloudWatch. The shards are also the memory of [`decide`]: it is emitted
    /// only while none is being made, so that a change in steps is one change.
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
