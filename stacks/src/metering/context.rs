//! The context of the three stacks of one environment.

use std::ops::Deref;

use crate::FunctionAssets;
use crate::environment::Environment;
use crate::metering::pipeline::UsagePipeline;

/// An environment, and its pipeline. What the stacks share is the pipeline's.
pub(crate) struct StackContext<'a> {
    pub(crate) environment: &'a Environment,
    pipeline: UsagePipeline,
}

impl<'a> StackContext<'a> {
    pub(crate) fn new(environment: &'a Environment, assets: &FunctionAssets) -> Self {
        Self {
            environment,
            pipeline: UsagePipeline::new(environment.into(), assets.clone()),
        }
    }
}

impl Deref for StackContext<'_> {
    type Target = UsagePipeline;

    fn deref(&self) -> &UsagePipeline {
        &self.pipeline
    }
}
