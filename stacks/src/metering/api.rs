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

use domain::names::{Function as Of, StackKind, env};
use domain::sign_in::SignIn;

use crate::SynthError;
use crate::cfn::{LogicalId, Val, lambda, sub};
use crate::constructs::{Function, Stack, Topic};
use crate::environment::{KeySetAddress, Words, sources};
use crate::metering::context::StackContext;
use crate::metering::gate::{self, Decisions};
use crate::metering::pipeline::{Size, variable};
use crate::metering::{dashboard, reconciler};

pub(crate) use alarms::{
    ALARMS, AUTHORIZER_THROTTLES, GATEWAY_ERRORS, TRACKING_FAILURES, UNDECIDED_CALLS,
    UNTRACKED_A_MINUTE, of_authorizer,
};

/// Declares the stack.
pub(crate) fn stack(context: &StackContext<'_>) -> Result<Stack, SynthError> {
    let name = context.names.stack(StackKind::Api);
    let mut stack = Stack::new(
        name.as_str(),
        "The metered API: authorizer, analytics API, access log, dashboard.",
    );
    let decisions = Decisions {
        routes: metered::routes(context)?,
        attached: metered::attached(context)?,
        reserved_headers: metered::reserved(context),
        dimensions: dimensions(context)?,
    };
    let authorizer = gate::authorizer(context, &mut stack, decisions)?;
    let analytics = analytics(context, &mut stack)?;
    let collector = collector::function(context, &mut stack)?;
    let keys = keys::function(context, &mut stack)?;
    let log = gate::access_log(context, &mut stack);
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
    gate::outputs(&mut stack, &authorizer, &log, &reconciler);

    let mode = context.environment.mode().as_str();
    let template = stack.template();
    template.output("ApiUrl", "The API's address", gateway.url);
    for (id, description, value) in [
        ("TrackingMode", "How usage is reported", mode),
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
