//! The dashboards of an environment, a part of `CompliCal-API-{env}`: one for operations, and if the
//! file says so one for security and one for each plan.
//!
//! An alarm's message links to the dashboard of operations, which links to the others. Each shows the
//! logs behind its figures.

mod logs;
mod operations;
mod plan;
mod security;

use domain::names::plan_metric;

use crate::cfn::sub;
use crate::constructs::{Metric, Period, Stack, Statistic, Widget};
use crate::environment::{Environment, Plan};
use crate::metering::context::StackContext;

/// Declares the dashboards.
pub(crate) fn declare(context: &StackContext<'_>, stack: &mut Stack) {
    let names = &context.names;
    let name = names.dashboard();
    operations::dashboard(context).declare(stack, "Dashboard", &name);
    if context.environment.dashboards.security {
        let name = names.security_dashboard();
        security::dashboard(context).declare(stack, "SecurityDashboard", &name);
    }
    for (plan, limits) in plans(context) {
        let dashboard = plan::dashboard(context, plan, limits);
        dashboard.declare(stack, logical_id(plan), &names.plan_dashboard(plan));
    }
    stack.template().output(
        "DashboardUrl",
        "The dashboard",
        sub::<String>(address(context.environment, &name)),
    );
}

/// The plans that have metrics, and a dashboard.
fn plans<'a>(context: &'a StackContext<'_>) -> impl Iterator<Item = (&'a String, &'a Plan)> {
    let has_any = context.environment.dashboards.plans;
    context.environment.plans.iter().filter(move |_| has_any)
}

/// `free-tier` → `PlanfreeXtierDashboard`: ids are letters and digits, and no two plans share
/// one. Plans have no capitals.
fn logical_id(plan: &str) -> String {
    let mut id = String::from("Plan");
    for (place, part) in plan.split('-').enumerate() {
        if place > 0 {
            id.push('X');
        }
        id.push_str(part);
    }
    id + "Dashboard"
}

/// The dashboard's URL in the console of the region's partition, for `Fn::Sub`.
pub(crate) fn address(environment: &Environment, name: &str) -> String {
    let console = environment.region.partition().console();
    format!(
        "https://${{AWS::Region}}.{console}/cloudwatch/home?region=${{AWS::Region}}#dashboards/dashboard/{name}"
    )
}

/// Accepted or refused calls of a plan, by the aggregator.
fn of_plan(context: &StackContext<'_>, plan: &str, name: PlanFigure, period: Period) -> Metric {
    let name = match name {
        PlanFigure::Calls => plan_metric::CALLS,
        PlanFigure::Units => plan_metric::UNITS,
        PlanFigure::RateLimited => plan_metric::RATE_LIMITED,
    };
    context.plan_metric(plan, name, Statistic::Sum, period)
}

/// A metric of a plan.
#[derive(Clone, Copy)]
enum PlanFigure {
    Calls,
    Units,
    RateLimited,
}

/// Words with the way to the other dashboards, to the runbook and to the logs.
struct Links;

impl Links {
    /// From the dashboard of operations to all others.
    fn from_operations(context: &StackContext<'_>) -> Widget {
        let names = &context.names;
        let plans = plans(context).map(|(plan, _)| (plan.as_str(), names.plan_dashboard(plan)));
        let security = context.environment.dashboards.security;
        let security = security.then(|| ("security", names.security_dashboard()));
        let links = security
            .into_iter()
            .chain(plans)
            .map(|(title, name)| format!(" [{title}]({})", address(context.environment, &name)));
        Widget::text(&format!(
            "Is an alarm going off? `RUNBOOK.md` has a section under its name. `cargo xtask status` says \
             what to do first, `cargo xtask logs` shows the logs.{}",
            links.collect::<String>()
        ))
    }

    /// From another dashboard to that of operations, below `words` about it.
    fn to_operations(context: &StackContext<'_>, words: &str) -> Widget {
        let operations = address(context.environment, &context.names.dashboard());
        Widget::text(&format!("{words} Alarms: [operations]({operations})."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_plans_share_a_logical_id() {
        let plans = ["a", "a-b", "ab", "a--b", "a-b-", "-a", "axb"];
        let ids = plans.map(logical_id);
        for id in &ids {
            assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
        }
        let different: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(different.len(), plans.len(), "{ids:?}");
    }
}
