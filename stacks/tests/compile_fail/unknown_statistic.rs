//! A statistic that CloudWatch does not have.
use stacks::constructs::{Metric, Period};

fn main() {
    let _ = Metric::new("AWS/SQS", "NumberOfMessagesSent", "Median", Period::MINUTE);
}
