//! The last five minutes.
//!
//! Everybody's are read from what the aggregator rolled up by minute, a user's own from the leaves and,
//! for whoever calls often, from the sums of its minutes.

use std::collections::{BTreeMap, BTreeSet};

use domain::event::Subject;
use domain::rollup::RollUp;
use domain::roster::BUCKETS;
use domain::security::Failures;
use domain::table::{self, ItemKey};
use domain::tally::Tally;
use domain::time::{UnixMillis, Window};
use futures_util::future::try_join_all;
use runtime::store::{self, Store, StoreError};

use crate::answer::{EndpointCalls, Instant, MinuteCalls, Realtime, SuspiciousIp, UserCalls};
use crate::overlay::AsOf;
use crate::ranking::ranked;
use crate::reading;

const MINUTE: i64 = 60_000;
/// Minutes that are looked at, the current one included.
const MINUTES: i64 = 5;
/// Entries of the lists of what is called most.
const MOST_CALLED: usize = 10;
/// Entries of the list of suspicious addresses.
const MOST_SUSPICIOUS: usize = 100;
/// Refused calls within an hour from which on an address is suspicious.
const SUSPICIOUS_FROM: u64 = 5;

/// What everybody did.
pub async fn of_everybody<S: Store>(store: &S, now: UnixMillis) -> Result<Realtime, StoreError> {
    let minutes = minutes(now).map(|minute| async move {
        let buckets = (0..BUCKETS).map(|bucket| async move {
            let pk = table::minute_partition(minute, bucket);
            reading::partition(store, &pk, "0", &store::after("")).await
        });
        let items = try_join_all(buckets).await?.into_iter().flatten();
        Ok::<_, StoreError>((minute, items.collect()))
    });
    let hour = ItemKey::global(Window::Hour, now);
    let (minutes, hour, failures) = tokio::try_join!(
        try_join_all(minutes),
        reading::get::<_, RollUp>(store, &hour),
        failures(store, now),
    )?;
    let mut users: BTreeMap<String, u64> = BTreeMap::new();
    let mut tallies = Vec::new();
    for (minute, buckets) in minutes {
        let buckets: Vec<(String, AsOf<RollUp>)> = buckets;
        let mut tally = Tally::default();
        for (name, part) in buckets.iter().flat_map(|(_, bucket)| bucket.state.parts()) {
            tally.merge(&part.tally);
            let subject = table::subject_of_part(name);
            let email = subject.as_ref().and_then(Subject::email);
            if let Some(email) = email.filter(|_| part.tally.calls > 0) {
                *users.entry(email.to_owned()).or_default() += part.tally.calls;
            }
        }
        tallies.push((minute, tally));
    }
    let active_users = hour.map_or(0, |hour| hour.state.users());
    let top_users = ranked(users).into_iter().take(MOST_CALLED);
    let top_users = top_users.map(|(email, total_calls)| UserCalls { email, total_calls });
    Ok(Realtime {
        top_users: Some(top_users.collect()),
        suspicious_ips: Some(suspicious(&failures, now)),
        ..answer(&tallies, active_users, now)
    })
}

/// What one user did.
pub async fn of_user<S: Store>(
    store: &S,
    subject: &Subject,
    now: UnixMillis,
) -> Result<Realtime, StoreError> {
    let first = now.plus_millis(-(MINUTES - 1) * MINUTE);
    let days = reading::days(store, subject, first, now).await?;
    let counted = reading::minutes(store, subject, &days, first, now).await?;
    let of_minute = |minute: UnixMillis| {
        let tally = counted.get(&minute).cloned().unwrap_or_default();
        (minute, tally)
    };
    let tallies: Vec<_> = minutes(now).map(of_minute).collect();
    let this_hour = Window::Hour.start(now);
    let active = counted.range(this_hour..).any(|(_, tally)| tally.calls > 0);
    Ok(answer(&tallies, u64::from(active), now))
}

/// The minutes that are looked at, oldest first.
fn minutes(now: UnixMillis) -> impl Iterator<Item = UnixMillis> {
    let current = Window::Minute.start(now);
    (0..MINUTES)
        .rev()
        .map(move |ago| current.plus_millis(-ago * MINUTE))
}

fn answer(minutes: &[(UnixMillis, Tally)], active_users: u64, now: UnixMillis) -> Realtime {
    let sum: Tally = minutes.iter().map(|(_, tally)| tally).collect();
    let per_minute = |(start, tally): &(UnixMillis, Tally)| MinuteCalls {
        start: Instant(*start),
        total_calls: tally.calls,
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
        calls_per_minute: minutes.iter().map(per_minute).collect(),
        active_users,
        top_endpoints: top_endpoints.map(top_endpoint).collect(),
        top_users: None,
        suspicious_ips: None,
        as_of: Instant(now),
    }
}

type FailuresByHour = Vec<(UnixMillis, Vec<Option<AsOf<Failures>>>)>;

/// Failures of the two clock hours that the last hour touches.
async fn failures<S: Store>(store: &S, now: UnixMillis) -> Result<FailuresByHour, StoreError> {
    let this_hour = Window::Hour.start(now);
    let hours = [this_hour.plus_millis(-60 * MINUTE), this_hour];
    let read = |hour: UnixMillis| async move {
        let buckets = (0..BUCKETS).map(|bucket| async move {
            reading::get(store, &ItemKey::security(hour, bucket)).await
        });
        Ok::<_, StoreError>((hour, try_join_all(buckets).await?))
    };
    try_join_all(hours.map(read)).await
}

#[derive(Default)]
struct Suspect {
    auth_failures: u64,
    rate_limited: u64,
    keys: BTreeSet<String>,
    last_seen: UnixMillis,
}

/// Addresses that were refused often within the sixty minutes up to the current one.
fn suspicious(failures: &FailuresByHour, now: UnixMillis) -> Vec<SuspiciousIp> {
    let oldest = Window::Minute.start(now).plus_millis(-59 * MINUTE);
    let mut suspects: BTreeMap<String, Suspect> = BTreeMap::new();
    let buckets = failures
        .iter()
        .flat_map(|(hour, buckets)| buckets.iter().flatten().map(move |bucket| (*hour, bucket)));
    for (hour, bucket) in buckets {
        for (ip, source) in bucket.state.by_address() {
            let at = |minute: u8| hour.plus_millis(i64::from(minute) * MINUTE);
            let minutes = source.minutes.iter();
            let recent = minutes.filter(|(minute, _)| at(**minute) >= oldest);
            let (auth_failures, rate_limited) = recent.fold((0, 0), |sum, (_, (auth, rate))| {
                (sum.0 + auth, sum.1 + rate)
            });
            if auth_failures + rate_limited > 0 {
                let suspect = suspects.entry(ip).or_default();
                suspect.auth_failures += auth_failures;
                suspect.rate_limited += rate_limited;
                suspect.keys.extend(source.keys);
                suspect.last_seen = suspect.last_seen.max(source.last_seen);
            }
        }
    }
    let refused = |suspect: &Suspect| suspect.auth_failures + suspect.rate_limited;
    suspects.retain(|_, suspect| refused(suspect) >= SUSPICIOUS_FROM);
    let ranking = ranked(suspects.iter().map(|(ip, suspect)| (ip, refused(suspect))));
    let entry = |ip: &String| {
        let suspect = suspects.get(ip)?;
        Some(SuspiciousIp {
            ip: ip.clone(),
            auth_failures: suspect.auth_failures,
            rate_limited: suspect.rate_limited,
            distinct_keys: suspect.keys.len().try_into().unwrap_or(u64::MAX),
            last_seen: Instant(suspect.last_seen),
        })
    };
    let ranking = ranking.into_iter().take(MOST_SUSPICIOUS);
    ranking.filter_map(|(ip, _)| entry(ip)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;
    use domain::event::EventType;
    use domain::sample;

    fn world(calls: &[&str]) -> World {
        let world = World::default();
        for (number, at) in (0..).zip(calls) {
            let at = at.parse().unwrap();
            world.count(&[sample::event(
                number,
                "ann@example.com",
                EventType::ApiCall,
                at,
            )]);
        }
        world.roll_up_users();
        world.roll_up_everybody();
        world
    }

    #[tokio::test]
    async fn five_minutes_reach_over_the_turn_of_the_hour_and_active_users_do_not() {
        let world = world(&[
            "2026-11-22T23:57:59Z",
            "2026-11-22T23:58:00Z",
            "2026-11-22T23:59:59Z",
        ]);
        let now = "2026-11-23T00:02:00Z".parse().unwrap();
        let ann = Subject::user("ann@example.com");
        let answers = [
            of_user(world.analytics.as_ref(), &ann, now).await.unwrap(),
            of_everybody(world.analytics.as_ref(), now).await.unwrap(),
        ];
        for answer in answers {
            let calls = answer.calls_per_minute.iter();
            let calls: Vec<u64> = calls.map(|minute| minute.total_calls).collect();
            assert_eq!(calls, [1, 1, 0, 0, 0]);
            assert_eq!((answer.total_calls, answer.active_users), (2, 0));
        }
    }

    #[tokio::test]
    async fn lists_are_cut_and_stand_in_the_same_order_always() {
        let world = World::default();
        let now: UnixMillis = "2026-11-22T16:04:05Z".parse().unwrap();
        let mut number = 0;
        let mut add = |subject: &str, event_type, ip: String| {
            let mut event = sample::event(number, subject, event_type, now);
            event.data.ip = ip;
            world.count(&[event]);
            number += 1;
        };
        for user in 0..12 {
            add(
                &format!("user{user:02}@example.com"),
                EventType::ApiCall,
                String::new(),
            );
        }
        add("user11@example.com", EventType::ApiCall, String::new());
        for address in 0..120 {
            for _ in 0..4 + u64::from(address > 5) + u64::from(address == 70) {
                let ip = format!("192.0.2.{address:03}");
                add(&format!("ip:{ip}"), EventType::AuthFailed, ip);
            }
        }
        world.roll_up_everybody();
        let answer = of_everybody(world.analytics.as_ref(), now).await.unwrap();
        let users = answer.top_users.unwrap();
        let users: Vec<&str> = users.iter().map(|user| &user.email[..6]).collect();
        assert_eq!(
            users,
            [
                "user11", "user00", "user01", "user02", "user03", "user04", "user05", "user06",
                "user07", "user08"
            ]
        );
        let suspicious = answer.suspicious_ips.unwrap();
        assert_eq!(suspicious.len(), 100);
        let first: Vec<&str> = suspicious
            .iter()
            .map(|suspect| suspect.ip.as_str())
            .take(3)
            .collect();
        assert_eq!(first, ["192.0.2.070", "192.0.2.006", "192.0.2.007"]);
    }
}
