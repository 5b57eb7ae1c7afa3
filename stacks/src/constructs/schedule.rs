//! What invokes a function by the clock: a rule at a fixed rate, or a schedule once a day.

use super::function::Function;
use super::stack::Stack;
use crate::cfn::policy::Statement;
use crate::cfn::{LogicalId, Val, events, lambda, scheduler};

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

/// An EventBridge schedule with one target and a role of its own. Unlike a rule, it sends an input of
/// its own, and retries an invocation that Lambda does not accept for as long as a day.
#[derive(Clone, Copy, Debug)]
pub struct DailySchedule<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its purpose.
    pub description: &'a str,
    /// The hour and the minute in UTC.
    pub at: (u8, u8),
    /// The payload of the function, as JSON.
    pub input: &'a str,
}

impl DailySchedule<'_> {
    /// Declares the schedule `id`, and the role `{id}Role` that may invoke the function and nothing
    /// else.
    pub fn invoke(&self, stack: &mut Stack, id: &'static str, function: &Function) {
        let (role, grants) = stack.role(
            id,
            "scheduler.amazonaws.com",
            format!("What the schedule {} may do", self.name),
        );
        grants.allow(Statement::allow(["lambda:InvokeFunction"], function.arn()));
        let (hour, minute) = self.at;
        let target = scheduler::ScheduleTarget::new(scheduler::ScheduleTargetRequired {
            arn: function.arn().into(),
            role_arn: role.arn(),
        });
        let required = scheduler::ScheduleRequired {
            flexible_time_window: scheduler::ScheduleFlexibleTimeWindow::new(
                scheduler::ScheduleFlexibleTimeWindowMode::Off,
            ),
            schedule_expression: format!("cron({minute} {hour} * * ? *)").into(),
            target: target.input(self.input),
        };
        let schedule = scheduler::Schedule::new(required)
            .name(self.name)
            .description(self.description)
            .schedule_expression_timezone("UTC");
        stack.template().add(id, schedule);
    }
}
