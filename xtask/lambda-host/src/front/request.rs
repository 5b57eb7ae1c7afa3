//! Requests on their way through the gateway, and what the host sees of them.
//!
//! A request is recognised in the authorizer's and the integration's event by the root of its
//! `X-Amzn-Trace-Id`, the header that API Gateway itself gives every request: integrations see
//! nothing that AWS would not show them.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    body::Bytes,
    http::{HeaderMap, Method, header::HOST},
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{function::Outcome, ids};

/// What a function does for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Authorizer,
    Integration,
}

/// A request, as the gateway knows it.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) id: String,
    pub(crate) extended_id: String,
    pub(crate) trace_root: String,
    pub(crate) method: Method,
    /// With the stage, without the query.
    pub(crate) path: String,
    pub(crate) source_ip: IpAddr,
    pub(crate) headers: HeaderMap,
    pub(crate) at: Timestamp,
    pub(crate) started: Instant,
    seen: Mutex<Seen>,
}

/// What the functions' invocations tell of a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) account_id: Option<String>,
    pub(crate) resource_id: Option<String>,
    pub(crate) resource_path: Option<String>,
    pub(crate) authorizer: Option<Call>,
    pub(crate) integration: Option<Call>,
}

/// A function's part in a request.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Lambda's id of the invocation.
    pub(crate) request_id: String,
    pub(crate) took: Duration,
    pub(crate) outcome: Outcome,
}

impl Request {
    pub(crate) fn new(method: Method, path: &str, source_ip: IpAddr, headers: HeaderMap) -> Self {
        let at = Timestamp::now();
        Self {
            id: ids::request_id(),
            extended_id: ids::extended_request_id(),
            trace_root: ids::trace_root(at.as_second()),
            method,
            path: path.to_owned(),
            source_ip,
            headers,
            at,
            started: Instant::now(),
            seen: Mutex::default(),
        }
    }

    fn seen_mut(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen_mut().clone()
    }

    /// `$context.requestTime`: the common log format's time.
    pub(crate) fn common_log_time(&self) -> String {
        self.at.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string()
    }

    /// A function has done its part.
    pub(crate) fn record(&self, role: Role, call: Call) {
        let mut seen = self.seen_mut();
        match role {
            Role::Authorizer => seen.authorizer = Some(call),
            Role::Integration => seen.integration = Some(call),
        }
    }

    /// Puts the gateway's own knowledge into a function's event, and notes what the event tells.
    fn complete(&self, event: &mut Map<String, Value>) {
        self.restore_host(event);
        let Some(context) = event
            .get_mut("requestContext")
            .and_then(Value::as_object_mut)
        else {
            return;
        };
        let text = |context: &Map<String, Value>, member: &str| {
            context
                .get(member)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        {
            let mut seen = self.seen_mut();
            seen.account_id = text(context, "accountId");
            seen.resource_id = text(context, "resourceId");
            seen.resource_path = text(context, "resourcePath");
        }
        for (member, value) in [
            ("requestId", json!(self.id)),
            ("extendedRequestId", json!(self.extended_id)),
            ("requestTime", json!(self.common_log_time())),
            ("requestTimeEpoch", json!(self.at.as_millisecond())),
            ("path", json!(self.path)),
            ("protocol", json!("HTTP/1.1")),
        ] {
            context.insert(member.to_owned(), value);
        }
        let identity = context.entry("identity").or_insert_with(|| json!({}));
        if let Some(identity) = identity.as_object_mut() {
            // The address of the connection: `X-Forwarded-For` is the caller's to choose.
            identity.insert("sourceIp".to_owned(), json!(self.source_ip.to_string()));
        }
    }

    /// The emulator saw its own address where the caller named the API's.
    fn restore_host(&self, event: &mut Map<String, Value>) {
        let Some(host) = self.headers.get(HOST).and_then(|host| host.to_str().ok()) else {
            return;
        };
        for (member, value) in [
            ("headers", json!(host)),
            ("multiValueHeaders", json!([host])),
        ] {
            if let Some(headers) = event.get_mut(member).and_then(Value::as_object_mut) {
                headers.insert("host".to_owned(), value);
            }
        }
    }
}

/// The requests that are under way.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    open: Mutex<HashMap<String, Arc<Request>>>,
}

impl Requests {
    fn open_mut(&self) -> MutexGuard<'_, HashMap<String, Arc<Request>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin(&self, request: Request) -> Arc<Request> {
        let request = Arc::new(request);
        self.open_mut()
            .insert(request.trace_root.clone(), Arc::clone(&request));
        request
    }

    pub(crate) fn end(&self, request: &Request) {
        self.open_mut().remove(&request.trace_root);
    }

    /// The request that a function is invoked for, with the event completed; `None` for an
    /// invocation that is not part of one.
    pub(crate) fn recognise(&self, payload: &Bytes) -> Option<(Arc<Request>, Role, Bytes)> {
        const HEADER: &[u8] = b"\"x-amzn-trace-id\"";
        if self.open_mut().is_empty() || !payload.windows(HEADER.len()).any(|part| part == HEADER) {
            return None;
        }
        let mut event: Map<String, Value> = serde_json::from_slice(payload).ok()?;
        let trace = event.get("headers")?.get("x-amzn-trace-id")?.as_str()?;
        let root = trace
            .split(';')
            .find_map(|part| part.strip_prefix("Root="))?;
        let request = self.open_mut().get(root).cloned()?;
        let role = if event
            .get("type")
            .is_some_and(|kind| kind == "REQUEST" || kind == "TOKEN")
        {
            Role::Authorizer
        } else {
            Role::Integration
        };
        request.complete(&mut event);
        let payload = Bytes::from(Value::Object(event).to_string());
        Some((request, role, payload))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn request() -> Request {
        Request::new(
            Method::GET,
            "/local/v1/x",
            Ipv4Addr::LOCALHOST.into(),
            HeaderMap::new(),
        )
    }

    fn event(trace: &str) -> Bytes {
        let event = json!({
            "type": "REQUEST",
            "headers": {"x-amzn-trace-id": trace},
            "requestContext": {
                "requestId": "the caller's", "accountId": "000000000000", "resourcePath": "/v1/x",
                "identity": {"sourceIp": "6.6.6.6"}
            }
        });
        Bytes::from(event.to_string())
    }

    #[test]
    fn an_event_is_completed_with_what_the_gateway_knows() {
        let requests = Requests::default();
        let request = requests.begin(request());
        let trace = format!("Root={}", request.trace_root);
        let (found, role, payload) = requests.recognise(&event(&trace)).unwrap();
        assert!(Arc::ptr_eq(&found, &request));
        assert_eq!(role, Role::Authorizer);
        let event: Value = serde_json::from_slice(&payload).unwrap();
        let context = event.get("requestContext").unwrap();
        assert_eq!(context["requestId"], json!(request.id));
        assert_eq!(context["identity"]["sourceIp"], json!("127.0.0.1"));
        assert_eq!(request.seen().resource_path.as_deref(), Some("/v1/x"));
    }

    #[test]
    fn an_event_of_no_open_request_is_left_alone() {
        let requests = Requests::default();
        let request = requests.begin(request());
        assert!(requests.recognise(&event("Root=1-0-0")).is_none());
        assert!(
            requests
                .recognise(&Bytes::from_static(b"{\"x\":1}"))
                .is_none()
        );
        requests.end(&request);
        assert!(
            requests
                .recognise(&event(&format!("Root={}", request.trace_root)))
                .is_none()
        );
    }
}
