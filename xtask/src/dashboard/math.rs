//! Metric math (CloudWatch User Guide, "Using math expressions with CloudWatch metrics"), as far as
//! the expressions of `stacks` use it.
//!
//! A series has an optional value for each period. Arithmetic produces a value if both sides have
//! one; `FILL` produces one everywhere.

use std::collections::BTreeMap;

use anyhow::bail;

/// An optional value for each period.
pub(crate) type Series = Vec<Option<f64>>;

/// The value of an expression over `periods` periods.
pub(crate) fn evaluate(
    expression: &str,
    of: &BTreeMap<String, Series>,
    periods: usize,
) -> anyhow::Result<Series> {
    let mut reading = Reading {
        words: words(expression)?,
        next: 0,
        of,
        periods,
    };
    let series = reading.either()?;
    match reading.peek() {
        "" => Ok(series),
        word => bail!("`{expression}`: unexpected `{word}`"),
    }
}

/// Splits an expression into names, numbers and signs.
fn words(expression: &str) -> anyhow::Result<Vec<String>> {
    let mut words: Vec<String> = Vec::new();
    let mut rest = expression.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        let length = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if [">=", "<=", "==", "!="]
            .iter()
            .any(|sign| rest.starts_with(sign))
        {
            2
        } else if "+-*/(),<>".contains(first) {
            1
        } else {
            bail!("`{expression}`: unexpected `{first}`");
        };
        let (word, after) = rest.split_at(length);
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    Ok(words)
}

struct Reading<'a> {
    words: Vec<String>,
    next: usize,
    of: &'a BTreeMap<String, Series>,
    periods: usize,
}

impl Reading<'_> {
    fn peek(&self) -> &str {
        self.words.get(self.next).map_or("", String::as_str)
    }

    fn take(&mut self) -> String {
        let word = self.peek().to_owned();
        self.next += 1;
        word
    }

    fn expect(&mut self, word: &str) -> anyhow::Result<()> {
        let found = self.take();
        if found == word {
            return Ok(());
        }
        bail!("expected `{word}`, found `{found}`")
    }

    fn either(&mut self) -> anyhow::Result<Series> {
        self.chain(&["OR"], Self::both)
    }

    fn both(&mut self) -> anyhow::Result<Series> {
        self.chain(&["AND"], Self::comparison)
    }

    fn comparison(&mut self) -> anyhow::Result<Series> {
        self.chain(&[">", ">=", "<", "<=", "==", "!="], Self::sum)
    }

    fn sum(&mut self) -> anyhow::Result<Series> {
        self.chain(&["+", "-"], Self::product)
    }

    fn product(&mut self) -> anyhow::Result<Series> {
        self.chain(&["*", "/"], Self::part)
    }

    fn chain(
        &mut self,
        signs: &[&str],
        part: fn(&mut Self) -> anyhow::Result<Series>,
    ) -> anyhow::Result<Series> {
        let mut left = part(self)?;
        while signs.contains(&self.peek()) {
            let sign = self.take();
            let right = part(self)?;
            let pairs = left.iter().zip(&right);
            left = pairs
                .map(|(one, other)| {
                    (*one)
                        .zip(*other)
                        .and_then(|(one, other)| apply(&sign, one, other))
                })
                .collect();
        }
        Ok(left)
    }

    fn part(&mut self) -> anyhow::Result<Series> {
        let word = self.take();
        match word.as_str() {
            "(" => {
                let inner = self.either()?;
                self.expect(")")?;
                Ok(inner)
            }
            "-" => Ok(self
                .part()?
                .into_iter()
                .map(|value| value.map(|value| -value))
                .collect()),
            "FILL" | "ABS" | "IF" => self.call(&word),
            name => {
                if let Some(series) = self.of.get(name) {
                    return Ok(series.clone());
                }
                match name.parse::<f64>() {
                    Ok(number) => Ok(vec![Some(number); self.periods]),
                    Err(_) => bail!("`{name}` is neither a number nor the id of a line"),
                }
            }
        }
    }

    fn call(&mut self, function: &str) -> anyhow::Result<Series> {
        self.expect("(")?;
        let mut arguments = vec![self.either()?];
        while self.peek() == "," {
            self.take();
            arguments.push(self.either()?);
        }
        self.expect(")")?;
        let each = 0..self.periods;
        Ok(match (function, arguments.as_slice()) {
            ("ABS", [of]) => of.iter().map(|value| value.map(f64::abs)).collect(),
            ("FILL", [of, with]) => of
                .iter()
                .zip(with)
                .map(|(value, with)| value.or(*with))
                .collect(),
            ("IF", [holds, then, otherwise]) => each
                .map(|at| {
                    let of = |series: &Series| series.get(at).copied().flatten();
                    // Only exactly zero is false.
                    let holds = of(holds)?.abs() > 0.0;
                    if holds { of(then) } else { of(otherwise) }
                })
                .collect(),
            (function, arguments) => bail!("`{function}` with {} arguments", arguments.len()),
        })
    }
}

fn apply(sign: &str, one: f64, other: f64) -> Option<f64> {
    let truth = |holds: bool| Some(f64::from(u8::from(holds)));
    match sign {
        "+" => Some(one + other),
        "-" => Some(one - other),
        "*" => Some(one * other),
        "/" => Some(one / other).filter(|result| result.is_finite()),
        ">" => truth(one > other),
        ">=" => truth(one >= other),
        "<" => truth(one < other),
        "<=" => truth(one <= other),
        "==" => truth((one - other).abs() <= 0.0),
        "!=" => truth((one - other).abs() > 0.0),
        "AND" => truth(one.abs() > 0.0 && other.abs() > 0.0),
        "OR" => truth(one.abs() > 0.0 || other.abs() > 0.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(expression: &str) -> anyhow::Result<Series> {
        let lines = BTreeMap::from([
            ("m1".to_owned(), vec![Some(6.0), None, Some(0.0)]),
            ("m2".to_owned(), vec![Some(2.0), Some(4.0), Some(0.0)]),
        ]);
        evaluate(expression, &lines, 3)
    }

    #[test]
    fn arithmetic_holds_where_both_sides_have_a_value() {
        for (expression, expected) in [
            ("m1 + m2 * 2", [Some(10.0), None, Some(0.0)]),
            ("(m1 + m2) * 2", [Some(16.0), None, Some(0.0)]),
            ("m1 / m2", [Some(3.0), None, None]),
            ("m2 - m2 - 1", [Some(-1.0); 3]),
            ("FILL(m1, 0) - m2", [Some(4.0), Some(-4.0), Some(0.0)]),
            ("ABS(FILL(m1, 0) - m2)", [Some(4.0), Some(4.0), Some(0.0)]),
            ("m2 > 1", [Some(1.0), Some(1.0), Some(0.0)]),
            (
                "IF(m2 > 1 AND m2 < 3, 7, -m2)",
                [Some(7.0), Some(-4.0), Some(-0.0)],
            ),
        ] {
            assert_eq!(of(expression).unwrap(), expected, "{expression}");
        }
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for expression in [
            "",
            "m3",
            "m1 +",
            "(m1",
            "m1 m2",
            "SEARCH(m1)",
            "ABS(m1, m2)",
            "m1 % 2",
        ] {
            assert!(of(expression).is_err(), "{expression}");
        }
    }
}
