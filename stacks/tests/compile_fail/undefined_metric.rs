//! A metric id in an expression: expressions are made of metrics.
use stacks::constructs::Expression;

fn main() {
    let _ = Expression::from("m1 / m2");
}
