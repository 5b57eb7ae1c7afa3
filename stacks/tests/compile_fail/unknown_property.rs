//! A property that the type does not have.
use stacks::cfn::sqs;

fn main() {
    let _ = sqs::Queue::new().retention_days(4);
}
