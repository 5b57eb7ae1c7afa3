//! A function that receives every line of a log group.

use super::function::Function;
use super::stack::Stack;
use crate::cfn::{Handle, LogicalId, Val, lambda, logs};

/// A subscription of a function to a log group. The function receives the lines, packed, some
/// seconds after they were written; an invocation that fails is retried twice.
#[derive(Clone, Copy, Debug)]
pub struct Subscription<'a> {
    /// The log group.
    pub group: &'a Handle<logs::LogGroup>,
}

impl Subscription<'_> {
    /// Declares the filter `id`, and the permission `{id}Permission` that allows it to invoke.
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
        // AWS refuses a filter without permission to invoke.
        stack.template().depends_on(&filter, &permission);
    }
}
