//! A run's reaction to the responses of Kinesis and CloudWatch.

use std::sync::Mutex;

use super::*;
use crate::decision::{Load, Series};

const NOW: UnixMillis = UnixMillis(1_795_363_445_000);
const BOUNDS: Bounds = Bounds { least: 1, most: 8 };

/// A stream that always returns the same responses and records its requests.
struct Stub {
    found: Found,
    asked: Asked,
    targets: Mutex<Vec<u32>>,
}

impl Scalable for Stub {
    async fn find(&self) -> Result<Found, StreamError> {
        Ok(self.found)
    }

    async fn scale(&self, shards: u32) -> Result<Asked, StreamError> {
        self.targets.lock().unwrap().push(shards);
        Ok(self.asked)
    }
}

/// A day with this many records a minute, and four shards.
struct Day(u64);

impl Watch for Day {
    async fn day(&self, now: UnixMillis) -> Result<Series, SeriesError> {
        let load = Load {
            records: self.0,
            ..Load::default()
        };
        let minutes = || (1..1_440).map(|minute| now.plus_millis(-60_000 * minute));
        Ok(Series {
            loads: minutes().map(|at| (at, load)).collect(),
            shards: minutes().map(|at| (at, 4)).collect(),
        })
    }
}

const BUSY: Day = Day(200_000);
const IDLE: Day = Day(10);

/// The result of a run on a stream in this state, and its request.
async fn look(found: Found, asked: Asked, watch: Day) -> (Result<Looked, String>, Vec<u32>) {
    let scaler = Scaler {
        stream: Stub {
            found,
            asked,
            targets: Mutex::default(),
        },
        watch,
        bounds: BOUNDS,
    };
    let looked = scaler.look(NOW).await;
    let looked = looked.map_err(|error| runtime::log::Chain(&error).to_string());
    (looked, scaler.stream.targets.into_inner().unwrap())
}

#[tokio::test]
async fn a_stream_that_is_being_changed_is_left_alone() {
    let (looked, targets) = look(Found::Changing, Asked::Begun, BUSY).await;
    assert_eq!((looked.clone(), targets), (Ok(Looked::Changing), vec![]));
    assert_eq!(looked.unwrap().metrics(), []);
}

#[tokio::test]
async fn a_busy_stream_is_asked_to_grow_and_an_idle_one_to_shrink() {
    for (watch, target) in [(BUSY, 7), (IDLE, 2)] {
        let (looked, targets) = look(Found::Active(4), Asked::Begun, watch).await;
        let expected = Looked::At(4, Decision::Change(target));
        assert_eq!((looked, targets), (Ok(expected), vec![target]));
    }
}

#[tokio::test]
async fn a_refusal_by_aws_is_reported_if_the_stream_needs_the_shards() {
    let (looked, _) = look(Found::Active(4), Asked::Limited, BUSY).await;
    let refused = Looked::At(4, Decision::Refused(Refusal::Quota));
    assert_eq!(looked, Ok(refused));
    assert_eq!(
        refused.metrics(),
        [
            Metric::count(kinesis_metric::SHARDS, 4),
            Metric::count(kinesis_metric::SCALING_REFUSED, 1)
        ]
    );
    let (looked, _) = look(Found::Active(4), Asked::Limited, IDLE).await;
    assert_eq!(looked, Ok(Looked::At(4, Decision::Stay)));
    let (looked, _) = look(Found::Active(4), Asked::Changing, BUSY).await;
    assert_eq!(looked, Ok(Looked::Changing));
}
