//! The number of partition keys over which a subject's events are spread, so that one caller never
//! fills a shard.
//!
//! A shard accepts 1,000 records a second
//! (<https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html>), and all
//! records with one partition key go to one shard. An authorizer sees only its own calls of a
//! subject, and does not know how many others there are. Lambda gives an instance at most ten
//! requests a second, so a subject at 5,000 calls a second reaches five hundred instances or more.
//! From the second call within a second *at this instance*, a subject therefore gets two partition keys
//! for each call. Even if its calls spread over a thousand instances, they then put 500 records a
//! second under each key. That is half of what a shard accepts, and leaves room for two keys that meet
//! in one shard. A subject at eight calls a second at each instance gets 16 keys; one below two keeps
//! one.
//!
//! The number only balances load. Instances may disagree about it, and a duplicate may arrive
//! through another shard: an event's id alone decides whether it is counted.

use std::collections::HashMap;

use domain::event::Subject;
use domain::time::UnixMillis;

/// The most partition keys per subject.
const MOST_KEYS: u16 = 64;
/// Partition keys for each call per second of one subject at this instance.
const KEYS_PER_CALL: u32 = 2;
/// Consecutive seconds for which fewer keys must suffice before their number falls.
const CALM_SECONDS: i64 = 10;
/// Subjects that are watched at a time; all others have one key. An instance handles some hundred
/// calls per second, so a busy subject finds a place.
const MOST_SUBJECTS: usize = 4_096;

/// The recent calls of this instance's callers.
#[derive(Debug, Default)]
pub struct Spread {
    watched: HashMap<Subject, Watched>,
    /// The last second in which quiet subjects were dropped.
    swept: i64,
}

#[derive(Debug)]
struct Watched {
    /// The second that `calls` counts.
    second: i64,
    calls: u32,
    keys: u16,
    /// The last second in which all these keys were needed.
    needed: i64,
}

impl Spread {
    /// The number of partition keys for a call of `subject` at `now`: a power of two from 1 to 64.
    /// It rises at once, and halves after ten seconds in which half would have sufficed.
    pub fn of(&mut self, subject: &Subject, now: UnixMillis) -> u16 {
        let second = now.seconds();
        if let Some(watched) = self.watched.get_mut(subject) {
            return watched.call(second);
        }
        if !self.has_room(second) {
            return 1;
        }
        let mut watched = Watched {
            second,
            calls: 0,
            keys: 1,
            needed: second,
        };
        let keys = watched.call(second);
        self.watched.insert(subject.clone(), watched);
        keys
    }

    /// Whether one more subject can be watched. Without room, quiet subjects are dropped, at most
    /// once a second.
    fn has_room(&mut self, second: i64) -> bool {
        if self.watched.len() >= MOST_SUBJECTS && self.swept != second {
            self.swept = second;
            self.watched
                .retain(|_, watched| second - watched.second < CALM_SECONDS);
        }
        self.watched.len() < MOST_SUBJECTS
    }
}

impl Watched {
    fn call(&mut self, second: i64) -> u16 {
        // A clock that is set back continues to count in the later second.
        if second > self.second {
            self.second = second;
            self.calls = 0;
        }
        self.calls = self.calls.saturating_add(1);
        let needed = keys_for(self.calls);
        if needed >= self.keys {
            self.keys = needed;
            self.needed = self.second;
        } else {
            self.calm_down(needed);
        }
        self.keys
    }

    /// Halves the number of keys for each calm span that has passed.
    fn calm_down(&mut self, needed: u16) {
        while self.keys > needed && self.second - self.needed > CALM_SECONDS {
            self.keys /= 2;
            self.needed += CALM_SECONDS;
        }
    }
}

/// The number of keys that this many calls within a second need.
fn keys_for(calls: u32) -> u16 {
    if calls < 2 {
        return 1;
    }
    let keys = calls
        .saturating_mul(KEYS_PER_CALL)
        .checked_next_power_of_two();
    let keys = keys.and_then(|keys| u16::try_from(keys).ok());
    keys.map_or(MOST_KEYS, |keys| keys.min(MOST_KEYS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: i64 = 1_795_363_445_000;

    fn subject(number: usize) -> Subject {
        Subject::user(&format!("user{number}@example.com"))
    }

    /// Calls of one subject at a steady rate. Returns the number of keys at the last of them.
    fn steady(spread: &mut Spread, from: i64, seconds: i64, rate: i64) -> u16 {
        let calls = (0..seconds * rate).map(|call| from + call * 1_000 / rate);
        calls.fold(0, |_, at| spread.of(&subject(0), UnixMillis(at)))
    }

    #[test]
    fn five_thousand_calls_a_second_over_six_hundred_instances_fit_their_shards() {
        let keys = steady(&mut Spread::default(), START, 5, 8);
        let per_key = 600 * 8 / u32::from(keys);
        assert_eq!((keys, per_key), (16, 300));
        let over_a_hundred = steady(&mut Spread::default(), START, 5, 50);
        assert_eq!(
            (over_a_hundred, 100 * 50 / u32::from(over_a_hundred)),
            (64, 78)
        );
    }

    #[test]
    fn a_key_fills_at_most_half_a_shard_until_there_are_no_more_keys() {
        for rate in 1..=320 {
            let keys = steady(&mut Spread::default(), START, 3, rate);
            assert!(
                keys.is_power_of_two() && keys <= MOST_KEYS,
                "{rate}: {keys}"
            );
            // A thousand instances at Lambda's limit, and a hundred at any rate.
            let instances = if rate <= 10 { 1_000 } else { 100 };
            let is_spread = rate * instances <= i64::from(keys) * 500;
            assert!(is_spread || rate == 1, "{rate}: {keys}");
            assert!(i64::from(keys) <= 4 * rate, "{rate}: {keys}");
        }
        assert_eq!(steady(&mut Spread::default(), START, 3, 5_000), MOST_KEYS);
    }

    #[test]
    fn the_keys_of_a_steady_caller_do_not_flap_and_halve_once_it_calms_down() {
        let mut spread = Spread::default();
        steady(&mut spread, START, 5, 50);
        for second in 5..30 {
            let at = START + second * 1_000;
            assert_eq!(
                steady(&mut spread, at, 1, if second % 2 == 0 { 50 } else { 12 }),
                MOST_KEYS
            );
        }
        let calm = |spread: &mut Spread, second: i64| steady(spread, START + second * 1_000, 1, 1);
        let fall: Vec<u16> = (30..110).map(|second| calm(&mut spread, second)).collect();
        assert!(
            fall.is_sorted_by(|one, next| one >= next && *next >= one / 2),
            "{fall:?}"
        );
        assert_eq!((fall.first(), fall.last()), (Some(&MOST_KEYS), Some(&1)));
    }

    #[test]
    fn a_crowd_is_watched_within_bounds_and_busy_subjects_keep_their_places() {
        let mut spread = Spread::default();
        let busy = steady(&mut spread, START, 2, 100);
        for number in 1..3 * MOST_SUBJECTS {
            spread.of(&subject(number), UnixMillis(START + 2_000));
        }
        assert_eq!(spread.watched.len(), MOST_SUBJECTS);
        assert_eq!(spread.of(&subject(0), UnixMillis(START + 2_500)), busy);
        spread.of(&subject(2 * MOST_SUBJECTS), UnixMillis(START + 60_000));
        assert_eq!(spread.watched.len(), 1);
    }

    proptest! {
        #[test]
        fn the_number_is_a_power_of_two_within_bounds_under_any_clock(
            steps in proptest::collection::vec(-20_000_i64..20_000, 1..300),
        ) {
            let mut spread = Spread::default();
            let mut at = START;
            for step in steps {
                at += step / 100 * if step % 7 == 0 { 100 } else { 1 };
                let keys = spread.of(&subject(0), UnixMillis(at));
                prop_assert!(keys.is_power_of_two() && keys <= MOST_KEYS);
            }
        }
    }
}
