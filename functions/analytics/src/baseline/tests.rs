use super::*;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng};

proptest! {
    #[test]
    fn any_counts_are_judged_without_panic(
        counts in proptest::collection::vec(prop_oneof![0_u64..50, any::<u64>()], 0..800), position in 0_usize..900,
    ) {
        if let Some(usual) = Usual::at(&counts, position) {
            prop_assert!(usual.low <= usual.expected && usual.expected <= usual.high);
        }
    }
}

#[test]
fn without_a_past_nothing_is_odd() {
    assert_eq!(Usual::at(&[5; 72], 71), None);
    assert!(Usual::at(&[5; 73], 72).is_some());
}

#[test]
fn a_steady_hour_is_usual_and_a_doubled_or_silent_one_is_not() {
    let usual = Usual::at(&[400; 800], 799).unwrap();
    assert_eq!(
        usual,
        Usual {
            expected: 400,
            low: 300,
            high: 500
        }
    );
    assert!(usual.is_above(800) && usual.is_below(0));
    assert!(!usual.is_above(500) && !usual.is_below(300));
}

/// Traffic of ten kinds: calls per hour at noon, the share of nights in percent, the share of
/// weekends in percent, noise in percent.
const KINDS: [(u64, u64, u64, u64); 10] = [
    (1_000, 100, 100, 5),
    (1_000, 20, 100, 10),
    (1_000, 20, 30, 10),
    (1_000, 5, 5, 20),
    (200, 50, 50, 20),
    (200, 10, 80, 30),
    (60, 100, 100, 20),
    (60, 30, 30, 20),
    (20_000, 40, 60, 10),
    (5_000, 10, 20, 30),
];
const HOURS: usize = 6 * WEEK;
/// The hours that are judged: the last week.
const JUDGED: usize = WEEK;

/// Hourly counts, and which of the judged hours are odd: some at least doubled, some silent.
fn traffic(kind: (u64, u64, u64, u64), rng: &mut TestRng) -> (Vec<u64>, Vec<bool>) {
    let (noon, night, weekend, noise) = kind;
    let mut counts: Vec<u64> = (0..HOURS)
        .map(|hour| {
            let level = if (8..20).contains(&(hour % DAY)) {
                noon
            } else {
                noon * night / 100
            };
            let level = if hour % WEEK < 5 * DAY {
                level
            } else {
                level * weekend / 100
            };
            let spread = level * noise / 100;
            let drawn: u64 = (0..3).map(|_| rng.random_range(0..=2 * spread)).sum();
            (level + drawn / 3).saturating_sub(spread)
        })
        .collect();
    let mut odd = vec![false; JUDGED];
    // Earlier weeks contain odd hours too.
    for number in 0..48 {
        let hour = number / 8 * WEEK + rng.random_range(0..WEEK);
        let count = &mut counts[hour];
        if *count >= 40 {
            *count = if number % 2 == 0 { *count * 3 } else { 0 };
            if let Some(judged) = hour.checked_sub(HOURS - JUDGED) {
                odd[judged] = true;
            }
        }
    }
    (counts, odd)
}

#[derive(Debug, Default, Clone, Copy)]
struct Score {
    found: u32,
    right: u32,
    odd: u32,
}

impl Score {
    fn judge(&mut self, is_found: bool, is_odd: bool) {
        self.found += u32::from(is_found);
        self.right += u32::from(is_found && is_odd);
        self.odd += u32::from(is_odd);
    }

    /// The percentage of found hours that are odd, and the percentage of odd hours that are found.
    fn precision_and_recall(self) -> (u32, u32) {
        (
            self.right * 100 / self.found.max(1),
            self.right * 100 / self.odd.max(1),
        )
    }
}

/// The figures in BENCHMARKS.md, compared with a fixed threshold and with the same hour a week ago.
#[test]
fn odd_hours_are_found_and_few_others() {
    let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let (mut ours, mut fixed, mut naive) = (Score::default(), Score::default(), Score::default());
    for kind in KINDS {
        for _ in 0..20 {
            let (counts, odd) = traffic(kind, &mut rng);
            let past = &counts[..HOURS - JUDGED];
            let mean = past.iter().sum::<u64>() / past.len() as u64;
            for (hour, is_odd) in odd.into_iter().enumerate() {
                let position = HOURS - JUDGED + hour;
                let count = counts[position];
                let usual = Usual::at(&counts, position).unwrap();
                ours.judge(usual.is_above(count) || usual.is_below(count), is_odd);
                fixed.judge(count > 2 * mean || count < mean / 4, is_odd);
                let before = counts[position - WEEK];
                naive.judge(
                    count > 2 * before + LEAST || count + LEAST < before / 2,
                    is_odd,
                );
            }
        }
    }
    let [ours, fixed, naive] = [ours, fixed, naive].map(Score::precision_and_recall);
    let all = format!("{ours:?}, fixed threshold {fixed:?}, a week ago {naive:?}");
    println!("{all}");
    assert!(ours.0 >= 85 && ours.1 >= 90, "{all}");
    assert!(
        ours.0 > fixed.0 && ours.1 > fixed.1 && ours.0 >= naive.0,
        "{all}"
    );
}
