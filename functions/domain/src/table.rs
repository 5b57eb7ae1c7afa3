//! Keys of the analytics table and the usage table.
//!
//! A subject may contain any character that a local part may, including `#`: it always stands last
//! in a key, or alone in its part.
//!
//! | item | `PK` | `SK` | table |
//! |---|---|---|---|
//! | journal entry, in time or late | `JOURNAL#{hour}` | `{minute}#{digest}`, `{minute}+{digest}` | analytics |
//! | flag: the minute is spread | `JOURNAL#{hour}` | `{minute}!` | analytics |
//! | journal entry of a spread minute | `JOURNAL#{hour}#{minute}#{lane}` | as above | analytics |
//! | beacon of the tick | `JOURNAL#{hour}` | `beacon` | analytics |
//! | minute of all users | `MINUTE#{hour}` | `{minute}` | analytics |
//! | hour, day of all users | `TOTAL#{window}` | `{label}` | analytics, and by time |
//! | callers of a minute | `CALLERS#{hour}` | `{minute}` | analytics |
//! | users of an hour | `ROSTER#{hour}` | `{digest}` | analytics |
//! | failing address of an hour | `ADDRESS#{hour}` | `A#{address}` or `B#{address}` | analytics |
//! | record, line or item set aside | `ERRORS` | `{source}#{position}` | analytics |
//! | hour, day, month of a user | `USER#{email}` | `HOUR#{hour}`, `DAY#{day}`, `MONTH#{month}` | usage |
//! | all time of a user | `USER#{email}` | `ALL` | usage |
//! | mark of a day | `MARKS` | `DAY#{day}` | usage |
//! | progress of a month's bills, and the calendars that they end by | `MARKS` | `MONTH#{month}`, `CALENDARS#{month}` | usage |
//! | reports that are announced | `MARKS` | `REPORT#{period}` | usage |
//! | how far an hour's journal is folded | `MARKS` | `HOUR#{hour}` | usage |
//! | closed days at whose users the aggregator has looked | `MARKS` | `LOOKS` | usage |
//! | counters of a user's or a key's limits | `USER#{email}` | `LIMIT`, `LIMIT#{key}` | usage |
//! | usage of a period, and announced thresholds | `USER#{email}` | `PERIOD#{start}` | usage |
//! | a user's settings that override its plan's quota | `USER#{email}` | `SETTINGS` | usage |
//! | an alert | `ALERTS` | `{id}` | usage |
//! | a delivery of an alert | `DELIVERIES#{endpoint}` | `{id}` | usage |
//! | an operator's change | `AUDIT#{month}` | `{time}#{number}` | usage |
//! | refused addresses | `BLOCKS` | `ADDRESSES` | usage |
//! | users that a day's closing found | `USERS#{day}` | `{bucket}#{hour}#{part}` | usage |

use std::fmt;

use crate::event::Subject;
use crate::time::{UnixMillis, Window, push_two};

/// Attribute names of both tables.
pub mod attribute {
    /// Partition key.
    pub const PK: &str = "PK";
    /// Sort key.
    pub const SK: &str = "SK";
    /// When the item may be deleted, in seconds since the epoch.
    pub const TTL: &str = "ttl";
    /// Condition of a write: the version that was read, or the rank to exceed.
    pub const VERSION: &str = "version";
    /// The format of the state: no release replaces an item that a later one wrote.
    pub const FORMAT: &str = "format";
    /// The item's state, see [`crate::state`].
    pub const STATE: &str = "state";
    /// Accepted calls, for people who read the table.
    pub const TOTAL_CALLS: &str = "totalCalls";
    /// Authentication failures.
    pub const AUTH_FAILURES: &str = "authFailures";
    /// Rate-limited calls.
    pub const RATE_LIMITED: &str = "rateLimited";
    /// Units of accepted calls.
    pub const UNITS: &str = "units";
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
    /// The record's size in bytes.
    pub const PAYLOAD_SIZE: &str = "payloadSize";
    /// Its shard.
    pub const SHARD_ID: &str = "shardId";
    /// Its position in the shard.
    pub const SEQUENCE_NUMBER: &str = "sequenceNumber";
    /// When it was set aside.
    pub const RECEIVED_AT: &str = "receivedAt";
    /// The part of a journal entry that decides counts, see [`crate::entry`].
    pub const FACTS: &str = "facts";
    /// The part of a journal entry that is for reference only.
    pub const DETAILS: &str = "details";
}

/// Attribute names of an operator's change.
pub mod audit {
    /// Who made it.
    pub const WHO: &str = "who";
    /// In which role: `operator`, `admin` or `user`.
    pub const ROLE: &str = "role";
    /// The change.
    pub const WHAT: &str = "what";
    /// The key, user or address that it affects.
    pub const SUBJECT: &str = "subject";
}

/// Prefix of every partition key of the journal; only these changes trigger the aggregator.
pub const JOURNAL_PREFIX: &str = "JOURNAL#";
/// Partition key of what is refused.
pub const BLOCKS: &str = "BLOCKS";
/// Prefix of every partition key of the audit log.
pub const AUDIT_PREFIX: &str = "AUDIT#";
/// Partition key of items set aside.
pub const ERRORS: &str = "ERRORS";
/// Partition key of the marks.
pub const MARKS: &str = "MARKS";
/// Sort key of a user's all-time item.
pub const ALL_TIME: &str = "ALL";
/// The number of keys over which a minute is spread once one key throttles.
pub const SPREAD_KEYS: u8 = 64;
/// Sort key of the tick's beacon.
const BEACON: &str = "beacon";

/// The key of an item.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemKey {
    /// Partition key.
    pub pk: String,
    /// Sort key.
    pub sk: String,
}

impl ItemKey {
    /// A key made of its two parts.
    pub fn new(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self {
            pk: pk.into(),
            sk: sk.into(),
        }
    }

    /// The flag that the minute of `at` is spread.
    pub fn spread_flag(at: UnixMillis) -> Self {
        Self::new(journal(at), format!("{}!", minute(at)))
    }

    /// The beacon in the journal of the hour of `at`.
    pub fn beacon(at: UnixMillis) -> Self {
        Self::new(journal(at), BEACON)
    }

    /// Counts of all users in the minute of `at`.
    pub fn minute(at: UnixMillis) -> Self {
        Self::new(minutes(at), minute(at))
    }

    /// Counts of all users in the hour or day of `at`.
    pub fn total(window: Window, at: UnixMillis) -> Self {
        Self::new(totals(window), window.label(at))
    }

    /// The callers of the minute of `at`.
    pub fn callers(at: UnixMillis) -> Self {
        Self::new(callers(at), minute(at))
    }

    /// An address that failed in the hour of `at`, listed first or last.
    pub fn address(at: UnixMillis, listed: Listed, address: &str) -> Self {
        Self::new(addresses(at), format!("{}{address}", listed.as_str()))
    }

    /// A user's hour.
    pub fn hour(user: &str, at: UnixMillis) -> Self {
        Self::new(self::user(user), labelled("HOUR#", Window::Hour, at))
    }

    /// A user's day.
    pub fn day(user: &str, at: UnixMillis) -> Self {
        Self::new(self::user(user), labelled("DAY#", Window::Day, at))
    }

    /// A user's month.
    pub fn month(user: &str, at: UnixMillis) -> Self {
        Self::new(self::user(user), labelled("MONTH#", Window::Month, at))
    }

    /// A user's all-time counts.
    pub fn all_time(user: &str) -> Self {
        Self::new(self::user(user), ALL_TIME)
    }

    /// The counters of a user's limits, or of the limits of one of its keys.
    pub fn limit(user: &str, key: Option<&str>) -> Self {
        let sk = key.map_or_else(|| "LIMIT".to_owned(), |key| format!("LIMIT#{key}"));
        Self::new(self::user(user), sk)
    }

    /// A user's consumption of the period that begins at `start`.
    pub fn period(user: &str, start: UnixMillis) -> Self {
        Self::new(self::user(user), format!("PERIOD#{start}"))
    }

    /// A user's settings that override its plan's quota.
    pub fn settings(user: &str) -> Self {
        Self::new(self::user(user), "SETTINGS")
    }

    /// An alert.
    pub fn alert(id: &str) -> Self {
        Self::new("ALERTS", id)
    }

    /// The delivery of an alert to an endpoint.
    pub fn delivery(endpoint: &str, id: &str) -> Self {
        Self::new(deliveries(endpoint), id)
    }

    /// An operator's change at `now`.
    pub fn audit(now: UnixMillis, number: u64) -> Self {
        let month = Window::Month.label(now);
        Self::new(
            format!("{AUDIT_PREFIX}{month}"),
            format!("{now}#{number:016x}"),
        )
    }

    /// The refused addresses.
    pub fn blocked_addresses() -> Self {
        Self::new(BLOCKS, "ADDRESSES")
    }

    /// The mark of the day of `at`.
    pub fn day_mark(at: UnixMillis) -> Self {
        Self::new(MARKS, labelled("DAY#", Window::Day, at))
    }

    /// How far the bills of the month of `at` are handed over.
    pub fn month_mark(at: UnixMillis) -> Self {
        Self::new(MARKS, labelled("MONTH#", Window::Month, at))
    }

    /// The calendars by which the bills of the month of `at` end.
    pub fn calendars(at: UnixMillis) -> Self {
        Self::new(MARKS, labelled("CALENDARS#", Window::Month, at))
    }

    /// The first instant from which periods are handed over.
    pub fn periods_mark() -> Self {
        Self::new(MARKS, "PERIODS")
    }

    /// The report of a week or month (`2026-W47`) is stored and announced.
    pub fn report_mark(period: impl fmt::Display) -> Self {
        Self::new(MARKS, format!("REPORT#{period}"))
    }

    /// The closed days at whose users the aggregator has looked.
    pub fn looks_mark() -> Self {
        Self::new(MARKS, "LOOKS")
    }

    /// Up to where the journal of the hour of `at` is folded.
    pub fn hour_mark(at: UnixMillis) -> Self {
        Self::new(MARKS, labelled("HOUR#", Window::Hour, at))
    }

    /// Part of the users that the closing found in the hour of `at`.
    pub fn day_users(at: UnixMillis, bucket: u8, part: usize) -> Self {
        let hour = Window::Hour.label(at);
        let hour = hour.get(11..).unwrap_or_default();
        Self::new(day_users(at), format!("{bucket:02}#{hour}#{part:03}"))
    }

    /// A record or line that was set aside: one item per position, even if it is delivered again.
    pub fn error(source: &str, position: &str) -> Self {
        Self::new(ERRORS, format!("{source}#{position}"))
    }
}

/// Whether an address is listed before others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// It failed often enough to be suspicious together with another hour.
    First,
    /// It failed once or twice.
    Last,
}

impl Listed {
    /// Prefix of the sort key.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "A#",
            Self::Last => "B#",
        }
    }
}

/// A key that ends with the label of the window that contains `at`.
fn labelled(prefix: &str, window: Window, at: UnixMillis) -> String {
    let label = window.label_length();
    let mut key = String::with_capacity(prefix.len() + label);
    key.push_str(prefix);
    window.push_label(at, &mut key);
    key
}

/// Partition of an hour's journal.
pub fn journal(at: UnixMillis) -> String {
    labelled(JOURNAL_PREFIX, Window::Hour, at)
}

/// One of the partitions over which a minute is spread.
pub fn spread_journal(at: UnixMillis, lane: u8) -> String {
    format!("{}#{}#{lane:02}", journal(at), minute(at))
}

/// Partition of the minutes of an hour, over all users.
pub fn minutes(at: UnixMillis) -> String {
    labelled("MINUTE#", Window::Hour, at)
}

/// Partition of the hours or days, over all users.
pub fn totals(window: Window) -> String {
    format!("TOTAL#{}", window.as_str())
}

/// Partition of the callers of an hour's minutes.
pub fn callers(at: UnixMillis) -> String {
    labelled("CALLERS#", Window::Hour, at)
}

/// Partition of the users of an hour.
pub fn roster(at: UnixMillis) -> String {
    labelled("ROSTER#", Window::Hour, at)
}

/// Partition of the addresses that failed in an hour.
pub fn addresses(at: UnixMillis) -> String {
    labelled("ADDRESS#", Window::Hour, at)
}

/// Partition of all of a user's items.
pub fn user(email: &str) -> String {
    ["USER#", email].concat()
}

/// The user to whom a partition of [`user`] belongs.
pub fn parse_user(pk: &str) -> Option<&str> {
    pk.strip_prefix("USER#")
}

/// Partition of the deliveries to an endpoint.
pub fn deliveries(endpoint: &str) -> String {
    format!("DELIVERIES#{endpoint}")
}

/// Partition of the users that a day's closing found.
pub fn day_users(at: UnixMillis) -> String {
    labelled("USERS#", Window::Day, at)
}

/// The minute of the hour as it appears in keys, `04`.
pub fn minute(at: UnixMillis) -> String {
    let mut text = String::with_capacity(2);
    push_two(&mut text, at.minute_of_hour().into());
    text
}

/// Whether an entry is appended in time or late.
///
/// Readers add entries that are in time to what is folded; a late entry shows once it is folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timing {
    /// Within a minute after the end of its minute.
    InTime,
    /// Later than that.
    Late,
}

impl Timing {
    /// How long after its minute an entry is still in time, in milliseconds.
    pub const GRACE_MILLIS: i64 = 60_000;

    /// The timing of an entry for the minute of `at` that is appended at `now`.
    pub fn of(at: UnixMillis, now: UnixMillis) -> Self {
        if now.since(Window::Minute.end(at)) <= Self::GRACE_MILLIS {
            Self::InTime
        } else {
            Self::Late
        }
    }

    const fn sign(self) -> char {
        match self {
            Self::InTime => '#',
            Self::Late => '+',
        }
    }
}

/// Sort key of an entry.
pub fn entry(at: UnixMillis, timing: Timing, digest: &str) -> String {
    let mut key = minute(at);
    key.push(timing.sign());
    key.push_str(digest);
    key
}

/// The range of sort keys that holds everything of a minute, its flag first.
pub fn entries_of(at: UnixMillis) -> (String, String) {
    let minute = minute(at);
    ([&minute, "!"].concat(), [&minute, "~"].concat())
}

/// A parsed key of the journal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum JournalKey {
    /// An entry of the minute that begins at this instant.
    Entry(UnixMillis, Timing),
    /// The flag of a spread minute.
    Flag(UnixMillis),
    /// The beacon of an hour.
    Beacon(UnixMillis),
}

impl JournalKey {
    /// Parses a key; `None` if it is not a key of the journal.
    pub fn parse(pk: &str, sk: &str) -> Option<Self> {
        let rest = pk.strip_prefix(JOURNAL_PREFIX)?;
        let (hour, spread) = match rest.split_once('#') {
            Some((hour, spread)) => (hour, Some(spread)),
            None => (rest, None),
        };
        let hour = Window::Hour.parse_label(hour)?;
        if sk == BEACON {
            return Some(Self::Beacon(hour));
        }
        let (minute, rest) = sk.split_at_checked(2)?;
        if spread.is_some_and(|spread| !spread.starts_with(minute)) {
            return None;
        }
        let minute: i64 = minute
            .parse()
            .ok()
            .filter(|minute| (0..60).contains(minute))?;
        let at = hour.plus_millis(minute * 60_000);
        match rest.chars().next()? {
            '!' => Some(Self::Flag(at)),
            '#' => Some(Self::Entry(at, Timing::InTime)),
            '+' => Some(Self::Entry(at, Timing::Late)),
            _ => None,
        }
    }

    /// The hour whose journal contains the key.
    pub fn hour(&self) -> UnixMillis {
        match self {
            Self::Entry(at, _) | Self::Flag(at) | Self::Beacon(at) => Window::Hour.start(*at),
        }
    }
}

/// Number of buckets over which the users of a day's closing are spread.
pub const USER_BUCKETS: u8 = 16;

/// The bucket of a user.
pub fn user_bucket(email: &str) -> u8 {
    let [first, ..] = Subject::as_carried(email).digest();
    first % USER_BUCKETS
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use proptest::prelude::*;

    const AT: UnixMillis = UnixMillis(1_795_363_445_007);

    proptest! {
        #[test]
        fn a_key_of_the_journal_names_its_minute(minutes in 0_i64..100_000_000, late: bool, lane in proptest::option::of(0..SPREAD_KEYS)) {
            let at = UnixMillis(minutes * 60_000);
            let timing = if late { Timing::Late } else { Timing::InTime };
            let pk = lane.map_or_else(|| journal(at), |lane| spread_journal(at, lane));
            let sk = entry(at, timing, "00ff");
            prop_assert_eq!(JournalKey::parse(&pk, &sk), Some(JournalKey::Entry(at, timing)));
            let (from, to) = entries_of(at);
            prop_assert!(from < sk && sk < to);
        }

        #[test]
        fn any_other_key_is_refused_without_panic(pk: String, sk: String) {
            prop_assert_eq!(JournalKey::parse(&pk, &sk), None);
            JournalKey::parse("JOURNAL#2026-11-22T16", &sk);
        }
    }

    #[test]
    fn keys_are_as_documented() {
        for (key, pk, sk) in [
            (ItemKey::spread_flag(AT), "JOURNAL#2026-11-22T16", "04!"),
            (ItemKey::beacon(AT), "JOURNAL#2026-11-22T16", "beacon"),
            (ItemKey::minute(AT), "MINUTE#2026-11-22T16", "04"),
            (ItemKey::callers(AT), "CALLERS#2026-11-22T16", "04"),
            (ItemKey::total(Window::Day, AT), "TOTAL#day", "2026-11-22"),
            (
                ItemKey::address(AT, Listed::First, "192.0.2.1"),
                "ADDRESS#2026-11-22T16",
                "A#192.0.2.1",
            ),
            (ItemKey::hour("a@b", AT), "USER#a@b", "HOUR#2026-11-22T16"),
            (ItemKey::day("a@b", AT), "USER#a@b", "DAY#2026-11-22"),
            (ItemKey::month("a@b", AT), "USER#a@b", "MONTH#2026-11"),
            (ItemKey::all_time("a@b"), "USER#a@b", "ALL"),
            (ItemKey::limit("a@b", None), "USER#a@b", "LIMIT"),
            (
                ItemKey::limit("a@b", Some("key_1")),
                "USER#a@b",
                "LIMIT#key_1",
            ),
            (
                ItemKey::period("a@b", Window::Month.start(AT)),
                "USER#a@b",
                "PERIOD#2026-11-01T00:00:00Z",
            ),
            (ItemKey::day_mark(AT), "MARKS", "DAY#2026-11-22"),
            (ItemKey::hour_mark(AT), "MARKS", "HOUR#2026-11-22T16"),
            (ItemKey::month_mark(AT), "MARKS", "MONTH#2026-11"),
            (ItemKey::calendars(AT), "MARKS", "CALENDARS#2026-11"),
            (ItemKey::periods_mark(), "MARKS", "PERIODS"),
            (ItemKey::looks_mark(), "MARKS", "LOOKS"),
            (ItemKey::report_mark("2026-W47"), "MARKS", "REPORT#2026-W47"),
            (
                ItemKey::day_users(AT, 7, 2),
                "USERS#2026-11-22",
                "07#16#002",
            ),
            (ItemKey::error("shard", "7"), "ERRORS", "shard#7"),
        ] {
            assert_eq!(key, ItemKey::new(pk, sk));
        }
        assert_eq!(spread_journal(AT, 7), "JOURNAL#2026-11-22T16#04#07");
        let flag = ItemKey::spread_flag(AT);
        let start = Window::Minute.start(AT);
        assert_eq!(
            JournalKey::parse(&flag.pk, &flag.sk),
            Some(JournalKey::Flag(start))
        );
        let beacon = ItemKey::beacon(AT);
        let beacon = JournalKey::parse(&beacon.pk, &beacon.sk).unwrap();
        assert_eq!(beacon.hour(), Window::Hour.start(AT));
    }

    #[test]
    fn an_entry_is_in_time_until_a_minute_after_its_minute() {
        let end = Window::Minute.end(AT);
        for (now, timing) in [
            (AT, Timing::InTime),
            (end.plus_millis(60_000), Timing::InTime),
            (end.plus_millis(60_001), Timing::Late),
        ] {
            assert_eq!(Timing::of(AT, now), timing);
        }
    }
}
