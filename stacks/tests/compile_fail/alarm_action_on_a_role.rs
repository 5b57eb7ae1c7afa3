//! An alarm that notifies a role.
use stacks::cfn::{Template, cloudwatch, iam, policy};

fn main() {
    let mut template = Template::new("");
    let role = template.add("Role", iam::Role::new(policy::assumed_by("lambda.amazonaws.com")));
    let _ = cloudwatch::Alarm::new().alarm_actions([role.arn()]);
}
