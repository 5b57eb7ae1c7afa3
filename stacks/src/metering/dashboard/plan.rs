//! The dashboard of a plan: how much its users call, and whether its limits fit them.

use domain::names::kinesis_metric as metric;

use super::{Links, PlanFigure, logs, of_plan};
use crate::constructs::{Dashboard, Expression, Period, Statistic, Widget};
use crate::environment::{LimitMode, Plan};
use crate::metering::context::StackContext;

/// The dashboard.
pub(super) fn dashboard(context: &StackContext<'_>, plan: &str, limits: &Plan) -> Dashboard {
    let of = |figure, period| of_plan(context, plan, figure, period);
    let period = Period::FIVE_MINUTES;
    let filled = |figure| Expression::from(of(figure, period)).filled(0.0);
    let tried = filled(PlanFigure::Calls) + filled(PlanFigure::RateLimited);
    let all = context.kinesis_metric(metric::TOTAL_API_CALLS, Statistic::Sum, period);
    Dashboard::default()
        .row([Links::to_operations(context, &words(plan, limits))])
        .row([
            Widget::graph("How many calls do its users make?", period)
                .line("accepted", of(PlanFigure::Calls, period)),
            Widget::graph("Do its limits refuse calls?", period)
                .line("rate limited", of(PlanFigure::RateLimited, period)),
            Widget::graph("What share of its calls is refused (%)?", period)
                .line("refused", filled(PlanFigure::RateLimited) * 100.0 / tried),
        ])
        .row([
            Widget::graph("How many units do they use in an hour?", Period::HOUR)
                .line("units", of(PlanFigure::Units, Period::HOUR)),
            Widget::graph("What share of everybody's calls do they make (%)?", period)
                .line("of all calls", filled(PlanFigure::Calls) * 100.0 / all),
            Widget::numbers("How many calls in the last hour?", Period::HOUR)
                .line("accepted", of(PlanFigure::Calls, Period::HOUR))
                .line("rate limited", of(PlanFigure::RateLimited, Period::HOUR)),
        ])
        .row([
            logs::users_of(context, plan),
            logs::routes_of(context, plan),
        ])
}

/// The limits, as the environment file has them.
fn words(plan: &str, limits: &Plan) -> String {
    let quota = limits.monthly_quota.map_or_else(
        || "no quota".to_owned(),
        |quota| format!("{quota} units a period"),
    );
    let mode = match limits.limit_mode {
        LimitMode::Soft => "soft",
        LimitMode::Hard => "hard",
    };
    format!(
        "Plan `{plan}`: {} calls a second, {} at once, {quota}; {mode} limits. `cargo xtask report` \
         says who used how much.",
        limits.rate_per_second.get(),
        limits.burst.get(),
    )
}
