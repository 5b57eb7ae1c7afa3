//! A function that gets every line of a log group.

use super::function::Function;
use super::stack::Stack;
use crate::cfn::{Handle, LogicalId, Val, lambda, logs};

/// What a log group invokes. What arrives is the lines, packed, some seconds after they were
/// written; an invocation that fails is tried twice more.
#[derive(Clone, Copy, Debug)]
pub struct Subscription<'a> {
    /// The log group.
    pub group: &'a Handle<logs::LogGroup>,
}

impl Subscription<'_> {
    /// Declares the filter `id`, and the permission `{id}Permission` that lets it invoke.
    pub fn invoke(&self, stack: &mut Stack, id: &'static str, function: &Function) {
        let permission = stack.template().add(
            LogicalId::from(format!("{id}Permission")),
            lambda::Permission::new(lambda::PermissionRequired {
                action: "lambda:InvokeFunction".into(),
                function_name: Val::from(function.handle().reference()),
                principal: "logs.amazonaws.com".into(),
            })
            .source_arn(self.group.arn()),
        );
        let filter = stack.template().add(
            id,
            logs::SubscriptionFilter::new(logs::SubscriptionFilterRequired {
                destination_arn: function.arn().into(),
                filter_pattern: "".into(),
                log_group_name: self.group.reference(),
            }),
        );
        // A filter that may not invoke is refused.
        stack.template().depends_on(&filter, &permission);
    }
}
