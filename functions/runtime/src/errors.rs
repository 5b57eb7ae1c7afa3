//! Sets aside records that cannot be counted: they go under `PK = ERRORS` with their bytes and the
//! reason.

use domain::event::Rejection;
use domain::table::{ItemKey, attribute};
use domain::time::UnixMillis;

use crate::store::{Document, Store, StoreError, Value};

/// Longest payload that is stored, in bytes. A longer one is cut; `payloadSize` still holds its
/// full length.
pub const MOST_PAYLOAD_BYTES: usize = 307_200;

/// The origin of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position<'a> {
    /// The shard; for a line of the access log, its log group and log stream.
    pub shard_id: &'a str,
    /// The position in the shard; for a line of the access log, its id in the log.
    pub sequence_number: &'a str,
}

/// Sets a record aside. Each position has one item, even if its record is delivered many times.
pub async fn set_aside<S: Store>(
    store: &S,
    position: Position<'_>,
    payload: &[u8],
    rejection: &Rejection,
    received_at: UnixMillis,
) -> Result<(), StoreError> {
    let kept = payload.get(..MOST_PAYLOAD_BYTES).unwrap_or(payload);
    let size = u64::try_from(payload.len()).unwrap_or(u64::MAX);
    let text = |text: &str| Value::Text(text.to_owned());
    let attributes = vec![
        (attribute::REASON, text(rejection.reason.as_str())),
        (attribute::MESSAGE, text(&rejection.message)),
        (attribute::PAYLOAD, Value::Bytes(kept.to_vec())),
        (attribute::PAYLOAD_SIZE, Value::Number(size)),
        (attribute::SHARD_ID, text(position.shard_id)),
        (attribute::SEQUENCE_NUMBER, text(position.sequence_number)),
        (attribute::RECEIVED_AT, text(&received_at.to_string())),
    ];
    let key = ItemKey::error(position.shard_id, position.sequence_number);
    store
        .keep(
            &key,
            Document {
                attributes,
                expires_at: None,
            },
        )
        .await
}
