//! Calls, and records that no authorizer of this release sends.

use domain::event::{EventType, Subject, UsageEvent};
use domain::names::AUTHORIZER_SECONDS;

use super::super::log::{self, Line};
use super::super::random::Random;
use super::super::schedule::{Call, Response, Twist};
use super::super::task::Task;
use super::super::traffic::{CALLERS, ROUTES, event};
use super::{Sent, World};

impl World {
    pub(super) fn call(&mut self, call: Call, random: &mut Random) {
        let subject = Subject::as_carried(CALLERS[call.caller]);
        let authorizer = &self.authorizers[call.instance];
        let time = self.now().plus_millis(authorizer.ahead);
        let mut event = event(subject, call.event_type, call.route, time, random);
        event.data.mode = authorizer.mode;
        if !self.decide(&event, call.instance, call.answer, random) {
            self.answer_call(event, call.instance, call.answer);
        }
    }

    /// The authorizer reports a call, and the gateway writes its line.
    pub(super) fn answer_call(&mut self, event: UsageEvent, instance: usize, answer: Response) {
        self.report(event.clone(), instance);
        if answer.logged {
            let told = twisted(event, answer.twist);
            let answered = (answer.status, answer.latency);
            let line = log::of_call(&told, answered, self.now());
            self.oracle.learn_line(&line);
            self.log.write(line);
        }
    }

    pub(super) fn report(&mut self, event: UsageEvent, instance: usize) {
        let number = self.oracle.learn(event.clone());
        let tracking = &self.authorizers[instance].tracking;
        let until = self
            .now()
            .plus_millis(i64::from(AUTHORIZER_SECONDS) * 1_000);
        self.tasks
            .push(Task::report(tracking, event, number, (instance, until)));
    }

    /// The gateway refuses a call by itself.
    pub(super) fn refuse(&mut self, random: &mut Random) {
        let subject = Subject::as_carried(random.pick(&CALLERS));
        let route = random.place(ROUTES.len());
        let event = event(subject, EventType::AuthFailed, route, self.now(), random);
        let (event, text) = log::refusal(event, random);
        self.oracle.learn(event.clone());
        let line = Line {
            text,
            told: Some(log::ToldCall {
                told: event,
                response: None,
            }),
            poison: false,
        };
        self.oracle.learn_line(&line);
        self.log.write(line);
    }

    pub(super) fn late(&mut self, ago: i64, random: &mut Random) {
        let subject = Subject::as_carried(random.pick(&CALLERS));
        let event_type = if subject.email().is_some() {
            EventType::ApiCall
        } else {
            EventType::AuthFailed
        };
        let time = self.now().plus_millis(-ago);
        let route = random.place(ROUTES.len());
        let event = event(subject, event_type, route, time, random);
        self.oracle.learn(event.clone());
        self.put(&event.partition_key(1), event.to_json());
    }

    /// An event arrives under an id that was used before.
    pub(super) fn forge(&mut self, choice: u64) {
        let some = self.records.some(choice, 1);
        let number = some.first().and_then(|number| self.sent[*number].event);
        let Some(number) = number else {
            return;
        };
        let mut event = self.oracle.known[number].event.clone();
        let known = event.data.clone();
        event.data.endpoint.push_str("/forged");
        if choice.is_multiple_of(5)
            && let Some(label) = event.data.dimensions.first_mut()
        {
            // Only what a dimension says differs, or whether there are any.
            event.data.endpoint = known.endpoint;
            label.value = "forged".into();
            if choice.is_multiple_of(2) {
                event.data.dimensions.clear();
            }
        } else if choice.is_multiple_of(3) {
            // Only the key differs.
            event.data.endpoint = known.endpoint;
            event.data.key_id = Some("key_forged".to_owned());
        } else if choice.is_multiple_of(2) {
            event.subject = Subject::user(CALLERS[2]);
        }
        self.oracle.learn(event.clone());
        self.put(&event.partition_key(1), event.to_json());
    }

    /// A record that the stream accepted earlier arrives once more, at its end.
    pub(super) fn put_again(&mut self, choice: u64) {
        if let Some(number) = self.records.some(choice, 1).first() {
            let key = self.records.key(*number).to_owned();
            self.put(&key, self.sent[*number].payload.clone());
        }
    }

    pub(super) fn put(&mut self, key: &str, payload: Vec<u8>) {
        self.records.put(key, payload.len(), self.now().0);
        let event = self.oracle.number_of(&payload);
        self.sent.push(Sent { payload, event });
    }
}

/// The event according to a line that disagrees with the authorizer.
fn twisted(mut event: UsageEvent, twist: Twist) -> UsageEvent {
    match twist {
        Twist::Route => event.data.endpoint.push_str("/twisted"),
        Twist::Type if event.event_type == EventType::ApiCall => {
            event.event_type = EventType::RateLimited;
        }
        Twist::Subject if event.subject.email().is_some() => {
            event.subject = Subject::user(CALLERS[1]);
        }
        Twist::Key => event.data.key_id = Some("key_twisted".to_owned()),
        Twist::None | Twist::Type | Twist::Subject => {}
    }
    event
}
