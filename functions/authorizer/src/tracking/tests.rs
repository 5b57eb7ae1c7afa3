//! Which of stream and journal accepts an event, in every state of both.

use domain::names::TrackingMode::{Stream as WithStream, Synchronous};
use tokio::time::advance;

use super::*;
use crate::testing::State::{Down, Missing, Silent, Up};
use crate::testing::{NOW, State, Stream, Table, event};
use domain::time::UnixMillis;

struct System {
    stream: Stream,
    table: Table,
    tracking: Tracking<Stream, runtime::memory::MemoryStore, fn() -> UnixMillis>,
}

impl System {
    fn new(stream: State, table: State) -> Self {
        let (stream, table) = (Stream::new(stream), Table::new(table));
        let metrics = Metrics::new("CompliCal/API", "test");
        let clock: fn() -> UnixMillis = || NOW;
        Self {
            tracking: Tracking::new(stream.clone(), table.journal(), metrics, clock),
            stream,
            table,
        }
    }

    async fn hand_over(&self, number: u8, mode: TrackingMode) -> Result<(), ReportError> {
        let until = Instant::now() + LONGEST_REPORT;
        self.tracking.hand_over(&event(number, mode), until).await
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Stream,
    Journal,
    Nothing,
}

#[tokio::test(start_paused = true)]
async fn an_event_is_accepted_in_every_state_in_which_anything_accepts() {
    for (mode, stream, table, by) in [
        (WithStream, Up, Up, By::Stream),
        (WithStream, Up, Missing, By::Stream),
        (WithStream, Down, Up, By::Journal),
        (WithStream, Silent, Up, By::Journal),
        (WithStream, Missing, Up, By::Journal),
        (WithStream, Missing, Missing, By::Nothing),
        (WithStream, Missing, Down, By::Nothing),
        (WithStream, Down, Missing, By::Nothing),
        (WithStream, Down, Down, By::Nothing),
        (WithStream, Silent, Silent, By::Nothing),
        (Synchronous, Up, Up, By::Journal),
        (Synchronous, Missing, Up, By::Journal),
        (Synchronous, Up, Down, By::Nothing),
        (Synchronous, Up, Missing, By::Nothing),
        (Synchronous, Up, Silent, By::Nothing),
    ] {
        let system = System::new(stream, table);
        let handed_over = system.hand_over(1, mode).await;
        let case = format!("{mode} with {stream:?}, {table:?}: {handed_over:?}");
        let in_stream = stream == Up && !system.stream.events().is_empty();
        assert_eq!(in_stream, by == By::Stream, "{case}");
        let journalled = Vec::from_iter((by == By::Journal).then(|| event(1, mode)));
        assert_eq!(system.table.events(), journalled, "{case}");
        assert_eq!(handed_over.is_ok(), by != By::Nothing, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_sent_again_is_the_same_entry() {
    let system = System::new(Missing, Up);
    for number in [1, 2, 1] {
        system.hand_over(number, WithStream).await.unwrap();
    }
    let mut events = system.table.events();
    events.sort_by_key(|event| event.id);
    assert_eq!(events, [event(1, WithStream), event(2, WithStream)]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_failed_is_left_alone_for_five_seconds() {
    let system = System::new(Down, Up);
    system.hand_over(1, WithStream).await.unwrap();
    let attempts = system.stream.events().len();
    assert_eq!(attempts, 3);
    system.stream.set(Up);
    advance(Duration::from_millis(4_999)).await;
    system.hand_over(2, WithStream).await.unwrap();
    assert_eq!(system.stream.events().len(), attempts);
    advance(Duration::from_millis(1)).await;
    system.hand_over(3, WithStream).await.unwrap();
    system.hand_over(4, WithStream).await.unwrap();
    assert_eq!(system.stream.events().len(), attempts + 2);
    assert_eq!(system.table.events().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_left_alone_is_asked_once_where_the_journal_fails() {
    let system = System::new(Down, Up);
    system.hand_over(1, WithStream).await.unwrap();
    system.table.set(Down);
    let attempts = system.stream.events().len();
    assert!(system.hand_over(2, WithStream).await.is_err());
    assert_eq!(system.stream.events().len(), attempts + 1);
    system.stream.set(Up);
    system.hand_over(3, WithStream).await.unwrap();
    let last = system.stream.events().pop();
    assert_eq!(last, Some(event(3, WithStream)));
}

#[tokio::test(start_paused = true)]
async fn a_busy_subject_gets_further_partition_keys_counted_by_its_events_in_the_stream() {
    let system = System::new(Up, Up);
    let busy = "ann@example.com";
    for number in 0..12 {
        system.hand_over(number, Synchronous).await.unwrap();
    }
    let (mut keys, mut expected) = (Vec::new(), Vec::new());
    for (number, spread) in (0..12).zip([1, 4, 8, 8, 16, 16, 16, 16, 32, 32, 32, 32]) {
        system.hand_over(number, WithStream).await.unwrap();
        keys.extend(system.stream.partition_keys().pop());
        expected.push(event(number, WithStream).partition_key(spread));
    }
    assert_eq!(keys, expected);
    assert_eq!(keys[0], busy);
    assert!(keys[1].starts_with(&format!("{busy}#")), "{keys:?}");
}

#[tokio::test(start_paused = true)]
async fn a_report_ends_when_its_time_is_over() {
    let system = System::new(Silent, Silent);
    let began = Instant::now();
    let report = |until| system.tracking.report(event(1, WithStream), until);
    report(began + Duration::from_secs(2)).await;
    assert_eq!(began.elapsed(), Duration::from_secs(2));
    let began = Instant::now();
    report(began + Duration::from_mins(1)).await;
    assert_eq!(began.elapsed(), LONGEST_REPORT);
}
