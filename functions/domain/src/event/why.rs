//! Why a call was refused, as its event reports it.

use serde::{Serialize, Serializer};

use crate::names::TrackingMode;

/// Why a call was refused. This is for people and affects no count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// It has no key.
    Missing,
    /// Its key does not have the form of one.
    Malformed,
    /// Its key does not exist.
    Unknown,
    /// Its address has tried too many unknown keys, so this one was not looked up.
    Untried,
    /// Its key has expired.
    Expired,
    /// Its key is revoked.
    Revoked,
    /// Its address or its user is blocked.
    Blocked,
    /// It carries a header that the gateway sets for the upstream.
    Forged,
    /// The gateway does not support its method.
    UnknownMethod,
    /// It is over the rate limit.
    Rate,
    /// It is over the quota.
    Quota,
}

/// Each reason as events carry it, then combined with each of the two modes as entries store it.
const NAMES: [(Why, &str, &str, &str); 11] = [
    (
        Why::Missing,
        "missing",
        "stream;missing",
        "synchronous;missing",
    ),
    (
        Why::Malformed,
        "malformed",
        "stream;malformed",
        "synchronous;malformed",
    ),
    (
        Why::Unknown,
        "unknown",
        "stream;unknown",
        "synchronous;unknown",
    ),
    (
        Why::Untried,
        "tooManyTries",
        "stream;tooManyTries",
        "synchronous;tooManyTries",
    ),
    (
        Why::Expired,
        "expired",
        "stream;expired",
        "synchronous;expired",
    ),
    (
        Why::Revoked,
        "revoked",
        "stream;revoked",
        "synchronous;revoked",
    ),
    (
        Why::Blocked,
        "blocked",
        "stream;blocked",
        "synchronous;blocked",
    ),
    (Why::Forged, "forged", "stream;forged", "synchronous;forged"),
    (
        Why::UnknownMethod,
        "unknownMethod",
        "stream;unknownMethod",
        "synchronous;unknownMethod",
    ),
    (Why::Rate, "rate", "stream;rate", "synchronous;rate"),
    (Why::Quota, "quota", "stream;quota", "synchronous;quota"),
];

impl Why {
    /// Every reason.
    pub const ALL: [Self; 11] = [
        Self::Missing,
        Self::Malformed,
        Self::Unknown,
        Self::Untried,
        Self::Expired,
        Self::Revoked,
        Self::Blocked,
        Self::Forged,
        Self::UnknownMethod,
        Self::Rate,
        Self::Quota,
    ];

    /// The reason as events carry it.
    pub fn as_str(self) -> &'static str {
        let named = NAMES.iter().find(|(why, ..)| *why == self);
        named.map_or("unknown", |(_, name, ..)| name)
    }

    /// The reason that `text` names.
    pub fn parse(text: &str) -> Option<Self> {
        let named = NAMES.iter().find(|(_, name, ..)| *name == text);
        named.map(|(why, ..)| *why)
    }

    /// Mode and reason in one text, as the details of an entry keep them.
    pub(crate) fn with_mode(mode: TrackingMode, why: Option<Self>) -> &'static str {
        let named = NAMES.iter().find(|(known, ..)| Some(*known) == why);
        match (named, mode) {
            (None, mode) => mode.as_str(),
            (Some((.., stream, _)), TrackingMode::Stream) => stream,
            (Some((.., synchronous)), TrackingMode::Synchronous) => synchronous,
        }
    }

    /// Reads what [`Self::with_mode`] wrote.
    pub(crate) fn and_mode(text: &str) -> Option<(TrackingMode, Option<Self>)> {
        match text.split_once(';') {
            Some((mode, why)) => Some((TrackingMode::parse(mode)?, Self::parse(why))),
            None => Some((TrackingMode::parse(text)?, None)),
        }
    }
}

impl Serialize for Why {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_read_back_alone_and_behind_a_mode() {
        for mode in [TrackingMode::Stream, TrackingMode::Synchronous] {
            assert_eq!(
                Why::and_mode(Why::with_mode(mode, None)),
                Some((mode, None))
            );
            for why in Why::ALL {
                assert_eq!(Why::parse(why.as_str()), Some(why));
                let text = Why::with_mode(mode, Some(why));
                assert_eq!(text, format!("{mode};{}", why.as_str()));
                assert_eq!(Why::and_mode(text), Some((mode, Some(why))));
            }
        }
        assert_eq!(
            Why::and_mode("stream;later"),
            Some((TrackingMode::Stream, None))
        );
        assert_eq!(Why::and_mode("later"), None);
    }
}
