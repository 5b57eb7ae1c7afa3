//! One invocation: looks up the key, decides, responds, and defers the report of the decision and
//! the preparation for the next calls.

use std::sync::Arc;
use std::time::Duration;

use domain::event::{EventType, UsageEvent};
use domain::id::EventId;
use domain::key::KeyRecord;
use domain::plan::Plans;
use domain::route::is_method;
use domain::time::UnixMillis;
use lambda_runtime::{Context, LambdaEvent};
use runtime::clock::Clock;
use runtime::counters::CounterTable;
use runtime::post_response::{Deferral, deadline};
use runtime::random;
use runtime::store::Store;
use runtime::stream::EventStream;
use tokio::time::timeout;
use tracing::Instrument as _;

use crate::answer::{Authorization, Failure};
use crate::blocks::Blocks;
use crate::cache::Recalled;
use crate::decision::{Decision, Found, Why, decide, refuse_call};
use crate::event::Origin;
use crate::keys::{KeyTable, Keys};
use crate::limits::Limiter;
use crate::request::{Credential, Request};
use crate::tracking::Tracking;

/// Time reserved at the end of an invocation for the log line of an event that nothing accepted.
const MARGIN: Duration = Duration::from_millis(200);
/// The longest that an instance is held to bring keys and limits up to date.
const LONGEST_UPKEEP: Duration = Duration::from_secs(3);

/// The parts that decide about a call.
pub struct Access<T, S, N> {
    /// The keys.
    pub keys: Keys<T>,
    /// The refused addresses.
    pub blocks: Blocks<S>,
    /// The limits of plans, users and keys.
    pub limiter: Limiter<S, N>,
    /// The plans that keys may name.
    pub plans: Plans,
}

/// Decides and reports.
pub struct Handler<T, P, S, N, C> {
    /// The parts that decide.
    pub access: Arc<Access<T, S, N>>,
    /// Prefix of the keys of this deployment.
    pub key_prefix: String,
    /// Headers that a call must not carry: the gateway sets them for the upstream.
    pub reserved: Vec<String>,
    /// The parts that all events share.
    pub origin: Origin,
    /// Reports the events.
    pub tracking: Arc<Tracking<P, S, C>>,
    /// Defers the reports.
    pub deferral: Deferral,
    /// The time.
    pub clock: C,
}

/// The decision about a call.
struct Decided {
    decision: Decision,
    now: UnixMillis,
    /// The hash of a key to read again after the response.
    renewed: Option<String>,
}

/// Work after a response, besides the report.
struct Upkeep {
    /// The hash of a key to read again.
    renewed: Option<String>,
    /// The key of a call that was checked against its limits.
    key: Option<KeyRecord>,
    /// Whether that call was accepted.
    is_used: bool,
}

impl<T, S, N> Access<T, S, N>
where
    T: KeyTable,
    S: Store,
    N: CounterTable,
{
    /// Finds a key, unless its address is blocked.
    async fn find(&self, hash: &str, address: &str, clock: &impl Clock) -> Recalled {
        let (recalled, ()) = tokio::join!(
            self.keys.find(hash, address, clock),
            self.blocks.catch_up(clock.now()),
        );
        if self.blocks.hold(address) {
            return Recalled {
                found: Found::Blocked,
                ..recalled
            };
        }
        recalled
    }

    /// Checks an authorized call of `units` against the limits of its plan.
    async fn limit(&self, key: KeyRecord, units: u32, now: UnixMillis) -> Decision {
        let Some(plan) = self.plans.get(&key.plan) else {
            tracing::warn!(
                key = key.id,
                plan = key.plan,
                "the key names an unknown plan"
            );
            return Decision::Allow(key);
        };
        match self.limiter.admit(&key, plan, units, now).await {
            Ok(()) => Decision::Allow(key),
            Err(limited) => Decision::Limit(key, limited),
        }
    }

    /// Brings the data that decide the next calls up to date.
    async fn keep_up(&self, upkeep: Upkeep, clock: &impl Clock) {
        let keys = async {
            if let Some(hash) = &upkeep.renewed {
                self.keys.renew(hash, clock).await;
            }
            if let Some(key) = upkeep.key.as_ref().filter(|_| upkeep.is_used) {
                self.keys.note_use(key, clock.now()).await;
            }
        };
        let limits = async {
            if let Some(key) = &upkeep.key
                && let Some(plan) = self.plans.get(&key.plan)
            {
                self.limiter.keep_up(key, plan, clock.now()).await;
            }
        };
        tokio::join!(keys, limits, self.blocks.renew(clock.now()));
    }
}

impl<T, P, S, N, C> Handler<T, P, S, N, C>
where
    T: KeyTable + 'static,
    P: EventStream + 'static,
    S: Store + 'static,
    N: CounterTable + 'static,
    C: Clock + Clone + 'static,
{
    /// Handles one request.
    pub async fn handle(&self, event: LambdaEvent<Request>) -> Result<Authorization, Failure> {
        let LambdaEvent { payload, context } = event;
        // An attached API may send preflights here. They are neither calls nor failures.
        if payload.is_preflight() {
            return Authorization::refused(&payload);
        }
        let Decided {
            decision,
            now,
            renewed,
        } = self.decide(&payload).await;
        let id = EventId::mint(
            millis(now),
            random::bytes().inspect_err(|_| self.tracking.undecided())?,
        );
        let Some(event) = self.origin.event(&payload, &decision, id) else {
            self.tracking.undecided();
            return Err(Failure::Undecided);
        };
        let (answer, key) = match decision {
            Decision::Allow(key) => {
                let answer = Authorization::of(&payload, &key, &event);
                (Ok(answer), Some(key))
            }
            Decision::Limit(key, limited) => {
                let answer = Authorization::denied(&payload, &key, &event, &limited);
                (Ok(answer), Some(key))
            }
            Decision::Refuse(refused) => {
                tracing::debug!(event = %id, why = ?refused.why, "a call is refused");
                (Authorization::refused(&payload), None)
            }
            Decision::Undecided => (Err(Failure::Undecided), None),
        };
        let upkeep = Upkeep {
            renewed,
            key,
            is_used: event.event_type == EventType::ApiCall,
        };
        self.defer(event, upkeep, &context).await;
        answer
    }

    /// Decides about a call and notes the time.
    async fn decide(&self, request: &Request) -> Decided {
        if let Some(why) = self.objection(request) {
            return Decided {
                decision: refuse_call(why),
                now: self.clock.now(),
                renewed: None,
            };
        }
        let credential = request.credential(&self.key_prefix);
        let (recalled, hash) = match &credential {
            Credential::WellFormed { hash } => {
                let recalled = self.access.find(hash, request.ip(), &self.clock).await;
                (recalled, Some(hash))
            }
            Credential::Missing | Credential::Malformed { .. } => (Recalled::UNKNOWN, None),
        };
        let renewed = hash.filter(|_| recalled.is_due).cloned();
        let now = self.clock.now();
        let decision = match decide(&credential, recalled.found, now) {
            Decision::Allow(key) => {
                let units = self.origin.units(request);
                self.access.limit(key, units, now).await
            }
            decision => decision,
        };
        Decided {
            decision,
            now,
            renewed,
        }
    }

    /// The objection to a call, with any key. The gateway's header names are case-sensitive
    /// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html>):
    /// a caller's header in another case could reach the upstream beside the gateway's.
    fn objection(&self, request: &Request) -> Option<Why> {
        if !is_method(&request.http_method) {
            return Some(Why::UnknownMethod);
        }
        request.brings_any(&self.reserved).then_some(Why::Forged)
    }

    /// Defers the report of the event and the upkeep until the response is posted.
    async fn defer(&self, event: UsageEvent, upkeep: Upkeep, context: &Context) {
        let tracking = Arc::clone(&self.tracking);
        let access = Arc::clone(&self.access);
        let clock = self.clock.clone();
        let until = deadline(context, MARGIN);
        let work = async move {
            let kept_up = timeout(LONGEST_UPKEEP, access.keep_up(upkeep, &clock));
            let ((), kept_up) = tokio::join!(tracking.report(event, until), kept_up);
            if kept_up.is_err() {
                tracing::warn!("keys and limits are not up to date");
            }
        };
        self.deferral.defer(context, work.in_current_span()).await;
    }
}

fn millis(at: UnixMillis) -> u64 {
    u64::try_from(at.0).unwrap_or(0)
}

#[cfg(test)]
mod tests;
