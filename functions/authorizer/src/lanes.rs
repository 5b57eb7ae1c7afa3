//! Over how many lanes a subject's events are spread, so that one caller never fills a shard.
//!
//! A shard takes 1,000 records a second
//! (<https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html>), and all
//! records of one partition key go to one shard. An authorizer sees only its own calls of a
//! subject, and an instance serves one call at a time: a subject at 5,000 calls a second is seen
//! by a hundred instances at some 50 a second each. So a lane is opened for every five calls a
//! second *of this instance*: a hundred instances like it then put 500 a second into each lane,
//! half of what a shard takes, which leaves room for two lanes that meet in one shard. A subject
//! at 50 calls a second of each instance gets 16 lanes, one below 5 keeps one.
//!
//! The number is stamped into the event. Instances that disagree do no harm: lane 1 of 4 and lane
//! 1 of 8 are the same row of leaves, and an event's own ids decide what is a duplicate.

use std::collections::HashMap;

use domain::event::{MOST_LANES, Subject};
use domain::time::UnixMillis;

/// Calls a second of one subject at this instance that one lane is opened for.
const CALLS_PER_LANE: u32 = 5;
/// Seconds in a row that fewer lanes must have been enough before there are fewer.
const CALM_SECONDS: i64 = 10;
/// Subjects that are watched at a time. An instance answers some hundred calls a second, so that
/// whoever is busy finds a place; a subject without one has one lane.
const MOST_SUBJECTS: usize = 4_096;

/// What this instance has seen of its callers lately.
#[derive(Debug, Default)]
pub struct Lanes {
    watched: HashMap<Subject, Watched>,
    /// The last second in which room was looked for.
    swept: i64,
}

#[derive(Debug)]
struct Watched {
    /// The second that `calls` counts.
    second: i64,
    calls: u32,
    lanes: u16,
    /// The last second in which all these lanes were needed.
    needed: i64,
}

impl Lanes {
    /// The number of lanes for a call of `subject` at `now`: a power of two, at most
    /// [`MOST_LANES`]. Rises at once, and falls by half after ten seconds in which half was enough.
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
            lanes: 1,
            needed: second,
        };
        let lanes = watched.call(second);
        self.watched.insert(subject.clone(), watched);
        lanes
    }

    /// Forgets who has not called lately where there is no room, at most once a second.
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
        // A clock that is set back counts on in the later second.
        if second > self.second {
            self.second = second;
            self.calls = 0;
        }
        self.calls = self.calls.saturating_add(1);
        let needed = lanes_for(self.calls);
        if needed >= self.lanes {
            self.lanes = needed;
            self.needed = self.second;
        } else {
            self.calm_down(needed);
        }
        self.lanes
    }

    /// Halves the lanes for each calm span that has passed.
    fn calm_down(&mut self, needed: u16) {
        while self.lanes > needed && self.second - self.needed > CALM_SECONDS {
            self.lanes /= 2;
            self.needed += CALM_SECONDS;
        }
    }
}

/// The lanes that so many calls within a second need.
fn lanes_for(calls: u32) -> u16 {
    let lanes = calls.div_ceil(CALLS_PER_LANE).next_power_of_two();
    u16::try_from(lanes).map_or(MOST_LANES, |lanes| lanes.min(MOST_LANES))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: i64 = 1_795_363_445_000;

    fn subject(number: usize) -> Subject {
        Subject::user(&format!("user{number}@example.com"))
    }

    /// Calls of one subject at a steady rate; the lanes of the last of them.
    fn steady(lanes: &mut Lanes, from: i64, seconds: i64, rate: i64) -> u16 {
        let calls = (0..seconds * rate).map(|call| from + call * 1_000 / rate);
        calls.fold(0, |_, at| lanes.of(&subject(0), UnixMillis(at)))
    }

    #[test]
    fn five_thousand_calls_a_second_over_a_hundred_instances_fit_their_shards() {
        let lanes = steady(&mut Lanes::default(), START, 5, 50);
        let per_lane = 100 * 50 / u32::from(lanes);
        assert_eq!((lanes, per_lane), (16, 312));
    }

    #[test]
    fn a_lane_takes_at_most_half_a_shard_of_a_hundred_like_instances_until_there_are_no_more() {
        for rate in 1..=320 {
            let lanes = steady(&mut Lanes::default(), START, 3, rate);
            assert!(
                lanes.is_power_of_two() && lanes <= MOST_LANES,
                "{rate}: {lanes}"
            );
            assert!(rate * 100 <= i64::from(lanes) * 500, "{rate}: {lanes}");
            assert!(
                lanes == 1 || rate * 100 > i64::from(lanes) * 250,
                "{rate}: {lanes}"
            );
        }
        assert_eq!(steady(&mut Lanes::default(), START, 3, 5_000), MOST_LANES);
    }

    #[test]
    fn the_lanes_of_a_steady_caller_do_not_flap_and_fall_by_half_once_it_calms_down() {
        let mut lanes = Lanes::default();
        steady(&mut lanes, START, 5, 50);
        for second in 5..30 {
            let at = START + second * 1_000;
            assert_eq!(
                steady(&mut lanes, at, 1, if second % 2 == 0 { 50 } else { 12 }),
                16
            );
        }
        let calm = |lanes: &mut Lanes, second: i64| steady(lanes, START + second * 1_000, 1, 2);
        let fall: Vec<u16> = (30..80).map(|second| calm(&mut lanes, second)).collect();
        assert!(
            fall.is_sorted_by(|one, next| one >= next && *next >= one / 2),
            "{fall:?}"
        );
        assert_eq!((fall.first(), fall.last()), (Some(&16), Some(&1)));
    }

    #[test]
    fn a_crowd_is_watched_within_bounds_and_the_busy_keep_their_place() {
        let mut lanes = Lanes::default();
        let busy = steady(&mut lanes, START, 2, 100);
        for number in 1..3 * MOST_SUBJECTS {
            lanes.of(&subject(number), UnixMillis(START + 2_000));
        }
        assert_eq!(lanes.watched.len(), MOST_SUBJECTS);
        assert_eq!(lanes.of(&subject(0), UnixMillis(START + 2_500)), busy);
        lanes.of(&subject(2 * MOST_SUBJECTS), UnixMillis(START + 60_000));
        assert_eq!(lanes.watched.len(), 1);
    }

    proptest! {
        #[test]
        fn whatever_the_clock_does_the_number_is_a_power_of_two_within_bounds(
            steps in proptest::collection::vec(-20_000_i64..20_000, 1..300),
        ) {
            let mut lanes = Lanes::default();
            let mut at = START;
            for step in steps {
                at += step / 100 * if step % 7 == 0 { 100 } else { 1 };
                let of = lanes.of(&subject(0), UnixMillis(at));
                prop_assert!(of.is_power_of_two() && of <= MOST_LANES);
            }
        }
    }
}
