//! How leaves, roll-ups and rosters are kept in an item's binary attribute: one byte that names
//! the format, then postcard (<https://postcard.jamesmunns.com/wire-format>).

use serde::{Serialize, de::DeserializeOwned};

/// The format that is written and read. Format 1 knew no responses and format 2 no minutes of busy
/// subjects; neither was ever released.
const FORMAT: u8 = 3;

/// A stored state that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Written by a later release.
    #[error("state has format {found}, this release reads format {FORMAT}")]
    Format {
        /// The format byte, 0 where the state is empty.
        found: u8,
    },
    /// Not what its format byte says.
    #[error("state of {bytes} bytes does not decode")]
    Decode {
        /// Length of the state.
        bytes: usize,
        /// What the decoder met.
        source: postcard::Error,
    },
}

/// Writes a state.
pub fn encode<T: Serialize>(state: &T) -> Result<Vec<u8>, StateError> {
    postcard::to_extend(state, vec![FORMAT])
        .map_err(|source| StateError::Decode { bytes: 0, source })
}

/// Reads a state.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StateError> {
    match bytes.split_first() {
        Some((&FORMAT, state)) => {
            postcard::from_bytes(state).map_err(|source| StateError::Decode {
                bytes: bytes.len(),
                source,
            })
        }
        other => Err(StateError::Format {
            found: other.map_or(0, |(format, _)| *format),
        }),
    }
}
