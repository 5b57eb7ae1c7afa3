//! Interprets a function's response to a batch.

use serde_json::Value;

/// The result of an invocation, for the mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finished {
    /// The whole batch is done.
    Success,
    /// These sequence numbers failed.
    ItemFailures(Vec<String>),
    /// The function failed, or its response is invalid: the whole batch failed.
    Failure,
    /// The function did not run: it was throttled, or does not exist.
    NotInvoked,
}

/// Parses a response under `ReportBatchItemFailures`.
///
/// "Success and failure conditions" (Configuring partial batch response with Kinesis Data Streams
/// and Lambda): an empty or null list, an empty or null response are a success; an empty, null or
/// misnamed `itemIdentifier` fails the batch.
pub fn read_response(body: &[u8]) -> Finished {
    let body = body.trim_ascii();
    if body.is_empty() {
        return Finished::Success;
    }
    match serde_json::from_slice(body) {
        Ok(Value::Null) => Finished::Success,
        Ok(Value::Object(response)) => match response.get("batchItemFailures") {
            None | Some(Value::Null) => Finished::Success,
            Some(Value::Array(items)) if items.is_empty() => Finished::Success,
            Some(Value::Array(items)) => {
                identifiers(items).map_or(Finished::Failure, Finished::ItemFailures)
            }
            Some(_) => Finished::Failure,
        },
        Ok(_) | Err(_) => Finished::Failure,
    }
}

fn identifiers(items: &[Value]) -> Option<Vec<String>> {
    items
        .iter()
        .map(|item| {
            let identifier = item.get("itemIdentifier")?.as_str()?;
            (!identifier.is_empty()).then(|| identifier.to_owned())
        })
        .collect()
}
