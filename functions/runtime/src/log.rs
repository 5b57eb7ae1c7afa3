//! Logs: one JSON object per line on standard error. Standard output is for metrics alone.
//!
//! A function's own crates log at the level in Lambda's log settings. Other crates log only
//! warnings, at any level: at its most verbose the Lambda runtime prints whole events, and with
//! them the caller's key.

use std::error::Error;
use std::fmt;

use domain::names::Function;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::settings::Variables;

/// Level of the function's own lines, set by Lambda from the function's log settings:
/// <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html>.
const LEVEL_VARIABLE: &str = "AWS_LAMBDA_LOG_LEVEL";
/// The target under which the Lambda runtime logs every error of a handler.
pub const HANDLER_ERRORS: &str = "lambda_runtime::layers::panic";
/// The target under which the Lambda runtime opens the span that names the invocation.
const INVOCATION_SPAN: &str = "lambda_runtime::layers::trace";

/// Starts logging, for the rest of the process. Nothing is logged for the targets in `silent`.
pub fn start(variables: &Variables, silent: &[&str]) {
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_writer(std::io::stderr);
    let started = tracing_subscriber::registry()
        .with(lines.with_filter(targets(variables, silent)))
        .try_init();
    if let Err(error) = started {
        tracing::warn!(%error, "logs were started before");
    }
}

fn targets(variables: &Variables, silent: &[&str]) -> Targets {
    let level = level(variables.get(LEVEL_VARIABLE));
    let own = Function::ALL
        .map(Function::folder)
        .into_iter()
        .chain(["domain", "runtime"]);
    Targets::new()
        .with_default(LevelFilter::WARN)
        .with_targets(own.map(|name| (name, level)))
        .with_target(INVOCATION_SPAN, LevelFilter::INFO)
        .with_targets(silent.iter().map(|target| (*target, LevelFilter::OFF)))
}

fn level(named: Option<&str>) -> LevelFilter {
    match named {
        Some("TRACE") => LevelFilter::TRACE,
        Some("DEBUG") => LevelFilter::DEBUG,
        Some("WARN") => LevelFilter::WARN,
        Some("ERROR" | "FATAL") => LevelFilter::ERROR,
        _ => LevelFilter::INFO,
    }
}

/// An error with its causes, as log lines show it.
pub struct Chain<'a>(pub &'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut error = self.0;
        while let Some(cause) = error.source() {
            write!(f, ": {cause}")?;
            error = cause;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::PutError;
    use tracing::Level;

    #[test]
    fn an_error_is_shown_with_its_causes() {
        let error = PutError::Unavailable {
            stream: "usage".to_owned(),
            source: std::io::Error::other("connection reset").into(),
        };
        assert_eq!(
            Chain(&error).to_string(),
            "stream `usage` is unavailable: connection reset"
        );
    }

    #[test]
    fn the_lambda_runtime_stays_quiet_at_the_most_talkative_level() {
        let variables = [(LEVEL_VARIABLE, "TRACE")].into_iter().collect();
        let targets = targets(&variables, &[HANDLER_ERRORS]);
        assert!(targets.would_enable("authorizer::handler", &Level::TRACE));
        assert!(targets.would_enable("runtime::stream", &Level::TRACE));
        for target in [
            "lambda_runtime::layers::api_response",
            "lambda_runtime::runtime",
            "hyper_util::client",
            "aws_smithy_runtime",
        ] {
            assert!(targets.would_enable(target, &Level::WARN), "{target}");
            assert!(!targets.would_enable(target, &Level::INFO), "{target}");
        }
        assert!(!targets.would_enable(HANDLER_ERRORS, &Level::ERROR));
    }

    #[test]
    fn own_lines_follow_the_level_that_lambda_names() {
        for (named, enabled, disabled) in [
            (None, Level::INFO, Level::DEBUG),
            (Some("DEBUG"), Level::DEBUG, Level::TRACE),
            (Some("WARN"), Level::WARN, Level::INFO),
            (Some("FATAL"), Level::ERROR, Level::WARN),
        ] {
            let variables = named.map(|level| (LEVEL_VARIABLE, level));
            let targets = targets(&variables.into_iter().collect(), &[]);
            assert!(targets.would_enable("processor", &enabled), "{named:?}");
            assert!(!targets.would_enable("processor", &disabled), "{named:?}");
        }
    }
}
