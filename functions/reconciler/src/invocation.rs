//! The reconciler's invocations: lines of the access log from a subscription, and the same lines
//! from the queue that collected them.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html>

use std::io::{self, Read};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::read::GzDecoder;
use runtime::queue::MOST_MESSAGE_BYTES;
use serde::{Deserialize, Serialize};

/// An invocation.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Invocation {
    /// From the subscription.
    Logs {
        /// The lines, packed.
        awslogs: Packed,
    },
    /// From the queue, or from an operator.
    Queue {
        /// The messages.
        #[serde(rename = "Records")]
        records: Vec<Message>,
        /// Whether the response reports the outcome; Lambda never asks for it.
        #[serde(rename = "reportOutcome", default)]
        report_outcome: bool,
    },
}

impl Invocation {
    /// Whether the response reports the outcome.
    pub const fn reports_outcome(&self) -> bool {
        matches!(
            self,
            Self::Queue {
                report_outcome: true,
                ..
            }
        )
    }
}

/// Lines as a subscription delivers them.
#[derive(Debug, Deserialize)]
pub struct Packed {
    /// JSON, compressed with gzip, in base 64.
    pub data: String,
}

/// A message of the queue.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Its id.
    pub message_id: String,
    /// Lines, in the form of [`LogData::pack`].
    pub body: String,
}

/// Lines of one log stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogData {
    /// Whether the data are lines of the log.
    pub message_type: MessageType,
    /// The log group that holds them.
    pub log_group: String,
    /// The log stream in it.
    pub log_stream: String,
    /// The lines.
    pub log_events: Vec<LogEvent>,
}

/// The kind of a subscription's delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MessageType {
    /// Lines.
    DataMessage,
    /// A test of whether the function is reachable: it holds no lines of the log.
    ControlMessage,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEvent {
    /// The line's id within the log.
    pub id: String,
    /// The line.
    pub message: String,
}

/// An invocation that holds no lines.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Not base 64.
    #[error("the subscription's data is not base 64")]
    Base64(#[from] base64::DecodeError),
    /// Not compressed with gzip.
    #[error("the subscription's data does not inflate")]
    Gzip(#[from] io::Error),
    /// Not the JSON of a subscription.
    #[error("not the lines of a log")]
    Json(#[from] serde_json::Error),
}

impl Packed {
    /// Unpacks the lines.
    pub fn unpack(&self) -> Result<LogData, Unreadable> {
        let compressed = BASE64_STANDARD.decode(&self.data)?;
        let mut json = Vec::new();
        GzDecoder::new(compressed.as_slice()).read_to_end(&mut json)?;
        Ok(serde_json::from_slice(&json)?)
    }
}

impl LogData {
    /// Parses the lines of a message.
    pub fn read(body: &str) -> Result<Self, Unreadable> {
        Ok(serde_json::from_str(body)?)
    }

    /// Packs the lines into messages, none longer than the queue accepts.
    pub fn pack(&self) -> Vec<String> {
        let empty = || Self {
            message_type: self.message_type,
            log_group: self.log_group.clone(),
            log_stream: self.log_stream.clone(),
            log_events: Vec::new(),
        };
        let mut messages: Vec<Self> = Vec::new();
        let mut bytes = 0;
        for line in &self.log_events {
            let length = json_length(line);
            if messages.is_empty() || bytes + length > MOST_MESSAGE_BYTES - 4_096 {
                messages.push(empty());
                bytes = 0;
            }
            bytes += length;
            if let Some(message) = messages.last_mut() {
                message.log_events.push(line.clone());
            }
        }
        let json = |message: &Self| serde_json::to_string(message).unwrap_or_default();
        messages.iter().map(json).collect()
    }
}

fn json_length(line: &LogEvent) -> usize {
    serde_json::to_vec(line).map_or(0, |json| json.len() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write as _;

    fn packed(json: &[u8]) -> Packed {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(json).unwrap();
        Packed {
            data: BASE64_STANDARD.encode(encoder.finish().unwrap()),
        }
    }

    fn invocation(json: &str) -> Invocation {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_subscriptions_lines_are_unpacked() {
        let packed = packed(
            br#"{"messageType":"DATA_MESSAGE","owner":"123456789012","logGroup":"g",
                "logStream":"s","subscriptionFilters":["f"],
                "logEvents":[{"id":"1","timestamp":1795363445007,"message":"{}"}]}"#,
        );
        let Invocation::Logs { awslogs } =
            invocation(&format!(r#"{{"awslogs":{{"data":"{}"}}}}"#, packed.data))
        else {
            unreachable!("it has lines of a log");
        };
        let data = awslogs.unpack().unwrap();
        assert_eq!(data.message_type, MessageType::DataMessage);
        assert_eq!(
            (data.log_group.as_str(), data.log_stream.as_str()),
            ("g", "s")
        );
        assert_eq!(data.log_events[0].message, "{}");
    }

    #[test]
    fn an_unreadable_subscription_says_what_is_wrong() {
        let of = |data: &str| {
            let data = data.to_owned();
            Packed { data }.unpack().unwrap_err()
        };
        assert!(matches!(of("not base 64"), Unreadable::Base64(_)));
        assert!(matches!(of("bm90IGd6aXA="), Unreadable::Gzip(_)));
        assert!(matches!(packed(b"{}").unpack(), Err(Unreadable::Json(_))));
    }

    #[test]
    fn messages_hold_every_line_once_and_none_is_too_long() {
        let line = |number: usize| LogEvent {
            id: number.to_string(),
            message: "\u{1}".repeat(number * 7),
        };
        let data = LogData {
            message_type: MessageType::DataMessage,
            log_group: "g".to_owned(),
            log_stream: "s".to_owned(),
            log_events: (0..400).map(line).collect(),
        };
        let messages = data.pack();
        assert!(messages.len() > 1);
        assert!(messages.iter().all(|body| body.len() <= MOST_MESSAGE_BYTES));
        let read = messages.iter().map(|body| LogData::read(body).unwrap());
        let lines: Vec<LogEvent> = read.flat_map(|data| data.log_events).collect();
        assert_eq!(lines, data.log_events);
        let empty = LogData {
            log_events: Vec::new(),
            ..data
        };
        assert_eq!(empty.pack(), [] as [String; 0]);
    }
}
