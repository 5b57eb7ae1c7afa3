//! The dashboard of security: who is refused, why, and from where.

use domain::names::{api_metric, kinesis_metric as metric};

use super::logs::Refused;
use super::{Links, PlanFigure, of_plan, plans};
use crate::constructs::{Alarm, Dashboard, Expression, Period, Statistic, Widget};
use crate::metering::api;
use crate::metering::context::StackContext;

/// The dashboard.
pub(super) fn dashboard(context: &StackContext<'_>) -> Dashboard {
    let refused = Refused::of(context);
    Dashboard::default()
        .row([alarms(context)])
        .row(calls(context))
        .row([refused.reasons(), refused.addresses()])
        .row([refused.users(), undecided(context)])
        .row([Links::to_operations(
            context,
            "The usage page lists suspicious addresses and blocks them; so does `cargo xtask block \
             ADDRESS`. `cargo xtask explain ID` says who decided a call, and why.",
        )])
}

/// The alarms on what a caller meets.
fn alarms(context: &StackContext<'_>) -> Widget {
    let alarms = [
        api::UNDECIDED_CALLS,
        api::AUTHORIZER_THROTTLES,
        api::GATEWAY_ERRORS,
    ];
    let alarms = alarms.map(|noun| Alarm::named(&context.names.resource(noun)));
    Widget::alarms("Is anybody refused who should not be?", &alarms)
}

fn calls(context: &StackContext<'_>) -> [Widget; 3] {
    let period = Period::FIVE_MINUTES;
    let sum = |name| context.kinesis_metric(name, Statistic::Sum, period);
    let filled = |name| Expression::from(sum(name)).filled(0.0);
    let refused = filled(metric::AUTH_FAILURES) + filled(metric::RATE_LIMITED);
    let all = filled(metric::TOTAL_API_CALLS) + refused.clone();
    let limited = plans(context).fold(
        Widget::graph("How many calls exceed their limits?", period)
            .line("rate limited", sum(metric::RATE_LIMITED)),
        |widget, (plan, _)| {
            let limited = of_plan(context, plan, PlanFigure::RateLimited, period);
            widget.line(plan, limited)
        },
    );
    [
        Widget::graph("How many calls carry no valid key?", period)
            .line("not authenticated", sum(metric::AUTH_FAILURES)),
        limited,
        Widget::graph("What share of all calls is refused (%)?", period)
            .line("refused", refused * 100.0 / all),
    ]
}

/// Calls that get 500 because nobody can say whether their key is valid.
fn undecided(context: &StackContext<'_>) -> Widget {
    let name = api_metric::UNDECIDED_CALLS;
    let calls = context.api_metric(name, Statistic::Sum, Period::MINUTE);
    Widget::graph("How many calls could not be decided?", Period::MINUTE)
        .line("answered with 500", calls)
        .wide(12)
}
