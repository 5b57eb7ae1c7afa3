//! Addresses with repeated refusals within the last sixty minutes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use domain::counts::{AddressHour, Failures};
use domain::time::{UnixMillis, Window};

use super::{MINUTE, end};
use crate::body::{Instant, SuspiciousIp};
use crate::fresh::Fresh;

/// Entries of the list.
const MOST: usize = 100;
/// Refused calls from which an address is suspicious.
const SUSPICIOUS_FROM: u64 = 5;

/// The addresses that failed in an hour.
pub(super) type FailedIn = (UnixMillis, BTreeMap<String, AddressHour>);

#[derive(Default)]
struct Suspect<'a> {
    auth_failures: u64,
    rate_limited: u64,
    keys: BTreeSet<&'a str>,
    last_seen: UnixMillis,
}

impl<'a> Suspect<'a> {
    fn add(&mut self, failures: &'a Failures) {
        self.auth_failures += failures.auth_failures;
        self.rate_limited += failures.rate_limited;
        self.keys.extend(failures.keys.iter().map(String::as_str));
        self.last_seen = self.last_seen.max(failures.last_seen);
    }

    const fn refused(&self) -> u64 {
        self.auth_failures + self.rate_limited
    }
}

/// Start of the oldest minute that counts.
pub(super) fn oldest(now: UnixMillis) -> UnixMillis {
    Window::Minute.start(now).plus_millis(-59 * MINUTE)
}

/// The suspicious addresses, those with most refusals first. Of equally many, the one that tried more
/// keys comes first: it guesses, and does not merely repeat a key that expired.
pub(super) fn suspicious(stored: &[FailedIn], fresh: &Fresh, now: UnixMillis) -> Vec<SuspiciousIp> {
    let span = oldest(now)..end(now);
    let mut suspects: BTreeMap<&str, Suspect<'_>> = BTreeMap::new();
    for (hour, addresses) in stored {
        for (address, failed) in addresses {
            for (minute, failures) in &failed.slots {
                let at = hour.plus_millis(i64::from(*minute) * MINUTE);
                if span.contains(&at) && !fresh.tells(at) {
                    suspects.entry(address).or_default().add(failures);
                }
            }
        }
    }
    for (address, failed) in fresh.minutes(span).flat_map(|folded| &folded.addresses) {
        suspects.entry(address).or_default().add(&failed.failures);
    }
    suspects.retain(|_, suspect| suspect.refused() >= SUSPICIOUS_FROM);
    let mut suspects: Vec<_> = suspects.into_iter().collect();
    // Stable: addresses that equal in both stay in their own order.
    suspects.sort_by_key(|(_, suspect)| Reverse((suspect.refused(), suspect.keys.len())));
    suspects.truncate(MOST);
    let entry = |(ip, suspect): (&str, Suspect<'_>)| SuspiciousIp {
        ip: ip.to_owned(),
        auth_failures: suspect.auth_failures,
        rate_limited: suspect.rate_limited,
        distinct_keys: suspect.keys.len() as u64,
        last_seen: Instant(suspect.last_seen),
    };
    suspects.into_iter().map(entry).collect()
}
