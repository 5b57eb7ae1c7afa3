//! One user's series: closed days entirely or by their quarter hours, everything else by the
//! minutes of hours, of which the journal supplies the last ones.

use std::collections::{BTreeMap, BTreeSet};

use domain::counts::Hour;
use domain::event::Subject;
use domain::time::{UnixMillis, Window};
use runtime::store::{Store, StoreError};

use super::Asked;
use super::filling::Filling;
use crate::body::Granularity;
use crate::fresh::Fresh;
use crate::marks::{Marks, hours_between};
use crate::reader::Tables;

/// Fills the buckets.
pub(super) async fn fill<S: Store>(
    tables: &Tables<'_, S>,
    marks: &Marks,
    subject: &Subject,
    asked: &Asked,
    filling: &mut Filling<'_>,
) -> Result<(), StoreError> {
    let user = subject.as_str();
    let buckets = &asked.buckets;
    let span = buckets.from()..buckets.to();
    let (days, hours) = parts(marks, asked, filling);
    let stored_days = async {
        match (days.first(), days.last()) {
            (Some(first), Some(last)) => tables.days(user, *first, *last).await,
            _ => Ok(BTreeMap::new()),
        }
    };
    let (stored_days, mut stored_hours, fresh) = tokio::try_join!(
        stored_days,
        tables.hours(user, &hours),
        Fresh::read(tables.analytics, marks, span),
    )?;
    for (day, sum) in stored_days.iter().filter(|(day, _)| days.contains(day)) {
        if buckets.holding(Window::Day, *day).is_some() {
            filling.add(*day, &sum.counts);
        } else {
            filling.add_quarters(*day, sum);
        }
    }
    for hour in fresh.hours().filter(|hour| hours.contains(hour)) {
        let hour = stored_hours.entry(hour).or_insert_with(|| Hour::new(hour));
        fresh.lay_over(user, hour);
    }
    for hour in stored_hours.values() {
        for (minute, slot) in hour.slots() {
            let at = hour.start().plus_millis(i64::from(minute) * 60_000);
            filling.add(at, &slot.counts);
        }
    }
    filling.as_of = fresh.as_of();
    Ok(())
}

/// The days that are read as days, and the hours of all others.
fn parts(
    marks: &Marks,
    asked: &Asked,
    filling: &Filling<'_>,
) -> (BTreeSet<UnixMillis>, BTreeSet<UnixMillis>) {
    let mut days = filling.windows(Window::Day, marks.last_hour());
    days.retain(|day| {
        let is_whole = asked.buckets.holding(Window::Day, *day).is_some();
        let suffices = asked.granularity != Granularity::Minute;
        marks.is_closed(*day) && suffices && (is_whole || asked.is_of_quarters())
    });
    let last = marks.last_hour().min(asked.buckets.to().plus_millis(-1));
    let hours = hours_between(asked.buckets.from(), last);
    let hours = hours.filter(|hour| !days.contains(&Window::Day.start(*hour)));
    let hours = hours.collect();
    (days, hours)
}
