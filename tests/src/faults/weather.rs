//! The failures and their times: calls to the stream and the tables that are refused, lost, or
//! never return.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::event::UsageEvent;
use runtime::memory::{Fault, MemoryStore, Pace};
use runtime::stream::{EventStream, PutError};

use super::schedule::{Failure, Place};

/// The failures that are planned.
#[derive(Debug, Clone, Default)]
pub(super) struct Weather(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    due: Vec<Failure>,
    /// A caller waits for a response that will never come.
    hung: bool,
}

impl Weather {
    pub(super) fn plan(&self, failure: Failure) {
        lock(&self.0).due.push(failure);
    }

    /// From now on everything succeeds.
    pub(super) fn clear(&self) {
        lock(&self.0).due.clear();
    }

    /// Whether everything succeeds.
    pub(super) fn is_clear(&self) -> bool {
        lock(&self.0).due.is_empty()
    }

    /// Whether the task that was polled last waits for a response that will never come.
    pub(super) fn take_hung(&self) -> bool {
        std::mem::take(&mut lock(&self.0).hung)
    }

    pub(super) fn decide(&self, place: Place) -> Fault {
        let mut state = lock(&self.0);
        let mut decided = Fault::None;
        for failure in state
            .due
            .iter_mut()
            .filter(|failure| failure.place == place)
        {
            if failure.after > 0 {
                failure.after -= 1;
            } else if decided == Fault::None && failure.times > 0 {
                failure.times -= 1;
                decided = failure.fault;
            }
        }
        state.due.retain(|failure| failure.times > 0);
        state.hung |= matches!(decided, Fault::Hangs | Fault::DoneAndHangs);
        decided
    }

    /// Makes calls to `table` fail as planned for `place`.
    pub(super) fn over(&self, table: &MemoryStore, place: Place) {
        let weather = self.clone();
        table.inject(move |_, _| weather.decide(place));
    }
}

/// Partition keys and records.
type Taken = Vec<(String, Vec<u8>)>;

/// The stream, as its producers see it.
#[derive(Debug, Clone)]
pub(super) struct ModelStream {
    weather: Weather,
    pace: Pace,
    /// Records accepted but not collected yet: partition keys and payloads.
    taken: Arc<Mutex<Taken>>,
}

impl ModelStream {
    pub(super) fn new(weather: Weather, pace: Pace) -> Self {
        Self {
            weather,
            pace,
            taken: Arc::default(),
        }
    }

    pub(super) fn take(&self) -> Vec<(String, Vec<u8>)> {
        std::mem::take(&mut lock(&self.taken))
    }
}

impl EventStream for ModelStream {
    fn name(&self) -> &'static str {
        "usage"
    }

    async fn put(&self, event: &UsageEvent, partition_key: &str) -> Result<(), PutError> {
        self.pace.stop().await;
        let fault = self.weather.decide(Place::Stream);
        if matches!(fault, Fault::None | Fault::AnswerLost | Fault::DoneAndHangs) {
            lock(&self.taken).push((partition_key.to_owned(), event.to_json()));
        }
        self.pace.stop().await;
        let stream = self.name().to_owned();
        match fault {
            Fault::None => Ok(()),
            Fault::Missing => Err(PutError::StreamMissing { stream }),
            Fault::Refused | Fault::Throttled => Err(PutError::Throttled {
                stream,
                source: "injected".into(),
            }),
            Fault::AnswerLost | Fault::TooLarge => Err(PutError::Unavailable {
                stream,
                source: "injected".into(),
            }),
            Fault::Hangs | Fault::DoneAndHangs => std::future::pending().await,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
