//! The permissions to deploy a resource, by its type: the rights that CloudFormation uses on behalf
//! of the deploying principal (the `handlers` of each type's schema in the CloudFormation registry,
//! and the Service Authorization Reference for their resources).

use crate::cfn::policy::Statement;
use crate::cfn::sub;

/// A type of resource.
pub(super) struct Kind {
    /// The property that holds its name.
    pub(super) named_by: &'static str,
    /// The resources of the actions, in the form of `Fn::Sub`, from the stack's name and the
    /// resource's own.
    pub(super) arns: fn(stack: &str, name: Option<&str>) -> Vec<String>,
    /// The actions.
    pub(super) actions: &'static [&'static str],
    /// Actions on other resources, or under a condition, from the stack's name and the names of the
    /// resources of this type in it.
    pub(super) further: Option<Further>,
}

type Further = fn(stack: &str, names: &[&str]) -> Vec<Statement>;

/// The knowledge about a type.
pub(super) fn of(kind: &str) -> Option<&'static Kind> {
    let found = KINDS.iter().find(|(name, _)| *name == kind);
    found.map(|(_, kind)| kind)
}

const NOTHING: Kind = Kind {
    named_by: "",
    arns: |_, _| Vec::new(),
    actions: &[],
    further: None,
};

const OF_GATEWAY: &[&str] = &[
    "apigateway:DELETE",
    "apigateway:GET",
    "apigateway:PATCH",
    "apigateway:POST",
    "apigateway:PUT",
];

const GATEWAY: Kind = Kind {
    arns: |_, _| of_gateway(["restapis", "restapis/*", "tags/*"]),
    actions: OF_GATEWAY,
    ..NOTHING
};

const HTTP_GATEWAY: Kind = Kind {
    arns: |_, _| of_gateway(["apis", "apis/*", "tags/*"]),
    actions: OF_GATEWAY,
    ..NOTHING
};

/// An HTTP API writes its access log by log delivery. API Gateway sets that up with the rights of the
/// principal that deploys the stage
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging.html>).
const HTTP_STAGE: Kind = Kind {
    further: Some(|_, _| {
        vec![Statement::allow_on_all(
            [
                "logs:CreateLogDelivery",
                "logs:DeleteLogDelivery",
                "logs:DescribeResourcePolicies",
                "logs:GetLogDelivery",
                "logs:ListLogDeliveries",
                "logs:PutResourcePolicy",
                "logs:UpdateLogDelivery",
            ],
            "log deliveries and resource policies have no resource type (Service Authorization Reference, \
             CloudWatch Logs)",
        )]
    }),
    ..HTTP_GATEWAY
};

const LOG_GROUP: Kind = Kind {
    named_by: "LogGroupName",
    arns: |_, name| {
        let group = |name| in_region("logs", &format!("log-group:{name}"));
        let both = |name| [group(name), format!("{}:*", group(name))];
        name.map(both).into_iter().flatten().collect()
    },
    actions: &[
        "logs:AssociateKmsKey",
        "logs:CreateLogGroup",
        "logs:DeleteLogGroup",
        "logs:DeleteRetentionPolicy",
        "logs:DeleteSubscriptionFilter",
        "logs:DescribeIndexPolicies",
        "logs:DescribeSubscriptionFilters",
        "logs:DisassociateKmsKey",
        "logs:GetDataProtectionPolicy",
        "logs:ListTagsForResource",
        "logs:PutRetentionPolicy",
        "logs:PutSubscriptionFilter",
        "logs:TagResource",
        "logs:UntagResource",
    ],
    further: Some(|_, _| {
        vec![Statement::allow_on_all(
            ["logs:DescribeLogGroups"],
            "DescribeLogGroups has no resource type (Service Authorization Reference, CloudWatch Logs)",
        )]
    }),
};

const KINDS: &[(&str, Kind)] = &[
    (
        "AWS::ApiGateway::Account",
        Kind {
            arns: |_, _| {
                vec!["arn:${AWS::Partition}:apigateway:${AWS::Region}::/account".to_owned()]
            },
            actions: &["apigateway:GET", "apigateway:PATCH"],
            ..NOTHING
        },
    ),
    ("AWS::ApiGateway::Authorizer", GATEWAY),
    ("AWS::ApiGateway::Deployment", GATEWAY),
    ("AWS::ApiGateway::GatewayResponse", GATEWAY),
    ("AWS::ApiGateway::Method", GATEWAY),
    ("AWS::ApiGateway::Resource", GATEWAY),
    ("AWS::ApiGateway::RestApi", GATEWAY),
    ("AWS::ApiGateway::Stage", GATEWAY),
    ("AWS::ApiGatewayV2::Api", HTTP_GATEWAY),
    ("AWS::ApiGatewayV2::Authorizer", HTTP_GATEWAY),
    ("AWS::ApiGatewayV2::Integration", HTTP_GATEWAY),
    ("AWS::ApiGatewayV2::Route", HTTP_GATEWAY),
    ("AWS::ApiGatewayV2::Stage", HTTP_STAGE),
    (
        "AWS::CloudWatch::Alarm",
        Kind {
            named_by: "AlarmName",
            arns: |_, name| of_name("cloudwatch", "alarm:", name),
            actions: &[
                "cloudwatch:DeleteAlarms",
                "cloudwatch:DescribeAlarms",
                "cloudwatch:ListTagsForResource",
                "cloudwatch:PutMetricAlarm",
                "cloudwatch:TagResource",
                "cloudwatch:UntagResource",
            ],
            ..NOTHING
        },
    ),
    (
        "AWS::CloudWatch::Dashboard",
        Kind {
            named_by: "DashboardName",
            arns: |_, name| {
                let arn = "arn:${AWS::Partition}:cloudwatch::${AWS::AccountId}:dashboard/";
                name.map(|name| format!("{arn}{name}"))
                    .into_iter()
                    .collect()
            },
            actions: &[
                "cloudwatch:DeleteDashboards",
                "cloudwatch:GetDashboard",
                "cloudwatch:PutDashboard",
            ],
            ..NOTHING
        },
    ),
    (
        "AWS::DynamoDB::Table",
        Kind {
            named_by: "TableName",
            arns: |_, name| of_name("dynamodb", "table/", name),
            actions: &[
                "dynamodb:CreateTable",
                "dynamodb:DeleteTable",
                "dynamodb:DescribeContinuousBackups",
                "dynamodb:DescribeContributorInsights",
                "dynamodb:DescribeKinesisStreamingDestination",
                "dynamodb:DescribeTable",
                "dynamodb:DescribeTimeToLive",
                "dynamodb:GetResourcePolicy",
                "dynamodb:ListTagsOfResource",
                "dynamodb:TagResource",
                "dynamodb:UntagResource",
                "dynamodb:UpdateContinuousBackups",
                "dynamodb:UpdateTable",
                "dynamodb:UpdateTimeToLive",
            ],
            ..NOTHING
        },
    ),
    (
        "AWS::Events::Rule",
        Kind {
            named_by: "Name",
            arns: |_, name| of_name("events", "rule/", name),
            actions: &[
                "events:DeleteRule",
                "events:DescribeRule",
                "events:DisableRule",
                "events:EnableRule",
                "events:ListTagsForResource",
                "events:ListTargetsByRule",
                "events:PutRule",
                "events:PutTargets",
                "events:RemoveTargets",
                "events:TagResource",
                "events:UntagResource",
            ],
            ..NOTHING
        },
    ),
    (
        "AWS::IAM::Policy",
        Kind {
            arns: |stack, _| vec![role(stack, None)],
            actions: &[
                "iam:DeleteRolePolicy",
                "iam:GetRolePolicy",
                "iam:PutRolePolicy",
            ],
            ..NOTHING
        },
    ),
    (
        "AWS::IAM::Role",
        Kind {
            named_by: "RoleName",
            arns: |stack, name| vec![role(stack, name)],
            actions: &[
                "iam:AttachRolePolicy",
                "iam:CreateRole",
                "iam:DeleteRole",
                "iam:DeleteRolePolicy",
                "iam:DetachRolePolicy",
                "iam:GetRole",
                "iam:GetRolePolicy",
                "iam:ListAttachedRolePolicies",
                "iam:ListRolePolicies",
                "iam:PutRolePolicy",
                "iam:TagRole",
                "iam:UntagRole",
                "iam:UpdateAssumeRolePolicy",
                "iam:UpdateRole",
                "iam:UpdateRoleDescription",
            ],
            further: Some(|stack, names| {
                let pass = |service: &str, name| {
                    let pass = Statement::of(vec!["iam:PassRole"], vec![sub(role(stack, name))]);
                    pass.when_equal("iam:PassedToService", service)
                };
                // Only API Gateway's role has a fixed name.
                let named = names
                    .iter()
                    .map(|name| pass("apigateway.amazonaws.com", Some(*name)));
                let functions = pass("lambda.amazonaws.com", None);
                std::iter::once(functions).chain(named).collect()
            }),
        },
    ),
    (
        "AWS::Kinesis::Stream",
        Kind {
            named_by: "Name",
            arns: |_, name| of_name("kinesis", "stream/", name),
            actions: &[
                "kinesis:AddTagsToStream",
                "kinesis:CreateStream",
                "kinesis:DecreaseStreamRetentionPeriod",
                "kinesis:DeleteStream",
                "kinesis:DescribeStream",
                "kinesis:DescribeStreamSummary",
                "kinesis:DisableEnhancedMonitoring",
                "kinesis:EnableEnhancedMonitoring",
                "kinesis:IncreaseStreamRetentionPeriod",
                "kinesis:ListTagsForResource",
                "kinesis:ListTagsForStream",
                "kinesis:RemoveTagsFromStream",
                "kinesis:StartStreamEncryption",
                "kinesis:StopStreamEncryption",
                "kinesis:TagResource",
                "kinesis:UntagResource",
                "kinesis:UpdateShardCount",
                "kinesis:UpdateStreamMode",
            ],
            ..NOTHING
        },
    ),
    (
        "AWS::Lambda::EventSourceMapping",
        Kind {
            further: Some(|stack, _| {
                vec![mappings(stack), new_mappings(stack), tags_of_mappings()]
            }),
            ..NOTHING
        },
    ),
    (
        "AWS::Lambda::Function",
        Kind {
            named_by: "FunctionName",
            arns: |_, name| of_name("lambda", "function:", name),
            actions: &[
                "lambda:AddPermission",
                "lambda:CreateFunction",
                "lambda:DeleteFunction",
                "lambda:DeleteFunctionConcurrency",
                "lambda:GetFunction",
                "lambda:GetFunctionCodeSigningConfig",
                "lambda:GetFunctionConfiguration",
                "lambda:GetFunctionRecursionConfig",
                "lambda:GetPolicy",
                "lambda:GetRuntimeManagementConfig",
                "lambda:ListTags",
                "lambda:PutFunctionConcurrency",
                "lambda:RemovePermission",
                "lambda:TagResource",
                "lambda:UntagResource",
                "lambda:UpdateFunctionCode",
                "lambda:UpdateFunctionConfiguration",
            ],
            ..NOTHING
        },
    ),
    // Among the function's actions.
    ("AWS::Lambda::Permission", NOTHING),
    ("AWS::Logs::LogGroup", LOG_GROUP),
    // Among the group's actions.
    ("AWS::Logs::SubscriptionFilter", NOTHING),
    (
        "AWS::S3::Bucket",
        Kind {
            named_by: "BucketName",
            arns: |_, name| of_bucket(name),
            actions: &[
                "s3:CreateBucket",
                "s3:GetAccelerateConfiguration",
                "s3:GetAnalyticsConfiguration",
                "s3:GetBucketCORS",
                "s3:GetBucketLogging",
                "s3:GetBucketNotification",
                "s3:GetBucketObjectLockConfiguration",
                "s3:GetBucketOwnershipControls",
                "s3:GetBucketPublicAccessBlock",
                "s3:GetBucketTagging",
                "s3:GetBucketVersioning",
                "s3:GetBucketWebsite",
                "s3:GetEncryptionConfiguration",
                "s3:GetIntelligentTieringConfiguration",
                "s3:GetInventoryConfiguration",
                "s3:GetLifecycleConfiguration",
                "s3:GetMetricsConfiguration",
                "s3:GetReplicationConfiguration",
                "s3:ListBucket",
                "s3:ListTagsForResource",
                "s3:PutBucketOwnershipControls",
                "s3:PutBucketPublicAccessBlock",
                "s3:PutBucketTagging",
                "s3:PutBucketVersioning",
                "s3:PutEncryptionConfiguration",
                "s3:PutLifecycleConfiguration",
                "s3:TagResource",
                "s3:UntagResource",
                // Of its policy.
                "s3:DeleteBucketPolicy",
                "s3:GetBucketPolicy",
                "s3:PutBucketPolicy",
            ],
            ..NOTHING
        },
    ),
    // Among the bucket's actions.
    ("AWS::S3::BucketPolicy", NOTHING),
    (
        "AWS::Scheduler::Schedule",
        Kind {
            named_by: "Name",
            arns: |_, name| of_name("scheduler", "schedule/default/", name),
            actions: &[
                "scheduler:CreateSchedule",
                "scheduler:DeleteSchedule",
                "scheduler:GetSchedule",
                "scheduler:UpdateSchedule",
            ],
            further: Some(|stack, _| {
                let roles = vec![sub(role(stack, None))];
                let pass = Statement::of(vec!["iam:PassRole"], roles);
                vec![pass.when_equal("iam:PassedToService", "scheduler.amazonaws.com")]
            }),
        },
    ),
    ("AWS::SNS::Subscription", NOTHING),
    (
        "AWS::SecretsManager::Secret",
        Kind {
            named_by: "Name",
            // Secrets Manager adds a hyphen and six characters.
            arns: |_, name| {
                let secret = |name| in_region("secretsmanager", &format!("secret:{name}-??????"));
                name.map(secret).into_iter().collect()
            },
            actions: &[
                "secretsmanager:CreateSecret",
                "secretsmanager:DeleteSecret",
                "secretsmanager:DescribeSecret",
                "secretsmanager:GetSecretValue",
                "secretsmanager:TagResource",
                "secretsmanager:UntagResource",
                "secretsmanager:UpdateSecret",
            ],
            further: Some(|_, _| {
                vec![Statement::allow_on_all(
                    ["secretsmanager:GetRandomPassword"],
                    "GetRandomPassword has no resource type (Service Authorization Reference, Secrets Manager)",
                )]
            }),
        },
    ),
    (
        "AWS::SNS::Topic",
        Kind {
            named_by: "TopicName",
            arns: |_, name| of_name("sns", "", name),
            actions: &[
                "sns:CreateTopic",
                "sns:DeleteTopic",
                "sns:GetDataProtectionPolicy",
                "sns:GetTopicAttributes",
                "sns:ListSubscriptionsByTopic",
                "sns:ListTagsForResource",
                "sns:SetTopicAttributes",
                "sns:Subscribe",
                "sns:TagResource",
                "sns:UntagResource",
            ],
            ..NOTHING
        },
    ),
    // Among the topic's actions.
    ("AWS::SNS::TopicPolicy", NOTHING),
    (
        "AWS::SQS::Queue",
        Kind {
            named_by: "QueueName",
            arns: |_, name| of_name("sqs", "", name),
            actions: &[
                "sqs:CreateQueue",
                "sqs:DeleteQueue",
                "sqs:GetQueueAttributes",
                "sqs:GetQueueUrl",
                "sqs:ListQueueTags",
                "sqs:SetQueueAttributes",
                "sqs:TagQueue",
                "sqs:UntagQueue",
            ],
            ..NOTHING
        },
    ),
    // Among the queue's actions.
    ("AWS::SQS::QueuePolicy", NOTHING),
    (
        "AWS::WAFv2::WebACL",
        Kind {
            named_by: "Name",
            arns: |_, name| {
                let named = |name| in_region("wafv2", &format!("regional/webacl/{name}/*"));
                name.map(named).into_iter().collect()
            },
            actions: &[
                "wafv2:AssociateWebACL",
                "wafv2:CreateWebACL",
                "wafv2:DeleteWebACL",
                "wafv2:DisassociateWebACL",
                "wafv2:GetWebACL",
                "wafv2:ListTagsForResource",
                "wafv2:TagResource",
                "wafv2:UntagResource",
                "wafv2:UpdateWebACL",
            ],
            ..NOTHING
        },
    ),
    (
        "AWS::WAFv2::WebACLAssociation",
        Kind {
            further: Some(|_, _| {
                let stages =
                    "arn:${AWS::Partition}:apigateway:${AWS::Region}::/restapis/*/stages/*";
                let actions = vec![
                    "wafv2:AssociateWebACL",
                    "wafv2:DisassociateWebACL",
                    "wafv2:GetWebACLForResource",
                ];
                let stages = || vec![sub::<String>(stages)];
                vec![
                    Statement::of(vec!["apigateway:SetWebACL"], stages()),
                    Statement::of(actions, stages()),
                ]
            }),
            ..NOTHING
        },
    ),
];

fn of_gateway<const N: usize>(paths: [&str; N]) -> Vec<String> {
    paths
        .map(|path| format!("arn:${{AWS::Partition}}:apigateway:${{AWS::Region}}::/{path}"))
        .into()
}

/// Buckets have neither account nor region in their ARN.
fn of_bucket(name: Option<&str>) -> Vec<String> {
    name.map(|name| format!("arn:${{AWS::Partition}}:s3:::{name}"))
        .into_iter()
        .collect()
}

fn in_region(service: &str, resource: &str) -> String {
    format!("arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:{resource}")
}

fn of_name(service: &str, prefix: &str, name: Option<&str>) -> Vec<String> {
    name.map(|name| in_region(service, &format!("{prefix}{name}")))
        .into_iter()
        .collect()
}

/// A role of this name, or all roles whose names CloudFormation derives from the stack's. It cuts
/// the stack's part if the whole would exceed 64 characters, and keeps at least 24 of it.
fn role(stack: &str, name: Option<&str>) -> String {
    const LEFT: usize = 24;
    let of_stack = match stack.get(..LEFT) {
        Some(cut) if stack.len() > LEFT => format!("{cut}*"),
        _ => format!("{stack}-*"),
    };
    let name = name.map_or(of_stack, str::to_owned);
    format!("arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role/{name}")
}

/// AWS chooses a mapping's id, so the mapping is identified by the function that it feeds.
fn of_functions(stack: &str, statement: Statement) -> Statement {
    let functions = in_region("lambda", &format!("function:{stack}-*"));
    statement.when_like("lambda:FunctionArn", sub::<String>(functions))
}

fn mappings(stack: &str) -> Statement {
    let actions = vec![
        "lambda:DeleteEventSourceMapping",
        "lambda:GetEventSourceMapping",
        "lambda:UpdateEventSourceMapping",
    ];
    of_functions(stack, Statement::of(actions, all_mappings()))
}

/// Tags do not know the function.
fn tags_of_mappings() -> Statement {
    let actions = vec![
        "lambda:ListTags",
        "lambda:TagResource",
        "lambda:UntagResource",
    ];
    Statement::of(actions, all_mappings())
}

fn all_mappings() -> Vec<crate::cfn::Val<String>> {
    vec![sub(in_region("lambda", "event-source-mapping:*"))]
}

fn new_mappings(stack: &str) -> Statement {
    let create = Statement::allow_on_all(
        ["lambda:CreateEventSourceMapping"],
        "a mapping has no ARN before it is made; the condition names the functions",
    );
    of_functions(stack, create)
}
