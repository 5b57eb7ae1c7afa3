//! The collector: takes what upstreams report of calls. It exists where the file declares meters.

use std::collections::BTreeMap;

use domain::meter::{Meters, PATH};
use domain::names::{Function as Of, env};

use super::authentication;
use super::gateway::{OwnApi, To};
use crate::SynthError;
use crate::constructs::{Function, Stack, Verb};
use crate::metering::context::StackContext;
use crate::metering::pipeline::{Size, variable};

/// Declares the function; `None` without meters.
pub(super) fn function(
    context: &StackContext<'_>,
    stack: &mut Stack,
) -> Result<Option<Function>, SynthError> {
    let given = &context.environment.meters;
    if given.is_empty() {
        return Ok(None);
    }
    let meters = given.iter().map(|(name, of)| (name.clone(), of.into()));
    let meters = variable("meters", &Meters(meters.collect()))?;
    let names = &context.names;
    let raw_days = context.environment.retention.raw_days.get();
    let mut variables = BTreeMap::from([
        (env::ANALYTICS_TABLE, names.analytics_table().into()),
        (env::RAW_RETENTION_DAYS, raw_days.to_string().into()),
        (env::METERS, meters.into()),
    ]);
    variables.extend(authentication(context));
    let collector = context.function(
        stack,
        "UsageCollector",
        Of::Collector,
        "Appends what upstreams report of calls",
        &Size {
            memory: 512,
            timeout: 25,
        },
        variables,
    )?;
    // It looks up old calls, appends entries, and reads no count.
    let journal = context.table(&names.analytics_table());
    journal.grant(&collector, ["dynamodb:PutItem", "dynamodb:Query"]);
    Ok(Some(collector))
}

/// Declares the route.
pub(super) fn route(stack: &mut Stack, api: &mut OwnApi, collector: &Function) {
    // The collector verifies bearer tokens itself.
    let route = (Verb::Post, PATH);
    api.function(stack, "UsageEvents", route, collector, To::Everyone);
}
