//! The binary encoding of counts and marks in an item's attribute: one byte that names the format,
//! then postcard (<https://postcard.jamesmunns.com/wire-format>).
//!
//! A release reads every format since [`OLDEST`]. A later format is an error, and the reader parks
//! the item: it never replaces what it cannot read.

use serde::{Serialize, de::DeserializeOwned};

use crate::pack::{deflate, inflate};

/// The format that this release writes. Format 5 has no meters; format 4 has no units either: every
/// accepted call weighed one. Formats 1 to 3 held ids and were never released.
pub const FORMAT: u8 = 6;
/// The format of counts of which some have dimensions. Others stay in [`FORMAT`].
pub const LABELLED: u8 = 7;
/// The format of counts of which some calls have keys: those of users.
pub const KEYED: u8 = 8;
/// The latest format that this release reads and writes.
pub const LATEST: u8 = KEYED;
/// The oldest format that this release reads.
pub const OLDEST: u8 = 4;

/// A stored state that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Written by a later release, or by one that was never released.
    #[error("state has format {found}, expected {OLDEST} to {LATEST}")]
    Format {
        /// The format byte, 0 if the state is empty.
        found: u8,
    },
    /// Its bytes do not match its format byte.
    #[error("state of {bytes} bytes does not decode")]
    Decode {
        /// Length of the state.
        bytes: usize,
        /// The decoder's error.
        source: postcard::Error,
    },
    /// It decodes, but refers to something that does not exist.
    #[error("state of {bytes} bytes is inconsistent")]
    Inconsistent {
        /// Length of the state.
        bytes: usize,
    },
}

/// Encodes a state.
pub fn encode<T: Serialize>(state: &T) -> Result<Vec<u8>, StateError> {
    encode_as(FORMAT, state)
}

/// Decodes a state that has the same layout in every format.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StateError> {
    decode_since::<T, T, T>(bytes)
}

/// Decodes a state that has the layout `Four` in format 4, and `Five` in format 5.
pub fn decode_since<Four, Five, New>(bytes: &[u8]) -> Result<New, StateError>
where
    Four: DeserializeOwned + Into<New>,
    Five: DeserializeOwned + Into<New>,
    New: DeserializeOwned,
{
    let undecodable = |source| StateError::Decode {
        bytes: bytes.len(),
        source,
    };
    match bytes.split_first() {
        Some((&FORMAT, state)) => postcard::from_bytes(state).map_err(undecodable),
        Some((5, state)) => postcard::from_bytes::<Five>(state)
            .map(Into::into)
            .map_err(undecodable),
        Some((&OLDEST, state)) => postcard::from_bytes::<Four>(state)
            .map(Into::into)
            .map_err(undecodable),
        other => Err(StateError::Format {
            found: other.map_or(0, |(format, _)| *format),
        }),
    }
}

/// Encodes a state in a format beside [`FORMAT`].
pub fn encode_as<T: Serialize>(format: u8, state: &T) -> Result<Vec<u8>, StateError> {
    postcard::to_extend(state, vec![format])
        .map_err(|source| StateError::Decode { bytes: 0, source })
}

/// Decodes a state that is in `format`; `None` if it is in another.
pub fn decode_as<T: DeserializeOwned>(format: u8, bytes: &[u8]) -> Option<Result<T, StateError>> {
    let state = bytes.strip_prefix(&[format])?;
    Some(
        postcard::from_bytes(state).map_err(|source| StateError::Decode {
            bytes: bytes.len(),
            source,
        }),
    )
}

/// Encodes a state deflated, for lists of names: its length comes first.
pub fn encode_packed<T: Serialize>(state: &T) -> Result<Vec<u8>, StateError> {
    let bytes = encode(state)?;
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
    Ok(match deflate(&bytes) {
        Some(deflated) => [length.as_slice(), &deflated].concat(),
        None => [[0; 4].as_slice(), &bytes].concat(),
    })
}

/// Reads what [`encode_packed`] wrote.
pub fn decode_packed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StateError> {
    let packed = bytes.split_at_checked(4).and_then(|(length, packed)| {
        let length = u32::from_be_bytes(length.try_into().ok()?);
        match usize::try_from(length).ok()? {
            0 => Some(packed.to_vec()),
            length => inflate(packed, length),
        }
    });
    let packed = packed.ok_or(StateError::Inconsistent { bytes: bytes.len() })?;
    decode(&packed)
}
