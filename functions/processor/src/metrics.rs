//! The metrics of a batch. The number of calls it counts is unknown here: the aggregator's folds
//! report it.

use domain::names::kinesis_metric as name;
use runtime::metrics::Metric;

use crate::handler::Report;

/// The metrics of a batch that came from the stream.
pub fn of_batch(report: Report) -> Vec<Metric> {
    let set_aside = u64::try_from(report.set_aside.len()).unwrap_or(u64::MAX);
    vec![
        Metric::count(name::PROCESSED_RECORDS, report.processed),
        Metric::count(name::RECORDS_FAILED, set_aside),
        Metric::millis(name::PROCESSING_LATENCY, report.latencies),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_tells_what_it_finished_set_aside_and_how_long_events_took() {
        let report = Report {
            processed: 3,
            appended: 2,
            set_aside: vec!["7".to_owned()],
            latencies: vec![40, 50],
        };
        let expected = [
            Metric::count("ProcessedRecords", 3),
            Metric::count("RecordsFailed", 1),
            Metric::millis("ProcessingLatency", vec![40, 50]),
        ];
        assert_eq!(of_batch(report), expected);
    }
}
