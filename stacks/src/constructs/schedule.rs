//! A rule that invokes a function at a fixed rate.

use super::function::Function;
use super::stack::Stack;
use crate::cfn::{LogicalId, Val, events, lambda};

/// An EventBridge rule with one target, which receives EventBridge's own `Scheduled Event`.
#[derive(Clone, Copy, Debug)]
pub struct ScheduleRule<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its purpose.
    pub description: &'a str,
    /// Minutes between two invocations, at least 1.
    pub every_minutes: std::num::NonZeroU16,
}

impl ScheduleRule<'_> {
    /// Declares the rule `id`, and the permission `{id}Permission` that allows it to invoke.
    pub fn invoke(&self, stack: &mut Stack, id: &'static str, function: &Function) {
        let minutes = self.every_minutes.get();
        let unit = if minutes == 1 { "minute" } else { "minutes" };
        let rule = stack.template().add(
            id,
            events::Rule::new()
                .name(self.name)
                .description(self.description)
                .schedule_expression(format!("rate({minutes} {unit})"))
                .targets([events::RuleTarget::new(events::RuleTargetRequired {
                    arn: function.arn().into(),
                    id: "Function".into(),
                })]),
        );
        stack.template().add(
            LogicalId::from(format!("{id}Permission")),
            lambda::Permission::new(lambda::PermissionRequired {
                action: "lambda:InvokeFunction".into(),
                function_name: Val::from(function.handle().reference()),
                principal: "events.amazonaws.com".into(),
            })
            .source_arn(rule.arn()),
        );
    }
}
