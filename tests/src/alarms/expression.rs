//! Metric math, as far as the templates use it (CloudWatch User Guide, "Using math expressions").

/// An expression.
#[derive(Debug)]
pub(super) enum Expression {
    Number(f64),
    Metric(String),
    Binary(Box<Self>, String, Box<Self>),
    Call(String, Vec<Self>),
}

impl Expression {
    /// Reads an expression.
    pub(super) fn parse(text: &str) -> Self {
        let mut tokens = Tokens::of(text);
        let expression = tokens.either();
        assert_eq!(tokens.0.len(), 0, "`{text}` goes on: {:?}", tokens.0);
        expression
    }

    /// Its value; `None` if a metric that it depends on has none.
    pub(super) fn value(&self, metric: &dyn Fn(&str) -> Option<f64>) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Metric(id) => metric(id),
            Self::Binary(left, operator, right) => {
                let (left, right) = (left.value(metric)?, right.value(metric)?);
                let truth = |holds: bool| f64::from(u8::from(holds));
                Some(match operator.as_str() {
                    "+" => left + right,
                    "-" => left - right,
                    "*" => left * right,
                    "/" if right == 0.0 => return None,
                    "/" => left / right,
                    ">" => truth(left > right),
                    ">=" => truth(left >= right),
                    "<" => truth(left < right),
                    "AND" => truth(left != 0.0 && right != 0.0),
                    other => panic!("no operator `{other}`"),
                })
            }
            Self::Call(function, arguments) => match (function.as_str(), arguments.as_slice()) {
                ("FILL", [series, with]) => series.value(metric).or_else(|| with.value(metric)),
                ("IF", [holds, then, otherwise]) => {
                    let branch = if holds.value(metric)? == 0.0 {
                        otherwise
                    } else {
                        then
                    };
                    branch.value(metric)
                }
                (other, _) => panic!("no function `{other}`"),
            },
        }
    }
}

/// The remaining tokens, the next one first.
struct Tokens(std::collections::VecDeque<String>);

impl Tokens {
    fn of(text: &str) -> Self {
        let spaced = text
            .replace('(', " ( ")
            .replace(')', " ) ")
            .replace(',', " , ");
        Self(spaced.split_whitespace().map(str::to_owned).collect())
    }

    fn is_next(&self, token: &str) -> bool {
        self.0.front().is_some_and(|next| next == token)
    }

    fn next(&mut self) -> String {
        self.0.pop_front().unwrap()
    }

    /// Operators of one rank associate to the left. The ranks are `AND`, comparisons, sums,
    /// products.
    fn either(&mut self) -> Expression {
        self.ranked(&[&["AND"], &[">", ">=", "<"], &["+", "-"], &["*", "/"]])
    }

    fn ranked(&mut self, ranks: &[&[&str]]) -> Expression {
        let Some((operators, tighter)) = ranks.split_first() else {
            return self.operand();
        };
        let mut left = self.ranked(tighter);
        while operators.iter().any(|operator| self.is_next(operator)) {
            let operator = self.next();
            let right = self.ranked(tighter);
            left = Expression::Binary(Box::new(left), operator, Box::new(right));
        }
        left
    }

    fn operand(&mut self) -> Expression {
        let token = self.next();
        if token == "(" {
            let inner = self.either();
            assert_eq!(self.next(), ")");
            return inner;
        }
        if let Ok(number) = token.parse() {
            return Expression::Number(number);
        }
        if !self.is_next("(") {
            return Expression::Metric(token);
        }
        let mut arguments = Vec::new();
        while self.next() != ")" {
            arguments.push(self.either());
            if self.is_next(")") {
                let _closed = self.next();
                break;
            }
        }
        Expression::Call(token, arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, metrics: &[(&str, f64)]) -> Option<f64> {
        Expression::parse(text).value(&|id| {
            let found = metrics.iter().find(|(known, _)| *known == id);
            found.map(|(_, value)| *value)
        })
    }

    #[test]
    fn expressions_have_the_values_that_cloudwatch_gives_them() {
        let both = [("m1", 8.0), ("m2", 2.0)];
        assert_eq!(value("m1 - m2 * 3 / 2", &both), Some(5.0));
        assert_eq!(value("(m1 - m2) * 3", &both), Some(18.0));
        assert_eq!(value("IF((m1 > 7) AND (m2 < 2), 1, 0)", &both), Some(0.0));
        assert_eq!(value("IF(m1 >= 8, m2, m3)", &both), Some(2.0));
        assert_eq!(value("FILL(m3, 0) + m1", &both), Some(8.0));
        assert_eq!(value("m3 + m1", &both), None);
        assert_eq!(value("m1 / (m2 - 2)", &both), None);
    }
}
