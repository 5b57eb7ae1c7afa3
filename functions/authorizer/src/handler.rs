//! One invocation: looks the key up, decides, answers, and has the decision reported.

use std::sync::Arc;
use std::time::Duration;

use domain::event::UsageEvent;
use domain::id::EventId;
use domain::plan::Plans;
use domain::route::is_method;
use domain::time::UnixMillis;
use lambda_runtime::{Context, LambdaEvent};
use runtime::clock::Clock;
use runtime::post_response::{Deferral, deadline};
use runtime::random;
use runtime::store::Store;
use runtime::stream::EventStream;
use tracing::Instrument as _;

use crate::answer::{Authorization, Failure};
use crate::decision::{Decision, Found, Why, decide, refuse_call};
use crate::event::Origin;
use crate::keys::{KeyTable, Keys};
use crate::request::{Credential, Request};
use crate::tracking::Tracking;

/// Reserved at the invocation's end for the log line of an event that nothing accepted.
const MARGIN: Duration = Duration::from_millis(200);

/// Decides and reports.
pub struct Handler<T, P, S, C> {
    /// The keys.
    pub keys: Keys<T>,
    /// The plans that keys may name.
    pub plans: Plans,
    /// Headers that no call may bring: the gateway sets them for the upstream.
    pub reserved: Vec<String>,
    /// What all events have in common.
    pub origin: Origin,
    /// Reports the events.
    pub tracking: Arc<Tracking<P, S, C>>,
    /// When they are reported.
    pub deferral: Deferral,
    /// The time.
    pub clock: C,
}

impl<T, P, S, C> Handler<T, P, S, C>
where
    T: KeyTable,
    P: EventStream + 'static,
    S: Store + 'static,
    C: Clock + 'static,
{
    /// Answers one request.
    pub async fn handle(&self, event: LambdaEvent<Request>) -> Result<Authorization, Failure> {
        let LambdaEvent { payload, context } = event;
        let (decision, now) = self.decide(&payload).await;
        let id = EventId::mint(
            millis(now),
            random::bytes().inspect_err(|_| self.tracking.undecided())?,
        );
        let Some(event) = self.origin.event(&payload, &decision, id) else {
            self.tracking.undecided();
            return Err(Failure::Undecided);
        };
        let answer = match &decision {
            Decision::Allow(key) => {
                if !self.plans.contains_key(&key.plan) {
                    tracing::warn!(
                        key = key.id,
                        plan = key.plan,
                        "the key names an unknown plan"
                    );
                }
                Ok(Authorization::of(key, &payload.method_arn, &event))
            }
            Decision::Refuse(refused) => {
                tracing::debug!(event = %id, why = ?refused.why, "a call is refused");
                Err(Failure::Unauthorized)
            }
            Decision::Undecided => Err(Failure::Undecided),
        };
        self.report(event, &context).await;
        answer
    }

    /// Decides, and says at what time.
    async fn decide(&self, request: &Request) -> (Decision, UnixMillis) {
        if let Some(why) = self.objection(request) {
            return (refuse_call(why), self.clock.now());
        }
        let credential = request.credential();
        let found = match &credential {
            Credential::WellFormed { hash } => self.keys.find(hash, &self.clock).await,
            Credential::Missing | Credential::Malformed { .. } => Found::Unknown,
        };
        let now = self.clock.now();
        (decide(&credential, found, now), now)
    }

    /// What is wrong with a call, with any key. Header names are case-sensitive to the gateway
    /// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html>):
    /// what it sets for the upstream could stand beside what a caller sends under another case.
    fn objection(&self, request: &Request) -> Option<Why> {
        if !is_method(&request.http_method) {
            return Some(Why::UnknownMethod);
        }
        request.brings_any(&self.reserved).then_some(Why::Forged)
    }

    async fn report(&self, event: UsageEvent, context: &Context) {
        let tracking = Arc::clone(&self.tracking);
        let until = deadline(context, MARGIN);
        let report = async move { tracking.report(event, until).await };
        self.deferral.defer(context, report.in_current_span()).await;
    }
}

fn millis(at: UnixMillis) -> u64 {
    u64::try_from(at.0).unwrap_or(0)
}

#[cfg(test)]
mod tests;
