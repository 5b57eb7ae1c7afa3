//! The users with calls in a span, and how many: the callers of its minutes, added up.
//!
//! For each minute, the [`Callers::MOST`] users with most calls are known. Minutes are read from
//! the newest hour back, until `MOST_READ` callers of minutes are read; `from` in the response
//! states how far back that is.
//!
//! Cost in read units: two for the marks, the journal since it was folded ([`crate::fresh`]), and a
//! query of 60 items per hour, some twelve bytes for each user of a minute.

use std::collections::BTreeMap;

use domain::counts::Callers;
use domain::time::{UnixMillis, Window};
use runtime::store::{Store, StoreError};
use runtime::together::together;

use crate::body::{Instant, UserUsage, Users};
use crate::error::ApiError;
use crate::fresh::Fresh;
use crate::marks::{Marks, hours_between};
use crate::paging::{Paging, Place};
use crate::parameters::{Choice, DURATION, SEARCH};
use crate::query::Query;
use crate::reader::Tables;
use crate::timeseries::{DEFAULT_DURATION, Format, duration};

/// The most callers of minutes to read, each some twelve bytes.
const MOST_READ: usize = 500_000;
/// Hours to read concurrently.
const AT_ONCE: usize = 12;

/// The order of users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortBy {
    /// By accepted calls, most first.
    Calls,
    /// By name.
    Email,
    /// By their last call, latest first.
    LastSeen,
}

impl Choice for SortBy {
    const ALL: &'static [(&'static str, Self)] = &[
        ("calls", Self::Calls),
        ("email", Self::Email),
        ("lastSeen", Self::LastSeen),
    ];
}

/// The requested users.
#[derive(Debug, Clone)]
pub struct Asked {
    from: UnixMillis,
    sort: SortBy,
    search: String,
    paging: Paging,
    /// The format of the response.
    pub format: Format,
}

impl Asked {
    /// Reads the request from `query`, if minutes are kept that long.
    pub fn of(query: &Query, minute_days: i64, now: UnixMillis) -> Result<Self, ApiError> {
        let span = query.get(DURATION).map(duration).transpose()?;
        let from = now.plus_millis(-span.unwrap_or(DEFAULT_DURATION));
        if from < now.plus_days(-minute_days) {
            let message = format!("who called is kept {minute_days} days: ask for a shorter span");
            return Err(ApiError::parameter(DURATION, message));
        }
        Ok(Self {
            from: Window::Minute.start(from),
            sort: query.one_of("sort")?.unwrap_or(SortBy::Calls),
            search: query.get(SEARCH).unwrap_or_default().to_lowercase(),
            paging: Paging::of(query)?,
            format: query.one_of("format")?.unwrap_or(Format::Json),
        })
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct Called {
    calls: u64,
    /// Start of the last minute.
    last: UnixMillis,
}

/// Reads the users.
pub async fn users<S: Store>(
    tables: &Tables<'_, S>,
    asked: &Asked,
    now: UnixMillis,
) -> Result<Users, StoreError> {
    let marks = Marks::read(tables.usage, now).await?;
    let end = Window::Minute.end(now);
    let fresh = Fresh::read(tables.analytics, &marks, asked.from..end).await?;
    let (stored, from) = stored(tables, &marks, asked.from..end).await?;
    let mut called: BTreeMap<&str, Called> = BTreeMap::new();
    let recent = fresh.minutes(from..end);
    let recent = recent.map(|folded| (folded.minute, &folded.callers));
    let stored = stored.iter().map(|(minute, callers)| (*minute, callers));
    for (minute, callers) in stored.chain(recent) {
        for (email, calls) in &callers.calls {
            let known = called.entry(email).or_default();
            known.calls += calls;
            known.last = known.last.max(minute);
        }
    }
    let total = called.len() as u64;
    let found = called.into_iter();
    let found = found.filter(|(email, _)| email.contains(&asked.search));
    let entries = found.map(|(email, called)| {
        let usage = UserUsage {
            email: email.to_owned(),
            total_calls: called.calls,
            last_seen: Instant(called.last),
        };
        (place(asked.sort, email, called), usage)
    });
    let (users, next) = asked.paging.page(entries.collect());
    Ok(Users {
        from: Instant(from),
        to: Instant(end),
        total_users: total,
        users,
        next,
        as_of: Instant(fresh.as_of()),
    })
}

fn place(sort: SortBy, email: &str, called: Called) -> Place {
    Place {
        size: match sort {
            SortBy::Calls => called.calls,
            SortBy::Email => 0,
            SortBy::LastSeen => called.last.0.unsigned_abs(),
        },
        name: email.to_owned(),
    }
}

/// The callers of folded minutes, and the instant from which they are read.
async fn stored<S: Store>(
    tables: &Tables<'_, S>,
    marks: &Marks,
    span: std::ops::Range<UnixMillis>,
) -> Result<(Vec<(UnixMillis, Callers)>, UnixMillis), StoreError> {
    let mut hours: Vec<UnixMillis> = hours_between(span.start, span.end).collect();
    hours.reverse();
    let (mut read, mut callers) = (0, Vec::new());
    for hours in hours.chunks(AT_ONCE) {
        let reads = hours.iter().map(|hour| {
            let until = marks.folded_until(*hour).min(span.end);
            tables.callers(span.start.max(*hour), until)
        });
        for (hour, minutes) in hours.iter().zip(together(reads.collect()).await?) {
            read += minutes.values().map(|of| of.calls.len()).sum::<usize>();
            if read > MOST_READ {
                return Ok((callers, Window::Hour.end(*hour)));
            }
            callers.extend(minutes);
        }
    }
    Ok((callers, span.start))
}

#[cfg(test)]
mod tests;
