//! The gate in front of APIs: the authorizer, which decides about calls and reports them, and the access
//! log, from which the [`reconciler`] reports them a second time.

use std::collections::BTreeMap;

use domain::names::{AUTHORIZER_SECONDS, Function as Of, TrackingMode, env};
use domain::route::{AttachedRoutes, Routes};

use crate::SynthError;
use crate::cfn::{Arn, Handle, apigateway, iam, logs, policy, sub};
use crate::constructs::{Function, Stack, Stream, Topic};
use crate::metering::pipeline::{Size, UsagePipeline};
use crate::metering::{api, reconciler};

/// What the authorizer knows about the API's calls.
pub(super) struct Decisions {
    /// The routes under which calls count, if they are not the gateway's resources, and their units.
    pub(super) routes: Routes,
    /// Those of attached APIs that have their own.
    pub(super) attached: AttachedRoutes,
    /// Headers that no call may carry, separated by spaces.
    pub(super) reserved_headers: String,
    /// The dimensions as JSON; empty for none.
    pub(super) dimensions: String,
}

/// Declares the gate of APIs of other stacks.
pub(super) fn declare(context: &UsagePipeline, stack: &mut Stack) -> Result<(), SynthError> {
    let decisions = Decisions {
        routes: Routes::default(),
        attached: AttachedRoutes::default(),
        reserved_headers: String::new(),
        dimensions: String::new(),
    };
    let authorizer = authorizer(context, stack, decisions)?;
    let log = access_log(context, stack);
    let reconciler = reconciler::declare(context, stack, &log.group)?;
    let topic = Topic::named(&context.alarm_topic());
    for watch in api::of_authorizer(context, &authorizer) {
        context.alarm(stack, &topic, watch);
    }
    outputs(stack, &authorizer, &log, &reconciler);
    Ok(())
}

/// Names what the gate consists of.
pub(super) fn outputs(
    stack: &mut Stack,
    authorizer: &Function,
    log: &AccessLog,
    reconciler: &Function,
) {
    for (id, description, value) in [
        (
            "AuthorizerName",
            "Accepts or refuses calls",
            authorizer.name(),
        ),
        ("AccessLogGroup", "The gateway's access log", &log.name),
        (
            "ReconcilerName",
            "Appends the access log to the journal",
            reconciler.name(),
        ),
    ] {
        stack.template().output(id, description, value);
    }
}

/// The authorizer: decides, responds, and reports afterwards.
pub(super) fn authorizer(
    context: &UsagePipeline,
    stack: &mut Stack,
    decisions: Decisions,
) -> Result<Function, SynthError> {
    let names = &context.names;
    let mode = context.settings.mode;
    let raw_days = context.settings.retention.raw_days.get();
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
            (env::ENVIRONMENT, names.environment().into()),
            (env::METRICS_NAMESPACE, names.api_namespace().into()),
            (env::EVENT_SOURCE, names.event_source().into()),
            (env::KEY_PREFIX, names.resource_prefix().into()),
            (env::TRACKING_MODE, mode.as_str().into()),
            (env::USAGE_STREAM, names.usage_stream().into()),
            (env::API_KEYS_TABLE, names.api_keys_table().into()),
            (env::API_USAGE_TABLE, names.usage_table().into()),
            (env::ANALYTICS_TABLE, names.analytics_table().into()),
            (env::RAW_RETENTION_DAYS, raw_days.to_string().into()),
            (env::PLANS, context.plans()?),
            (env::ROUTES, decisions.routes.to_variable().into()),
            (
                env::ATTACHED_ROUTES,
                decisions.attached.to_variable().into(),
            ),
            (env::RESERVED_HEADERS, decisions.reserved_headers.into()),
            (env::DIMENSIONS, decisions.dimensions.into()),
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

/// The access log of the APIs.
pub(super) struct AccessLog {
    pub(super) name: String,
    pub(super) group: Handle<logs::LogGroup>,
    /// Absent if the account already has a role for it, or needs none.
    pub(super) account: Option<Handle<apigateway::Account>>,
}

/// The access log's group, and the role with which a REST API writes to it. An HTTP API writes by log
/// delivery, which it sets up by itself
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging.html>).
pub(super) fn access_log(context: &UsagePipeline, stack: &mut Stack) -> AccessLog {
    let name = context.names.access_log();
    let group = context.encryption().encrypt_log(
        logs::LogGroup::new()
            .log_group_name(name.as_str())
            .retention_in_days(context.settings.logs.retention_days.get()),
    );
    let group = stack.template().add("AccessLogs", group);
    let sets_role = context.settings.sets_gateway_role;
    AccessLog {
        name,
        group,
        account: sets_role.then(|| gateway_account(context, stack)),
    }
}

/// The role with which API Gateway writes logs. It is a setting of the account and region, not of
/// an API. The stack creates it only if the account has none, because an existing role may serve
/// APIs that are unknown to this project.
///
/// Role and setting are retained: deleting them with one environment would silence the logs of all
/// others. The role has a fixed name, so that the next deploy of the environment adopts it.
fn gateway_account(context: &UsagePipeline, stack: &mut Stack) -> Handle<apigateway::Account> {
    let template = stack.template();
    let role = template.add(
        "ApiGatewayLogsRole",
        iam::Role::new(policy::assumed_by("apigateway.amazonaws.com"))
            .role_name(context.names.gateway_logs_role())
            .description("Lets API Gateway write logs, for every API of the account and region")
            .managed_policy_arns([sub::<Arn<iam::ManagedPolicy>>(
                "arn:${AWS::Partition}:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs",
            )]),
    );
    let account = template.add(
        "ApiGatewayAccount",
        apigateway::Account::new().cloud_watch_role_arn(role.arn()),
    );
    template.retain(&role);
    template.retain(&account);
    account
}
