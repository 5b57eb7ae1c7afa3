//! Records that cannot be counted, with their bytes and their reason.

use domain::event::Rejection;
use domain::table::{ItemKey, attribute};
use domain::time::UnixMillis;

use crate::store::{Document, Store, StoreError, Value};

/// Bytes of a record that are kept; the rest is cut, its length is not.
pub const MOST_PAYLOAD_BYTES: usize = 307_200;

/// Where a record came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position<'a> {
    /// The shard; of a log line its group and stream.
    pub shard_id: &'a str,
    /// The position in the shard; of a log line its event id.
    pub sequence_number: &'a str,
}

/// Sets a record aside: one item a position, however often it comes.
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
