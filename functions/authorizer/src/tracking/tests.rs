//! Who takes an event in which state of stream and tables.

use domain::names::TrackingMode::{Stream as WithStream, Synchronous};
use tokio::time::advance;

use super::*;
use crate::testing::State::{Down, Missing, Silent, Up};
use crate::testing::{State, Stream, Table, event};

struct System {
    stream: Stream,
    analytics: Table,
    usage: Table,
    tracking: Tracking<Stream, Table>,
}

impl System {
    fn new(stream: State, analytics: State, usage: State) -> Self {
        let (stream, analytics, usage) = (
            Stream::new(stream),
            Table::new(analytics),
            Table::new(usage),
        );
        let metrics = Metrics::new("CompliCal/API", "test");
        let tracking = Tracking::new(
            stream.clone(),
            Analytics {
                store: analytics.clone(),
                raw_retention_days: 90,
                limits: Limits::default(),
            },
            usage.clone(),
            metrics,
        );
        Self {
            stream,
            analytics,
            usage,
            tracking,
        }
    }

    async fn hand_over(&self, number: u8, mode: TrackingMode) -> Result<(), Untaken> {
        let until = Instant::now() + LONGEST_REPORT;
        self.tracking.hand_over(&event(number, mode), until).await
    }
}

/// Who took the event: stream, analytics table, usage table.
type Taken = (bool, bool, bool);

const BY_STREAM: Taken = (true, false, false);
const BY_ANALYTICS: Taken = (false, true, false);
const BY_USAGE: Taken = (false, false, true);
const BY_NOBODY: Taken = (false, false, false);

#[tokio::test(start_paused = true)]
async fn every_state_of_stream_and_tables_has_its_taker() {
    for (mode, stream, analytics, usage, taken) in [
        (WithStream, Up, Up, Up, BY_STREAM),
        (WithStream, Up, Missing, Missing, BY_STREAM),
        (WithStream, Down, Up, Up, BY_ANALYTICS),
        (WithStream, Silent, Up, Up, BY_ANALYTICS),
        (WithStream, Missing, Up, Up, BY_ANALYTICS),
        (WithStream, Missing, Up, Down, BY_ANALYTICS),
        (WithStream, Missing, Missing, Up, BY_USAGE),
        (WithStream, Missing, Missing, Down, BY_NOBODY),
        (WithStream, Missing, Down, Up, BY_NOBODY),
        (WithStream, Down, Missing, Up, BY_NOBODY),
        (WithStream, Down, Down, Up, BY_NOBODY),
        (WithStream, Silent, Silent, Silent, BY_NOBODY),
        (Synchronous, Up, Up, Up, BY_USAGE),
        (Synchronous, Missing, Missing, Up, BY_USAGE),
        (Synchronous, Up, Up, Down, BY_NOBODY),
        (Synchronous, Up, Up, Missing, BY_NOBODY),
        (Synchronous, Up, Up, Silent, BY_NOBODY),
    ] {
        let system = System::new(stream, analytics, usage);
        let handed_over = system.hand_over(1, mode).await;
        let took = (
            stream == Up && !system.stream.asked().is_empty(),
            system.analytics.counted() == 1,
            system.usage.counted() == 1,
        );
        let raw = system.analytics.kept_raw() == 1;
        assert_eq!(raw, taken == BY_ANALYTICS, "{mode} with {stream:?}");
        let case = format!("{mode} with {stream:?}, {analytics:?}, {usage:?}: {handed_over:?}");
        assert_eq!(took, taken, "{case}");
        assert_eq!(handed_over.is_ok(), taken != BY_NOBODY, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_table_counts_is_rolled_up_by_mode_and_counted_once_however_often_reported() {
    let system = System::new(Missing, Up, Up);
    for number in [1, 2, 1] {
        system.hand_over(number, WithStream).await.unwrap();
    }
    assert_eq!(system.analytics.counted(), 2);
    assert_eq!(system.usage.month(), (2, vec!["22".to_owned()]));
    for number in [3, 3] {
        system.hand_over(number, Synchronous).await.unwrap();
    }
    system.analytics.set(Missing);
    system.hand_over(4, WithStream).await.unwrap();
    let days = vec!["22".to_owned(), "22s".to_owned()];
    assert_eq!(system.usage.month(), (4, days));
    assert_eq!(system.usage.counted(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_failed_is_left_alone_for_five_seconds() {
    let system = System::new(Down, Up, Up);
    system.hand_over(1, WithStream).await.unwrap();
    let attempts = system.stream.asked().len();
    assert_eq!(attempts, 3);
    system.stream.set(Up);
    advance(Duration::from_millis(4_999)).await;
    system.hand_over(2, WithStream).await.unwrap();
    assert_eq!(system.stream.asked().len(), attempts);
    advance(Duration::from_millis(1)).await;
    system.hand_over(3, WithStream).await.unwrap();
    system.hand_over(4, WithStream).await.unwrap();
    assert_eq!(system.stream.asked().len(), attempts + 2);
    assert_eq!(system.analytics.counted(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_left_alone_is_asked_after_all_where_the_table_fails() {
    let system = System::new(Down, Up, Up);
    system.hand_over(1, WithStream).await.unwrap();
    system.analytics.set(Down);
    let attempts = system.stream.asked().len();
    assert!(system.hand_over(2, WithStream).await.is_err());
    assert_eq!(system.stream.asked().len(), attempts + 1);
    system.stream.set(Up);
    system.hand_over(3, WithStream).await.unwrap();
    let last = system.stream.asked().pop();
    assert_eq!(last, Some(event(3, WithStream)));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_waited_for_beyond_the_time_that_there_is() {
    let system = System::new(Silent, Silent, Silent);
    let began = Instant::now();
    let report = |until| system.tracking.report(event(1, WithStream), until);
    report(began + Duration::from_secs(2)).await;
    assert_eq!(began.elapsed(), Duration::from_secs(2));
    let began = Instant::now();
    report(began + Duration::from_mins(1)).await;
    assert_eq!(began.elapsed(), LONGEST_REPORT);
}
