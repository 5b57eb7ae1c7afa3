//! The usage event of a decision.

use domain::dimension::Sources;
use domain::event::{EventData, EventType, Subject, UsageEvent};
use domain::id::EventId;
use domain::key::KeyRecord;
use domain::limit::Over;
use domain::names::TrackingMode;
use domain::route::{AttachedRoutes, Counted, OTHER, Routes, is_method};

use crate::decision::{Decision, Why};
use crate::request::Request;

/// The parts that all events of this deployment share.
#[derive(Debug)]
pub struct Origin {
    /// `source` of the events.
    pub source: String,
    /// How the authorizer reports them.
    pub mode: TrackingMode,
    /// The templates under which calls are counted.
    pub routes: Routes,
    /// Those of attached APIs that have their own.
    pub attached: AttachedRoutes,
    /// The dimensions that calls carry.
    pub dimensions: Sources,
}

impl Origin {
    /// The event of `decision` under the `id` minted for it; `None` if nothing was decided.
    pub fn event(&self, request: &Request, decision: &Decision, id: EventId) -> Option<UsageEvent> {
        let (event_type, key, key_id, reason) = match decision {
            Decision::Allow(key) => (EventType::ApiCall, Some(key), Some(key.id.clone()), None),
            Decision::Refuse(refused) => (
                EventType::AuthFailed,
                refused.key.as_ref(),
                refused.key_id.clone(),
                Some(refused.why),
            ),
            Decision::Limit(key, limited) => (
                EventType::RateLimited,
                Some(key),
                Some(key.id.clone()),
                Some(match limited.over {
                    Over::Rate { .. } => Why::Rate,
                    Over::Quota => Why::Quota,
                }),
            ),
            Decision::Undecided => return None,
        };
        let (method, counted) = self.counted(request);
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
                dimensions: match event_type {
                    EventType::ApiCall => self.labels(request),
                    EventType::AuthFailed | EventType::RateLimited => Vec::new(),
                },
                ip: request.ip().to_owned(),
                user_agent: request.user_agent().map(str::to_owned),
                request_id: request.request_id().map(str::to_owned),
                stage: request.stage().map(str::to_owned),
                mode: self.mode,
                reason,
            },
        })
    }

    /// The units of a call if it is accepted.
    pub fn units(&self, request: &Request) -> u32 {
        self.counted(request).1.units
    }

    /// The method, template and units under which a call is counted.
    fn counted<'a>(&'a self, request: &'a Request) -> (&'a str, Counted<'a>) {
        let method = request.http_method.as_str();
        let method = if is_method(method) { method } else { OTHER };
        let (resource, path) = (&request.resource, &request.path);
        let counted = match self.attached.get(request.api_id()) {
            Some(routes) => routes.of_attached(method, resource, path),
            None => self.routes.of(method, resource, path),
        };
        (method, counted)
    }
}

fn subject(request: &Request, key: Option<&KeyRecord>) -> Subject {
    match key {
        Some(key) => Subject::user(&key.email),
        None => Subject::address(request.ip()),
    }
}
