//! Counts over time, of one user or of all users.
//!
//! A bucket is filled with the largest stored parts that lie entirely in it: days, then hours, then
//! quarter hours or minutes. No part is ever divided by estimate; a count that cannot be exact is
//! refused ([`Asked::check_kept`]) or null.
//!
//! Cost in read units: two for the marks, the journal since it was folded ([`crate::fresh`]), and
//!
//! | series | reads |
//! |---|---|
//! | a user's days, or hours by the quarter | a query of one small item per day, and the hours of open days |
//! | a user's minutes, or hours with labels | a query of one item per hour: 26 items, or 1,500 |
//! | minutes of all users | a query of 60 items per hour: 26 queries at most |
//! | hours of all users | a query of one small item per hour; for unfolded hours, and for cut hours with labels, their minutes |
//! | a series grouped by a dimension | as one with labels; dimensions add at most 11 KB to a sum and 2 KB to a minute |
//! | days of all users | a query of one item per day; for open days, and for cut days with labels, their hours; for open days a roster per hour |

mod asked;
mod everybody;
mod filling;
mod user;

pub use asked::{Asked, Format, GroupBy, Grouping, Retention};
pub(crate) use asked::{DEFAULT_DURATION, duration};

use std::collections::BTreeMap;

use domain::counts::Counts;
use domain::dimension::Dimension;
use domain::event::EventType;
use domain::key_calls;
use domain::time::UnixMillis;
use runtime::store::{Store, StoreError};

use crate::body::{Group, Instant, Point, Timeseries};
use crate::endpoints::meters;
use crate::marks::Marks;
use crate::ranking::ranked;
use crate::reader::Tables;
use filling::Filling;

/// Reads the series.
pub async fn series<S: Store>(
    tables: &Tables<'_, S>,
    asked: &Asked,
    now: UnixMillis,
) -> Result<Timeseries, StoreError> {
    let filling = filled(tables, asked, now).await?;
    let starts = asked.buckets.spans().map(|(start, _)| start);
    let filled = filling.counts.iter().zip(&filling.users);
    let point = |(start, (counts, users)): (UnixMillis, (&Counts, &Option<u64>))| {
        let tally = &counts.tally;
        let alone = asked.whose.as_ref().map(|_| u64::from(tally.calls > 0));
        Point {
            start: Instant(start),
            total_calls: tally.calls,
            total_units: tally.units,
            meters: meters(tally.meters.clone()),
            auth_failures: tally.auth_failures,
            rate_limited: tally.rate_limited,
            active_users: alone.or(*users),
            groups: asked.group_by.as_ref().map(|by| groups(counts, by)),
        }
    };
    Ok(Timeseries {
        granularity: asked.granularity,
        from: Instant(asked.buckets.from()),
        to: Instant(asked.buckets.to()),
        points: starts.zip(filled).map(point).collect(),
        as_of: Instant(filling.as_of),
    })
}

/// The counts over the whole span, and the instant up to which everything appended in time is
/// counted.
pub(crate) async fn sum<S: Store>(
    tables: &Tables<'_, S>,
    asked: &Asked,
    now: UnixMillis,
) -> Result<(Counts, UnixMillis), StoreError> {
    let filling = filled(tables, asked, now).await?;
    let mut sum = Counts::default();
    for counts in &filling.counts {
        sum.merge(counts);
    }
    Ok((sum, filling.as_of))
}

async fn filled<'a, S: Store>(
    tables: &Tables<'_, S>,
    asked: &'a Asked,
    now: UnixMillis,
) -> Result<Filling<'a>, StoreError> {
    let marks = Marks::read(tables.usage, now).await?;
    let mut filling = Filling::new(&asked.buckets, asked.granularity, now);
    match &asked.whose {
        Some(subject) => user::fill(tables, &marks, subject, asked, &mut filling).await?,
        None => everybody::fill(tables, &marks, asked, &mut filling).await?,
    }
    Ok(filling)
}

/// Event types are all listed, always in the same order; other groups come with most calls first.
fn groups(counts: &Counts, by: &Grouping) -> Vec<Group> {
    let tally = &counts.tally;
    let group = |(key, total_calls): (&str, u64)| Group {
        key: key.to_owned(),
        total_calls,
    };
    let ranking = |counts: &BTreeMap<String, u64>| {
        let counts = counts.iter().map(|(key, count)| (key.as_str(), *count));
        ranked(counts).into_iter().map(group).collect()
    };
    let by = match by {
        Grouping::By(by) => *by,
        Grouping::Dimension(name) => {
            // A bucket's parts are added up here, so this is where they are bounded.
            let bounded = tally.dimensions.get(name).map(Dimension::bounded);
            let values = bounded.into_iter().flat_map(|dimension| dimension.values);
            let calls = values.map(|(value, share)| (value, share.calls)).collect();
            return ranking(&calls);
        }
    };
    match by {
        GroupBy::Type => EventType::ALL
            .map(|of| group((of.as_str(), tally.of(of))))
            .into(),
        GroupBy::Method => ranking(&tally.methods),
        GroupBy::Endpoint => ranking(&tally.endpoints),
        GroupBy::Key => ranking(&key_calls::bounded(&tally.keys)),
        GroupBy::Status => {
            let statuses = ranked(counts.responses.statuses.clone()).into_iter();
            let statuses = statuses.map(|(status, count)| Group {
                key: status.to_string(),
                total_calls: count,
            });
            statuses.collect()
        }
    }
}

#[cfg(test)]
mod tests;
