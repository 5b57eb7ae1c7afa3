//! Intrinsic functions and pseudo parameters.

use serde_json::json;

use super::value::Val;

/// `AWS::AccountId`: the target account.
pub fn account_id() -> Val<String> {
    pseudo("AWS::AccountId")
}

/// `AWS::Region`: the target region.
pub fn region() -> Val<String> {
    pseudo("AWS::Region")
}

/// `AWS::Partition`: `aws`, `aws-cn`, `aws-us-gov`.
pub fn partition() -> Val<String> {
    pseudo("AWS::Partition")
}

/// `AWS::URLSuffix`: usually `amazonaws.com`.
pub fn url_suffix() -> Val<String> {
    pseudo("AWS::URLSuffix")
}

fn pseudo(name: &str) -> Val<String> {
    Val::intrinsic(json!({ "Ref": name }))
}

/// `Fn::Sub` over a text that names pseudo parameters: `arn:${AWS::Partition}:sqs:…`.
pub fn sub<T>(text: impl Into<String>) -> Val<T> {
    Val::intrinsic(json!({ "Fn::Sub": text.into() }))
}

/// `Fn::Join` of the parts, without a separator.
pub fn join(parts: impl IntoIterator<Item = Val<String>>) -> Val<String> {
    let parts: Vec<_> = parts.into_iter().map(Val::into_json).collect();
    Val::intrinsic(json!({ "Fn::Join": ["", parts] }))
}
