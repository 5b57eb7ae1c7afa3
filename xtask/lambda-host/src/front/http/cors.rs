//! An HTTP API's own answers to pages of other origins
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html>): it answers
//! preflights without a route, and replaces what an integration says about origins. AWS documents no
//! headers on the gateway's own refusals.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

use crate::front::request::Request;

/// A `CorsConfiguration`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cors {
    pub(crate) origins: Vec<String>,
    pub(crate) headers: Vec<String>,
    pub(crate) methods: Vec<String>,
    pub(crate) exposed: Vec<String>,
    pub(crate) credentials: bool,
    pub(crate) max_age: Option<i64>,
}

/// The headers that an integration cannot set.
const PREFIX: &str = "access-control-";

/// Whether a browser asks what it may send
/// (<https://fetch.spec.whatwg.org/#cors-preflight-request>).
pub(super) fn is_preflight(request: &Request) -> bool {
    request.method == Method::OPTIONS
        && request.headers.contains_key(header::ORIGIN)
        && request
            .headers
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

impl Cors {
    /// The answer to a preflight. A page of another origin learns nothing, so its browser refuses.
    pub(super) fn preflight(&self, request: &Request) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        if self.allow(request, headers) {
            let age = self.max_age.map(|age| age.to_string());
            for (name, value) in [
                ("access-control-allow-headers", self.headers.join(",")),
                ("access-control-allow-methods", self.methods.join(",")),
                ("access-control-max-age", age.unwrap_or_default()),
            ] {
                set(headers, name, &value);
            }
        }
        response
    }

    /// Replaces what an integration says.
    pub(super) fn replace(&self, request: &Request, headers: &mut HeaderMap) {
        let said: Vec<_> = headers.keys().cloned().collect();
        for name in said.iter().filter(|name| name.as_str().starts_with(PREFIX)) {
            headers.remove(name);
        }
        if self.allow(request, headers) {
            let exposed = self.exposed.join(",");
            set(headers, "access-control-expose-headers", &exposed);
        }
    }

    /// Names the requesting origin, or any, if the configuration does.
    fn allow(&self, request: &Request, headers: &mut HeaderMap) -> bool {
        let asking = request.headers.get(header::ORIGIN);
        let asking = asking.and_then(|origin| origin.to_str().ok());
        let Some(asking) = asking else {
            return false;
        };
        let any = self.origins.iter().any(|origin| origin == "*");
        if !any && !self.origins.iter().any(|origin| origin == asking) {
            return false;
        }
        let named = if any { "*" } else { asking };
        set(headers, "access-control-allow-origin", named);
        if self.credentials {
            set(headers, "access-control-allow-credentials", "true");
        }
        if !any {
            set(headers, "vary", "Origin");
        }
        true
    }
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Some(value) = HeaderValue::try_from(value)
        .ok()
        .filter(|_| !value.is_empty())
    {
        headers.insert(name, value);
    }
}
