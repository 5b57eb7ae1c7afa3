//! A table's ARN where that of its stream is wanted.
use stacks::cfn::{Template, dynamodb, existing, lambda};

fn read(template: &mut Template, table: dynamodb::Table) {
    let table = template.add("Table", table);
    let _ = lambda::EventSourceMapping::new(existing("reader")).event_source_arn(table.arn());
}

fn main() {
    let _ = read;
}
