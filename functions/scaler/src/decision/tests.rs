//! Simulates days of load, minute by minute. The stream accepts what its shards accept, changes
//! within minutes, and is observed through late metrics.

use std::collections::VecDeque;

use super::*;

const MINUTE: i64 = 60_000;
const START: i64 = 1_795_305_600_000;
const BOUNDS: Bounds = Bounds { least: 1, most: 16 };
/// Minutes between two looks, as the stack schedules them.
const EVERY: i64 = 2;
/// Minutes before CloudWatch shows a minute.
const LATE: i64 = 2;
/// Minutes that a change takes.
const TAKES: i64 = 3;
/// Minutes of a day.
const A_DAY: i64 = 24 * 60;

fn at(minute: i64) -> UnixMillis {
    UnixMillis(START + minute * MINUTE)
}

/// Records a minute, of some 700 bytes: their number, not their size, fills a shard.
fn load(records: u64) -> Load {
    Load {
        bytes: records * 700,
        records,
        throttled: 0,
    }
}

/// A load in hundredths of a shard.
fn percent(of_a_shard: u64) -> u64 {
    SHARD_RECORDS * of_a_shard / 100
}

/// A stream that had the same shards for a day.
fn steady(shards: u32) -> Series {
    let seen = (-A_DAY..0).step_by(2).map(|minute| (at(minute), shards));
    Series {
        loads: BTreeMap::new(),
        shards: seen.collect(),
    }
}

fn with_load(mut series: Series, minute: i64, load: Load) -> Series {
    series.loads.insert(at(minute), load);
    series
}

/// The result of simulated days.
struct Days {
    /// Minute, shards before, shards after.
    changes: Vec<(i64, u32, u32)>,
    /// Shards at the end of each minute.
    shards: Vec<u32>,
    /// Records that the stream refused.
    throttled: u64,
    refused: Vec<(i64, Refusal)>,
}

/// Runs `minutes` with `offered` records each, starting with `shards`.
fn days(shards: u32, bounds: Bounds, minutes: i64, offered: impl Fn(i64) -> u64) -> Days {
    // Made a few minutes ago.
    let mut shown = steady(shards);
    shown.shards = shown.shards.split_off(&at(-10));
    let mut late = VecDeque::new();
    let mut run = Days {
        changes: Vec::new(),
        shards: Vec::new(),
        throttled: 0,
        refused: Vec::new(),
    };
    let (mut current, mut changing) = (shards, None);
    for minute in 0..minutes {
        if let Some((done, target)) = changing
            && done <= minute
        {
            (current, changing) = (target, None);
        }
        let comes = offered(minute);
        let takes = comes.min(u64::from(current) * SHARD_RECORDS);
        let throttled = comes - takes;
        run.throttled += throttled;
        run.shards.push(current);
        let looks = minute % EVERY == 0 && changing.is_none();
        let load = Load {
            throttled,
            ..load(takes)
        };
        late.push_back((minute, load, looks.then_some(current)));
        while let Some((minute, load, seen)) = late.pop_front_if(|(of, ..)| *of < minute - LATE) {
            if load != Load::default() {
                shown.loads.insert(at(minute), load);
            }
            shown.shards.extend(seen.map(|shards| (at(minute), shards)));
        }
        if !looks {
            continue;
        }
        let now = at(minute + 1).plus_millis(-1);
        match decide(&shown, now, current, bounds) {
            Decision::Stay => {}
            Decision::Refused(why) => run.refused.push((minute, why)),
            Decision::Change(target) => {
                run.changes.push((minute, current, target));
                changing = Some((minute + TAKES, target));
            }
        }
        shown.loads = shown.loads.split_off(&now.plus_millis(-DAY));
        shown.shards = shown.shards.split_off(&now.plus_millis(-DAY));
    }
    run
}

impl Days {
    /// Whether AWS would have accepted every change, and every change is within the bounds.
    fn holds(&self, bounds: Bounds) {
        for &(minute, from, to) in &self.changes {
            assert!(
                to <= 2 * from && 2 * to >= from && to != from,
                "{from} {to}"
            );
            assert!((bounds.least..=bounds.most).contains(&to), "{to}");
            let day = minute - A_DAY..=minute;
            let within = self.changes.iter().filter(|(at, ..)| day.contains(at));
            assert!(within.count() <= CHANGES, "{minute}: {:?}", self.changes);
        }
    }

    fn last(&self) -> u32 {
        *self.shards.last().unwrap()
    }
}

#[test]
fn a_quiet_night_shrinks_the_stream_by_halves_hours_apart_and_no_further_than_its_fewest() {
    let bounds = Bounds { least: 2, most: 16 };
    let night = days(16, bounds, 14 * 60, |_| percent(10));
    let steps: Vec<_> = night
        .changes
        .iter()
        .map(|(_, from, to)| (*from, *to))
        .collect();
    assert_eq!(steps, [(16, 8), (8, 4), (4, 2)]);
    for pair in night.changes.windows(2) {
        assert!(pair[1].0 - pair[0].0 >= 180, "{:?}", night.changes);
    }
    night.holds(bounds);
}

#[test]
fn steady_growth_is_followed_before_anything_is_refused() {
    // From a third of a shard to ten shards within twelve hours.
    let growth = days(1, BOUNDS, 12 * 60, |minute| {
        percent(30 + u64::try_from(minute).unwrap() * 970 / 720)
    });
    assert_eq!(growth.throttled, 0);
    assert!(growth.last() >= 13, "{}", growth.last());
    assert_eq!(growth.refused, []);
    growth.holds(BOUNDS);
}

#[test]
fn a_day_like_every_other_is_followed_in_both_directions_for_a_week() {
    // Nothing at night, six shards' worth at noon.
    let hours = |minute: i64| u64::try_from((minute % A_DAY) / 60).unwrap();
    let week = days(2, BOUNDS, 7 * A_DAY, |minute| match hours(minute) {
        hour @ 6..12 => percent(100 * (hour - 5)),
        hour @ 12..18 => percent(100 * (18 - hour)),
        _ => percent(5),
    });
    week.holds(BOUNDS);
    for day in 0..7 {
        let noon = week.shards[usize::try_from(day * A_DAY + 12 * 60 + 30).unwrap()];
        assert!(noon >= 8, "day {day}: {noon}");
    }
    let nights = week.shards.iter().skip(5 * 60).step_by(24 * 60);
    assert!(
        nights.clone().all(|shards| *shards <= 4),
        "{:?}",
        nights.collect::<Vec<_>>()
    );
    assert_eq!(week.refused, []);
}

#[test]
fn one_busy_minute_makes_the_stream_grow_at_the_next_look() {
    let burst = days(2, BOUNDS, 60, |minute| {
        percent(if minute == 20 { 190 } else { 20 })
    });
    let (minute, from, to) = burst.changes[0];
    assert_eq!((from, to), (2, 4));
    assert!((20..=25).contains(&minute), "{minute}");
    assert_eq!(burst.changes.len(), 1, "{:?}", burst.changes);
}

#[test]
fn a_burst_beyond_the_double_is_followed_in_several_steps() {
    let burst = days(2, BOUNDS, 60, |minute| {
        percent(if minute < 10 { 50 } else { 700 })
    });
    let steps: Vec<_> = burst
        .changes
        .iter()
        .map(|(_, from, to)| (*from, *to))
        .collect();
    assert_eq!(steps, [(2, 4), (4, 8), (8, 14)]);
    burst.holds(BOUNDS);
}

#[test]
fn flapping_load_never_spends_the_changes_that_growing_needs() {
    // Ten busy minutes every four hours, for a week: without the reserve twelve changes a day.
    let flapping = days(2, BOUNDS, 7 * A_DAY, |minute| {
        percent(if minute % 240 < 10 { 180 } else { 10 })
    });
    flapping.holds(BOUNDS);
    assert_eq!(flapping.refused, []);
    for window in 0..6 * A_DAY {
        let day = window..window + A_DAY;
        let changes = flapping.changes.iter().filter(|(at, ..)| day.contains(at));
        assert!(changes.count() <= CHANGES_TO_SHRINK + 1, "{window}");
    }
}

#[test]
fn load_about_a_threshold_changes_nothing_twice() {
    for share in [37, 38, 49, 50, 51, 74, 75, 76] {
        let run = days(4, BOUNDS, 3 * A_DAY, |minute| {
            let wobble = u64::try_from(minute % 7).unwrap();
            percent(4 * share + wobble)
        });
        assert!(run.changes.len() <= 1, "{share} %: {:?}", run.changes);
    }
}

#[test]
fn refused_records_make_the_stream_grow_by_half_once_for_each_time_they_come() {
    let throttled = Load {
        throttled: 1,
        ..load(percent(10))
    };
    let series = with_load(steady(4), -3, throttled);
    assert_eq!(decide(&series, at(0), 4, BOUNDS), Decision::Change(6));
    // Six now: earlier refusals say nothing about them.
    assert_eq!(decide(&series, at(1), 6, BOUNDS), Decision::Stay);
    // Busy too: no metric says how much more was refused.
    let busy = Load {
        throttled: 1,
        ..load(percent(390))
    };
    let series = with_load(steady(4), -3, busy);
    assert_eq!(decide(&series, at(0), 4, BOUNDS), Decision::Change(8));
}

#[test]
fn refused_records_keep_the_stream_from_shrinking() {
    let throttled = Load {
        throttled: 1,
        ..load(1)
    };
    for (minute, expected) in [(-170, Decision::Stay), (-190, Decision::Change(2))] {
        let series = with_load(steady(4), minute, throttled);
        assert_eq!(decide(&series, at(0), 4, BOUNDS), expected, "{minute}");
    }
}

#[test]
fn bytes_count_as_records_do() {
    let large = Load {
        bytes: SHARD_BYTES,
        records: 3,
        throttled: 0,
    };
    let series = with_load(steady(1), -2, large);
    assert_eq!(decide(&series, at(0), 1, BOUNDS), Decision::Change(2));
}

#[test]
fn at_its_most_shards_a_busy_stream_is_refused_more() {
    let series = with_load(steady(16), -2, load(percent(1_300)));
    let refused = Decision::Refused(Refusal::Most);
    assert_eq!(decide(&series, at(0), 16, BOUNDS), refused);
    let nearly = with_load(steady(15), -2, load(percent(1_300)));
    assert_eq!(decide(&nearly, at(0), 15, BOUNDS), Decision::Change(16));
}

/// A day in which the shards changed so often, ending with `last`.
fn changed(times: i64, last: u32) -> Series {
    let mut series = steady(last);
    for change in 0..times {
        let shards = if (times - change) % 2 == 0 {
            last
        } else {
            last + 1
        };
        let minutes = (-1_400 + change * 60..-1_400 + (change + 1) * 60).step_by(2);
        series
            .shards
            .extend(minutes.map(|minute| (at(minute), shards)));
    }
    series.shards.retain(|seen, _| *seen >= at(-1_400));
    series
}

#[test]
fn after_ten_changes_of_a_day_the_stream_grows_no_more_and_after_six_it_shrinks_no_more() {
    let grows = |times| {
        let series = with_load(changed(times, 4), -2, load(percent(390)));
        decide(&series, at(0), 4, BOUNDS)
    };
    assert_eq!(grows(9), Decision::Change(8));
    assert_eq!(grows(10), Decision::Refused(Refusal::Spent));
    let shrinks = |times| decide(&changed(times, 4), at(0), 4, BOUNDS);
    assert_eq!(shrinks(5), Decision::Change(2));
    assert_eq!(shrinks(6), Decision::Stay);
}

#[test]
fn a_stream_outside_its_bounds_is_brought_back_as_far_as_one_change_goes() {
    let outside =
        |shards, least, most| decide(&steady(shards), at(0), shards, Bounds { least, most });
    assert_eq!(outside(2, 3, 8), Decision::Change(3));
    assert_eq!(outside(2, 8, 8), Decision::Change(4));
    assert_eq!(outside(16, 1, 12), Decision::Change(12));
    assert_eq!(outside(16, 1, 3), Decision::Change(8));
}

#[test]
fn a_stream_that_nobody_has_watched_for_hours_does_not_shrink() {
    let unknown = Series::default();
    assert_eq!(decide(&unknown, at(0), 4, BOUNDS), Decision::Stay);
    let busy = with_load(unknown, -2, load(percent(390)));
    assert_eq!(decide(&busy, at(0), 4, BOUNDS), Decision::Change(8));
}

#[test]
fn any_load_keeps_what_aws_allows_and_is_followed_within_a_quarter_of_an_hour() {
    // A linear congruential generator: loads that change every half an hour, at random.
    for seed in 0..20_u64 {
        let mut state = seed;
        let levels: Vec<u64> = (0..96)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                1 << ((state >> 33) % 11)
            })
            .collect();
        let run = days(2, BOUNDS, 2 * A_DAY, |minute| {
            percent(levels[usize::try_from(minute / 30).unwrap()])
        });
        run.holds(BOUNDS);
        for (place, level) in levels.iter().enumerate() {
            let shards = run.shards[place * 30 + 25];
            let spent = run.refused.iter().any(|(_, why)| *why == Refusal::Spent);
            assert!(
                spent || u64::from(shards) * 100 >= *level,
                "{seed}: {place}"
            );
        }
    }
}
