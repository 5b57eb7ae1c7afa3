//! The usage event of a decision.

use domain::event::{EventData, EventType, Subject, UsageEvent};
use domain::id::EventId;
use domain::key::KeyRecord;
use domain::names::TrackingMode;
use domain::route::{OTHER, Routes, is_method};

use crate::decision::Decision;
use crate::request::Request;

/// What all events of this deployment have in common.
#[derive(Debug)]
pub struct Origin {
    /// `source` of the events.
    pub source: String,
    /// How the authorizer reports them.
    pub mode: TrackingMode,
    /// The templates that calls are counted under.
    pub routes: Routes,
}

impl Origin {
    /// The event of `decision` under the `id` minted for it; `None` where nothing was decided.
    pub fn event(&self, request: &Request, decision: &Decision, id: EventId) -> Option<UsageEvent> {
        let (event_type, key, key_id) = match decision {
            Decision::Allow(key) => (EventType::ApiCall, Some(key), Some(key.id.clone())),
            Decision::Refuse(refused) => (
                EventType::AuthFailed,
                refused.key.as_ref(),
                refused.key_id.clone(),
            ),
            Decision::Undecided => return None,
        };
        let method = request.http_method.as_str();
        let method = if is_method(method) { method } else { OTHER };
        let counted = self.routes.of(method, &request.resource, &request.path);
        Some(UsageEvent {
            id,
            source: self.source.clone(),
            event_type,
            time: id.minted_at(),
            subject: subject(request, key),
            data: EventData {
                key_id,
                plan: key.map(|key| key.plan.clone()),
                method: method.to_owned(),
                endpoint: counted.endpoint.to_owned(),
                units: counted.units,
                ip: request.ip().to_owned(),
                user_agent: request.user_agent().map(str::to_owned),
                request_id: request.request_id().map(str::to_owned),
                stage: request.stage().map(str::to_owned),
                mode: self.mode,
            },
        })
    }
}

fn subject(request: &Request, key: Option<&KeyRecord>) -> Subject {
    match key {
        Some(key) => Subject::user(&key.email),
        None => Subject::address(request.ip()),
    }
}
