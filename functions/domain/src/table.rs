//! Keys of the analytics and the usage table.
//!
//! A subject may hold any character a local part may, `#` among them: it always stands last, or
//! before parts that hold none, so that no two keys can be the same text. A label of a minute holds a
//! colon, and a lane does not.
//!
//! What everybody writes into is spread over partitions, of which each takes a thousand units of
//! writes a second: a bucket of subjects has a partition of its own, and so has a sixteenth of the
//! raw events of an hour.
//!
//! | item | `PK` | `SK` | table |
//! |---|---|---|---|
//! | first leaf of a subject, hour and lane | `LEAF#{subject}#{lane}` | `{hour}` | analytics; usage in synchronous mode |
//! | leaf of a minute, once the first is full | `LEAF#{subject}#{lane}#{minute}` | `{number}` | analytics; usage in synchronous mode |
//! | leaves of a busy subject's minute | `BUSY#{subject}` | `{minute}#{number}` | analytics; usage in synchronous mode |
//! | what of those stands beyond the first item | `BUSY#{subject}` | `{minute}+` | analytics; usage in synchronous mode |
//! | hour of a busy subject | `BUSY#{subject}` | `{hour}` | analytics; usage in synchronous mode |
//! | day of a user | `DAY#{subject}` | `{day}` | analytics; usage in synchronous mode |
//! | month of a user | `USER#{subject}` | `MONTH#{month}` | usage |
//! | all time of a user | `USER#{subject}` | `ALL` | usage |
//! | minute by subject | `MINUTE#{minute}#{bucket}` | `{number}` | analytics |
//! | minute, hour, day of all | `GLOBAL#{window}` | `{label}` | analytics, and by time |
//! | roster | `ROSTER#{window}#{label}#{bucket}` | `{number}` | analytics |
//! | failures by address | `SECURITY#{hour}#{bucket}` | `ALL` | analytics |
//! | raw events | `RAW#{hour}#{last hex digit of the digest}` | `{first id}#{digest}` | analytics |
//! | record set aside | `ERRORS` | `{shard id}#{sequence number}` | analytics |
//! | line of the access log set aside | `ERRORS` | `{group}/{stream}#{event id}` | analytics; usage in synchronous mode |

use std::fmt;

use crate::event::Subject;
use crate::id::EventId;
use crate::leaf::{LeafKey, Place};
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

/// One of the items that hold a bucket: the first, or one of those that take over once it is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BucketPlace {
    /// The bucket, see [`bucket_of`](crate::roster::bucket_of).
    pub bucket: u8,
    /// The item's number in the row of those of this bucket.
    pub number: u32,
}

impl fmt::Display for BucketPlace {
    /// `3.0`: as keys, and the parts of what is above, name it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.bucket, self.number)
    }
}

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
        let first = leaf_partition(&leaf.subject, leaf.lane);
        match (leaf.place, leaf.minute()) {
            (Place::OfMinute { number, .. }, Some(minute)) => Self::new(
                format!("{first}#{}", Window::Minute.label(minute)),
                number.to_string(),
            ),
            _ => Self::new(first, Window::Hour.label(leaf.hour)),
        }
    }

    /// Leaves of one minute of a subject, beyond the first of each lane.
    pub fn busy_minute(subject: &Subject, at: UnixMillis, number: u32) -> Self {
        let minute = Window::Minute.label(at);
        Self::new(busy_partition(subject), format!("{minute}#{number}"))
    }

    /// What of such leaves stands beyond the first item of them.
    pub fn busy_minute_beyond(subject: &Subject, at: UnixMillis) -> Self {
        let minute = Window::Minute.label(at);
        Self::new(busy_partition(subject), format!("{minute}+"))
    }

    /// Everything in an hour of a subject beyond its first leaf.
    pub fn busy_hour(subject: &Subject, at: UnixMillis) -> Self {
        Self::new(busy_partition(subject), Window::Hour.label(at))
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

    /// Subjects of one bucket in one minute.
    pub fn minute_bucket(at: UnixMillis, place: BucketPlace) -> Self {
        Self::new(minute_partition(at, place.bucket), place.number.to_string())
    }

    /// Everybody's counts in one window.
    pub fn global(window: Window, at: UnixMillis) -> Self {
        Self::new(format!("GLOBAL#{}", window.as_str()), window.label(at))
    }

    /// Users of one bucket in one window.
    pub fn roster(window: Window, at: UnixMillis, place: BucketPlace) -> Self {
        let BucketPlace { bucket, number } = place;
        Self::new(
            format!("ROSTER#{}#{}#{bucket}", window.as_str(), window.label(at)),
            number.to_string(),
        )
    }

    /// The failing addresses of one bucket in one hour.
    pub fn security(at: UnixMillis, bucket: u8) -> Self {
        let hour = Window::Hour.label(at);
        Self::new(format!("SECURITY#{hour}#{bucket}"), ALL_TIME)
    }

    /// A record that was set aside: one item a position, however often it is delivered.
    pub fn error(shard_id: &str, sequence_number: &str) -> Self {
        Self::new(ERRORS, format!("{shard_id}#{sequence_number}"))
    }
}

/// Partition of a subject's first leaves in a lane.
pub fn leaf_partition(subject: &Subject, lane: u16) -> String {
    format!("{LEAF_PREFIX}{subject}#{lane}")
}

/// Partition of the minutes and hours of a subject that needs more than one leaf for an hour.
pub fn busy_partition(subject: &Subject) -> String {
    format!("BUSY#{subject}")
}

/// Partition of a user's days.
pub fn day_partition(subject: &Subject) -> String {
    format!("DAY#{subject}")
}

/// Partition of a user's months and all-time counts.
pub fn user_partition(subject: &Subject) -> String {
    format!("USER#{subject}")
}

/// Partition of one minute's counts of the subjects of a bucket.
pub fn minute_partition(at: UnixMillis, bucket: u8) -> String {
    format!("MINUTE#{}#{bucket}", Window::Minute.label(at))
}

/// How the partitions of one hour's raw events begin.
pub fn raw_start(at: UnixMillis) -> String {
    format!("RAW#{}#", Window::Hour.label(at))
}

/// A chunk of one hour's raw events, by the id of its first and the digest of all.
pub fn raw_chunk(at: UnixMillis, first: EventId, digest: u32) -> ItemKey {
    let pk = format!("{}{:x}", raw_start(at), digest % 16);
    ItemKey::new(pk, format!("{first}#{digest:08x}"))
}

/// The minute of which a sort key of [`busy_partition`] names a part: its first item, or what stands
/// beyond that. Both together are the minute.
pub fn minute_of_busy(sk: &str) -> Option<UnixMillis> {
    let minute = sk.strip_suffix("#0").or_else(|| sk.strip_suffix('+'))?;
    Window::Minute.parse_label(minute)
}

/// The leaf that a key names, if it names one.
pub fn parse_leaf(key: &ItemKey) -> Option<LeafKey> {
    let (rest, last) = key.pk.strip_prefix(LEAF_PREFIX)?.rsplit_once('#')?;
    let leaf = match Window::Minute.parse_label(last) {
        None => LeafKey {
            subject: Subject::as_carried(rest),
            hour: Window::Hour.parse_label(&key.sk)?,
            lane: last.parse().ok()?,
            place: Place::First,
        },
        Some(at) => {
            let (subject, lane) = rest.rsplit_once('#')?;
            LeafKey {
                subject: Subject::as_carried(subject),
                hour: Window::Hour.start(at),
                lane: lane.parse().ok()?,
                place: Place::OfMinute {
                    minute: at.minute_of_hour(),
                    number: key.sk.parse().ok()?,
                },
            }
        }
    };
    (ItemKey::leaf(&leaf) == *key).then_some(leaf)
}

/// What an hour is called among the parts of its day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HourPart {
    /// `16`: the subject's first leaf, a part of its own so that whoever is content with one leaf
    /// pays for no item between leaf and day.
    First(UnixMillis),
    /// `16+`: everything beyond it.
    Beyond(UnixMillis),
}

impl HourPart {
    /// The start of the hour.
    pub const fn hour(self) -> UnixMillis {
        match self {
            Self::First(hour) | Self::Beyond(hour) => hour,
        }
    }

    /// The part's name.
    pub fn name(self) -> String {
        let label = Window::Hour.label(self.hour());
        let hour = label.get(11..).unwrap_or_default();
        match self {
            Self::First(_) => hour.to_owned(),
            Self::Beyond(_) => format!("{hour}+"),
        }
    }

    /// The part of the day that `day` lies in that [`name`](Self::name) named.
    pub fn parse(day: UnixMillis, name: &str) -> Option<Self> {
        let hour: u8 = name.strip_suffix('+').unwrap_or(name).parse().ok()?;
        let start = Window::Day
            .start(day)
            .plus_millis(i64::from(hour) * 3_600_000);
        let part = if name.ends_with('+') {
            Self::Beyond(start)
        } else {
            Self::First(start)
        };
        let is_of_day = Window::Day.start(start) == Window::Day.start(day);
        (is_of_day && part.name() == name).then_some(part)
    }
}

/// The name of a leaf among the parts of the minute or the hour of its busy subject, within which
/// it is unlike any other: `3` is the first of lane 3, `3.2` the third of lane 3 and a minute.
pub fn lane_part(leaf: &LeafKey) -> String {
    match leaf.place {
        Place::First => leaf.lane.to_string(),
        Place::OfMinute { number, .. } => format!("{}.{number}", leaf.lane),
    }
}

/// What a minute is called among the parts of the hour of its busy subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MinutePart {
    /// `:05`: the first item of its leaves.
    First(UnixMillis),
    /// `:05+`: everything beyond it.
    Beyond(UnixMillis),
}

impl MinutePart {
    /// The start of the minute.
    pub const fn minute(self) -> UnixMillis {
        match self {
            Self::First(minute) | Self::Beyond(minute) => minute,
        }
    }

    /// The part's name.
    pub fn name(self) -> String {
        let minute = self.minute().minute_of_hour();
        match self {
            Self::First(_) => format!(":{minute:02}"),
            Self::Beyond(_) => format!(":{minute:02}+"),
        }
    }
}

/// What of a subject is a part of everybody's minute or hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubjectPart {
    /// Its first leaf in a lane.
    First(u16),
    /// A part of its busy minute.
    BusyMinute(MinutePart),
    /// Its busy hour.
    BusyHour,
}

/// The name of a part of a subject among those of everybody's minute or hour. The subject may hold any
/// sign, but what follows it holds no space.
pub fn subject_part(subject: &Subject, part: SubjectPart) -> String {
    let start = start_of_subject_part(subject);
    match part {
        SubjectPart::First(lane) => format!("{start}{lane}"),
        SubjectPart::BusyMinute(part) => start + &part.name(),
        SubjectPart::BusyHour => format!("{start}+"),
    }
}

/// How every [`subject_part`] of a subject begins.
pub fn start_of_subject_part(subject: &Subject) -> String {
    format!("{subject} ")
}

/// The subject that [`subject_part`] named.
pub fn subject_of_part(part: &str) -> Option<Subject> {
    part.rsplit_once(' ')
        .map(|(subject, _)| Subject::as_carried(subject))
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
            carried in "[a-zA-Z:#. 0-9]{1,20}", hours in 0_i64..2_000_000, lane: u16,
            of_minute in proptest::option::of((0_u8..60, any::<u32>())),
        ) {
            let place = of_minute.map_or(Place::First, |(minute, number)| Place::OfMinute { minute, number });
            let leaf = LeafKey {
                subject: Subject::as_carried(&carried),
                hour: UnixMillis(hours * 3_600_000),
                lane,
                place,
            };
            prop_assert_eq!(parse_leaf(&ItemKey::leaf(&leaf)), Some(leaf.clone()));
            for part in [SubjectPart::First(lane), SubjectPart::BusyMinute(MinutePart::Beyond(leaf.hour)), SubjectPart::BusyHour] {
                let part = subject_part(&leaf.subject, part);
                prop_assert_eq!(subject_of_part(&part), Some(leaf.subject.clone()));
            }
        }

        #[test]
        fn two_leaves_have_two_keys(
            one in a_leaf(), other in a_leaf(),
        ) {
            prop_assert_eq!(ItemKey::leaf(&one) == ItemKey::leaf(&other), one == other);
        }

        #[test]
        fn an_hours_part_leads_back_to_its_hour(hours in 0_i64..2_000_000, beyond: bool) {
            let hour = UnixMillis(hours * 3_600_000);
            let part = if beyond { HourPart::Beyond(hour) } else { HourPart::First(hour) };
            prop_assert_eq!(HourPart::parse(hour, &part.name()), Some(part));
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
            if let Some(part) = HourPart::parse(day, &text) {
                prop_assert_eq!(part.name(), text.as_str());
            }
            if let Some((day, mode)) = day_of_part(day, &text) {
                prop_assert_eq!(day_part(day, mode), text);
            }
        }
    }

    prop_compose! {
        /// Of few subjects, hours and lanes, so that two are often alike.
        fn a_leaf()(
            subject in proptest::sample::select(vec!["a@b", "a@b#1", "a@b#1#1", "a@b#1#2026-11-22T16:04"]),
            hours in 498_711_i64..498_714, lane in 0_u16..3,
            of_minute in proptest::option::of((3_u8..6, 0_u32..3)),
        ) -> LeafKey {
            LeafKey {
                subject: Subject::as_carried(subject),
                hour: UnixMillis(hours * 3_600_000),
                lane,
                place: of_minute.map_or(Place::First, |(minute, number)| Place::OfMinute { minute, number }),
            }
        }
    }

    #[test]
    fn keys_are_as_documented() {
        let at = UnixMillis(1_795_363_445_007);
        let first = LeafKey {
            subject: Subject::user("a@b"),
            hour: Window::Hour.start(at),
            lane: 3,
            place: Place::First,
        };
        let of_minute = LeafKey {
            place: Place::OfMinute {
                minute: 4,
                number: 2,
            },
            ..first.clone()
        };
        let hour = "2026-11-22T16";
        let minute = "2026-11-22T16:04";
        assert_eq!(ItemKey::leaf(&first), ItemKey::new("LEAF#a@b#3", hour));
        assert_eq!(
            ItemKey::leaf(&of_minute),
            ItemKey::new(format!("LEAF#a@b#3#{minute}"), "2")
        );
        assert_eq!(
            ItemKey::busy_minute(&first.subject, at, 7),
            ItemKey::new("BUSY#a@b", format!("{minute}#7"))
        );
        assert_eq!(
            ItemKey::busy_hour(&first.subject, at),
            ItemKey::new("BUSY#a@b", hour)
        );
        assert_eq!(
            ItemKey::busy_minute_beyond(&first.subject, at),
            ItemKey::new("BUSY#a@b", format!("{minute}+"))
        );
        let start = Window::Minute.start(at);
        for (sk, named) in [
            ("#0", Some(start)),
            ("+", Some(start)),
            ("#1", None),
            ("", None),
        ] {
            assert_eq!(minute_of_busy(&format!("{minute}{sk}")), named, "{sk}");
        }
        assert_eq!(minute_of_busy(hour), None);
        assert_eq!([lane_part(&first), lane_part(&of_minute)], ["3", "3.2"]);
        let parts = [MinutePart::First(start), MinutePart::Beyond(start)];
        assert_eq!(parts.map(MinutePart::name), [":04", ":04+"]);
    }

    #[test]
    fn keys_of_sums_are_as_documented() {
        let at = UnixMillis(1_795_363_445_007);
        let user = Subject::user("a@b");
        let place = BucketPlace {
            bucket: 5,
            number: 2,
        };
        let id = EventId::mint(0, [0; 10]);
        let minute = Window::Minute;
        for (key, pk, sk) in [
            (ItemKey::day(&user, at), "DAY#a@b", "2026-11-22"),
            (ItemKey::month(&user, at), "USER#a@b", "MONTH#2026-11"),
            (ItemKey::all_time(&user), "USER#a@b", "ALL"),
            (
                ItemKey::minute_bucket(at, place),
                "MINUTE#2026-11-22T16:04#5",
                "2",
            ),
            (
                ItemKey::global(minute, at),
                "GLOBAL#minute",
                "2026-11-22T16:04",
            ),
            (
                ItemKey::roster(Window::Day, at, place),
                "ROSTER#day#2026-11-22#5",
                "2",
            ),
            (ItemKey::security(at, 5), "SECURITY#2026-11-22T16#5", "ALL"),
            (
                raw_chunk(at, id, 0xbeef),
                "RAW#2026-11-22T16#f",
                "00000000-0000-7000-8000-000000000000#0000beef",
            ),
        ] {
            assert_eq!(key, ItemKey::new(pk, sk));
        }
        assert_eq!(place.to_string(), "5.2");
    }

    #[test]
    fn parts_are_named_within_their_whole() {
        let at = UnixMillis(1_795_363_445_007);
        let hour = Window::Hour.start(at);
        assert_eq!(HourPart::First(hour).name(), "16");
        assert_eq!(HourPart::Beyond(hour).name(), "16+");
        assert_eq!(HourPart::parse(at, "16+"), Some(HourPart::Beyond(hour)));
        for other in ["", "1", "24", "24+", "016", "x", "+", "16++"] {
            assert_eq!(HourPart::parse(at, other), None, "{other}");
        }
        assert_eq!(day_part(at, TrackingMode::Stream), "22");
        assert_eq!(day_part(at, TrackingMode::Synchronous), "22s");
    }
}
