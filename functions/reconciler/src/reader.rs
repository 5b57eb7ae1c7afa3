//! Reads the lines of several messages: what each reports, or why it cannot be counted.

use std::borrow::Cow;

use domain::delivery::QUEUE_POSITION;
use domain::event::{Reason, Rejection};
use domain::time::UnixMillis;
use runtime::errors::Position;
use runtime::log::Chain;

use crate::invocation::{LogData, Message, Unreadable};
use crate::line::{self, Reported};

/// Parsed lines, all of them borrowed.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    source: &'a str,
    now: UnixMillis,
    /// The facts that lines report.
    pub(crate) reported: Vec<Reported<'a>>,
    /// Lines that are set aside.
    pub(crate) refused: Vec<Refused<'a>>,
}

/// A line, or a message, that is set aside.
#[derive(Debug)]
pub(crate) struct Refused<'a> {
    /// The message that holds it.
    pub(crate) message_id: &'a str,
    shard_id: Cow<'a, str>,
    pub(crate) sequence_number: &'a str,
    pub(crate) payload: &'a str,
    pub(crate) rejection: Rejection,
}

impl Refused<'_> {
    pub(crate) fn position(&self) -> Position<'_> {
        Position {
            shard_id: &self.shard_id,
            sequence_number: self.sequence_number,
        }
    }
}

impl<'a> Reading<'a> {
    /// An empty reading. `source` is that of the events; `now` decides which of them are too old.
    pub(crate) const fn new(source: &'a str, now: UnixMillis) -> Self {
        Self {
            source,
            now,
            reported: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// Parses the lines of a message.
    pub(crate) fn add(&mut self, data: &'a LogData, message_id: &'a str) {
        for log in &data.log_events {
            match self.read(&log.message) {
                Ok(reported) => self.reported.extend(reported),
                Err(rejection) => self.refused.push(Refused {
                    message_id,
                    shard_id: format!("{}/{}", data.log_group, data.log_stream).into(),
                    sequence_number: &log.id,
                    payload: &log.message,
                    rejection,
                }),
            }
        }
    }

    fn read(&self, text: &'a str) -> Result<Option<Reported<'a>>, Rejection> {
        let reported = line::read(text, self.source)?;
        if let Some(reported) = &reported {
            reported.event.check_time(self.now)?;
        }
        Ok(reported)
    }

    /// Refuses a message that holds no lines.
    pub(crate) fn refuse_message(&mut self, message: &'a Message, error: &Unreadable) {
        self.refused.push(Refused {
            message_id: &message.message_id,
            shard_id: QUEUE_POSITION.into(),
            sequence_number: &message.message_id,
            payload: &message.body,
            rejection: Rejection::new(Reason::Malformed, Chain(error).to_string()),
        });
    }
}
