use super::*;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng};

fn week(calls: [u64; 7]) -> impl Iterator<Item = Day> {
    let days = (0_u8..).zip(calls);
    days.map(|(weekday, calls)| Day { weekday, calls })
}

fn whole_days(weekdays: impl IntoIterator<Item = u8>) -> Vec<Part> {
    let part = |weekday| Part {
        weekday: weekday % 7,
        left: 1_000,
    };
    weekdays.into_iter().map(part).collect()
}

#[test]
fn the_pattern_of_the_week_goes_on() {
    let pattern = [100, 100, 100, 100, 100, 10, 0];
    let days: Vec<Day> = std::iter::repeat_n(pattern, 5).flat_map(week).collect();
    let outlook = Outlook::after(&days).unwrap();
    for (weekday, calls) in (0..).zip(pattern) {
        assert_eq!(
            outlook.over(&whole_days([weekday])).calls,
            calls,
            "{weekday}"
        );
    }
    assert_eq!(outlook.over(&whole_days(0..14)).calls, 1_020);
}

#[test]
fn a_few_days_have_a_mean_and_no_pattern() {
    let days: Vec<Day> = week([0, 0, 30, 60, 90, 0, 0]).collect();
    let outlook = Outlook::after(&days).unwrap();
    // Days before the first call are ignored.
    assert_eq!(outlook.over(&whole_days([0])).calls, 36);
    assert_eq!(Outlook::after(&[]), None);
    assert_eq!(Outlook::after(&week([0; 7]).collect::<Vec<_>>()), None);
}

#[test]
fn growth_shows_in_the_level() {
    let doubled = [[100; 7], [100; 7], [200; 7], [200; 7]];
    let days: Vec<Day> = doubled.into_iter().flat_map(week).collect();
    assert_eq!(
        Outlook::after(&days).unwrap().over(&whole_days([3])).calls,
        200
    );
}

proptest! {
    #[test]
    fn any_past_has_an_outlook_without_panic(
        calls in proptest::collection::vec(prop_oneof![0_u64..100, any::<u64>()], 1..80), left in 0_u16..=1_000,
    ) {
        let days: Vec<Day> = (0_u8..).cycle().zip(calls).map(|(day, calls)| Day { weekday: day % 7, calls: calls >> 8 }).collect();
        if let Some(outlook) = Outlook::after(&days) {
            let mut parts = whole_days(0..40);
            parts.push(Part { weekday: 3, left });
            let expected = outlook.over(&parts);
            prop_assert!(expected.low <= expected.calls && expected.calls <= expected.high);
        }
    }
}

/// Parameters of users' days: their mean, the share of weekends in percent, noise in percent, and
/// growth in thousandths per day.
const KINDS: [(u64, u64, u64, u64); 8] = [
    (1_000, 100, 10, 0),
    (1_000, 30, 10, 0),
    (1_000, 30, 40, 0),
    (50, 100, 60, 0),
    (50, 10, 30, 0),
    (20_000, 80, 20, 2),
    (5, 100, 100, 0),
    (300, 0, 50, 3),
];

fn traffic(kind: (u64, u64, u64, u64), days: u64, rng: &mut TestRng) -> Vec<Day> {
    let (mean, weekend, noise, growth) = kind;
    let day = |number: u64| {
        let weekday = u8::try_from(number % 7).unwrap();
        let level = mean * (1_000 + growth * number) / 1_000;
        let level = if weekday < 5 {
            level
        } else {
            level * weekend / 100
        };
        let spread = level * noise / 100;
        // The sum of three is bell-shaped enough.
        let drawn: u64 = (0..3).map(|_| rng.random_range(0..=2 * spread)).sum();
        let calls = (level + drawn / 3).saturating_sub(spread);
        Day { weekday, calls }
    };
    (0..days).map(day).collect()
}

/// The figure in BENCHMARKS.md.
#[test]
fn intervals_cover_what_they_claim() {
    let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let (mut covered, mut all, mut off) = (0_u32, 0_u32, 0_u64);
    for kind in KINDS {
        let mut of_kind = 0_u32;
        for round in 0..100 {
            let past = 25 + round % 40;
            let days = traffic(kind, past + 15, &mut rng);
            let (before, after) = days.split_at(usize::try_from(past).unwrap());
            let parts: Vec<Part> = whole_days(after.iter().map(|day| day.weekday));
            let expected = Outlook::after(before).unwrap().over(&parts);
            let came: u64 = after.iter().map(|day| day.calls).sum();
            of_kind += u32::from((expected.low..=expected.high).contains(&came));
            all += 1;
            off += expected.calls.abs_diff(came) * 1_000 / came.max(1);
        }
        covered += of_kind;
        assert!(of_kind >= 50, "{kind:?}: {of_kind} of 100");
    }
    let percent = covered * 100 / all;
    let off = off / u64::from(all);
    println!("{percent} of 100 covered, off by {off} of 1,000");
    assert!(
        (75..=97).contains(&percent),
        "{percent} of 100 are covered; off by {off} of 1,000"
    );
    assert!(off < 120, "off by {off} of 1,000; {percent} covered");
}
