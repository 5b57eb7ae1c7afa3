//! The last five minutes.
//!
//! Folded minutes come from the minute items of all users, or from a user's own hour; later ones
//! come from the journal. Cost in read units: two for the marks and the journal since it was folded
//! ([`crate::fresh`]); for a user one or two queries of hours; for all users two or four queries of
//! at most five small items, the roster of the hour (8 bytes per user), and a page of failing
//! addresses for each of two hours: 256 units at most, one if fewer than some twenty fail.

mod suspects;

use std::collections::BTreeMap;

use domain::counts::{Callers, Hour};
use domain::event::Subject;
use domain::tally::Tally;
use domain::time::{UnixMillis, Window};
use runtime::store::{Store, StoreError};
use runtime::together::together;

use crate::body::{EndpointCalls, Instant, MinuteCalls, Realtime, UserCalls};
use crate::fresh::Fresh;
use crate::marks::{Marks, hours_between};
use crate::ranking::ranked;
use crate::reader::{ByStart, Tables};

const MINUTE: i64 = 60_000;
/// Number of minutes shown, including the current one.
const MINUTES: i64 = 5;
/// Entries of the lists of what is called most.
const MOST_CALLED: usize = 10;

/// The usage of all users.
pub async fn of_everybody<S: Store>(
    tables: &Tables<'_, S>,
    now: UnixMillis,
) -> Result<Realtime, StoreError> {
    let marks = Marks::read(tables.usage, now).await?;
    let this_hour = Window::Hour.start(now);
    let since = suspects::oldest(now);
    let (fresh, stored, roster, addresses) = tokio::try_join!(
        Fresh::read(tables.analytics, &marks, since..end(now)),
        folded(tables, &marks, now),
        tables.roster(this_hour),
        together(
            hours_between(since, now)
                .map(|hour| async move { Ok((hour, tables.addresses(hour).await?)) })
                .collect()
        ),
    )?;
    let (mut tallies, callers) = stored;
    let mut users: BTreeMap<&str, u64> = BTreeMap::new();
    let recent = || fresh.minutes(first(now)..end(now));
    for (email, calls) in callers
        .values()
        .chain(recent().map(|folded| &folded.callers))
        .flat_map(|callers| &callers.calls)
    {
        *users.entry(email).or_default() += calls;
    }
    let told = recent().map(|folded| (folded.minute, folded.everybody.counts.tally.clone()));
    tallies.extend(told);
    let mut active = roster;
    active.extend(fresh.callers(this_hour..Window::Hour.end(now)));
    let top_users = ranked(users).into_iter().take(MOST_CALLED);
    let top_users = top_users.map(|(email, total_calls)| UserCalls {
        email: email.to_owned(),
        total_calls,
    });
    Ok(Realtime {
        top_users: Some(top_users.collect()),
        suspicious_ips: Some(suspects::suspicious(&addresses, &fresh, now)),
        ..summary(&tallies, active.len() as u64, now, fresh.as_of())
    })
}

/// The minutes and callers of all users, as far as they are folded.
async fn folded<S: Store>(
    tables: &Tables<'_, S>,
    marks: &Marks,
    now: UnixMillis,
) -> Result<(ByStart<Tally>, ByStart<Callers>), StoreError> {
    let spans = hours_between(first(now), now).map(|hour| {
        let until = marks.folded_until(hour).min(end(now));
        (first(now).max(hour), until)
    });
    let reads = spans.map(|(from, until)| async move {
        tokio::try_join!(tables.minutes(from, until), tables.callers(from, until))
    });
    let mut all = (BTreeMap::new(), BTreeMap::new());
    for (minutes, callers) in together(reads.collect()).await? {
        let tallies = minutes.into_iter();
        all.0
            .extend(tallies.map(|(minute, sum)| (minute, sum.counts.tally)));
        all.1.extend(callers);
    }
    Ok(all)
}

/// The usage of one user.
pub async fn of_user<S: Store>(
    tables: &Tables<'_, S>,
    subject: &Subject,
    now: UnixMillis,
) -> Result<Realtime, StoreError> {
    let marks = Marks::read(tables.usage, now).await?;
    let user = subject.as_str();
    let hours = hours_between(first(now), now).collect();
    let (mut hours, fresh) = tokio::try_join!(
        tables.hours(user, &hours),
        Fresh::read(tables.analytics, &marks, first(now)..end(now)),
    )?;
    for hour in fresh.hours() {
        let hour = hours.entry(hour).or_insert_with(|| Hour::new(hour));
        fresh.lay_over(user, hour);
    }
    let slots = hours.values().flat_map(|hour| {
        let slots = hour.slots();
        slots.map(|(minute, slot)| {
            let at = hour.start().plus_millis(i64::from(minute) * MINUTE);
            (at, slot.counts.tally.clone())
        })
    });
    let tallies: ByStart<Tally> = slots.collect();
    let this_hour = Window::Hour.start(now)..Window::Hour.end(now);
    let active = tallies.range(this_hour).any(|(_, tally)| tally.calls > 0);
    Ok(summary(&tallies, u64::from(active), now, fresh.as_of()))
}

/// Start of the oldest minute shown.
fn first(now: UnixMillis) -> UnixMillis {
    Window::Minute
        .start(now)
        .plus_millis(-(MINUTES - 1) * MINUTE)
}

/// End of the current minute.
fn end(now: UnixMillis) -> UnixMillis {
    Window::Minute.end(now)
}

/// Sums up the five minutes out of `tallies`.
fn summary(
    tallies: &ByStart<Tally>,
    active_users: u64,
    now: UnixMillis,
    as_of: UnixMillis,
) -> Realtime {
    let minutes = (0..MINUTES).map(|minute| first(now).plus_millis(minute * MINUTE));
    let sum: Tally = tallies
        .range(first(now)..end(now))
        .map(|(_, tally)| tally)
        .collect();
    let per_minute = |start| MinuteCalls {
        start: Instant(start),
        total_calls: tallies.get(&start).map_or(0, |tally| tally.calls),
    };
    let top_endpoints = ranked(sum.endpoints).into_iter().take(MOST_CALLED);
    let top_endpoint = |(endpoint, total_calls)| EndpointCalls {
        endpoint,
        total_calls,
    };
    Realtime {
        total_calls: sum.calls,
        auth_failures: sum.auth_failures,
        rate_limited: sum.rate_limited,
        calls_per_minute: minutes.map(per_minute).collect(),
        active_users,
        top_endpoints: top_endpoints.map(top_endpoint).collect(),
        top_users: None,
        suspicious_ips: None,
        as_of: Instant(as_of),
    }
}

#[cfg(test)]
mod tests;
