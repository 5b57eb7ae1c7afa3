//! The identity of a usage event.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::{Uuid, Variant};

use crate::time::UnixMillis;

/// Id of one usage event: a version 7 UUID (RFC 9562), minted by the authorizer.
///
/// Never taken from the client: a gateway's request id can be chosen by whoever calls, and two
/// calls under one id would be counted once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventId([u8; 16]);

/// The part of an [`EventId`] that a leaf keeps: its last eight bytes, 62 bits of them random.
///
/// Two different ids of one leaf share them with a chance of n² / 2⁶³: below 10⁻¹² for a leaf of
/// 1,000 events.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ShortId(pub [u8; 8]);

/// A text that is no event id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an event id, which is a lower-case version 7 UUID")]
pub struct NotAnEventId {
    text: String,
}

impl EventId {
    /// The id minted at `millis` since the epoch with ten bytes of randomness.
    ///
    /// ```
    /// # use domain::id::EventId;
    /// let id = EventId::mint(1_795_363_445_000, [0xff; 10]);
    /// assert_eq!(id.to_string(), "01a20400-1908-7fff-bfff-ffffffffffff");
    /// ```
    pub fn mint(millis: u64, random: [u8; 10]) -> Self {
        let [_, _, t0, t1, t2, t3, t4, t5] = millis.to_be_bytes();
        let [r0, r1, r2, r3, r4, r5, r6, r7, r8, r9] = random;
        let version = 0x70 | (r0 & 0x0f);
        let variant = 0x80 | (r2 & 0x3f);
        Self([
            t0, t1, t2, t3, t4, t5, version, r1, variant, r3, r4, r5, r6, r7, r8, r9,
        ])
    }

    /// The id of something that happened at `millis` since the epoch and that others call `name`:
    /// the same for the same, and as good as random for others.
    pub fn derive(millis: u64, name: &str) -> Self {
        let digest = Sha256::digest(name.as_bytes());
        let mut random = [0; 10];
        for (to, from) in random.iter_mut().zip(digest) {
            *to = from;
        }
        Self::mint(millis, random)
    }

    /// When the id was minted: what the event's time is too.
    pub fn minted_at(self) -> UnixMillis {
        let [t0, t1, t2, t3, t4, t5, ..] = self.0;
        // 48 bits.
        UnixMillis(i64::from_be_bytes([0, 0, t0, t1, t2, t3, t4, t5]))
    }

    /// Twelve random bits of which a leaf keeps none: what is chosen by them leaves all of those that
    /// it keeps as random as they were.
    pub const fn spread(self) -> u16 {
        let [_, _, _, _, _, _, high, low, ..] = self.0;
        u16::from_be_bytes([high & 0x0f, low])
    }

    /// What a leaf keeps of this id.
    pub const fn short(self) -> ShortId {
        let [.., h0, h1, h2, h3, h4, h5, h6, h7] = self.0;
        ShortId([h0, h1, h2, h3, h4, h5, h6, h7])
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Uuid::from_bytes(self.0), f)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for EventId {
    type Err = NotAnEventId;

    fn from_str(text: &str) -> Result<Self, NotAnEventId> {
        parse(text).ok_or_else(|| NotAnEventId { text: text.into() })
    }
}

fn parse(text: &str) -> Option<EventId> {
    let uuid = Uuid::try_parse(text).ok()?;
    let is_versioned = uuid.get_version_num() == 7 && uuid.get_variant() == Variant::RFC4122;
    // A UUID may be written in other ways, and two texts of one id would be two ids.
    let id = EventId(uuid.into_bytes());
    (is_versioned && id.to_string() == text).then_some(id)
}

impl TryFrom<String> for EventId {
    type Error = NotAnEventId;

    fn try_from(text: String) -> Result<Self, NotAnEventId> {
        text.parse()
    }
}

impl From<EventId> for String {
    fn from(id: EventId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_reads_back_as_written(millis in 0_u64..1 << 48, random: [u8; 10]) {
            let id = EventId::mint(millis, random);
            prop_assert_eq!(id.to_string().parse::<EventId>(), Ok(id));
            prop_assert_eq!(id.minted_at().0.unsigned_abs(), millis);
        }

        #[test]
        fn a_later_id_sorts_after_an_earlier_one(millis in 0_u64..1 << 47, a: [u8; 10], b: [u8; 10]) {
            prop_assert!(EventId::mint(millis, a).to_string() < EventId::mint(millis + 1, b).to_string());
        }
    }

    #[test]
    fn what_spreads_ids_are_twelve_of_their_random_bits() {
        let id = EventId::mint(0, [0xab, 0xcd, 0xff, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(id.spread(), 0xbcd);
    }

    #[test]
    fn a_derived_id_follows_from_its_name_and_time() {
        let id = EventId::derive(1_795_363_445_000, "AbCdEfGhIjKlMn=");
        assert_eq!(id, EventId::derive(1_795_363_445_000, "AbCdEfGhIjKlMn="));
        assert_ne!(id, EventId::derive(1_795_363_445_000, "AbCdEfGhIjKlMm="));
        assert_eq!(id.minted_at(), UnixMillis(1_795_363_445_000));
        assert_eq!(id.to_string().parse::<EventId>(), Ok(id));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "01a20400-1908-7fff-bfff-fffffffffff",
            "01A20419-2588-7FFF-BFFF-FFFFFFFFFFFF",
            "01a204001908-7fff-bfff-ffffffffffff",
            "01a20400-1908-4fff-bfff-ffffffffffff",
            "01a20400-1908-7fff-ffff-ffffffffffff",
        ] {
            assert!(text.parse::<EventId>().is_err(), "{text}");
        }
    }
}
