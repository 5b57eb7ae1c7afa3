//! A Lambda function with its own role and its own log group.

use std::collections::BTreeMap;

use super::encryption::Encryption;
use super::grants::{Grantee, Grants};
use super::metric::{Metric, Period, Statistic};
use super::queue::Queue;
use super::stack::Stack;
use crate::FileAsset;
use crate::cfn::policy::Statement;
use crate::cfn::{self, Arn, Handle, IntoMap, LogicalId, Val, lambda, logs};

/// A function of this stack.
#[derive(Clone, Debug)]
pub struct Function {
    name: String,
    handle: Handle<lambda::Function>,
    grants: Grants,
}

/// The settings of a function.
#[derive(Clone, Debug)]
pub struct FunctionSettings<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its purpose, for people who find it in the console.
    pub description: &'a str,
    /// Its zip: a `bootstrap` for the operating-system-only runtime.
    pub code: FileAsset,
    /// The architecture that the zip was built for.
    pub architecture: lambda::FunctionArchitectures,
    /// Memory in MB; more memory also means a larger share of a processor, with a whole one at
    /// 1,769.
    pub memory: u32,
    /// Timeout of an invocation in seconds.
    pub timeout: u32,
    /// Its environment variables.
    pub variables: BTreeMap<&'static str, Val<String>>,
    /// Its log.
    pub log: FunctionLog,
    /// Concurrent executions that are reserved for it, and that it never exceeds.
    pub reserved: Option<u32>,
    /// Whether X-Ray traces it.
    pub tracing: bool,
}

/// The log of a function.
#[derive(Clone, Debug)]
pub struct FunctionLog {
    /// Days for which its lines are kept.
    pub days: u32,
    /// The level of the function's own lines. Of Lambda's lines only warnings are written;
    /// otherwise three of some 100 to 200 bytes each would follow every invocation.
    pub level: lambda::FunctionLoggingConfigApplicationLogLevel,
    /// The key that encrypts it.
    pub encryption: Encryption,
}

impl FunctionLog {
    /// A log that keeps its lines for `days` days, under AWS's own key.
    pub const fn kept(days: u32) -> Self {
        Self {
            days,
            level: lambda::FunctionLoggingConfigApplicationLogLevel::Info,
            encryption: Encryption::Managed,
        }
    }
}

impl Function {
    /// Declares the function, its role `{id}Role` with a policy of its own, and its log group
    /// `{id}Logs`.
    pub fn new(stack: &mut Stack, id: &'static str, settings: FunctionSettings<'_>) -> Self {
        Self::declare(stack, id, settings, None)
    }

    /// Like [`Function::new`]; asynchronous invocations that fail repeatedly go to `dead_letters`
    /// in full.
    pub fn with_dead_letters(
        stack: &mut Stack,
        id: &'static str,
        settings: FunctionSettings<'_>,
        dead_letters: &Queue,
    ) -> Self {
        let function = Self::declare(stack, id, settings, Some(dead_letters));
        dead_letters.grant_send(&function);
        function
    }

    fn declare(
        stack: &mut Stack,
        id: &'static str,
        settings: FunctionSettings<'_>,
        dead_letters: Option<&Queue>,
    ) -> Self {
        let group = settings.log.encryption.encrypt_log(
            logs::LogGroup::new()
                .log_group_name(format!("/aws/lambda/{}", settings.name))
                .retention_in_days(settings.log.days),
        );
        let group = stack
            .template()
            .add(LogicalId::from(format!("{id}Logs")), group);
        let (role, grants) = stack.role(
            id,
            "lambda.amazonaws.com",
            format!("What {} may do", settings.name),
        );
        grants.allow(Statement::allow(
            ["logs:CreateLogStream", "logs:PutLogEvents"],
            group.arn(),
        ));
        if settings.tracing {
            grants.allow(Statement::allow_on_all(
                ["xray:PutTraceSegments", "xray:PutTelemetryRecords"],
                "X-Ray's write actions have no resource type (Service Authorization Reference, X-Ray)",
            ));
        }
        let mut function = resource(&settings, role.arn(), &group);
        if let Some(queue) = dead_letters {
            let config = lambda::FunctionDeadLetterConfig::new().target_arn(queue.arn());
            function = function.dead_letter_config(config);
        }
        let handle = stack.template().add(id, function);
        stack.asset(settings.code);
        Self {
            name: settings.name.to_owned(),
            handle,
            grants,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its ARN.
    pub fn arn(&self) -> Val<Arn<lambda::Function>> {
        self.handle.arn()
    }

    /// The handle for references from this stack.
    pub fn handle(&self) -> &Handle<lambda::Function> {
        &self.handle
    }

    /// One of AWS's metrics about it: `Invocations`, `Errors`, `Duration`, `IteratorAge`.
    pub fn metric(&self, name: &'static str, statistic: Statistic, period: Period) -> Metric {
        Self::metric_of(&self.name, name, statistic, period)
    }

    /// [`Function::metric`] for a function of another stack.
    pub fn metric_of(
        function: &str,
        name: &'static str,
        statistic: Statistic,
        period: Period,
    ) -> Metric {
        Metric::new("AWS/Lambda", name, statistic, period).dimension("FunctionName", function)
    }
}

impl Grantee for Function {
    fn grants(&self) -> &Grants {
        &self.grants
    }
}

/// A function to invoke: of this stack, or of another one and known by its name.
#[derive(Clone, Debug)]
pub struct Invoked {
    pub(super) name: Val<lambda::PermissionFunctionName>,
    pub(super) arn: Val<Arn<lambda::Function>>,
}

impl Invoked {
    /// A function of another stack, in this account and region. It must exist when this stack is
    /// deployed.
    pub fn named(name: &str) -> Self {
        Self {
            name: cfn::existing(name).into(),
            arn: cfn::sub(format!(
                "arn:${{AWS::Partition}}:lambda:${{AWS::Region}}:${{AWS::AccountId}}:function:{name}"
            )),
        }
    }
}

impl From<&Function> for Invoked {
    fn from(function: &Function) -> Self {
        Self {
            name: function.handle().reference().into(),
            arn: function.arn(),
        }
    }
}

fn resource(
    settings: &FunctionSettings<'_>,
    role: Val<Arn<cfn::iam::Role>>,
    group: &Handle<logs::LogGroup>,
) -> lambda::Function {
    let tracing = if settings.tracing {
        lambda::FunctionTracingConfigMode::Active
    } else {
        lambda::FunctionTracingConfigMode::PassThrough
    };
    let function = lambda::Function::new(lambda::FunctionRequired {
        code: lambda::FunctionCode::new()
            .s3_bucket(cfn::sub::<cfn::Id<cfn::s3::Bucket>>(
                settings.code.bucket.clone(),
            ))
            .s3_key(settings.code.key.as_str()),
        role,
    })
    .function_name(settings.name)
    .description(settings.description)
    .runtime(lambda::FunctionRuntime::ProvidedAl2023)
    .handler("bootstrap")
    .architectures([settings.architecture])
    .memory_size(settings.memory)
    .timeout(settings.timeout)
    .environment(
        lambda::FunctionEnvironment::new().variables(settings.variables.clone().into_map()),
    )
    .logging_config(
        lambda::FunctionLoggingConfig::new()
            .log_group(group.reference())
            .log_format(lambda::FunctionLoggingConfigLogFormat::Json)
            .system_log_level(lambda::FunctionLoggingConfigSystemLogLevel::Warn)
            .application_log_level(settings.log.level),
    )
    .tracing_config(lambda::FunctionTracingConfig::new().mode(tracing));
    match settings.reserved {
        Some(reserved) => function.reserved_concurrent_executions(reserved),
        None => function,
    }
}
