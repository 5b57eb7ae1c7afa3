//! The routes whose calls are counted: the user's own API, or the sample.
//!
//! For the gateway, an upstream is two resources, `/` and `/{proxy+}`: the authorizer distinguishes
//! its routes. As resources of the gateway they would be limited to 300, could not have two
//! variables of different names in one place, and would respond 404 for every path without a route.
//! An HTTP API has the same two paths rather than its catch-all route `$default`, which would hand an
//! upstream the path with the stage before it, and count calls without a route under another name.

use std::collections::BTreeMap;

use domain::names::{Function as Of, context as member};
use domain::route::{AttachedRoutes, Routes};

use super::gateway::{OwnApi, To};
use crate::SynthError;
use crate::constructs::{Function, Passage, Preflight, Sent, Stack, Verb};
use crate::environment::{Identity, ResponseTransferMode, SAMPLE, Secret, Upstream};
use crate::metering::context::StackContext;
use crate::metering::pipeline::Size;

/// The header that carries the caller's key.
const KEY_HEADER: &str = "x-api-key";
/// The caller in a preflight, which no authorizer checks.
const NOBODY: &str = "none";

/// The resources of an upstream, each with the ids of its methods.
const RESOURCES: [(&str, &str, &str); 2] = [
    ("/", "UpstreamRoot", "UpstreamRootPreflight"),
    ("/{proxy+}", "Upstream", "UpstreamPreflight"),
];

/// Declares the routes; returns the sample's function if the sample is used.
pub(super) fn declare(
    context: &StackContext<'_>,
    stack: &mut Stack,
    api: &mut OwnApi,
) -> Result<Option<Function>, SynthError> {
    let preflight = api.preflight(context.environment.cors.as_ref());
    if let Some(upstream) = &context.environment.upstream {
        proxy(stack, api, upstream, preflight.as_ref());
        return Ok(None);
    }
    let sample = deadlines(context, stack)?;
    let route = (Verb::Get, SAMPLE);
    api.function(stack, "Deadlines", route, &sample, To::Callers);
    if let Some(preflight) = &preflight {
        api.answer_preflights(stack, "DeadlinesPreflight", SAMPLE, preflight);
    }
    Ok(Some(sample))
}

/// Forwards everything to the upstream, except preflights that a route of the gateway answers.
fn proxy(stack: &mut Stack, api: &mut OwnApi, upstream: &Upstream, preflight: Option<&Preflight>) {
    let address = upstream.url.as_str();
    let known = headers(upstream, |of| Sent::Variable(format!("authorizer.{of}")));
    let unknown = headers(upstream, |_| Sent::Text(NOBODY.to_owned()));
    let streams = upstream.response_transfer_mode == ResponseTransferMode::Stream;
    let known = Passage {
        address,
        headers: &known,
        streams,
    };
    let unknown = Passage {
        address,
        headers: &unknown,
        streams,
    };
    for (path, method, asked) in RESOURCES {
        api.upstream(stack, method, (Verb::Any, path), known, To::Callers);
        match preflight {
            Some(preflight) => api.answer_preflights(stack, asked, path, preflight),
            None => api.upstream(stack, asked, (Verb::Options, path), unknown, To::Everyone),
        }
    }
}

/// The headers that the upstream gets besides the caller's; `who` returns the gateway's variables
/// about the caller.
fn headers(upstream: &Upstream, who: impl Fn(&str) -> Sent) -> BTreeMap<String, Sent> {
    let Identity {
        user,
        plan,
        event_id,
    } = &upstream.identity;
    let known = [
        (user, member::EMAIL),
        (plan, member::PLAN),
        (event_id, member::EVENT_ID),
    ];
    let known = known.map(|(header, of)| (header.to_string(), who(of)));
    let mut headers = BTreeMap::from(known);
    if !upstream.pass_key {
        headers.insert(KEY_HEADER.to_owned(), Sent::Withheld);
    }
    if let Some(secret) = &upstream.secret {
        let reference = Sent::Text(reference(secret));
        headers.insert(secret.header.to_string(), reference);
    }
    headers
}

/// The reference that CloudFormation replaces by the secret while it deploys: a template never
/// holds the secret
/// (<https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references-secretsmanager.html>).
fn reference(secret: &Secret) -> String {
    let name = &secret.secrets_manager;
    let key = secret.key.as_ref().map(ToString::to_string);
    let part = match (key, &secret.version) {
        (key, Some(version)) => format!(":{}::{version}", key.unwrap_or_default()),
        (Some(key), None) => format!(":{key}"),
        (None, None) => String::new(),
    };
    format!("{{{{resolve:secretsmanager:{name}:SecretString{part}}}}}")
}

/// The routes under which calls are counted.
pub(super) fn routes(context: &StackContext<'_>) -> Result<Routes, SynthError> {
    let environment = context.environment;
    let routes = environment.routes().into_iter().map(|route| {
        let units = environment.units_of(Some(&route));
        (route, units)
    });
    // The sample is a separate resource: only its units need a table.
    let routes = routes.filter(|(_, units)| environment.upstream.is_some() || *units != 1);
    Ok(Routes::new(routes, environment.units_of(None))?)
}

/// The routes of attached APIs that the file gives any.
pub(super) fn attached(context: &StackContext<'_>) -> Result<AttachedRoutes, SynthError> {
    let attached = context.environment.attached.iter();
    let tables = attached.filter_map(|one| {
        let table = one.table()?;
        Some(table.map(|routes| (one.api_id.to_string(), routes)))
    });
    Ok(AttachedRoutes(tables.collect::<Result<_, _>>()?))
}

/// The headers that no call may carry, in the authorizer's form.
pub(super) fn reserved(context: &StackContext<'_>) -> String {
    let upstream = context.environment.upstream.as_ref();
    let headers = upstream.map(Upstream::reserved_headers);
    headers.unwrap_or_default().join(" ")
}

/// The sample API, metered if the environment declares no upstream.
fn deadlines(context: &StackContext<'_>, stack: &mut Stack) -> Result<Function, SynthError> {
    context.function(
        stack,
        "DeadlinesApi",
        Of::Deadlines,
        "The sample API: deadlines by country",
        &Size {
            memory: 128,
            timeout: 5,
        },
        BTreeMap::new(),
    )
}
