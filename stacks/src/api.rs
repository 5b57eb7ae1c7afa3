//! `CompliCal-API-{env}`: the metered API and its authorizer, the analytics API, the access log
//! with its reconciler, and the dashboard. It knows the stream and the tables by name only, and
//! works without the Kinesis stack.

pub(crate) mod answers;
mod browsers;
pub(crate) mod log_format;
mod metered;

use std::collections::BTreeMap;

use domain::names::{
    AUTH_JWKS_PARAMETER, AUTHORIZER_SECONDS, Function as Of, Names, StackKind, TrackingMode,
    api_metric, env,
};

use crate::cfn::{Handle, LogicalId, Parameter, Val, iam, lambda, logs, policy, sub};
use crate::constructs::{
    Access, Comparison, Expression, Function, Integration, Period, RestApi, RestApiSettings, Stack,
    Statistic, Stream, Table, Topic, Verb,
};
use crate::context::{Context, Size, Watch};
use crate::environment::Address;
use crate::{SynthError, cfn, dashboard, reconciler};

/// The names of this stack's alarms but the reconciler's, as the dashboard shows them.
pub(crate) const ALARMS: [&str; 2] = [TRACKING_FAILURES, NO_TRACKING_SUCCESS];
const TRACKING_FAILURES: &str = "tracking-failures";
const NO_TRACKING_SUCCESS: &str = "no-tracking-success";

/// Declares the stack.
pub(crate) fn stack(context: &Context<'_>) -> Result<Stack, SynthError> {
    let name = context.names.stack(StackKind::Api);
    let mut stack = Stack::new(
        name.as_str(),
        "The metered API: authorizer, analytics API, access log, dashboard.",
    );
    let jwks = stack.template().parameter(
        AUTH_JWKS_PARAMETER,
        Parameter {
            description: "JSON Web Key Set that signs bearer tokens; empty if an address is given",
            default: inline_jwks(context),
        },
    );
    let authorizer = authorizer(context, &mut stack)?;
    let analytics = analytics(context, &mut stack, jwks)?;
    let log = access_log(context, &mut stack);
    let reconciler = reconciler::declare(context, &mut stack, &log.group)?;

    let gateway = gateway(context, &mut stack, (&authorizer, &analytics), &log)?;
    attached(context, &mut stack, &authorizer);
    alarms(context, &mut stack, &authorizer);
    dashboard::declare(context, &mut stack);

    let mode = context.environment.mode().as_str();
    let template = stack.template();
    template.output("ApiUrl", "The API's address", gateway.url);
    for (id, description, value) in [
        ("TrackingMode", "How usage is reported", mode),
        (
            "AuthorizerName",
            "Accepts or refuses calls",
            authorizer.name(),
        ),
        (
            "AnalyticsApiName",
            "Answers the analytics API",
            analytics.name(),
        ),
        ("AccessLogGroup", "The gateway's access log", &log.name),
        (
            "ReconcilerName",
            "Appends the access log to the journal",
            reconciler.name(),
        ),
    ] {
        template.output(id, description, value);
    }
    if let Some(sample) = gateway.sample {
        template.output("DeadlinesApiName", "The sample API", sample.name());
    }
    Ok(stack)
}

/// The REST API as it is deployed.
struct Gateway {
    url: Val<String>,
    sample: Option<Function>,
}

/// Declares the REST API: its routes, its own answers and its stage.
fn gateway(
    context: &Context<'_>,
    stack: &mut Stack,
    (authorizer, analytics): (&Function, &Function),
    log: &AccessLog,
) -> Result<Gateway, SynthError> {
    let mut api = RestApi::new(
        stack,
        "Api",
        &RestApiSettings {
            name: &context.names.stack(StackKind::Api),
            description: "Metered API",
            stage: &context.environment.name,
            binary: context.environment.upstream.is_some(),
        },
    );
    let gate = api.authorizer(stack, "ApiKeyAuthorizer", authorizer);
    let sample = metered::declare(context, stack, &mut api, &gate)?;
    for (id, path) in ANALYTICS_ROUTES {
        let answers = Integration::Function(analytics);
        api.route(stack, id, (Verb::Get, path), answers, Access::Open);
    }
    let allowed = browsers::answered(context.environment.cors.as_ref());
    for (id, answer) in &answers::ALL {
        api.answer(stack, *id, answer, &allowed);
    }
    let url = api.url();
    let stage = api.deploy(stack, "Stage", log.group.arn(), &log_format::json());
    stack.template().depends_on(&stage, &log.account);
    Ok(Gateway { url, sample })
}

/// Lets the gateways of APIs that exist already ask the authorizer, and nothing else.
fn attached(context: &Context<'_>, stack: &mut Stack, authorizer: &Function) {
    for attached in &context.environment.attached {
        let api = attached.api_id.as_str();
        let source = sub::<lambda::PermissionSourceArn>(format!(
            "arn:${{AWS::Partition}}:execute-api:${{AWS::Region}}:${{AWS::AccountId}}:{api}/authorizers/*"
        ));
        stack.template().add(
            LogicalId::from(format!("Attached{api}Permission")),
            lambda::Permission::new(lambda::PermissionRequired {
                action: "lambda:InvokeFunction".into(),
                function_name: authorizer.handle().reference().into(),
                principal: "apigateway.amazonaws.com".into(),
            })
            .source_arn(source),
        );
    }
}

/// The routes of the analytics API. It verifies bearer tokens itself.
///
/// The page answers under `/v1/analytics/` as well: a REST API takes a path with a slash at its end
/// for the same resource, and leaves the slash in the event's `path`
/// (<https://github.com/aws-powertools/powertools-lambda-python/pull/1577>).
const ANALYTICS_ROUTES: [(&str, &str); 5] = [
    ("AnalyticsPage", "/v1/analytics"),
    ("AnalyticsRealtime", "/v1/analytics/realtime"),
    ("AnalyticsTimeseries", "/v1/analytics/timeseries"),
    ("AnalyticsUserStats", "/v1/analytics/user-stats"),
    ("AnalyticsOpenApi", "/v1/analytics/openapi.json"),
];

fn inline_jwks(context: &Context<'_>) -> String {
    let jwks = context.environment.auth.jwks.as_ref();
    jwks.and_then(|jwks| serde_json::to_string(jwks).ok())
        .unwrap_or_default()
}

/// Decides, answers, and reports afterwards.
fn authorizer(context: &Context<'_>, stack: &mut Stack) -> Result<Function, SynthError> {
    let names = &context.names;
    let mode = context.environment.mode();
    let raw_days = context.environment.retention.raw_days.get();
    let description = match mode {
        TrackingMode::Stream => "Kinesis-enabled authorizer for real-time analytics",
        TrackingMode::Synchronous => "Enhanced authorizer with synchronous usage tracking",
    };
    let authorizer = context.function(
        stack,
        "ApiKeyAuthorizerFunction",
        Of::Authorizer,
        description,
        &Size {
            memory: 512,
            timeout: AUTHORIZER_SECONDS,
        },
        BTreeMap::from([
            (env::ENVIRONMENT, context.environment.name.as_str().into()),
            (env::METRICS_NAMESPACE, names.api_namespace().into()),
            (env::EVENT_SOURCE, names.event_source().into()),
            (env::TRACKING_MODE, mode.as_str().into()),
            (env::USAGE_STREAM, names.usage_stream().into()),
            (env::API_KEYS_TABLE, names.api_keys_table().into()),
            (env::ANALYTICS_TABLE, names.analytics_table().into()),
            (env::RAW_RETENTION_DAYS, raw_days.to_string().into()),
            (env::PLANS, plans(context)?),
            (env::ROUTES, metered::routes(context)?.to_variable().into()),
            (env::RESERVED_HEADERS, metered::reserved(context).into()),
        ]),
    )?;
    Table::named(&names.api_keys_table(), []).grant(&authorizer, ["dynamodb:GetItem"]);
    // In stream mode for the events that the stream does not accept.
    Table::named(&names.analytics_table(), []).grant(&authorizer, ["dynamodb:PutItem"]);
    if mode == TrackingMode::Stream {
        Stream::named(&names.usage_stream()).grant_write(&authorizer);
    }
    Ok(authorizer)
}

/// The plans in the form that the functions read.
fn plans(context: &Context<'_>) -> Result<Val<String>, SynthError> {
    let plans: domain::plan::Plans = context
        .environment
        .plans
        .iter()
        .map(|(name, plan)| (name.clone(), plan.into()))
        .collect();
    let json = serde_json::to_string(&plans).map_err(|source| SynthError::Plans { source })?;
    Ok(json.into())
}

/// Answers users and operators from both tables.
fn analytics(
    context: &Context<'_>,
    stack: &mut Stack,
    jwks: Val<String>,
) -> Result<Function, SynthError> {
    let names = &context.names;
    let auth = &context.environment.auth;
    let retention = &context.environment.retention;
    let text = |value: Option<&str>| Val::<String>::from(value.unwrap_or_default());
    let analytics = context.function(
        stack,
        "AnalyticsApi",
        Of::Analytics,
        "Answers the analytics API",
        &Size {
            memory: 512,
            timeout: 25,
        },
        BTreeMap::from([
            (env::API_USAGE_TABLE, names.usage_table().into()),
            (env::ANALYTICS_TABLE, names.analytics_table().into()),
            (env::PLANS, plans(context)?),
            (env::AUTH_ISSUER, text(auth.issuer.as_deref())),
            (env::AUTH_AUDIENCE, text(auth.audience.as_deref())),
            (
                env::AUTH_JWKS_URL,
                text(auth.jwks_url.as_ref().map(Address::as_str)),
            ),
            (env::AUTH_JWKS, jwks),
            (
                env::MINUTE_RETENTION_DAYS,
                retention.minute_days.get().to_string().into(),
            ),
            (
                env::HOUR_RETENTION_DAYS,
                retention.hour_days.get().to_string().into(),
            ),
        ]),
    )?;
    for table in [names.analytics_table(), names.usage_table()] {
        let reading = ["dynamodb:GetItem", "dynamodb:Query"];
        Table::named(&table, []).grant(&analytics, reading);
    }
    Ok(analytics)
}

/// The name of the access log's group, which metered APIs of other stacks write to as well.
pub(crate) fn access_log_name(names: &Names) -> String {
    format!("/aws/apigateway/{}/access", names.stack(StackKind::Api))
}

struct AccessLog {
    name: String,
    group: Handle<logs::LogGroup>,
    account: Handle<cfn::apigateway::Account>,
}

/// The access log's group, and the role by which API Gateway writes to it.
///
/// That role is a setting of the account and region, not of an API: every environment in them sets
/// one with the same rights, and the last one stands. Both are retained: taking the role away with
/// one environment would silence the logs of all the others.
fn access_log(context: &Context<'_>, stack: &mut Stack) -> AccessLog {
    let name = access_log_name(&context.names);
    let template = stack.template();
    let group = template.add(
        "AccessLogs",
        logs::LogGroup::new()
            .log_group_name(name.as_str())
            .retention_in_days(context.environment.logs.retention_days.get()),
    );
    let role = template.add(
        "ApiGatewayLogsRole",
        iam::Role::new(policy::assumed_by("apigateway.amazonaws.com"))
            .description("Lets API Gateway write logs, for every API of the account and region")
            .managed_policy_arns([sub::<cfn::Arn<iam::ManagedPolicy>>(
                "arn:${AWS::Partition}:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs",
            )]),
    );
    let account = template.add(
        "ApiGatewayAccount",
        cfn::apigateway::Account::new().cloud_watch_role_arn(role.arn()),
    );
    template.retain(&role);
    template.retain(&account);
    AccessLog {
        name,
        group,
        account,
    }
}

fn alarms(context: &Context<'_>, stack: &mut Stack, authorizer: &Function) {
    let topic = &Topic::named(&context.alarm_topic());
    let failures = context.api_metric(
        api_metric::USAGE_TRACKING_FAILURE,
        Statistic::Sum,
        Period::MINUTE,
    );
    context.alarm(
        stack,
        topic,
        Watch {
            id: "TrackingFailures",
            noun: TRACKING_FAILURES,
            means: "Neither the stream nor the table accepted the events of more than ten calls \
                    in a minute. The access log brings them back within minutes, so counts are \
                    late, not lost. Check `cargo xtask logs authorizer`.",
            watched: failures.into(),
            breaches: Comparison::Above(10.0),
            periods: 1,
        },
    );
    let period = Period::FIVE_MINUTES;
    let calls = authorizer.metric("Invocations", Statistic::Sum, period);
    let tracked = context.api_metric(api_metric::USAGE_TRACKING_SUCCESS, Statistic::Sum, period);
    let silence = Expression::from(calls)
        .filled(0.0)
        .greater_than(0.0)
        .and(Expression::from(tracked).filled(0.0).less_than(1.0))
        .choose(1.0, 0.0);
    context.alarm(
        stack,
        topic,
        Watch {
            id: "NoTrackingSuccess",
            noun: NO_TRACKING_SUCCESS,
            means: "The authorizer has answered calls for five minutes without reporting one. The \
                    access log brings them back, so counts are late, not lost. Check `cargo xtask \
                    logs authorizer`.",
            watched: silence.into(),
            breaches: Comparison::Above(0.0),
            periods: 1,
        },
    );
}
