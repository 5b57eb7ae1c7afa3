//! The metrics of lines. The number of calls that only the access log reported is unknown here: the
//! aggregator's folds report it.

use domain::names::kinesis_metric as name;
use runtime::metrics::Metric;

use crate::handler::Report;

/// The metrics of lines that the log delivered.
pub fn of_lines(report: &Report) -> Vec<Metric> {
    let set_aside = u64::try_from(report.set_aside.len()).unwrap_or(u64::MAX);
    vec![Metric::count(name::RECORDS_FAILED, set_aside)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_were_set_aside_are_failed_records() {
        let report = Report {
            appended: 7,
            set_aside: vec!["a".to_owned(), "b".to_owned()],
        };
        assert_eq!(of_lines(&report), [Metric::count("RecordsFailed", 2)]);
    }
}
