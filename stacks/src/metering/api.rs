//! `CompliCal-API-{env}`: the metered API and its authorizer, the analytics API, the keys over HTTP,
//! the access log with its reconciler, and the dashboard. It knows the stream and the tables by name only, and
//! works without the Kinesis stack.

mod alarms;
mod browsers;
mod collector;
mod gateway;
mod keys;
mod metered;

use std::collections::{BTreeMap, BTreeSet};

use domain::names::{AUTHORIZER_SECONDS, Function as Of, StackKind, TrackingMode, env};
use domain::sign_in::SignIn;

use crate::cfn::{Handle, LogicalId, Val, iam, lambda, logs, policy, sub};
use crate::constructs::{Function, Stack, Stream, Topic};
use crate::environment::{ApiKind, KeySetAddress, Words, sources};
use crate::metering::context::{Size, StackContext, variable};
use crate::metering::{dashboard, reconciler};
use crate::{SynthError, cfn};

pub(crate) use alarms::{
    ALARMS, AUTHORIZER_THROTTLES, GATEWAY_ERRORS, TRACKING_FAILURES, UNDECIDED_CALLS,
    UNTRACKED_A_MINUTE,
};

/// Declares the stack.
pub(crate) fn stack(context: &StackContext<'_>) -> Result<Stack, SynthError> {
    let name = context.names.stack(StackKind::Api);
    let mut stack = Stack::new(
        name.as_str(),
        "The metered API: authorizer, analytics API, access log, dashboard.",
    );
    let authorizer = authorizer(context, &mut stack)?;
    let analytics = analytics(context, &mut stack)?;
    let collector = collector::function(context, &mut stack)?;
    let keys = keys::function(context, &mut stack)?;
    let log = access_log(context, &mut stack);
    let reconciler = reconciler::declare(context, &mut stack, &log.group)?;

    let functions = Functions {
        authorizer: &authorizer,
        analytics: &analytics,
        keys: &keys,
        collector: collector.as_ref(),
    };
    let gateway = gateway::declare(context, &mut stack, &functions, &log)?;
    attached(context, &mut stack, &authorizer);
    let topic = Topic::named(&context.alarm_topic());
    for watch in alarms::of(context, &authorizer, &gateway.watched) {
        context.alarm(&mut stack, &topic, watch);
    }
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
        (
            "KeysApiName",
            "Answers `/v1/keys` and `/v1/blocks`",
            keys.name(),
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
    if let Some(collector) = collector {
        let description = "Takes what upstreams report of calls";
        template.output("UsageCollectorName", description, collector.name());
    }
    if let Some(sample) = gateway.sample {
        template.output("DeadlinesApiName", "The sample API", sample.name());
    }
    Ok(stack)
}

/// The functions that the gateway invokes, besides the sample.
struct Functions<'a> {
    authorizer: &'a Function,
    analytics: &'a Function,
    keys: &'a Function,
    collector: Option<&'a Function>,
}

/// Allows the gateways of existing APIs to call the authorizer, and nothing else. ARNs of authorizers
/// have one form for REST and HTTP APIs.
fn attached(context: &StackContext<'_>, stack: &mut Stack, authorizer: &Function) {
    let attached = context.environment.attached.iter();
    let apis: BTreeSet<&str> = attached.map(|one| one.api_id.as_str()).collect();
    for api in apis {
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

/// The key set in the environment file. It is a literal of the template: the next deploy of a file
/// without a key withdraws it.
fn inline_jwks(context: &StackContext<'_>) -> String {
    let jwks = context.environment.auth.jwks.as_ref();
    jwks.and_then(|jwks| serde_json::to_string(jwks).ok())
        .unwrap_or_default()
}

/// The authorizer: decides, responds, and reports afterwards.
fn authorizer(context: &StackContext<'_>, stack: &mut Stack) -> Result<Function, SynthError> {
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
            (
                env::KEY_PREFIX,
                context.environment.resource_prefix.as_str().into(),
            ),
            (env::TRACKING_MODE, mode.as_str().into()),
            (env::USAGE_STREAM, names.usage_stream().into()),
            (env::API_KEYS_TABLE, names.api_keys_table().into()),
            (env::API_USAGE_TABLE, names.usage_table().into()),
            (env::ANALYTICS_TABLE, names.analytics_table().into()),
            (env::RAW_RETENTION_DAYS, raw_days.to_string().into()),
            (env::PLANS, context.plans()?),
            (env::ROUTES, metered::routes(context)?.to_variable().into()),
            (env::RESERVED_HEADERS, metered::reserved(context).into()),
            (env::DIMENSIONS, dimensions(context)?.into()),
        ]),
    )?;
    // Keys, with their last use; limits, and refused addresses.
    for table in [names.api_keys_table(), names.usage_table()] {
        let using = ["dynamodb:GetItem", "dynamodb:UpdateItem"];
        context.table(&table).grant(&authorizer, using);
    }
    // In stream mode for events that the stream does not accept.
    let journal = context.table(&names.analytics_table());
    journal.grant(&authorizer, ["dynamodb:PutItem"]);
    if mode == TrackingMode::Stream {
        let stream = Stream::named(&names.usage_stream()).encrypted(context.encryption());
        stream.grant_write(&authorizer);
    }
    Ok(authorizer)
}

/// The dimensions in the form of a variable, empty for none.
fn dimensions(context: &StackContext<'_>) -> Result<String, SynthError> {
    let sources = sources(&context.environment.dimensions);
    if sources.0.is_empty() {
        return Ok(String::new());
    }
    variable("dimensions", &sources)
}

/// The variables of a function that verifies bearer tokens.
fn authentication(context: &StackContext<'_>) -> [(&'static str, Val<String>); 5] {
    let auth = &context.environment.auth;
    let text = |value: Option<&str>| Val::<String>::from(value.unwrap_or_default());
    [
        (
            env::AUTH_ISSUER,
            text(auth.issuer.as_ref().map(Words::as_str)),
        ),
        (
            env::AUTH_AUDIENCE,
            text(auth.audience.as_ref().map(Words::as_str)),
        ),
        (
            env::AUTH_JWKS_URL,
            text(auth.jwks_url.as_ref().map(KeySetAddress::as_str)),
        ),
        (env::AUTH_JWKS, inline_jwks(context).into()),
        (
            env::AUTH_EMAIL_IS_VERIFIED,
            auth.email_is_verified.as_str().into(),
        ),
    ]
}

/// The usage page's client at the issuer.
fn sign_in(context: &StackContext<'_>) -> Result<String, SynthError> {
    let Some(sign_in) = &context.environment.auth.sign_in else {
        return Ok(String::new());
    };
    variable("auth.signIn", &SignIn::from(sign_in))
}

/// The analytics API: serves users and operators from both tables.
fn analytics(context: &StackContext<'_>, stack: &mut Stack) -> Result<Function, SynthError> {
    let names = &context.names;
    let retention = &context.environment.retention;
    let days = |days: u32| Val::<String>::from(days.to_string());
    let mut variables = BTreeMap::from([
        (env::API_USAGE_TABLE, names.usage_table().into()),
        (env::ANALYTICS_TABLE, names.analytics_table().into()),
        (env::PLANS, context.plans()?),
        (
            env::MINUTE_RETENTION_DAYS,
            days(retention.minute_days.get()),
        ),
        (env::HOUR_RETENTION_DAYS, days(retention.hour_days.get())),
        (env::DIMENSIONS, dimensions(context)?.into()),
    ]);
    variables.extend(authentication(context));
    variables.insert(env::AUTH_SIGN_IN, sign_in(context)?.into());
    let analytics = context.function(
        stack,
        "AnalyticsApi",
        Of::Analytics,
        "Answers the analytics API",
        &Size {
            memory: 512,
            timeout: 25,
        },
        variables,
    )?;
    for table in [names.analytics_table(), names.usage_table()] {
        let reading = ["dynamodb:GetItem", "dynamodb:Query"];
        context.table(&table).grant(&analytics, reading);
    }
    Ok(analytics)
}

struct AccessLog {
    name: String,
    group: Handle<logs::LogGroup>,
    /// Absent if the account already has a role for it, or needs none.
    account: Option<Handle<cfn::apigateway::Account>>,
}

/// The access log's group, and the role with which a REST API writes to it. An HTTP API writes by log
/// delivery, which it sets up by itself
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging.html>).
fn access_log(context: &StackContext<'_>, stack: &mut Stack) -> AccessLog {
    let name = context.names.access_log();
    let group = context.encryption().encrypt_log(
        logs::LogGroup::new()
            .log_group_name(name.as_str())
            .retention_in_days(context.environment.logs.retention_days.get()),
    );
    let group = stack.template().add("AccessLogs", group);
    let environment = context.environment;
    let leaves = environment.leaves_gateway_account || environment.gateway == ApiKind::Http;
    AccessLog {
        name,
        group,
        account: (!leaves).then(|| gateway_account(context, stack)),
    }
}

/// The role with which API Gateway writes logs. It is a setting of the account and region, not of
/// an API. The stack creates it only if the account has none, because an existing role may serve
/// APIs that are unknown to this project.
///
/// Role and setting are retained: deleting them with one environment would silence the logs of all
/// others. The role has a fixed name, so that the next deploy of the environment adopts it.
fn gateway_account(
    context: &StackContext<'_>,
    stack: &mut Stack,
) -> Handle<cfn::apigateway::Account> {
    let template = stack.template();
    let role = template.add(
        "ApiGatewayLogsRole",
        iam::Role::new(policy::assumed_by("apigateway.amazonaws.com"))
            .role_name(context.names.gateway_logs_role())
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
    account
}
