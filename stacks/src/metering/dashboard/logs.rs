//! Queries of Logs Insights over the access log and over the functions' logs.
//!
//! A gateway may write values into its log unescaped, so a caller could close a quote and hide the
//! line from Logs Insights' own fields. The queries therefore cut their fields out of the text, from
//! members that stand before everything that a caller can choose
//! ([`domain::access_log`]). They are for a look: counts come from the journal.

use domain::access_log;
use domain::names::{Function as Of, TrackingMode, context as member};

use crate::constructs::Widget;
use crate::environment::ApiKind;
use crate::metering::context::StackContext;

/// Rows of a table.
const ROWS: u32 = 20;

/// What the functions report as errors.
pub(super) fn errors(context: &StackContext<'_>) -> Widget {
    let streams = context.environment.mode() == TrackingMode::Stream;
    let functions = [
        Of::Authorizer,
        Of::Processor,
        Of::Aggregator,
        Of::Reconciler,
        Of::Notifier,
    ];
    let functions = functions
        .into_iter()
        .filter(|of| streams || *of != Of::Processor);
    let groups: Vec<String> = functions
        .map(|of| format!("/aws/lambda/{}", context.names.function(of)))
        .collect();
    Widget::logs(
        "Which errors did the counting functions report?",
        groups.iter().map(String::as_str),
        &format!(
            "filter level = 'ERROR' or level = 'WARN' | sort @timestamp desc \
             | display @timestamp, level, target, message, error | limit {ROWS}"
        ),
    )
}

/// The refused calls of the access log.
pub(super) struct Refused<'a> {
    context: &'a StackContext<'a>,
}

impl<'a> Refused<'a> {
    pub(super) const fn of(context: &'a StackContext<'a>) -> Self {
        Self { context }
    }

    /// By status and by what the gateway, or for an HTTP API the authorizer, says of the reason.
    pub(super) fn reasons(&self) -> Widget {
        let reason = match self.context.environment.gateway {
            ApiKind::Rest => access_log::RESPONSE_TYPE,
            ApiKind::Http => member::ERROR,
        };
        self.table(
            "Why were calls refused?",
            &[(access_log::STATUS, "answer"), (reason, "reason")],
            "stats count(*) as calls by answer, reason | sort calls desc",
        )
    }

    /// By address.
    pub(super) fn addresses(&self) -> Widget {
        self.table(
            "Which addresses were refused most?",
            &[(access_log::IP, "address"), (access_log::STATUS, "answer")],
            "stats count(*) as calls by address, answer | sort calls desc",
        )
    }

    /// By user, if the authorizer knows the user: calls over a limit.
    pub(super) fn users(&self) -> Widget {
        self.table(
            "Which users exceeded their limits?",
            &[
                (access_log::STATUS, "answer"),
                (member::PLAN, "of_plan"),
                (member::EMAIL, "user"),
            ],
            "filter user != '-' | stats count(*) as calls by user, of_plan | sort calls desc",
        )
    }

    fn table(&self, title: &str, fields: &[(&str, &str)], rest: &str) -> Widget {
        let refused = match self.context.environment.gateway {
            ApiKind::Rest => "filter answer in ['401', '429']",
            ApiKind::Http => "filter answer = '403'",
        };
        table(self.context, title, fields, &format!("{refused} | {rest}"))
    }
}

/// The users of a plan with most calls.
pub(super) fn users_of(context: &StackContext<'_>, plan: &str) -> Widget {
    of_plan(
        context,
        "Which of its users call most?",
        plan,
        (member::EMAIL, "user"),
    )
}

/// The routes that users of a plan call most.
pub(super) fn routes_of(context: &StackContext<'_>, plan: &str) -> Widget {
    of_plan(
        context,
        "Which routes do they call most?",
        plan,
        (member::ROUTE, "route"),
    )
}

fn of_plan(
    context: &StackContext<'_>,
    title: &str,
    plan: &str,
    (member_of, name): (&'static str, &str),
) -> Widget {
    // In their order within the line.
    let fields = [
        (access_log::STATUS, "answer"),
        (member::PLAN, "of_plan"),
        (member_of, name),
    ];
    let rest = format!(
        "filter of_plan = '{plan}' | stats count(*) as calls by {name}, answer | sort calls desc"
    );
    table(context, title, &fields, &rest)
}

/// A table of lines from which `fields` are cut out.
fn table(context: &StackContext<'_>, title: &str, fields: &[(&str, &str)], rest: &str) -> Widget {
    let parsed = fields
        .iter()
        .map(|(member, name)| format!("parse @message '\"{member}\":\"*\"' as {name} | "));
    let query = format!("{}{rest} | limit {ROWS}", parsed.collect::<String>());
    let group = context.names.access_log();
    Widget::logs(title, [group.as_str()], &query)
}
