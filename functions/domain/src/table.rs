//! Keys of the analytics and the usage table.
//!
//! A subject may hold any character a local part may, `#` among them: it always stands last, or
//! before a part of digits only, so that no two keys can be the same text.
//!
//! | item | `PK` | `SK` | table |
//! |---|---|---|---|
//! | leaf | `LEAF#{subject}#{lane}` | `{hour}#{place}` | analytics; usage in synchronous mode |
//! | leaves of one lane in an hour, beyond a subject's first | `LANE#{subject}#{lane}` | `{hour}` | analytics; usage in synchronous mode |
//! | lanes of an hour | `HOUR#{subject}` | `{hour}` | analytics; usage in synchronous mode |
//! | day of a user | `DAY#{subject}` | `{day}` | analytics; usage in synchronous mode |
//! | month of a user | `USER#{subject}` | `MONTH#{month}` | usage |
//! | all time of a user | `USER#{subject}` | `ALL` | usage |
//! | minute by subject | `MINUTE#{minute}` | `{bucket}` | analytics |
//! | minute, hour, day of all | `GLOBAL#{window}` | `{label}` | analytics, and by time |
//! | roster | `ROSTER#{window}#{label}` | `{bucket}` | analytics |
//! | failures by address | `SECURITY#{hour}` | `{bucket}` | analytics |
//! | raw events | `RAW#{hour}` | `{first id}#{digest}` | analytics |
//! | record set aside | `ERRORS` | `{shard id}#{sequence number}` | analytics |
//! | line of the access log set aside | `ERRORS` | `{group}/{stream}#{event id}` | analytics; usage in synchronous mode |

use crate::event::Subject;
use crate::leaf::LeafKey;
use crate::names::TrackingMode;
use crate::time::{UnixMillis, Window};

/// Attribute names of both tables.
pub mod attribute {
    /// Partition key.
    pub const PK: &str = "PK";
    /// Sort key.
    pub const SK: &str = "SK";
    /// When the item may go, in seconds since the epoch.
    pub const TTL: &str = "ttl";
    /// Rises by one with every write; the condition of every write.
    pub const VERSION: &str = "version";
    /// The item's state, see [`crate::state`].
    pub const STATE: &str = "state";
    /// Calls counted, for whoever reads the table by hand.
    pub const TOTAL_CALLS: &str = "totalCalls";
    /// Authentication failures counted.
    pub const AUTH_FAILURES: &str = "authFailures";
    /// Rate-limited calls counted.
    pub const RATE_LIMITED: &str = "rateLimited";
    /// Partition key of the index by time.
    pub const WINDOW: &str = "window";
    /// Sort key of the index by time.
    pub const START: &str = "start";
    /// Why a record was set aside.
    pub const REASON: &str = "reason";
    /// What was wrong with it.
    pub const MESSAGE: &str = "message";
    /// The record's bytes.
    pub const PAYLOAD: &str = "payload";
    /// How many bytes it had.
    pub const PAYLOAD_SIZE: &str = "payloadSize";
    /// Its shard.
    pub const SHARD_ID: &str = "shardId";
    /// Its position in the shard.
    pub const SEQUENCE_NUMBER: &str = "sequenceNumber";
    /// When it was set aside.
    pub const RECEIVED_AT: &str = "receivedAt";
    /// Raw events, one JSON document a line, deflated.
    pub const EVENTS: &str = "events";
    /// How many events those are.
    pub const COUNT: &str = "count";
}

/// Partition key of the records set aside.
pub const ERRORS: &str = "ERRORS";
/// Sort key of a user's all-time item.
pub const ALL_TIME: &str = "ALL";
/// Start of every leaf's partition key; the aggregator is woken by these alone.
pub const LEAF_PREFIX: &str = "LEAF#";

/// Where an item is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemKey {
    /// Partition key.
    pub pk: String,
    /// Sort key.
    pub sk: String,
}

impl ItemKey {
    /// A key of its two parts.
    pub fn new(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self {
            pk: pk.into(),
            sk: sk.into(),
        }
    }

    /// A leaf.
    pub fn leaf(leaf: &LeafKey) -> Self {
        Self::new(
            leaf_partition(&leaf.subject, leaf.lane),
            format!("{}#{}", Window::Hour.label(leaf.hour), leaf.place),
        )
    }

    /// The leaves of one lane in the hour that `at` lies in, beyond the subject's first leaf.
    pub fn lane(subject: &Subject, lane: u16, at: UnixMillis) -> Self {
        Self::new(lane_partition(subject, lane), Window::Hour.label(at))
    }

    /// The lanes of the hour that `at` lies in, beyond the subject's first leaf.
    pub fn hour(subject: &Subject, at: UnixMillis) -> Self {
        Self::new(hour_partition(subject), Window::Hour.label(at))
    }

    /// A user's day.
    pub fn day(subject: &Subject, at: UnixMillis) -> Self {
        Self::new(day_partition(subject), Window::Day.label(at))
    }

    /// A user's month.
    pub fn month(subject: &Subject, at: UnixMillis) -> Self {
        Self::new(
            user_partition(subject),
            format!("MONTH#{}", Window::Month.label(at)),
        )
    }

    /// A user's all-time counts.
    pub fn all_time(subject: &Subject) -> Self {
        Self::new(user_partition(subject), ALL_TIME)
    }

    /// The subjects of one bucket in one minute.
    pub fn minute_bucket(at: UnixMillis, bucket: u8) -> Self {
        Self::new(minute_partition(at), bucket.to_string())
    }

    /// Everybody's counts in one window.
    pub fn global(window: Window, at: UnixMillis) -> Self {
        Self::new(format!("GLOBAL#{}", window.as_str()), window.label(at))
    }

    /// The users of one bucket in one window.
    pub fn roster(window: Window, at: UnixMillis, bucket: u8) -> Self {
        Self::new(
            format!("ROSTER#{}#{}", window.as_str(), window.label(at)),
            bucket.to_string(),
        )
    }

    /// The failing addresses of one bucket in one hour.
    pub fn security(at: UnixMillis, bucket: u8) -> Self {
        Self::new(security_partition(at), bucket.to_string())
    }

    /// A record that was set aside: one item a position, however often it is delivered.
    pub fn error(shard_id: &str, sequence_number: &str) -> Self {
        Self::new(ERRORS, format!("{shard_id}#{sequence_number}"))
    }
}

/// Partition of a subject's leaves.
pub fn leaf_partition(subject: &Subject, lane: u16) -> String {
    format!("{LEAF_PREFIX}{subject}#{lane}")
}

/// Partition of the hours of one lane.
pub fn lane_partition(subject: &Subject, lane: u16) -> String {
    format!("LANE#{subject}#{lane}")
}

/// Partition of the hours of a subject that needs more than one leaf for one.
pub fn hour_partition(subject: &Subject) -> String {
    format!("HOUR#{subject}")
}

/// Partition of a user's days.
pub fn day_partition(subject: &Subject) -> String {
    format!("DAY#{subject}")
}

/// Partition of a user's months and all-time counts.
pub fn user_partition(subject: &Subject) -> String {
    format!("USER#{subject}")
}

/// Partition of one minute's counts by subject.
pub fn minute_partition(at: UnixMillis) -> String {
    format!("MINUTE#{}", Window::Minute.label(at))
}

/// Partition of one hour's failures by address.
pub fn security_partition(at: UnixMillis) -> String {
    format!("SECURITY#{}", Window::Hour.label(at))
}

/// Partition of one hour's raw events.
pub fn raw_partition(at: UnixMillis) -> String {
    format!("RAW#{}", Window::Hour.label(at))
}

/// The leaf that a key names, if it names one.
pub fn parse_leaf(key: &ItemKey) -> Option<LeafKey> {
    let (subject, lane) = key.pk.strip_prefix(LEAF_PREFIX)?.rsplit_once('#')?;
    let (hour, place) = key.sk.split_once('#')?;
    let leaf = LeafKey {
        subject: Subject::as_carried(subject),
        hour: Window::Hour.parse_label(hour)?,
        lane: lane.parse().ok()?,
        place: place.parse().ok()?,
    };
    (ItemKey::leaf(&leaf) == *key).then_some(leaf)
}

/// The name among the parts of its day of everything in an hour beyond the subject's first leaf:
/// `16`. The first leaf has a part of its own, see [`hour_part`], so that whoever is content with
/// one leaf pays for no item between leaf and day.
pub fn rest_part(hour: UnixMillis) -> String {
    Window::Hour
        .label(hour)
        .get(11..)
        .unwrap_or_default()
        .to_owned()
}

/// The hour that a day's part counts, be it named by [`hour_part`] or by [`rest_part`].
pub fn hour_of_part(day: UnixMillis, part: &str) -> Option<UnixMillis> {
    let hour = part.split('.').next()?;
    let start = Window::Day
        .start(day)
        .plus_millis(i64::from(hour.parse::<u8>().ok()?) * 3_600_000);
    (rest_part(start) == hour && Window::Day.start(start) == Window::Day.start(day))
        .then_some(start)
}

/// The name of a leaf among the parts of its day: `16.0.2` is lane 0, place 2 of the hour 16.
pub fn hour_part(leaf: &LeafKey) -> String {
    let label = Window::Hour.label(leaf.hour);
    let hour = label.get(11..).unwrap_or_default();
    format!("{hour}.{}.{}", leaf.lane, leaf.place)
}

/// The leaf of `subject` and `day` that [`hour_part`] named.
pub fn leaf_of_part(subject: &Subject, day: UnixMillis, part: &str) -> Option<LeafKey> {
    let mut fields = part.split('.');
    let hour: u8 = fields.next()?.parse().ok()?;
    let leaf = LeafKey {
        subject: subject.clone(),
        hour: Window::Day
            .start(day)
            .plus_millis(i64::from(hour) * 3_600_000),
        lane: fields.next()?.parse().ok()?,
        place: fields.next()?.parse().ok()?,
    };
    (hour_part(&leaf) == part).then_some(leaf)
}

/// The name of a leaf among the subjects of a minute. The subject is last: it may hold any sign.
pub fn subject_part(leaf: &LeafKey) -> String {
    format!("{}.{} {}", leaf.lane, leaf.place, leaf.subject)
}

/// The subject that [`subject_part`] named.
pub fn subject_of_part(part: &str) -> Option<Subject> {
    part.split_once(' ')
        .map(|(_, subject)| Subject::as_carried(subject))
}

/// The name of a day among the parts of its month. The two modes count into different tables:
/// each has its own part, and the month is the sum.
pub fn day_part(at: UnixMillis, mode: TrackingMode) -> String {
    let label = Window::Day.label(at);
    let day = label.get(8..).unwrap_or_default();
    match mode {
        TrackingMode::Stream => day.to_owned(),
        TrackingMode::Synchronous => format!("{day}s"),
    }
}

/// The day of the month that `at` lies in, and its mode, that [`day_part`] named.
pub fn day_of_part(at: UnixMillis, part: &str) -> Option<(UnixMillis, TrackingMode)> {
    let (day, mode) = match part.strip_suffix('s') {
        Some(day) => (day, TrackingMode::Synchronous),
        None => (part, TrackingMode::Stream),
    };
    let day = Window::Day.parse_label(&format!("{}-{day}", Window::Month.label(at)))?;
    Some((day, mode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_leaf_key_leads_back_to_its_leaf(
            carried in "[a-zA-Z:#. ]{1,20}", hours in 0_i64..2_000_000, lane: u16, place: u32,
        ) {
            let leaf = LeafKey {
                subject: Subject::as_carried(&carried),
                hour: UnixMillis(hours * 3_600_000),
                lane,
                place,
            };
            prop_assert_eq!(parse_leaf(&ItemKey::leaf(&leaf)), Some(leaf.clone()));
            prop_assert_eq!(subject_of_part(&subject_part(&leaf)), Some(leaf.subject.clone()));
            let named = leaf_of_part(&leaf.subject, leaf.hour, &hour_part(&leaf));
            prop_assert_eq!(named, Some(leaf));
        }

        #[test]
        fn a_days_part_leads_back_to_its_day(days in 0_i64..80_000, synchronous: bool) {
            let day = UnixMillis(0).plus_days(days);
            let mode = if synchronous { TrackingMode::Synchronous } else { TrackingMode::Stream };
            prop_assert_eq!(day_of_part(day, &day_part(day, mode)), Some((day, mode)));
        }

        #[test]
        fn other_names_are_no_parts(text: String) {
            let day = UnixMillis(1_795_305_600_000);
            let subject = Subject::user("a@b");
            if let Some(leaf) = leaf_of_part(&subject, day, &text) {
                prop_assert_eq!(hour_part(&leaf), text.as_str());
            }
            if let Some((day, mode)) = day_of_part(day, &text) {
                prop_assert_eq!(day_part(day, mode), text);
            }
        }
    }

    #[test]
    fn parts_are_named_within_their_whole() {
        let at = UnixMillis(1_795_363_445_007);
        let leaf = LeafKey {
            subject: Subject::user("a@b"),
            hour: Window::Hour.start(at),
            lane: 0,
            place: 2,
        };
        assert_eq!(hour_part(&leaf), "16.0.2");
        assert_eq!(rest_part(at), "16");
        assert_eq!(hour_of_part(at, "16"), Some(leaf.hour));
        assert_eq!(hour_of_part(at, "16.0.2"), Some(leaf.hour));
        for other in ["", "1", "24", "016", "x"] {
            assert_eq!(hour_of_part(at, other), None, "{other}");
        }
        assert_eq!(day_part(at, TrackingMode::Stream), "22");
        assert_eq!(day_part(at, TrackingMode::Synchronous), "22s");
    }
}
