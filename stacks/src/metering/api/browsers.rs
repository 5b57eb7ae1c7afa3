//! Responses to pages of other origins: to preflights, and the gateway's own responses.
//!
//! Behind a REST API, the upstream's responses carry the upstream's own headers: a proxy integration
//! passes a response through unchanged
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/how-to-cors.html>). An HTTP API
//! replaces these headers by its own configuration's
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html>).

use std::collections::BTreeMap;

use crate::constructs::{HttpCors, Preflight};
use crate::environment::{Cors, Origins};

const ORIGIN: &str = "Access-Control-Allow-Origin";
const CREDENTIALS: &str = "Access-Control-Allow-Credentials";
/// A cache may give a response to another page only if it does not name an origin.
const VARY: (&str, &str) = ("Vary", "Origin");

/// An HTTP API's configuration.
pub(super) fn configuration(cors: &Cors) -> HttpCors {
    HttpCors {
        origins: match &cors.origins {
            Origins::Any => vec!["*".to_owned()],
            Origins::Listed(origins) => origins.clone(),
        },
        headers: cors.headers.clone(),
        methods: cors.methods.clone(),
        credentials: cors.credentials,
        max_age_seconds: cors.max_age_seconds,
    }
}

/// A REST API's response to a preflight.
pub(super) fn preflight(cors: &Cors) -> Preflight {
    let mut headers = BTreeMap::from([
        (
            "Access-Control-Allow-Headers".to_owned(),
            cors.headers.join(","),
        ),
        (
            "Access-Control-Allow-Methods".to_owned(),
            cors.methods.join(","),
        ),
        (
            "Access-Control-Max-Age".to_owned(),
            cors.max_age_seconds.to_string(),
        ),
    ]);
    if cors.credentials {
        headers.insert(CREDENTIALS.to_owned(), "true".to_owned());
    }
    if let Some(origin) = one_for_all(cors) {
        headers.insert(ORIGIN.to_owned(), origin.to_owned());
    } else {
        headers.insert(VARY.0.to_owned(), VARY.1.to_owned());
    }
    let origins = match &cors.origins {
        Origins::Listed(origins) if origins.len() > 1 => origins.clone(),
        Origins::Listed(_) | Origins::Any => Vec::new(),
    };
    Preflight { headers, origins }
}

/// The origin that the gateway's responses name: any, or the only one. Browsers block other pages
/// by it.
fn one_for_all(cors: &Cors) -> Option<&str> {
    match &cors.origins {
        Origins::Any => Some("*"),
        Origins::Listed(origins) => match origins.as_slice() {
            [origin] => Some(origin),
            _ => None,
        },
    }
}

/// The headers of the gateway's own responses. A gateway response cannot choose between several
/// origins: it names the requesting one, and contains nothing that a page must not read.
pub(super) fn answered(cors: Option<&Cors>) -> BTreeMap<String, String> {
    let Some(cors) = cors else {
        return BTreeMap::new();
    };
    let quoted = |text: &str| format!("'{text}'");
    let mut headers = BTreeMap::from([(
        "Access-Control-Expose-Headers".to_owned(),
        quoted("Retry-After"),
    )]);
    if let Some(origin) = one_for_all(cors) {
        headers.insert(ORIGIN.to_owned(), quoted(origin));
    } else {
        headers.insert(ORIGIN.to_owned(), "method.request.header.origin".to_owned());
        headers.insert(VARY.0.to_owned(), quoted(VARY.1));
    }
    if cors.credentials {
        headers.insert(CREDENTIALS.to_owned(), quoted("true"));
    }
    headers
}
