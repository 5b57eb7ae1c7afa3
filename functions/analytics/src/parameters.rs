//! The parameters of each endpoint: the handler refuses all others, and the `OpenAPI` document
//! describes these.

use domain::endpoint::Endpoint;

use crate::body::Granularity;
use crate::paging;
use crate::timeseries::{Format, GroupBy};
use crate::users::SortBy;

/// The parameter that names the user.
pub const EMAIL: &str = "email";
/// The parameter for how far back from now a span reaches.
pub const DURATION: &str = "duration";
/// The parameter that names the groups of a series.
pub const GROUP_BY: &str = "groupBy";
/// The parameter that filters the entries of a list.
pub const SEARCH: &str = "search";

/// A parameter.
#[derive(Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Its meaning.
    pub description: &'static str,
    /// Its valid values.
    pub kind: Kind,
}

/// The valid values of a parameter.
#[derive(Debug)]
pub enum Kind {
    /// One of a few words.
    Choice {
        /// The words.
        words: fn() -> Vec<&'static str>,
        /// The word by default.
        default: Option<&'static str>,
    },
    /// One of a few words, or a name that the environment declares.
    WordOrName {
        /// The words.
        words: fn() -> Vec<&'static str>,
    },
    /// A whole number and `m`, `h` or `d`.
    Duration {
        /// The duration by default.
        default: &'static str,
    },
    /// A time in RFC 3339.
    Instant,
    /// An email address.
    Email,
    /// A name from the IANA time zone database.
    TimeZone,
    /// A whole number.
    Whole {
        /// The minimum.
        least: usize,
        /// The maximum.
        most: usize,
        /// The number by default.
        default: usize,
    },
    /// Any text.
    Text,
}

/// A type whose values are a parameter's words.
pub trait Choice: Copy + 'static {
    /// Each word and its value.
    const ALL: &'static [(&'static str, Self)];
}

/// The words of a choice.
pub fn words<T: Choice>() -> Vec<&'static str> {
    T::ALL.iter().map(|(word, _)| *word).collect()
}

const WHOSE: Parameter = Parameter {
    name: EMAIL,
    description: "The user. Another user's data needs the scope `metering:admin`.",
    kind: Kind::Email,
};
const GRANULARITY: Parameter = Parameter {
    name: "granularity",
    description: "Length of the buckets.",
    kind: Kind::Choice {
        words: words::<Granularity>,
        default: Some("hour"),
    },
};
const SPAN: Parameter = Parameter {
    name: DURATION,
    description: "How far back from now, the current bucket included: a whole number and `m`, `h` or `d`. Not beside `from` and `to`.",
    kind: Kind::Duration { default: "24h" },
};
const FROM: Parameter = Parameter {
    name: "from",
    description: "Start, inclusive, aligned down to its bucket.",
    kind: Kind::Instant,
};
const TO: Parameter = Parameter {
    name: "to",
    description: "End, exclusive, aligned up to the end of its bucket; now, where only `from` is given.",
    kind: Kind::Instant,
};
const TIMEZONE: Parameter = Parameter {
    name: "timezone",
    description: "IANA name of the time zone by whose clock and calendar hours and days begin; `UTC` unless given.",
    kind: Kind::TimeZone,
};
const FORMAT: Parameter = Parameter {
    name: "format",
    description: "Format of the response.",
    kind: Kind::Choice {
        words: words::<Format>,
        default: Some("json"),
    },
};
const LIMIT: Parameter = Parameter {
    name: paging::LIMIT,
    description: "Most entries of the list.",
    kind: Kind::Whole {
        least: 1,
        most: paging::MOST,
        default: paging::DEFAULT,
    },
};
const CURSOR: Parameter = Parameter {
    name: paging::CURSOR,
    description: "`next` of the page before: the list goes on behind it.",
    kind: Kind::Text,
};

const TIMESERIES: [Parameter; 8] = [
    GRANULARITY,
    SPAN,
    FROM,
    TO,
    WHOSE,
    Parameter {
        name: GROUP_BY,
        description: "Groups of each point: one of these words, or the name of a dimension that the environment declares. `type` counts events, the others accepted calls; `status` is known once the access log has told it. `key` is the id of the API key, of one user's calls: it needs `email` where the series would be everybody's. The 50 keys with most calls stand apart, all others as `other`. Calls without a value of the dimension are in no group.",
        kind: Kind::WordOrName {
            words: words::<GroupBy>,
        },
    },
    TIMEZONE,
    FORMAT,
];

const ENDPOINTS: [Parameter; 9] = [
    GRANULARITY,
    SPAN,
    FROM,
    TO,
    WHOSE,
    TIMEZONE,
    FORMAT,
    LIMIT,
    CURSOR,
];

const USERS: [Parameter; 6] = [
    Parameter {
        name: DURATION,
        description: "How far back from now, the current minute included: a whole number and `m`, `h` or `d`. Who called is kept as long as minutes are.",
        kind: Kind::Duration { default: "24h" },
    },
    Parameter {
        name: "sort",
        description: "`calls` and `lastSeen` begin with the most and the latest, `email` with the first letter.",
        kind: Kind::Choice {
            words: words::<SortBy>,
            default: Some("calls"),
        },
    },
    Parameter {
        name: SEARCH,
        description: "Only users whose email address contains this text.",
        kind: Kind::Text,
    },
    FORMAT,
    LIMIT,
    CURSOR,
];

const ANOMALIES: [Parameter; 2] = [
    Parameter {
        name: DURATION,
        description: "How far back from now hours are judged, at most seven days: a whole number and `m`, `h` or `d`.",
        kind: Kind::Duration { default: "24h" },
    },
    WHOSE,
];

/// The parameters of an endpoint.
pub const fn of(endpoint: Endpoint) -> &'static [Parameter] {
    match endpoint {
        Endpoint::Timeseries => &TIMESERIES,
        Endpoint::UserStats | Endpoint::Forecast => &[WHOSE],
        Endpoint::Endpoints => &ENDPOINTS,
        Endpoint::Users => &USERS,
        Endpoint::Anomalies => &ANOMALIES,
        Endpoint::Page | Endpoint::Realtime | Endpoint::OpenApi => &[],
    }
}
