//! The identity of a usage event.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use sha2::{Digest, Sha256};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use crate::time::UnixMillis;

/// Id of one usage event: a version 7 UUID (RFC 9562), minted by the authorizer.
///
/// It never comes from the client: callers can choose the gateway's request id, and two calls under
/// one id would count once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(into = "String")]
pub struct EventId([u8; 16]);

/// A text that is not an event id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an event id, a lower-case version 7 UUID, found `{text}`")]
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

    /// The id of something that happened at `millis` since the epoch and has the name `name`
    /// elsewhere: the same name always gives the same id, and different names give unrelated ids.
    pub fn derive(millis: u64, name: &str) -> Self {
        let digest = Sha256::digest(name.as_bytes());
        let mut random = [0; 10];
        for (to, from) in random.iter_mut().zip(digest) {
            *to = from;
        }
        Self::mint(millis, random)
    }

    /// The id with these bytes, unless they are not a version 7 UUID.
    pub const fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        let [_, _, _, _, _, _, version, _, variant, ..] = bytes;
        if version >> 4 == 0x7 && variant >> 6 == 0b10 {
            Some(Self(bytes))
        } else {
            None
        }
    }

    /// The bytes of the UUID.
    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// The id minted at `millis` since the epoch that ends with `tail`, unless the two are not a
    /// version 7 UUID or `millis` exceeds 48 bits.
    pub const fn from_parts(millis: u64, tail: [u8; 10]) -> Option<Self> {
        let [0, 0, t0, t1, t2, t3, t4, t5] = millis.to_be_bytes() else {
            return None;
        };
        let [r0, r1, r2, r3, r4, r5, r6, r7, r8, r9] = tail;
        Self::from_bytes([
            t0, t1, t2, t3, t4, t5, r0, r1, r2, r3, r4, r5, r6, r7, r8, r9,
        ])
    }

    /// The last ten bytes, which distinguish ids of one millisecond: version, variant, randomness.
    pub const fn tail(self) -> [u8; 10] {
        let [_, _, _, _, _, _, tail @ ..] = self.0;
        tail
    }

    /// When the id was minted; also the event's time.
    pub fn minted_at(self) -> UnixMillis {
        let [t0, t1, t2, t3, t4, t5, ..] = self.0;
        // 48 bits.
        UnixMillis(i64::from_be_bytes([0, 0, t0, t1, t2, t3, t4, t5]))
    }

    /// Twelve random bits, for choosing one of several partition keys.
    pub const fn spread(self) -> u16 {
        let [_, _, _, _, _, _, high, low, ..] = self.0;
        u16::from_be_bytes([high & 0x0f, low])
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

/// A UUID can be written in other ways, and two texts of one id would be two ids: only the 36
/// characters with hyphens and lower-case digits are accepted.
fn parse(text: &str) -> Option<EventId> {
    let is_canonical =
        text.len() == Hyphenated::LENGTH && !text.bytes().any(|byte| byte.is_ascii_uppercase());
    let uuid = is_canonical.then(|| Uuid::try_parse(text).ok())??;
    EventId::from_bytes(uuid.into_bytes())
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor;

        impl Visitor<'_> for IdVisitor {
            type Value = EventId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event id")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<EventId, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(IdVisitor)
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
            prop_assert_eq!(EventId::from_bytes(id.bytes()), Some(id));
            prop_assert_eq!(EventId::from_parts(millis, id.tail()), Some(id));
        }

        #[test]
        fn bytes_are_an_id_exactly_if_their_canonical_text_is_one(
            mut bytes: [u8; 16], version in 6_u8..=8, upper in 0_usize..36,
        ) {
            bytes[6] = (version << 4) | (bytes[6] & 0x0f);
            let id = EventId::from_bytes(bytes);
            let uuid = Uuid::from_bytes(bytes);
            let text = uuid.to_string();
            prop_assert_eq!(text.parse().ok(), id);
            let mut capital = text.clone();
            capital[upper..=upper].make_ascii_uppercase();
            prop_assert_eq!(capital.parse::<EventId>().is_ok(), id.is_some() && capital == text);
            for other in [uuid.simple().to_string(), uuid.braced().to_string(), uuid.urn().to_string()] {
                prop_assert!(other.parse::<EventId>().is_err(), "{}", other);
            }
        }

        #[test]
        fn a_later_id_sorts_after_an_earlier_one(millis in 0_u64..1 << 47, a: [u8; 10], b: [u8; 10]) {
            prop_assert!(EventId::mint(millis, a).to_string() < EventId::mint(millis + 1, b).to_string());
        }
    }

    #[test]
    fn twelve_random_bits_spread_ids() {
        let id = EventId::mint(0, [0xab, 0xcd, 0xff, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(id.spread(), 0xbcd);
    }

    #[test]
    fn parts_that_are_not_an_id_are_refused() {
        let id = EventId::mint((1 << 48) - 1, [0xff; 10]);
        let tail = id.tail();
        assert_eq!(EventId::from_parts((1 << 48) - 1, tail), Some(id));
        assert_eq!(EventId::from_parts(1 << 48, tail), None);
        assert_eq!(EventId::from_parts(0, [0; 10]), None);
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
