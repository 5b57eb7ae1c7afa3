//! Sample events, plans and days for tests.

use crate::counts::Sum;
use crate::event::{EventData, EventType, Subject, UsageEvent};
use crate::id::EventId;
use crate::names::TrackingMode;
use crate::plan::{AnchorDay, LimitMode, Plan, Plans};
use crate::seen::Seen;
use crate::tally::Totals;
use crate::time::UnixMillis;

/// The event with the `number`-th id at `time`: events with different numbers are different events.
pub fn event(number: u64, subject: &str, event_type: EventType, time: UnixMillis) -> UsageEvent {
    let mut random = [0; 10];
    for (to, from) in random.iter_mut().skip(2).zip(number.to_be_bytes()) {
        *to = from;
    }
    let [_, spread, .., low] = &mut random;
    *spread = *low;
    UsageEvent {
        id: EventId::mint(time.0.unsigned_abs(), random),
        source: "/complical/test/api".to_owned(),
        event_type,
        time,
        subject: Subject::as_carried(subject),
        data: EventData {
            key_id: Some("key_1".to_owned()),
            plan: Some("free".to_owned()),
            method: "GET".to_owned(),
            endpoint: "/v1/deadlines".to_owned(),
            units: 1,
            dimensions: Vec::new(),
            ip: "192.0.2.1".to_owned(),
            user_agent: None,
            request_id: None,
            stage: Some("test".to_owned()),
            mode: TrackingMode::Stream,
            reason: None,
        },
    }
}

/// Plans without quotas, by name, in these time zones. Their periods are calendar months.
pub fn plans<const N: usize>(zones: [(&str, &str); N]) -> Plans {
    let plan = |zone: &str| Plan {
        rate_per_second: 1,
        burst: 1,
        monthly_quota: None,
        alerts_percent: Vec::new(),
        limit_mode: LimitMode::Soft,
        timezone: zone.to_owned(),
        period_anchor_day: AnchorDay::FIRST,
    };
    zones
        .map(|(name, zone)| (name.to_owned(), plan(zone)))
        .into()
}

/// A plan in UTC, and one whose midnight is at half an hour in UTC.
pub fn plans_of_two_zones() -> Plans {
    plans([("free", "UTC"), ("india", "Asia/Kolkata")])
}

/// The counts of a day of a user of this plan, from the totals of its quarter hours.
pub fn sum(day: UnixMillis, plan: &str, quarters: impl IntoIterator<Item = (u8, Totals)>) -> Sum {
    let mut sum = Sum::default();
    sum.quarters.extend(quarters);
    sum.counts.seen = Some(Seen::new(day, day, Some((day, plan.to_owned()))));
    sum
}
