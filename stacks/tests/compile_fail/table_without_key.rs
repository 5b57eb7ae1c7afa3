//! A table without a key.
use stacks::cfn::dynamodb;

fn main() {
    let _ = dynamodb::Table::new().table_name("t");
}
