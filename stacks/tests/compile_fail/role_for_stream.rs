//! A role's ARN where a stream's is wanted.
use stacks::cfn::{Template, existing, iam, lambda, policy};

fn main() {
    let mut template = Template::new("");
    let role = template.add("Role", iam::Role::new(policy::assumed_by("lambda.amazonaws.com")));
    let _ = lambda::EventSourceMapping::new(existing("reader")).event_source_arn(role.arn());
}
