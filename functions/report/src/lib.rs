//! Reports: usage of a week or a month per user and per plan, with the changes against the span
//! before.
//!
//! A report is made of what bills are made of ([`domain::usage`]), and of final counts alone. So it
//! equals `usage export`, and the same counts give the same bytes. The command line and the aggregator
//! both make reports here. This crate reads no table and no clock.

mod basis;
mod chart;
mod csv;
mod figures;
mod markup;
mod page;
mod table;

pub use basis::Basis;
pub use csv::field;
pub use figures::{Figures, Report};
pub use markup::{escaped, grouped};

use domain::calendar::Span;
use domain::report::{Format, KeyFigures, ReportReady};
use domain::time::UnixMillis;

use figures::Together;

impl Report {
    /// The report in a format. It ends with a newline.
    ///
    /// # Errors
    ///
    /// If it cannot be written as JSON.
    pub fn to_text(&self, format: Format) -> serde_json::Result<String> {
        Ok(match format {
            Format::Html => page::html(self),
            Format::Csv => table::csv(self),
            Format::Json => serde_json::to_string_pretty(self)? + "\n",
        })
    }
}

impl Report {
    /// The event that announces the report of `span`, which is stored in `bucket` and final at `at`.
    pub fn ready(&self, span: Span, bucket: &str, at: UnixMillis) -> ReportReady {
        let compared = self.compared_with.clone().zip(self.total.previous.as_ref());
        ReportReady {
            environment: self.environment.clone(),
            period: self.period.clone(),
            first: self.first.to_string(),
            last: self.last.to_string(),
            bucket: bucket.to_owned(),
            keys: Format::ALL.map(|format| format.key(span)).into(),
            figures: self.total.now.key_figures(),
            previous: compared.map(|(period, before)| (period, before.key_figures())),
            at,
        }
    }
}

impl Together {
    fn key_figures(&self) -> KeyFigures {
        KeyFigures {
            users: self.users,
            total_calls: self.counts.total_calls,
            auth_failures: self.counts.auth_failures,
            rate_limited: self.counts.rate_limited,
            units: self.counts.units,
        }
    }
}

#[cfg(test)]
mod tests;
