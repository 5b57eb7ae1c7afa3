//! Metrics by minute, and when CloudWatch makes them visible.

use std::collections::BTreeMap;
use std::ops::Range;

/// A metric's values in one minute.
#[derive(Debug, Clone, Copy, Default)]
struct Minute {
    samples: u32,
    sum: f64,
    most: f64,
    p99: f64,
    /// The minute at whose start it becomes visible.
    shows_at: usize,
}

/// The metrics of a span of time.
#[derive(Debug, Default)]
pub struct Series {
    minutes: usize,
    metrics: BTreeMap<String, Vec<Minute>>,
}

impl Series {
    /// Series of `minutes` minutes without data.
    pub(super) fn new(minutes: usize) -> Self {
        Self {
            minutes,
            metrics: BTreeMap::new(),
        }
    }

    /// Number of minutes.
    pub fn minutes(&self) -> usize {
        self.minutes
    }

    /// Adds a metric's values by minute. Each minute becomes visible `late` minutes after its end.
    pub(super) fn add(
        &mut self,
        key: &str,
        values: Vec<Vec<f64>>,
        mut late: impl FnMut() -> usize,
    ) {
        let minutes = values.into_iter().enumerate().map(|(minute, mut values)| {
            values.sort_by(f64::total_cmp);
            let samples = u32::try_from(values.len()).unwrap();
            Minute {
                samples,
                sum: values.iter().sum(),
                most: values.last().copied().unwrap_or_default(),
                p99: values
                    .get(values.len() * 99 / 100)
                    .copied()
                    .unwrap_or_default(),
                shows_at: minute + 1 + late(),
            }
        });
        let minutes = minutes.collect();
        assert!(
            self.metrics.insert(key.to_owned(), minutes).is_none(),
            "`{key}` twice"
        );
    }

    /// A metric's statistic over a window, based on the data available at `now`. A metric that does
    /// not exist has no values.
    pub(super) fn value(
        &self,
        key: &str,
        statistic: &str,
        window: Range<usize>,
        now: usize,
    ) -> Option<f64> {
        let minutes = self.metrics.get(key)?.get(window)?;
        let known = minutes
            .iter()
            .filter(|minute| minute.samples > 0 && minute.shows_at <= now);
        let known: Vec<&Minute> = known.collect();
        if known.is_empty() {
            return None;
        }
        Some(match statistic {
            "Sum" => known.iter().map(|minute| minute.sum).sum(),
            "SampleCount" => known.iter().map(|minute| f64::from(minute.samples)).sum(),
            "Maximum" => known
                .iter()
                .map(|minute| minute.most)
                .fold(f64::MIN, f64::max),
            "p99" => {
                assert_eq!(
                    minutes.len(),
                    1,
                    "a percentile of several minutes is not their mean"
                );
                known[0].p99
            }
            other => panic!("no statistic `{other}`"),
        })
    }
}
