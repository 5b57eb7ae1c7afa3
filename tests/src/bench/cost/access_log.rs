//! The access log in transit to the reconciler: log streams that deliver in turn, and a queue.

use std::collections::BTreeMap;

use domain::event::UsageEvent;
use domain::response::Response;
use domain::time::UnixMillis;

use super::MINUTE_MILLIS;
use crate::faults::random::Random;

/// Number of log streams.
const LOG_STREAMS: usize = 20;
/// How often a log stream delivers.
const DELIVERY_MILLIS: i64 = 5_000;
/// Delay between the deliveries of consecutive log streams.
const STAGGER_MILLIS: i64 = 700;
/// The window of the reconciler's queue.
const LINES_WINDOW_MILLIS: i64 = 15 * MINUTE_MILLIS;

/// A line about a call.
pub(super) struct Line {
    pub(super) event: UsageEvent,
    pub(super) response: Response,
}

/// Lines in transit.
pub(super) struct AccessLog {
    streams: Vec<Vec<Line>>,
    /// Messages in the queue, by the end of their window.
    queue: BTreeMap<UnixMillis, Vec<Vec<Line>>>,
}

impl AccessLog {
    pub(super) fn new() -> Self {
        Self {
            streams: (0..LOG_STREAMS).map(|_| Vec::new()).collect(),
            queue: BTreeMap::new(),
        }
    }

    /// Writes a line into one of the log streams.
    pub(super) fn write(&mut self, line: Line, random: &mut Random) {
        let place = random.place(LOG_STREAMS);
        self.streams[place].push(line);
    }

    /// The log streams whose turn it is send their lines to the queue.
    pub(super) fn deliver(&mut self, now: UnixMillis) {
        let past_windows = now.0.div_euclid(LINES_WINDOW_MILLIS);
        let window_end = UnixMillis((past_windows + 1) * LINES_WINDOW_MILLIS);
        let mut after = 0;
        for lines in &mut self.streams {
            let is_turn = (now.0 + after) % DELIVERY_MILLIS == 0;
            after += STAGGER_MILLIS;
            if is_turn && !lines.is_empty() {
                let messages = self.queue.entry(window_end).or_default();
                messages.push(std::mem::take(lines));
            }
        }
    }

    /// The messages of the oldest window, if it is over.
    pub(super) fn take(&mut self, now: UnixMillis) -> Option<Vec<Vec<Line>>> {
        let oldest = self.queue.first_entry()?;
        (*oldest.key() <= now).then(|| oldest.remove())
    }
}
