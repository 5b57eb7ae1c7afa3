//! B8: the monthly cost of metering, without the gateway and the API behind it.

use super::figure::Figure;
use crate::context::Context;
use crate::verbs::cost::{self, Compared};

const ID: &str = "B8";
/// Calls per month, each with a description.
const SCALES: [(u64, &str); 4] = [
    (10_000_000, "10 M calls"),
    (100_000_000, "100 M calls"),
    (1_000_000_000, "1 B calls"),
    (10_000_000_000, "10 B calls"),
];
/// The most that ten million calls may cost, in dollars.
const MOST_SYNCHRONOUS: f64 = 30.0;
const MOST_LEAN: f64 = 40.0;
/// The highest share of an exact counter's cost that a billion calls may cost.
const MOST_OF_EXACT: f64 = 0.2;

/// The figures of the environment.
pub(super) fn figures(context: &Context) -> anyhow::Result<Vec<Figure>> {
    let environment = context.environment()?;
    let mut figures = Vec::new();
    for (calls, named) in SCALES {
        figures.extend(of_scale(&cost::compare(&environment, calls)?, named));
    }
    Ok(figures)
}

fn of_scale(compared: &Compared, named: &str) -> Vec<Figure> {
    let dollars =
        |name: &str, value| Figure::new(ID, &format!("{named}, {name}"), value, "$/month");
    let mut lean = dollars(
        "one day of retention, fewest shards",
        compared.lean_stream.approximate(),
    );
    let mut synchronous = dollars("synchronous", compared.synchronous.approximate());
    let exact = compared.exact_counter.approximate();
    if compared.calls == 10_000_000 {
        lean = lean.at_most(MOST_LEAN);
        synchronous = synchronous.at_most(MOST_SYNCHRONOUS);
    } else if compared.calls == 1_000_000_000 {
        lean = lean.at_most(exact * MOST_OF_EXACT);
    } else {
        lean = lean.at_most(exact);
    }
    vec![
        lean.beside("exact counter", exact),
        synchronous.beside("exact counter", exact),
        dollars("as the environment says", compared.as_set.approximate())
            .beside("bare counter", compared.bare_counter.approximate()),
    ]
}
