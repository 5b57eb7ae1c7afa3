//! A billing mode that AWS does not have.
use stacks::cfn::dynamodb;

fn main() {
    let _ = dynamodb::TableBillingMode::OnDemand;
}
