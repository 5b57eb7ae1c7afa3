//! A period that CloudWatch does not take.
use stacks::constructs::Period;

fn main() {
    let _ = Period::seconds(45);
}
