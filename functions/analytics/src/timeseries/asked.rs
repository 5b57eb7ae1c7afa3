//! The parameters of a time series, checked.

use domain::event::Subject;
use domain::plan;
use domain::time::{UnixMillis, Window};
use jiff::tz::TimeZone;

use crate::body::Granularity;
use crate::buckets::{self, Buckets};
use crate::error::ApiError;
use crate::parameters::{Choice, DURATION, EMAIL, GROUP_BY, words};
use crate::query::{Query, themselves};
use bearer::Caller;

/// The default duration, in milliseconds.
pub(crate) const DEFAULT_DURATION: i64 = 24 * 3_600_000;

/// The groups of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupBy {
    /// The event's type.
    Type,
    /// The HTTP method.
    Method,
    /// The route template.
    Endpoint,
    /// The HTTP status.
    Status,
    /// The key, by its id.
    Key,
}

impl Choice for GroupBy {
    const ALL: &'static [(&'static str, Self)] = &[
        ("type", Self::Type),
        ("method", Self::Method),
        ("endpoint", Self::Endpoint),
        ("status", Self::Status),
        ("key", Self::Key),
    ];
}

/// By what the counts of a point are grouped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grouping {
    /// What every event has.
    By(GroupBy),
    /// The values of a declared dimension.
    Dimension(String),
}

impl Grouping {
    fn of(query: &Query, dimensions: &[String]) -> Result<Option<Self>, ApiError> {
        let given = query.get(GROUP_BY);
        if let Some(name) = given.filter(|name| dimensions.iter().any(|of| of == name)) {
            return Ok(Some(Self::Dimension(name.to_owned())));
        }
        let words = words::<GroupBy>().into_iter();
        let known = words.chain(dimensions.iter().map(String::as_str));
        let by = query.one_among(GROUP_BY, &known.collect::<Vec<_>>())?;
        Ok(by.map(Self::By))
    }
}

/// The format of the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A JSON object.
    Json,
    /// A table.
    Csv,
}

impl Choice for Format {
    const ALL: &'static [(&'static str, Self)] = &[("json", Self::Json), ("csv", Self::Csv)];
}

impl Choice for Granularity {
    const ALL: &'static [(&'static str, Self)] = &[
        ("minute", Self::Minute),
        ("hour", Self::Hour),
        ("day", Self::Day),
    ];
}

/// How long counts are kept, in days; days themselves are kept for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The minutes of all users.
    pub minutes: i64,
    /// Hours, those of all users and each user's.
    pub hours: i64,
}

/// A time series to read.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The subject whose counts are requested; `None` for all users.
    pub whose: Option<Subject>,
    /// Length of the buckets.
    pub granularity: Granularity,
    /// The buckets.
    pub buckets: Buckets,
    /// The groups of each point.
    pub group_by: Option<Grouping>,
    /// Whether the request needs more than calls by type, which is all that quarter hours hold.
    pub detailed: bool,
    /// The format of the response.
    pub format: Format,
    /// The parameter that determines how far back the series reaches.
    reach: &'static str,
}

impl Asked {
    /// Reads the series from `query`, if `caller` may see it; `dimensions` are the declared ones.
    pub fn of(
        query: &Query,
        caller: &Caller,
        dimensions: &[String],
        now: UnixMillis,
    ) -> Result<Self, ApiError> {
        let whose = match query.user(caller)? {
            None if !caller.admin => Some(themselves(caller)?),
            whose => whose,
        };
        let granularity = query.one_of("granularity")?.unwrap_or(Granularity::Hour);
        let (reach, from, to) = range(query, now)?;
        let buckets = Buckets::covering(from, to, granularity, &zone(query)?);
        let buckets = buckets.map_err(|buckets::TooMany| {
            let message = format!(
                "more than {} points: ask for a shorter span or a coarser `granularity`",
                buckets::MOST
            );
            ApiError::parameter(reach, message)
        })?;
        let group_by = Grouping::of(query, dimensions)?;
        if whose.is_none() && group_by == Some(Grouping::By(GroupBy::Key)) {
            let message = "`groupBy=key` needs `email`: calls are counted by key for each user";
            return Err(ApiError::parameter(EMAIL, message));
        }
        let by_type = Grouping::By(GroupBy::Type);
        Ok(Self {
            whose,
            granularity,
            buckets,
            detailed: group_by.as_ref().is_some_and(|by| *by != by_type),
            group_by,
            format: query.one_of("format")?.unwrap_or(Format::Json),
            reach,
        })
    }

    /// The series of calls by type over a span; `None` if it has too many buckets.
    pub fn totals(
        whose: Option<Subject>,
        granularity: Granularity,
        span: std::ops::Range<UnixMillis>,
        zone: &TimeZone,
    ) -> Option<Self> {
        let buckets = Buckets::covering(span.start, span.end, granularity, zone);
        Some(Self {
            whose,
            granularity,
            buckets: buckets.ok()?,
            group_by: None,
            detailed: false,
            format: Format::Json,
            reach: DURATION,
        })
    }

    /// The same with routes, methods and statuses.
    #[must_use]
    pub fn with_details(mut self) -> Self {
        self.detailed = true;
        self
    }

    /// Whether the quarter hours within days and hours suffice, so that no smaller part is needed.
    pub fn is_of_quarters(&self) -> bool {
        self.granularity != Granularity::Minute && self.buckets.are_of_quarters() && !self.detailed
    }

    /// Refuses a series of which a part is no longer stored: zeros would be wrong.
    pub fn check_kept(&self, retention: Retention, now: UnixMillis) -> Result<(), ApiError> {
        let hours = |oldest, parameter| Needed {
            window: Window::Hour,
            days: retention.hours,
            oldest,
            parameter,
        };
        let minutes = |oldest, parameter| Needed {
            window: Window::Minute,
            days: retention.minutes,
            oldest,
            parameter,
        };
        let from = self.buckets.from();
        let cut = |window| {
            let cut = self.buckets.cut(window);
            cut.first().map(|first| from.max(*first))
        };
        let is_user = self.whose.is_some();
        let needed = match self.granularity {
            Granularity::Minute if is_user => [Some(hours(from, self.reach)), None],
            Granularity::Minute => [Some(minutes(from, self.reach)), None],
            Granularity::Hour if !is_user && self.is_of_quarters() => {
                [Some(hours(from, self.reach)), None]
            }
            _ if self.is_of_quarters() => [None, None],
            Granularity::Hour | Granularity::Day => {
                let by_hour = match self.granularity {
                    Granularity::Day => cut(Window::Day).map(|oldest| hours(oldest, "timezone")),
                    _ => Some(hours(from, self.reach)),
                };
                // A user's hours contain their minutes.
                let by_minute = cut(Window::Hour).filter(|_| !is_user);
                [by_hour, by_minute.map(|oldest| minutes(oldest, "timezone"))]
            }
        };
        needed
            .into_iter()
            .flatten()
            .try_for_each(|needed| needed.check(now))
    }
}

/// Counts that a series needs.
struct Needed {
    /// The window in which they are stored.
    window: Window,
    /// How many days they are stored.
    days: i64,
    /// The oldest one needed.
    oldest: UnixMillis,
    /// The parameter that causes the need.
    parameter: &'static str,
}

impl Needed {
    fn check(&self, now: UnixMillis) -> Result<(), ApiError> {
        let Self { days, oldest, .. } = self;
        if *oldest >= self.window.start(now.plus_days(-days)) {
            return Ok(());
        }
        let message = format!(
            "this series needs each {} since `{oldest}`, and those are kept {days} days",
            self.window.as_str()
        );
        Err(ApiError::parameter(self.parameter, message))
    }
}

/// The range, and the parameter that determines its start.
fn range(
    query: &Query,
    now: UnixMillis,
) -> Result<(&'static str, UnixMillis, UnixMillis), ApiError> {
    // The bucket that contains `now` belongs to a range that ends now.
    let after_now = now.plus_millis(1);
    let (from, to) = (instant(query, "from")?, instant(query, "to")?);
    let duration = query.get("duration").map(duration).transpose()?;
    match (duration, from, to) {
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) => Err(ApiError::parameter(
            "duration",
            "`duration` ends now and excludes `from` and `to`",
        )),
        (None, None, Some(_)) => Err(ApiError::parameter("from", "`to` needs `from`")),
        (None, Some(from), to) => {
            let to = to.unwrap_or(after_now);
            if from < to {
                Ok(("from", from, to))
            } else {
                let message = format!("`from` must be before `{to}`, found `{from}`");
                Err(ApiError::parameter("from", message))
            }
        }
        (duration, None, None) => {
            let duration = duration.unwrap_or(DEFAULT_DURATION);
            Ok(("duration", now.plus_millis(-duration), after_now))
        }
    }
}

fn instant(query: &Query, name: &str) -> Result<Option<UnixMillis>, ApiError> {
    let parse = |text: &str| {
        text.parse()
            .map_err(|error: domain::time::NotATime| ApiError::parameter(name, error.to_string()))
    };
    query.get(name).map(parse).transpose()
}

/// `90m`, `24h`, `7d` in milliseconds.
pub(crate) fn duration(text: &str) -> Result<i64, ApiError> {
    let refused = || {
        let message = format!(
            "invalid duration `{text}`: expected a whole number above 0 and `m`, `h` or `d`, such as `24h`"
        );
        ApiError::parameter(DURATION, message)
    };
    let (number, unit) = text
        .len()
        .checked_sub(1)
        .and_then(|unit| text.split_at_checked(unit))
        .ok_or_else(refused)?;
    let unit: i64 = match unit {
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(refused()),
    };
    let digits = number.bytes().all(|digit| digit.is_ascii_digit());
    let number: u32 = number.parse().map_err(|_| refused())?;
    if digits && number > 0 {
        Ok(i64::from(number) * unit)
    } else {
        Err(refused())
    }
}

fn zone(query: &Query) -> Result<TimeZone, ApiError> {
    let Some(name) = query.get("timezone") else {
        return Ok(TimeZone::UTC);
    };
    plan::time_zone(name).map_err(|error| ApiError::parameter("timezone", error.to_string()))
}
