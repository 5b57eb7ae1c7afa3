//! Handles lines of the access log.
//!
//! The subscription's lines go to the queue unread, so that lines of many log streams are collected
//! there and become one entry of the journal per minute. How many lines meet affects costs,
//! never counts: if the queue fails, the reconciler appends lines as they arrive.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::error::Error;

use domain::delivery::{BatchAnswer, Outcome};
use domain::entry::Packer;
use domain::time::UnixMillis;
use runtime::errors;
use runtime::journal::Journal;
use runtime::metrics::Metric;
use runtime::queue::{MOST_DELAY_SECONDS, Queue};
use runtime::store::{Store, StoreError};
use runtime::together::together;

use crate::invocation::{Invocation, LogData, Message, MessageType, Unreadable};
use crate::metrics;
use crate::reader::{Reading, Refused};

/// The reconciler over the journal and its queue. Lines that are set aside go into the journal's
/// table.
#[derive(Debug)]
pub struct Reconciler<S, Q> {
    /// The journal.
    pub journal: Journal<S>,
    /// The queue that collects lines.
    pub queue: Q,
    /// `source` of the events.
    pub source: String,
    /// Seconds of the window in which lines are collected, 0 for none.
    pub window_seconds: u32,
}

/// The fate of lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Lines appended to the journal.
    pub appended: u64,
    /// Ids of the lines set aside, and of messages that hold no lines.
    pub set_aside: Vec<String>,
}

impl From<Report> for Outcome {
    fn from(report: Report) -> Self {
        Self {
            appended: report.appended,
            set_aside: report.set_aside,
        }
    }
}

/// An invocation that must be retried.
#[derive(Debug, thiserror::Error)]
pub enum InvocationError {
    /// It cannot be read.
    #[error("the invocation holds no lines")]
    Unreadable(#[from] Unreadable),
    /// Neither the queue nor the table accepted its lines.
    #[error("the table did not accept lines")]
    Table(#[from] StoreError),
}

/// The table's results for lines.
struct Stored {
    appended: Result<(), StoreError>,
    /// One result for each refused line, in order.
    set_aside: Vec<Result<(), StoreError>>,
}

impl<S: Store, Q: Queue> Reconciler<S, Q> {
    /// Handles an invocation and returns the response and the metrics.
    ///
    /// An operator who submits lines again gets the outcome instead of metrics: the metrics counted
    /// these lines when they first arrived.
    pub async fn handle(
        &self,
        invocation: &Invocation,
        now: UnixMillis,
    ) -> Result<(BatchAnswer, Vec<Metric>), InvocationError> {
        let (mut answer, report) = match invocation {
            Invocation::Logs { awslogs } => {
                let report = self.forward(&awslogs.unpack()?, now).await?;
                (BatchAnswer::default(), report)
            }
            Invocation::Queue { records, .. } => self.append(records, now).await,
        };
        if invocation.reports_outcome() {
            answer.outcome = Some(report.into());
            return Ok((answer, Vec::new()));
        }
        Ok((answer, metrics::of_lines(&report)))
    }

    /// Forwards the subscription's lines to the queue; appends them if the queue fails.
    pub async fn forward(
        &self,
        data: &LogData,
        now: UnixMillis,
    ) -> Result<Report, InvocationError> {
        if data.message_type == MessageType::ControlMessage {
            return Ok(Report::default());
        }
        let delay = self.delay_seconds(now);
        let messages = data.pack().into_iter();
        let sends = messages.map(|body| self.queue.send(body, delay));
        match together(sends.collect()).await {
            Ok(_) => Ok(Report::default()),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn Error,
                    "lines are appended without the queue"
                );
                self.append_now(data, now).await
            }
        }
    }

    /// Seconds until the next multiple of the window.
    fn delay_seconds(&self, now: UnixMillis) -> u32 {
        let window = i64::from(self.window_seconds.min(MOST_DELAY_SECONDS));
        let passed = now.seconds().checked_rem_euclid(window);
        let left = passed.map_or(0, |passed| window - passed);
        u32::try_from(left).unwrap_or(0)
    }

    async fn append_now(&self, data: &LogData, now: UnixMillis) -> Result<Report, InvocationError> {
        let mut reading = Reading::new(&self.source, now);
        reading.add(data, "");
        let stored = self.store(&reading, now).await;
        stored.appended?;
        let mut report = Report {
            appended: count(reading.reported.len()),
            ..Report::default()
        };
        for (refused, done) in reading.refused.iter().zip(stored.set_aside) {
            done?;
            report.set_aside.push(refused.sequence_number.to_owned());
        }
        Ok(report)
    }

    /// Appends the lines of the queue's messages together and returns the messages to redeliver.
    pub async fn append(&self, messages: &[Message], now: UnixMillis) -> (BatchAnswer, Report) {
        let read = |message: &Message| LogData::read(&message.body);
        let bodies: Vec<Result<LogData, Unreadable>> = messages.iter().map(read).collect();
        let mut reading = Reading::new(&self.source, now);
        for (message, body) in messages.iter().zip(&bodies) {
            match body {
                Ok(data) => reading.add(data, &message.message_id),
                Err(error) => reading.refuse_message(message, error),
            }
        }
        let stored = self.store(&reading, now).await;
        let mut report = Report::default();
        let mut failed = BTreeSet::new();
        match stored.appended {
            Ok(()) => report.appended = count(reading.reported.len()),
            Err(error) => {
                tracing::warn!(error = &error as &dyn Error, "messages will be redelivered");
                failed.extend(messages.iter().map(|message| message.message_id.as_str()));
            }
        }
        for (refused, done) in reading.refused.iter().zip(stored.set_aside) {
            match done {
                Ok(()) => report.set_aside.push(refused.sequence_number.to_owned()),
                Err(error) => {
                    let message = refused.message_id;
                    tracing::warn!(
                        error = &error as &dyn Error,
                        message,
                        "a message will be redelivered"
                    );
                    failed.insert(message);
                }
            }
        }
        (BatchAnswer::failed(failed), report)
    }

    /// Appends the valid lines in one batch, and sets the refused ones aside.
    async fn store(&self, reading: &Reading<'_>, now: UnixMillis) -> Stored {
        let mut packer = Packer::default();
        for reported in &reading.reported {
            packer.line(&reported.event, reported.response);
        }
        let set_aside = reading.refused.iter();
        let set_aside = set_aside.map(async |refused| {
            let done = self.set_aside(refused, now).await;
            Ok::<_, Infallible>(done)
        });
        let (appended, Ok(set_aside)) = tokio::join!(
            self.journal.append(packer, now),
            together(set_aside.collect()),
        );
        Stored {
            appended,
            set_aside,
        }
    }

    async fn set_aside(&self, refused: &Refused<'_>, now: UnixMillis) -> Result<(), StoreError> {
        let (position, rejection) = (refused.position(), &refused.rejection);
        tracing::warn!(
            source = position.shard_id,
            line = position.sequence_number,
            reason = rejection.reason.as_str(),
            message = %rejection.message,
            "line set aside"
        );
        let payload = refused.payload.as_bytes();
        errors::set_aside(&self.journal.store, position, payload, rejection, now).await
    }
}

fn count(lines: usize) -> u64 {
    u64::try_from(lines).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
