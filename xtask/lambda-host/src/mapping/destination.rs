//! The message to the on-failure destination about records that were given up.
//!
//! Source: "Retain discarded batch records for a Kinesis Data Streams event source in Lambda" and
//! its page for DynamoDB: metadata to an SQS queue or SNS topic, without the records.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    model::{Condition, Discarded, Millis},
    spec::{MappingSpec, SourceKind},
};
use crate::{
    emulator::{Emulator, EmulatorError, Service},
    ids,
};

/// Lambda's invocation record for a discarded batch.
pub(super) fn message(mapping: &MappingSpec, discarded: &Discarded, now: Timestamp) -> Value {
    let condition = match discarded.condition {
        Condition::RetryAttemptsExhausted => "RetryAttemptsExhausted",
        Condition::RecordAgeExceeded => "RecordAgeExceeded",
    };
    let info = match mapping.source {
        SourceKind::Kinesis => "KinesisBatchInfo",
        SourceKind::TableStream => "DDBStreamBatchInfo",
    };
    let mut message = json!({
        "requestContext": {
            "requestId": ids::request_id(),
            "functionArn": mapping.function_arn,
            "condition": condition,
            "approximateInvokeCount": discarded.invocations,
        },
        "version": "1.0",
        "timestamp": format!("{now:.3}"),
        info: {
            "shardId": discarded.shard,
            "startSequenceNumber": discarded.first,
            "endSequenceNumber": discarded.last,
            "approximateArrivalOfFirstRecord": time(discarded.first_arrived),
            "approximateArrivalOfLastRecord": time(discarded.last_arrived),
            "batchSize": discarded.records,
            "streamArn": mapping.source_arn,
        },
    });
    // There is a response only if the function ran.
    if discarded.invocations > 0
        && let Some(message) = message.as_object_mut()
    {
        let response = json!({
            "statusCode": 200,
            "executedVersion": "$LATEST",
            "functionError": "Unhandled",
        });
        message.insert("responseContext".to_owned(), response);
    }
    message
}

fn time(at: Millis) -> String {
    let at = Timestamp::from_millisecond(at).unwrap_or_default();
    format!("{at:.3}")
}

/// Sends the message to the queue or topic, under the function's role.
pub(super) async fn send(
    emulator: &Emulator,
    function: &str,
    destination: &str,
    message: &Value,
) -> Result<(), EmulatorError> {
    let function = emulator.under_role_of(function);
    match destination.split(':').nth(2) {
        Some("sqs") => {
            let name = ids::resource_of(destination);
            let found = emulator
                .call(Service::Sqs, "GetQueueUrl", &json!({"QueueName": name}))
                .await?;
            let input = json!({
                "QueueUrl": found.get("QueueUrl"),
                "MessageBody": message.to_string(),
            });
            function
                .call(Service::Sqs, "SendMessage", &input)
                .await
                .map(drop)
        }
        Some("sns") => {
            let text = message.to_string();
            let parameters = [("TopicArn", destination), ("Message", text.as_str())];
            function
                .query("sns", "2010-03-31", "Publish", &parameters)
                .await
                .map(drop)
        }
        _ => Err(EmulatorError::Unreadable {
            call: format!("send to `{destination}`"),
            missing: "a queue or topic ARN",
        }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn mapping() -> MappingSpec {
        MappingSpec::read(&json!({
            "UUID": "u",
            "EventSourceArn": "arn:aws:kinesis:us-east-2:123456789012:stream/mystream",
            "FunctionArn": "arn:aws:lambda:us-east-2:123456789012:function:myfunction",
            "StartingPosition": "LATEST",
        }))
        .unwrap()
    }

    // "Example invocation record for a Kinesis streaming source" (Retain discarded batch records
    // for a Kinesis Data Streams event source in Lambda).
    #[test]
    fn the_message_has_the_documented_form() {
        let discarded = Discarded {
            condition: Condition::RetryAttemptsExhausted,
            shard: "shardId-000000000001".to_owned(),
            first: "49601189658422359378836298521827638475320189012309704722".to_owned(),
            last: "49601189658422359378836298522902373528957594348623495186".to_owned(),
            first_arrived: 1_573_691_884_835,
            last_arrived: 1_573_691_885_580,
            records: 500,
            invocations: 1,
        };
        let now = Timestamp::from_millisecond(1_573_691_886_021).unwrap();
        let mut sent = message(&mapping(), &discarded, now);
        let request_id = sent["requestContext"]["requestId"].take();
        assert_eq!(request_id.as_str().unwrap().len(), 36);
        assert_eq!(
            sent,
            json!({
                "requestContext": {
                    "requestId": null,
                    "functionArn": "arn:aws:lambda:us-east-2:123456789012:function:myfunction",
                    "condition": "RetryAttemptsExhausted",
                    "approximateInvokeCount": 1
                },
                "responseContext": {
                    "statusCode": 200,
                    "executedVersion": "$LATEST",
                    "functionError": "Unhandled"
                },
                "version": "1.0",
                "timestamp": "2019-11-14T00:38:06.021Z",
                "KinesisBatchInfo": {
                    "shardId": "shardId-000000000001",
                    "startSequenceNumber": "49601189658422359378836298521827638475320189012309704722",
                    "endSequenceNumber": "49601189658422359378836298522902373528957594348623495186",
                    "approximateArrivalOfFirstRecord": "2019-11-14T00:38:04.835Z",
                    "approximateArrivalOfLastRecord": "2019-11-14T00:38:05.580Z",
                    "batchSize": 500,
                    "streamArn": "arn:aws:kinesis:us-east-2:123456789012:stream/mystream"
                }
            })
        );
    }
}
