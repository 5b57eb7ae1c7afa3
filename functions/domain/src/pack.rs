//! Deflating with state that a thread reuses: creating it takes longer than deflating a small
//! batch.

use std::cell::RefCell;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// The size from which deflating pays, in bytes.
const WORTHWHILE: usize = 512;

thread_local! {
    static COMPRESS: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), false));
    static DECOMPRESS: RefCell<Decompress> = RefCell::new(Decompress::new(false));
}

/// The deflated bytes (RFC 1951); `None` if they would not be shorter.
pub(crate) fn deflate(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() < WORTHWHILE {
        return None;
    }
    COMPRESS.with_borrow_mut(|compress| {
        compress.reset();
        // A result that needs more room would not be shorter.
        let mut deflated = Vec::with_capacity(bytes.len());
        let status = compress.compress_vec(bytes, &mut deflated, FlushCompress::Finish);
        matches!(status, Ok(Status::StreamEnd)).then_some(deflated)
    })
}

/// Inflates exactly `length` bytes; `None` if there are fewer or more.
pub(crate) fn inflate(deflated: &[u8], length: usize) -> Option<Vec<u8>> {
    DECOMPRESS.with_borrow_mut(|decompress| {
        decompress.reset(false);
        let mut bytes = Vec::with_capacity(length);
        let status = decompress.decompress_vec(deflated, &mut bytes, FlushDecompress::Finish);
        let whole = decompress.total_in() == deflated.len() as u64 && bytes.len() == length;
        (matches!(status, Ok(Status::StreamEnd)) && whole).then_some(bytes)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_deflated_inflates(words in proptest::collection::vec("[a-c]{1,8}", 0..400)) {
            let bytes = words.concat().into_bytes();
            if let Some(deflated) = deflate(&bytes) {
                prop_assert!(deflated.len() <= bytes.len());
                prop_assert_eq!(inflate(&deflated, bytes.len()).unwrap(), bytes.clone());
                prop_assert_eq!(inflate(&deflated, bytes.len() + 1), None);
                prop_assert_eq!(inflate(&deflated, bytes.len() - 1), None);
                prop_assert_eq!(inflate(&deflated[1..], bytes.len()), None);
            }
        }

        #[test]
        fn anything_else_is_refused_without_panic(bytes: Vec<u8>, length in 0_usize..10_000) {
            inflate(&bytes, length);
        }
    }

    #[test]
    fn what_does_not_get_shorter_stays() {
        assert_eq!(deflate(&[7; WORTHWHILE - 1]), None);
        assert!(deflate(&[7; WORTHWHILE]).is_some());
        let random: Vec<u8> = (0..4_096_u32)
            .map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8)
            .scan(1_u32, |state, byte| {
                *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                Some(byte ^ (*state >> 24) as u8)
            })
            .collect();
        assert_eq!(deflate(&random), None);
    }
}
