//! The usage event of a decision.

use std::sync::{Mutex, PoisonError};

use domain::event::{EventData, EventType, Subject, UsageEvent};
use domain::id::EventId;
use domain::key::KeyRecord;
use domain::names::TrackingMode;
use domain::time::UnixMillis;

use crate::decision::Decision;
use crate::lanes::Lanes;
use crate::request::Request;

/// What every event of this deployment has in common.
#[derive(Debug)]
pub struct Origin {
    /// `source` of the events.
    pub source: String,
    /// How they are reported.
    pub mode: TrackingMode,
    /// Over how many lanes each caller's are spread.
    pub lanes: Mutex<Lanes>,
}

impl Origin {
    /// The event of `decision`, made at `now`; none where nothing was decided.
    pub fn event(
        &self,
        request: &Request,
        decision: &Decision,
        id: EventId,
        now: UnixMillis,
    ) -> Option<UsageEvent> {
        let (event_type, key, key_id) = match decision {
            Decision::Allow(key) => (EventType::ApiCall, Some(key), Some(key.id.clone())),
            Decision::Refuse(refused) => (
                EventType::AuthFailed,
                refused.key.as_ref(),
                refused.key_id.clone(),
            ),
            Decision::Undecided => return None,
        };
        let subject = subject(request, key);
        let lanes = self.lanes_of(&subject, now);
        Some(UsageEvent {
            id,
            source: self.source.clone(),
            event_type,
            time: now,
            subject,
            data: EventData {
                key_id,
                plan: key.map(|key| key.plan.clone()),
                method: request.http_method.clone(),
                endpoint: request.resource.clone(),
                ip: request.ip().to_owned(),
                user_agent: request.user_agent().map(str::to_owned),
                request_id: request.request_id().map(str::to_owned),
                stage: request.stage().map(str::to_owned),
                lanes,
                mode: self.mode,
            },
        })
    }

    fn lanes_of(&self, subject: &Subject, now: UnixMillis) -> u16 {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.of(subject, now)
    }
}

fn subject(request: &Request, key: Option<&KeyRecord>) -> Subject {
    match key {
        Some(key) => Subject::user(&key.email),
        None => Subject::address(request.ip()),
    }
}
