//! Exact amounts of money.

use std::iter::Sum;
use std::ops::{Add, Sub};

use serde::{Serialize, Serializer};

use report::grouped;

/// Decimals of an amount: a price per unit has up to ten.
const DECIMALS: usize = 12;
const DOLLAR: i128 = 1_000_000_000_000;

/// US dollars, in millionths of millionths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Money(i128);

impl Money {
    pub(in crate::verbs) const NONE: Self = Self(0);

    /// Parses a decimal such as `0.0000133334`: digits, and at most one point with digits on both
    /// sides.
    pub(in crate::verbs) fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |digits: &str| {
            !digits.is_empty()
                && digits.len() <= DECIMALS
                && digits.bytes().all(|b| b.is_ascii_digit())
        };
        if !is_number(whole) || !is_number(fraction) {
            return None;
        }
        let whole: i128 = whole.parse().ok()?;
        let fraction: i128 = format!("{fraction:0<DECIMALS$}").parse().ok()?;
        Some(Self(whole * DOLLAR + fraction))
    }

    /// The cost of `amount` units if this is the price of `per` of them, rounded half up.
    pub(in crate::verbs) fn of(self, amount: u128, per: u128) -> Self {
        let (amount, per) = (i128::try_from(amount), i128::try_from(per));
        let (amount, per) = (amount.unwrap_or(i128::MAX), per.unwrap_or(i128::MAX).max(1));
        Self((self.0.saturating_mul(amount).saturating_add(per / 2)) / per)
    }

    /// The whole amount, with at least two decimals: `3.50`, `0.0000133334`.
    pub(in crate::verbs) fn exact(self) -> String {
        let text = format!("{}.{:0DECIMALS$}", self.0 / DOLLAR, self.0 % DOLLAR);
        let cents = text.len() - DECIMALS + 2;
        let kept = text.trim_end_matches('0').len().max(cents);
        text.chars().take(kept).collect()
    }

    /// Formats with `decimals` decimals, rounded half up.
    fn text(self, decimals: usize) -> String {
        let unit = 10_i128.pow(u32::try_from(DECIMALS - decimals.min(DECIMALS)).unwrap_or(0));
        let rounded = (self.0.abs() + unit / 2) / unit;
        let scale = 10_i128.pow(u32::try_from(decimals).unwrap_or(0));
        let sign = if self.0 < 0 && rounded > 0 { "-" } else { "" };
        format!(
            "{sign}{}.{:0decimals$}",
            grouped(rounded / scale),
            rounded % scale
        )
    }

    /// Dollars and cents: `1,234.50`.
    pub(super) fn cents(self) -> String {
        self.text(2)
    }

    /// Six decimals, for the cost of a thousand calls.
    pub(super) fn micros(self) -> String {
        self.text(6)
    }

    /// For a chart or a ratio; never add these up.
    pub(crate) fn approximate(self) -> f64 {
        let micros = self.0 / 1_000_000;
        let millions = i32::try_from(micros / 1_000_000).unwrap_or(i32::MAX);
        let rest = i32::try_from(micros % 1_000_000).unwrap_or(0);
        f64::from(millions) + f64::from(rest) / 1_000_000.0
    }
}

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Money {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::NONE, Add::add)
    }
}

impl Serialize for Money {
    /// As text with six decimals: most readers parse JSON numbers as floats.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.micros().replace(',', ""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dollars(text: &str) -> Money {
        Money::parse(text).unwrap()
    }

    #[test]
    fn amounts_are_exact_and_rounded_half_up_once() {
        // 45,000 GB-seconds at Lambda's price for arm64, by hand.
        let price = dollars("0.0000133334");
        assert_eq!(price.of(45_000, 1), dollars("0.600003"));
        assert_eq!(
            dollars("0.71").of(17_630_000, 1_000_000),
            dollars("12.5173")
        );
        assert_eq!(dollars("1").of(1, 3).micros(), "0.333333");
        assert_eq!(dollars("0.005").cents(), "0.01");
        assert_eq!(dollars("0.004999999999").cents(), "0.00");
        assert_eq!((dollars("1") - dollars("3.5")).cents(), "-2.50");
        assert_eq!(dollars("1234567.8").cents(), "1,234,567.80");
    }

    #[test]
    fn a_tenth_ten_times_is_one() {
        let sum: Money = (0..10).map(|_| dollars("0.1")).sum();
        assert_eq!(sum, dollars("1"));
    }

    #[test]
    fn what_is_not_a_plain_decimal_is_refused() {
        for text in [
            "",
            ".5",
            "5.",
            "-1",
            "1e3",
            "1.2.3",
            "0.0000000000001",
            "1,000",
        ] {
            assert_eq!(Money::parse(text), None, "{text}");
        }
    }
}
