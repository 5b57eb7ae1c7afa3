//! The access log: the gateway's line of each call, the subscription that delivers lines, and the
//! queue that delays some of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::access_log::{self as log, ABSENT};
use domain::event::{EventType, Subject, UsageEvent};
use domain::gateway::Gateway;
use domain::id::EventId;
use domain::names::context;
use domain::response::Response;
use domain::time::UnixMillis;
use reconciler::invocation::{LogData, LogEvent, MessageType};
use runtime::memory::{Fault, Pace};
use runtime::queue::{Queue, SendError};

use super::random::Random;
use super::schedule::Place;
use super::weather::Weather;

/// Milliseconds after which an unfinished message is redelivered.
const HIDDEN: i64 = 30_000;

/// A line.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) text: String,
    /// Its content about a call; `None` if it says nothing that counts.
    pub(super) told: Option<ToldCall>,
    /// Whether it is not a valid line.
    pub(super) poison: bool,
}

/// A line's content about a call.
#[derive(Debug)]
pub(super) struct ToldCall {
    /// The event according to the line.
    pub(super) told: UsageEvent,
    pub(super) response: Option<Response>,
}

/// A message of the queue.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) id: usize,
    pub(super) body: String,
    ready: UnixMillis,
    /// Whether it was finished and is redelivered nevertheless.
    repeated: bool,
}

impl Message {
    pub(super) const fn first(&self) -> bool {
        !self.repeated
    }
}

/// Lines, and their locations.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) lines: Vec<Line>,
    /// Lines that the subscription has not delivered.
    pending: Vec<usize>,
    waiting: Vec<Message>,
    messages: usize,
}

impl Log {
    pub(super) fn write(&mut self, line: Line) {
        self.pending.push(self.lines.len());
        self.lines.push(line);
    }

    /// Returns lines that were not accepted, to be redelivered.
    pub(super) fn put_back(&mut self, lines: &[usize]) {
        self.pending.extend(lines);
    }

    /// Some undelivered lines, in any order.
    pub(super) fn some(&mut self, random: &mut Random) -> Vec<usize> {
        let most = 1 + random.place(6);
        let mut some = Vec::new();
        while some.len() < most && !self.pending.is_empty() {
            some.push(self.pending.swap_remove(random.place(self.pending.len())));
        }
        some
    }

    /// All undelivered lines.
    pub(super) fn all(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.pending)
    }

    /// Earlier lines, delivered or not.
    pub(super) fn again(&self, choice: u64, length: usize) -> Vec<usize> {
        let end = self.lines.len();
        let from = Random::new(choice).place(end);
        (from..(from + length).min(end)).collect()
    }

    /// The payload of the subscription's delivery.
    pub(super) fn data(&self, lines: &[usize]) -> LogData {
        let event = |number: &usize| LogEvent {
            id: format!("line-{number}"),
            message: self.lines[*number].text.clone(),
        };
        LogData {
            message_type: MessageType::DataMessage,
            log_group: "access".to_owned(),
            log_stream: "s".to_owned(),
            log_events: lines.iter().map(event).collect(),
        }
    }

    /// The queue accepts messages.
    pub(super) fn queue(&mut self, bodies: Vec<(String, u32)>, now: UnixMillis) {
        for (body, delay) in bodies {
            self.messages += 1;
            self.waiting.push(Message {
                id: self.messages,
                body,
                ready: now.plus_millis(i64::from(delay) * 1_000),
                repeated: false,
            });
        }
    }

    /// Messages that are due, at most `most`.
    pub(super) fn due(&mut self, now: UnixMillis, most: usize) -> Vec<Message> {
        let mut due = Vec::new();
        while due.len() < most
            && let Some(place) = self.waiting.iter().position(|known| known.ready <= now)
        {
            due.push(self.waiting.swap_remove(place));
        }
        due
    }

    /// Redelivers a message that was not finished, or that was.
    pub(super) fn hand_out_again(&mut self, message: Message, now: UnixMillis, repeated: bool) {
        self.waiting.push(Message {
            ready: now.plus_millis(HIDDEN),
            repeated: repeated || message.repeated,
            ..message
        });
    }

    /// When the next message is due.
    pub(super) fn wake(&self) -> Option<UnixMillis> {
        self.waiting.iter().map(|message| message.ready).min()
    }

    pub(super) fn is_done(&self) -> bool {
        self.pending.is_empty() && self.waiting.is_empty()
    }
}

/// The numbers of a message's lines.
pub(super) fn lines_of(body: &str) -> Vec<usize> {
    let data = LogData::read(body).expect("a message holds lines");
    data.log_events.iter().map(number_of).collect()
}

pub(super) fn number_of(event: &LogEvent) -> usize {
    number(&event.id).expect("lines have numbers")
}

pub(super) fn number(id: &str) -> Option<usize> {
    id.strip_prefix("line-")?.parse().ok()
}

fn line(members: &[(&str, String)]) -> String {
    log::write(Gateway::Rest, |member| {
        let of = members.iter().find(|(known, _)| *known == member);
        of.map_or(ABSENT.to_owned(), |(_, value)| value.clone())
    })
}

/// The gateway's line of a call that an authorizer handled: `told` is the event according to the
/// line.
pub(super) fn of_call(
    told: &UsageEvent,
    (status, latency): (Option<u16>, Option<u32>),
    requested_at: UnixMillis,
) -> Line {
    let data = &told.data;
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| ABSENT.to_owned());
    let mut members = vec![
        (log::EXTENDED_REQUEST_ID, format!("of {}", told.id)),
        (log::REQUEST_TIME, requested_at.0.to_string()),
        (log::IP, data.ip.clone()),
        (log::METHOD, data.method.clone()),
        // The gateway sees one resource: the authorizer distinguishes its routes.
        (log::RESOURCE_PATH, "/{proxy+}".to_owned()),
        (log::STAGE, text(&data.stage)),
        (log::REQUEST_ID, text(&data.request_id)),
        (log::USER_AGENT, text(&data.user_agent)),
    ];
    if told.event_type == EventType::AuthFailed {
        members.extend([
            (log::STATUS, "401".to_owned()),
            (log::AUTHORIZER_LATENCY, "2".to_owned()),
            (log::RESPONSE_TYPE, "UNAUTHORIZED".to_owned()),
        ]);
        return Line {
            text: line(&members),
            told: None,
            poison: false,
        };
    }
    members.extend([
        (context::EVENT_ID, told.id.to_string()),
        (context::KEY_ID, text(&data.key_id)),
        (context::PLAN, text(&data.plan)),
        (context::MODE, data.mode.to_string()),
        (context::ROUTE, data.endpoint.clone()),
        (context::UNITS, data.units.to_string()),
        (context::EMAIL, told.subject.to_string()),
    ]);
    let is_call = told.event_type == EventType::ApiCall;
    if is_call {
        let number = |of: Option<String>| of.unwrap_or_else(|| ABSENT.to_owned());
        members.extend([
            (log::STATUS, number(status.map(|status| status.to_string()))),
            (
                log::RESPONSE_LATENCY,
                number(latency.map(|millis| millis.to_string())),
            ),
            (log::AUTHORIZER_STATUS, "200".to_owned()),
        ]);
    } else {
        members.extend([
            (log::STATUS, "429".to_owned()),
            (log::AUTHORIZER_STATUS, "403".to_owned()),
            (log::RESPONSE_TYPE, log::ACCESS_DENIED.to_owned()),
        ]);
    }
    let response = status.filter(|_| is_call);
    let response = response.map(|status| Response { status, latency });
    Line {
        text: line(&members),
        told: Some(ToldCall {
            told: told.clone(),
            response,
        }),
        poison: false,
    }
}

/// A call that the gateway refuses by itself: the event that it counts as, and its line.
pub(super) fn refusal(mut event: UsageEvent, random: &mut Random) -> (UsageEvent, String) {
    let name = format!("{:016x}=", random.next());
    event.id = EventId::derive(event.time.0.unsigned_abs(), &name);
    event.event_type = EventType::AuthFailed;
    event.subject = Subject::address(&event.data.ip);
    (event.data.key_id, event.data.plan) = (None, None);
    let data = &event.data;
    let text = line(&[
        (log::EXTENDED_REQUEST_ID, name),
        (log::REQUEST_TIME, event.time.0.to_string()),
        (log::IP, data.ip.clone()),
        (log::METHOD, data.method.clone()),
        (log::RESOURCE_PATH, data.endpoint.clone()),
        (log::STATUS, "403".to_owned()),
        (log::RESPONSE_TYPE, "INVALID_API_KEY".to_owned()),
        (log::REQUEST_ID, data.request_id.clone().unwrap_or_default()),
    ]);
    (event, text)
}

/// A queue, as its senders see it.
#[derive(Debug, Clone)]
pub(super) struct ModelQueue {
    component: Place,
    weather: Weather,
    pace: Pace,
    taken: Arc<Mutex<Vec<(String, u32)>>>,
}

impl ModelQueue {
    pub(super) fn new(component: Place, weather: Weather, pace: Pace) -> Self {
        Self {
            component,
            weather,
            pace,
            taken: Arc::default(),
        }
    }

    pub(super) fn take(&self) -> Vec<(String, u32)> {
        std::mem::take(&mut lock(&self.taken))
    }
}

impl Queue for ModelQueue {
    async fn send(&self, body: String, delay_seconds: u32) -> Result<(), SendError> {
        self.pace.stop().await;
        let fault = self.weather.decide(self.component);
        if matches!(fault, Fault::None | Fault::AnswerLost | Fault::DoneAndHangs) {
            lock(&self.taken).push((body, delay_seconds));
        }
        self.pace.stop().await;
        match fault {
            Fault::None => Ok(()),
            Fault::Hangs | Fault::DoneAndHangs => std::future::pending().await,
            _ => Err(SendError {
                source: "injected".into(),
            }),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
