//! The series over all users: days and hours where their sums are final and lie in one bucket, or
//! where buckets consist of their quarter hours; otherwise the minutes of hours, with the journal's
//! last minutes instead of stored ones.

use std::collections::{BTreeMap, BTreeSet};

use domain::counts::Sum;
use domain::time::{UnixMillis, Window};
use runtime::store::{Store, StoreError};
use runtime::together::together;

use super::Asked;
use super::filling::Filling;
use crate::body::Granularity;
use crate::fresh::Fresh;
use crate::marks::Marks;
use crate::reader::{ByStart, Tables};

/// The items to read.
#[derive(Debug, Default)]
struct Parts {
    /// Days whose total to read.
    days: BTreeSet<UnixMillis>,
    /// Hours whose total to read.
    hours: BTreeSet<UnixMillis>,
    /// Hours whose minutes to read.
    by_minute: BTreeSet<UnixMillis>,
}

/// Fills the buckets.
pub(super) async fn fill<S: Store>(
    tables: &Tables<'_, S>,
    marks: &Marks,
    asked: &Asked,
    filling: &mut Filling<'_>,
) -> Result<(), StoreError> {
    let span = asked.buckets.from()..asked.buckets.to();
    let parts = Parts::of(marks, asked, filling);
    let minutes = parts.by_minute.iter().map(|hour| {
        let from = span.start.max(*hour);
        let end = span.end.min(marks.folded_until(*hour));
        tables.minutes(from, end)
    });
    let (days, hours, minutes, fresh) = tokio::try_join!(
        totals(tables, Window::Day, &parts.days),
        totals(tables, Window::Hour, &parts.hours),
        together(minutes.collect()),
        Fresh::read(tables.analytics, marks, span.clone()),
    )?;
    let counted_by = filling.window;
    let mut add = |window: Window, start: UnixMillis, sum: &Sum| {
        if asked.buckets.holding(window, start).is_some() || window == Window::Minute {
            filling.add(start, &sum.counts);
        } else {
            filling.add_quarters(start, sum);
        }
        if window == counted_by {
            filling.set_users(start, sum.users);
        }
    };
    for (start, sum) in &days {
        add(Window::Day, *start, sum);
    }
    for (start, sum) in &hours {
        add(Window::Hour, *start, sum);
    }
    for (start, sum) in minutes.iter().flatten() {
        add(Window::Minute, *start, sum);
    }
    for folded in fresh.minutes(span) {
        add(Window::Minute, folded.minute, &folded.everybody);
    }
    filling.as_of = fresh.as_of();
    unite_users(tables, &parts, &hours, &fresh, filling).await
}

impl Parts {
    fn of(marks: &Marks, asked: &Asked, filling: &Filling<'_>) -> Self {
        let buckets = &asked.buckets;
        let mut parts = Self::default();
        if asked.granularity == Granularity::Day {
            parts.days = filling.windows(Window::Day, marks.last_hour());
            parts.days.retain(|day| {
                let is_whole = buckets.holding(Window::Day, *day).is_some();
                marks.is_closed(*day) && (is_whole || asked.is_of_quarters())
            });
        }
        for hour in filling.windows(Window::Hour, marks.last_hour()) {
            let is_whole = buckets.holding(Window::Hour, hour).is_some();
            let is_folded = !marks.unfolded_from().contains_key(&hour);
            if parts.days.contains(&Window::Day.start(hour)) {
                continue;
            }
            let suffices =
                asked.granularity != Granularity::Minute && (is_whole || asked.is_of_quarters());
            if suffices && is_folded {
                parts.hours.insert(hour);
            } else {
                parts.by_minute.insert(hour);
            }
        }
        parts
    }
}

/// The totals of some hours or days, in one query from the first to the last.
async fn totals<S: Store>(
    tables: &Tables<'_, S>,
    window: Window,
    starts: &BTreeSet<UnixMillis>,
) -> Result<ByStart<Sum>, StoreError> {
    let (Some(first), Some(last)) = (starts.first(), starts.last()) else {
        return Ok(BTreeMap::new());
    };
    let mut totals = tables.totals(window, *first, *last).await?;
    totals.retain(|start, _| starts.contains(start));
    Ok(totals)
}

/// Counts the users of hours and days that have no total yet: a user who called in two hours of a
/// day is one user, so rosters are united. Hours without known calls are not read.
async fn unite_users<S: Store>(
    tables: &Tables<'_, S>,
    parts: &Parts,
    hours: &ByStart<Sum>,
    fresh: &Fresh,
    filling: &mut Filling<'_>,
) -> Result<(), StoreError> {
    let window = filling.window;
    let called = hours.iter().filter(|(_, sum)| sum.users > 0);
    let called = called
        .map(|(hour, _)| *hour)
        .filter(|_| window == Window::Day);
    let unfolded = parts.by_minute.iter().copied();
    let is_shown = |hour: &UnixMillis| filling.buckets.is_window(window, window.start(*hour));
    let wanted: BTreeSet<UnixMillis> = match window {
        Window::Minute | Window::Month => BTreeSet::new(),
        Window::Hour | Window::Day => called.chain(unfolded).filter(is_shown).collect(),
    };
    let rosters = wanted.into_iter().map(|hour| async move {
        let mut users = tables.roster(hour).await?;
        users.extend(fresh.callers(hour..Window::Hour.end(hour)));
        Ok((window.start(hour), users))
    });
    let mut united: ByStart<BTreeSet<[u8; 8]>> = BTreeMap::new();
    for (start, users) in together(rosters.collect()).await? {
        united.entry(start).or_default().extend(users);
    }
    for (start, users) in united {
        filling.set_users(start, users.len() as u64);
    }
    Ok(())
}
