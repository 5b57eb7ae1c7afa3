//! The alerts of a user's current period.
//!
//! Cost in read units: one, and one for each threshold up to the highest announced one.

use std::collections::BTreeSet;

use domain::alert::{Alert, Announced};
use domain::event::Subject;
use domain::plan::Plans;
use domain::state;
use domain::table::ItemKey;
use domain::time::UnixMillis;
use runtime::store::{Store, StoreError, unreadable};
use runtime::together::together;

use crate::body::{Instant, ReceivedAlert};

/// The thresholds that were announced to a user in the period that begins at `start`, lowest first.
/// The user may have been on another plan when one was crossed, so those of all plans count.
pub(super) async fn of_period<S: Store>(
    usage: &S,
    plans: &Plans,
    user: &Subject,
    start: UnixMillis,
) -> Result<Vec<ReceivedAlert>, StoreError> {
    let key = ItemKey::period(user.as_str(), start);
    let Some(stored) = usage.get(&key).await? else {
        return Ok(Vec::new());
    };
    let announced: Announced = state::decode(&stored.state).map_err(unreadable(&key))?;
    let thresholds: BTreeSet<u8> = plans
        .values()
        .flat_map(|plan| plan.alerts_percent.iter().copied())
        .filter(|percent| *percent <= announced.percent)
        .collect();
    let alerts = thresholds.into_iter().map(|percent| {
        let key = ItemKey::alert(&Alert::id_of(user.as_str(), start, percent));
        async move {
            let Some(stored) = usage.get(&key).await? else {
                return Ok(None);
            };
            let alert: Alert = state::decode(&stored.state).map_err(unreadable(&key))?;
            Ok::<_, StoreError>(Some(ReceivedAlert {
                percent: alert.percent,
                used: alert.used,
                quota: alert.quota,
                at: Instant(alert.at),
            }))
        }
    });
    Ok(together(alerts.collect())
        .await?
        .into_iter()
        .flatten()
        .collect())
}
