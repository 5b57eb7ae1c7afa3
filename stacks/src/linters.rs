//! Findings of security linters in the templates, each with the reason why it stays, written beside
//! each resource in the form that checkov reads.

use serde_json::{Map, Value, json};

use crate::cfn::Template;

/// A finding: its type of resource, whether it applies, checkov's name for it, and the reason why
/// it stays.
type Finding = (
    &'static str,
    fn(&Map<String, Value>) -> bool,
    &'static str,
    &'static str,
);

const FUNCTION: &str = "AWS::Lambda::Function";
const STAGE: &str = "AWS::ApiGateway::Stage";

const FINDINGS: [Finding; 15] = [
    (
        FUNCTION,
        |of| !of.contains_key("ReservedConcurrentExecutions"),
        "CKV_AWS_115",
        "an account with AWS's initial quota can reserve none; `concurrency` in the environment file does",
    ),
    (
        FUNCTION,
        |of| !of.contains_key("DeadLetterConfig"),
        "CKV_AWS_116",
        "it answers a caller, or is invoked by a mapping that has a dead-letter queue",
    ),
    (
        FUNCTION,
        |of| !of.contains_key("VpcConfig"),
        "CKV_AWS_117",
        "it reaches AWS's own endpoints and an issuer's key set alone, and listens to nothing",
    ),
    (
        FUNCTION,
        |of| !of.contains_key("KmsKeyArn"),
        "CKV_AWS_173",
        "its variables hold names, plans, public keys and addresses of webhooks; secrets that sign are in Secrets Manager",
    ),
    (
        "AWS::DynamoDB::Table",
        |of| !has(of, "/SSESpecification/KMSMasterKeyId"),
        "CKV_AWS_119",
        "AWS's own key encrypts it; `encryption.key` in the environment file names another",
    ),
    (
        STAGE,
        |of| !of.contains_key("CacheClusterEnabled"),
        "CKV_AWS_120",
        "answers differ by caller, and a cached answer would be an uncounted call",
    ),
    (
        STAGE,
        |of| of.get("TracingEnabled") != Some(&Value::Bool(true)),
        "CKV_AWS_73",
        "the access log has every call; `tracing` in the environment file traces as well",
    ),
    (
        "AWS::Logs::LogGroup",
        |of| !of.contains_key("KmsKeyId"),
        "CKV_AWS_158",
        "CloudWatch Logs encrypts it; `encryption.key` in the environment file names a key",
    ),
    (
        "AWS::SecretsManager::Secret",
        |of| !of.contains_key("KmsKeyId"),
        "CKV_AWS_149",
        "Secrets Manager encrypts it; `encryption.key` in the environment file names a key",
    ),
    (
        "AWS::SNS::Topic",
        |of| !of.contains_key("KmsMasterKeyId"),
        "CKV_AWS_26",
        "alarms cannot publish under AWS's own key, and say nothing of users; `encryption.key` in the environment file names a key",
    ),
    (
        "AWS::S3::Bucket",
        |of| !of.contains_key("LoggingConfiguration"),
        "CKV_AWS_18",
        "one function writes it, and only people whom the account lets read it; a trail of data events says who did",
    ),
    (
        "AWS::S3::Bucket",
        |of| {
            !has(
                of,
                "/BucketEncryption/ServerSideEncryptionConfiguration/0/ServerSideEncryptionByDefault/KMSMasterKeyID",
            )
        },
        "CKV_AWS_145",
        "S3's own key encrypts it; `encryption.key` in the environment file names another",
    ),
    (
        "AWS::Scheduler::Schedule",
        |of| !of.contains_key("KmsKeyArn"),
        "CKV_AWS_297",
        "its input says only that reports are due",
    ),
    (
        "AWS::SQS::Queue",
        |of| !of.contains_key("KmsMasterKeyId"),
        "CKV_AWS_27",
        "SQS encrypts it; `encryption.key` in the environment file names a key",
    ),
    (
        "AWS::ApiGateway::Method",
        |of| of.get("AuthorizationType") == Some(&Value::String("NONE".to_owned())),
        "CKV_AWS_59",
        "the function behind it verifies bearer tokens itself",
    ),
];

fn has(properties: &Map<String, Value>, pointer: &str) -> bool {
    let path = pointer.trim_start_matches('/');
    let (first, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
    let property = properties.get(first);
    property.is_some_and(|property| property.pointer(rest).is_some())
}

/// Writes beside each resource which of checkov's findings stay, and why.
pub(crate) fn explain(template: &mut Template) {
    for declaration in template.declarations() {
        let kind = declaration.kind;
        let properties = &declaration.properties;
        let findings = FINDINGS
            .iter()
            .filter(|(of, found, ..)| *of == kind && found(properties));
        declaration.findings = findings
            .map(|(_, _, id, why)| json!({ "id": id, "comment": why }))
            .collect();
    }
}
