//! Scheduled reports, a part of `CompliCal-Data-{env}`: the aggregator makes them, because it alone reads
//! the users of sealed days already. No function that answers callers may write them.

use domain::report::Which;

use crate::SynthError;
use crate::constructs::{Bucket, BucketSettings, DailySchedule, Function, Stack};
use crate::environment::Reports;
use crate::metering::pipeline::{UsagePipeline, variable};

/// When the schedule asks for reports. Days are sealed from midnight on, in UTC.
const AT: (u8, u8) = (3, 30);

/// Declares the bucket of reports, if there are any.
pub(crate) fn bucket(context: &UsagePipeline, stack: &mut Stack) -> Option<Bucket> {
    let reports = context.settings.reports.as_ref()?;
    let name = context
        .names
        .report_bucket("${AWS::AccountId}", "${AWS::Region}");
    let settings = BucketSettings {
        name: &name,
        days: reports.retention_days.get(),
        encryption: context.encryption(),
        tls_only: context.settings.tls_only,
    };
    Some(Bucket::new(stack, "ReportBucket", &settings))
}

/// The units of time of the reports in the form that the aggregator reads.
pub(crate) fn units(reports: Option<&Reports>) -> Result<String, SynthError> {
    let units = reports.map(|reports| reports.units.clone());
    variable("reports", &units.unwrap_or_default())
}

/// Lets the aggregator write reports, and asks it for them each day.
pub(crate) fn schedule(
    context: &UsagePipeline,
    stack: &mut Stack,
    aggregator: &Function,
    bucket: &Bucket,
) {
    bucket.grant_put(aggregator);
    let input = serde_json::json!({ "report": Which::Due }).to_string();
    DailySchedule {
        name: &context.names.resource("reports"),
        description: "Makes the reports of weeks and months that are final",
        at: AT,
        input: &input,
    }
    .invoke(stack, "ReportSchedule", aggregator);
}
