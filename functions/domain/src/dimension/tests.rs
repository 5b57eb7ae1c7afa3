#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use proptest::prelude::*;

use super::*;

const fn share(calls: u64, units: u64) -> Share {
    Share { calls, units }
}

fn of(most: u8, bytes: usize, shares: &[(&str, u64)]) -> Vec<(String, u64)> {
    let shares = shares
        .iter()
        .map(|(value, calls)| (*value, share(*calls, *calls)));
    let values = Dimension::of(most, bytes, shares).values.into_iter();
    values.map(|(value, share)| (value, share.calls)).collect()
}

fn named(values: &[(&str, u64)]) -> Vec<(String, u64)> {
    let values = values.iter();
    values
        .map(|(value, calls)| ((*value).to_owned(), *calls))
        .collect()
}

#[test]
fn the_values_with_most_calls_are_counted_apart_and_all_others_as_other() {
    let given = [("a", 1), ("b", 5), ("c", 5), ("d", 2), ("other", 7)];
    assert_eq!(
        of(2, 99, &given),
        named(&[("b", 5), ("c", 5), ("other", 10)])
    );
    assert_eq!(of(1, 99, &given), named(&[("b", 5), ("other", 15)]));
    assert_eq!(
        of(9, 99, &given[..4]),
        named(&[("a", 1), ("b", 5), ("c", 5), ("d", 2)])
    );
    assert_eq!(of(9, 99, &[]), []);
}

#[test]
fn values_that_fill_a_minute_count_as_other() {
    let given = [("long-value", 9), ("another", 5), ("b", 2)];
    assert_eq!(
        of(9, 17, &given),
        named(&[("another", 5), ("long-value", 9), ("other", 2)])
    );
    // The order by calls decides, so a shorter value does not take the place of a longer one.
    assert_eq!(of(9, 16, &given), named(&[("long-value", 9), ("other", 7)]));
}

#[test]
fn names_and_values_are_those_that_a_label_can_carry() {
    for name in ["tenant", "cost-centre", "A1"] {
        assert!(is_name(name), "{name}");
    }
    for name in [
        "", "1a", "a b", "type", "method", "endpoint", "status", "key", "other",
    ] {
        assert!(!is_name(name), "{name}");
    }
    for value in ["a", "=1+1", "ü b", &"x".repeat(64)] {
        assert!(is_value(value), "{value}");
    }
    for value in ["", "a\nb", "a\u{7f}", "\u{85}", &"x".repeat(65)] {
        assert!(!is_value(value), "{value:?}");
    }
}

prop_compose! {
    fn dimensions()(
        shares in proptest::collection::vec((0_u8..2, 0_u8..9, 1_u64..5, 0_u64..9), 0..12),
        most in 1_u8..5,
    ) -> Dimensions {
        let mut dimensions = Dimensions::new();
        for (name, value, calls, units) in shares {
            let name = ["tenant", "region"][usize::from(name)].to_owned();
            let dimension = dimensions.entry(name).or_default();
            dimension.most = most;
            let value = if value == 8 { OTHER.to_owned() } else { format!("v{value}") };
            dimension.values.entry(value).or_default().add(share(calls, units));
        }
        dimensions
    }
}

fn total(dimensions: &Dimensions, name: &str) -> Share {
    let mut total = Share::default();
    for share in dimensions
        .get(name)
        .iter()
        .flat_map(|of| of.values.values())
    {
        total.add(*share);
    }
    total
}

proptest! {
    /// The sum does not depend on the order of its parts. It keeps at most as many values as its bound,
    /// and every call.
    #[test]
    fn a_bounded_sum_depends_on_its_parts_alone_and_keeps_every_call(
        parts in proptest::collection::vec(dimensions(), 1..8), turn in 0_usize..8,
    ) {
        let sum = |parts: &[Dimensions]| {
            let mut sum = Dimensions::new();
            for part in parts {
                merge(&mut sum, part);
            }
            bounded(&sum)
        };
        let mut turned = parts.clone();
        turned.reverse();
        turned.rotate_left(turn % parts.len());
        prop_assert_eq!(sum(&parts), sum(&turned));
        // In two steps, as long as only the last one bounds.
        let (some, others) = parts.split_at(turn % parts.len());
        let [mut one, other] = [some, others].map(|parts| {
            let mut sum = Dimensions::new();
            for part in parts {
                merge(&mut sum, part);
            }
            sum
        });
        merge(&mut one, &other);
        prop_assert_eq!(bounded(&one), sum(&parts));
        for name in ["tenant", "region"] {
            let mut expected = Share::default();
            for part in &parts {
                expected.add(total(part, name));
            }
            let sum = sum(&parts);
            prop_assert_eq!(total(&sum, name), expected);
            if let Some(of) = sum.get(name) {
                let apart = of.values.keys().filter(|value| *value != OTHER).count();
                prop_assert!(apart <= usize::from(of.most));
            }
        }
    }
}
