//! The rights that a call requires: its actions, each on its resources (Service Authorization
//! Reference).

use serde_json::Value;

use super::Call;
use crate::policy::Right;

/// The account of the embedded AWS.
pub const ACCOUNT: &str = "000000000000";

impl Call {
    /// The rights that the call requires. `iterated` is the stream of a shard iterator.
    pub fn rights(&self, iterated: impl Fn(&str) -> Option<String>) -> Vec<Right> {
        let on = |resource: String| {
            let action = self.action();
            // A batch needs the right of its parts.
            let action = match action.strip_suffix("Batch") {
                Some(single) if self.service() == "sqs" => single.to_owned(),
                _ => action,
            };
            vec![Right {
                action,
                resource,
                partition: String::new(),
            }]
        };
        match self.service() {
            "dynamodb" if self.header("x-amz-target").starts_with("DynamoDBStreams") => {
                on(self.stream("StreamArn", iterated))
            }
            "dynamodb" => self.of_tables(),
            "kinesis" => on(self.stream("StreamARN", iterated)),
            "sqs" => on(self.queue()),
            "sns" => on(self.parameter("TopicArn").unwrap_or_default()),
            "s3" => on(format!("arn:aws:s3:::{}", self.file())),
            "secretsmanager" => on(self.member("SecretId")),
            "logs" => on(self.arn(&format!(
                "log-group:{}:log-stream:{}",
                self.member("logGroupName"),
                self.member("logStreamName")
            ))),
            _ => on("*".to_owned()),
        }
    }

    fn arn(&self, resource: &str) -> String {
        let (service, region) = (self.service(), self.region());
        format!("arn:aws:{service}:{region}:{ACCOUNT}:{resource}")
    }

    /// The bucket and the key of a call with both in its path.
    fn file(&self) -> &str {
        let path = self.path.split('?').next().unwrap_or_default();
        path.trim_matches('/')
    }

    fn stream(&self, arn: &str, iterated: impl Fn(&str) -> Option<String>) -> String {
        let named = self.member(arn);
        let iterator = self.member("ShardIterator");
        if !named.is_empty() {
            named
        } else if iterator.is_empty() {
            self.arn(&format!("stream/{}", self.member("StreamName")))
        } else {
            iterated(&iterator).unwrap_or_default()
        }
    }

    fn queue(&self) -> String {
        let url = self.member("QueueUrl");
        let name = match url.rsplit_once('/') {
            Some((_, name)) => name.to_owned(),
            None => self.member("QueueName"),
        };
        self.arn(&name)
    }

    fn table(&self, name: &str) -> String {
        if name.starts_with("arn:") {
            name.to_owned()
        } else {
            self.arn(&format!("table/{name}"))
        }
    }

    /// A transaction needs the right of each of its parts, and a query of an index that on the
    /// index.
    fn of_tables(&self) -> Vec<Right> {
        let input = self.input();
        let part = |action: &str, table: &str, item: &Value| Right {
            action: format!("dynamodb:{action}"),
            resource: self.table(table),
            partition: partition(item),
        };
        let table_of = |item: &Value| {
            let name = item.get("TableName").and_then(Value::as_str);
            name.unwrap_or_default().to_owned()
        };
        if let Some(parts) = input.get("TransactItems").and_then(Value::as_array) {
            let parts = parts.iter().filter_map(Value::as_object).flatten();
            let rights = parts.map(|(kind, item)| {
                let action = match kind.as_str() {
                    "ConditionCheck" => "ConditionCheckItem".to_owned(),
                    kind => format!("{kind}Item"),
                };
                part(&action, &table_of(item), item)
            });
            return rights.collect();
        }
        let operation = self.operation();
        if let Some(tables) = input.get("RequestItems").and_then(Value::as_object) {
            let tables = tables
                .keys()
                .map(|name| part(&operation, name, &Value::Null));
            return tables.collect();
        }
        let mut right = part(&operation, &table_of(&input), &input);
        if let Some(index) = input.get("IndexName").and_then(Value::as_str) {
            right.resource = format!("{}/index/{index}", right.resource);
        }
        vec![right]
    }
}

/// The partition key of the item that a call names, if it is a text.
fn partition(input: &Value) -> String {
    let named = input.get("Item").or_else(|| input.get("Key"));
    let key = named.and_then(|item| item.pointer("/PK/S")?.as_str());
    key.unwrap_or_default().to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use axum::body::Bytes;
    use axum::http::{HeaderMap, Method};
    use serde_json::json;

    use super::*;

    fn call(service: &str, target: &str, input: &Value) -> Call {
        let scope = format!(
            "AWS4-HMAC-SHA256 Credential=complical-f/20260101/ap-south-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
        );
        let mut headers = HeaderMap::new();
        headers.insert("authorization", scope.parse().unwrap());
        headers.insert("x-amz-target", target.parse().unwrap());
        Call {
            method: Method::POST,
            path: "/".to_owned(),
            headers,
            body: Bytes::from(input.to_string()),
        }
    }

    #[track_caller]
    fn requires(call: &Call, expected: &[(&str, &str)]) {
        let iterated = |iterator: &str| (iterator == "i").then(|| "arn:of:the:stream".to_owned());
        let found = call.rights(iterated);
        let found = found.iter().map(|right| {
            let Right {
                action, resource, ..
            } = right;
            (action.as_str(), resource.as_str())
        });
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_call_is_signed_by_its_function() {
        let call = call(
            "kinesis",
            "Kinesis_20131202.PutRecord",
            &json!({"StreamName": "s"}),
        );
        assert_eq!(call.access_key_id(), "complical-f");
        let stream = "arn:aws:kinesis:ap-south-1:000000000000:stream/s";
        requires(&call, &[("kinesis:PutRecord", stream)]);
    }

    #[test]
    fn calls_to_tables_name_tables_and_indexes() {
        let table = "arn:aws:dynamodb:ap-south-1:000000000000:table/t";
        let asked = |operation: &str, input: Value| {
            call(
                "dynamodb",
                &format!("DynamoDB_20120810.{operation}"),
                &input,
            )
        };
        requires(
            &asked("PutItem", json!({"TableName": "t"})),
            &[("dynamodb:PutItem", table)],
        );
        let index = format!("{table}/index/byTime");
        requires(
            &asked("Query", json!({"TableName": "t", "IndexName": "byTime"})),
            &[("dynamodb:Query", &index)],
        );
        let parts = json!({"TransactItems": [
            {"Put": {"TableName": "t"}}, {"ConditionCheck": {"TableName": "u"}}]});
        let other = "arn:aws:dynamodb:ap-south-1:000000000000:table/u";
        requires(
            &asked("TransactWriteItems", parts),
            &[
                ("dynamodb:PutItem", table),
                ("dynamodb:ConditionCheckItem", other),
            ],
        );
        requires(
            &asked("BatchGetItem", json!({"RequestItems": {"t": {}}})),
            &[("dynamodb:BatchGetItem", table)],
        );
    }

    #[test]
    fn calls_to_streams_queues_logs_and_secrets_name_their_resource() {
        let records = json!({"ShardIterator": "i"});
        requires(
            &call("dynamodb", "DynamoDBStreams_20120810.GetRecords", &records),
            &[("dynamodb:GetRecords", "arn:of:the:stream")],
        );
        let batch = json!({"QueueUrl": "http://127.0.0.1:4566/000000000000/q"});
        requires(
            &call("sqs", "AmazonSQS.SendMessageBatch", &batch),
            &[("sqs:SendMessage", "arn:aws:sqs:ap-south-1:000000000000:q")],
        );
        let lines = json!({"logGroupName": "/aws/lambda/f", "logStreamName": "s"});
        let stream = "arn:aws:logs:ap-south-1:000000000000:log-group:/aws/lambda/f:log-stream:s";
        requires(
            &call("logs", "Logs_20140328.PutLogEvents", &lines),
            &[("logs:PutLogEvents", stream)],
        );
        let secret = "arn:aws:secretsmanager:ap-south-1:000000000000:secret:s-a1B2c3";
        requires(
            &call(
                "secretsmanager",
                "secretsmanager.GetSecretValue",
                &json!({"SecretId": secret}),
            ),
            &[("secretsmanager:GetSecretValue", secret)],
        );
        requires(
            &call(
                "monitoring",
                "GraniteServiceVersion20100801.GetMetricStatistics",
                &json!({}),
            ),
            &[("cloudwatch:GetMetricStatistics", "*")],
        );
    }
}
