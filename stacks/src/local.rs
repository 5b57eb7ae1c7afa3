//! The parts of a template that the embedded AWS does not support, for a deploy to report.

use serde_json::{Map, Value};

use crate::cfn::{LogicalId, Template};

/// A feature of a resource that the embedded AWS (MiniStack 1.5.33) drops or refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// The resource.
    pub logical_id: LogicalId,
    /// Its type.
    pub resource_type: &'static str,
    /// The unsupported feature, for the user to read.
    pub what: &'static str,
    /// Whether it refuses the whole stack: the resource must then be left out of the template that
    /// is deployed to it. Otherwise it silently ignores the feature.
    pub refused: bool,
}

type Rule = (&'static str, &'static str, &'static str, bool);

/// Type, property, unsupported feature, whether it is refused. Taken from MiniStack's source, file
/// `services/cloudformation/provisioners.py`.
const RULES: [Rule; 13] = [
    (
        "AWS::CloudWatch::Alarm",
        "Metrics",
        "alarms on metric math are refused",
        true,
    ),
    (
        "AWS::Kinesis::Stream",
        "StreamEncryption",
        "the stream is not encrypted",
        false,
    ),
    (
        "AWS::DynamoDB::Table",
        "SSESpecification",
        "the table is not encrypted",
        false,
    ),
    (
        "AWS::DynamoDB::Table",
        "PointInTimeRecoverySpecification",
        "the table has no point-in-time recovery",
        false,
    ),
    (
        "AWS::DynamoDB::Table",
        "TimeToLiveSpecification",
        "items do not expire",
        false,
    ),
    (
        "AWS::S3::Bucket",
        "BucketEncryption",
        "the bucket is not encrypted",
        false,
    ),
    (
        "AWS::S3::Bucket",
        "LifecycleConfiguration",
        "files do not expire",
        false,
    ),
    (
        "AWS::ApiGateway::Stage",
        "MethodSettings",
        "the gateway accepts calls at any rate",
        false,
    ),
    (
        "AWS::ApiGateway::Stage",
        "AccessLogSetting",
        "the gateway writes no access log; the local front does",
        false,
    ),
    (
        "AWS::ApiGatewayV2::Stage",
        "DefaultRouteSettings",
        "the gateway accepts calls at any rate",
        false,
    ),
    (
        "AWS::ApiGatewayV2::Stage",
        "AccessLogSettings",
        "the gateway writes no access log; the local front does",
        false,
    ),
    (
        "AWS::Lambda::Function",
        "DeadLetterConfig",
        "log lines that the function failed on are not delivered again",
        false,
    ),
    (
        // Only mappings of queues have it.
        "AWS::Lambda::EventSourceMapping",
        "ScalingConfig",
        "messages arrive at most ten at a time, without waiting for a batch to fill",
        false,
    ),
];

/// The unsupported features of a template, by logical id.
pub(crate) fn unsupported(template: &Template) -> Vec<Unsupported> {
    let resources = template.resources().iter();
    resources
        .flat_map(|(id, declaration)| {
            found(declaration.kind, &declaration.properties).map(|(kind, _, what, refused)| {
                Unsupported {
                    logical_id: id.clone(),
                    resource_type: kind,
                    what,
                    refused: *refused,
                }
            })
        })
        .collect()
}

fn found<'a>(
    kind: &'a str,
    properties: &'a Map<String, Value>,
) -> impl Iterator<Item = &'static Rule> + use<'a> {
    RULES
        .iter()
        .filter(move |(of, property, ..)| *of == kind && properties.contains_key(*property))
}
