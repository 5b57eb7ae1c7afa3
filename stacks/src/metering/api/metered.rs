//! The routes whose calls are counted: the user's own API, or the sample.
//!
//! For the gateway, an upstream is two resources, `/` and `/{proxy+}`: the authorizer distinguishes
//! its routes. As resources of the gateway they would be limited to 300, could not have two
//! variables of different names in one place, and would respond 404 for every path without a route.

use std::collections::BTreeMap;

use domain::names::{Function as Of, context as member};
use domain::route::Routes;

use super::browsers;
use crate::SynthError;
use crate::constructs::{Access, Authorizer, Function, Integration, Passage, RestApi, Stack, Verb};
use crate::environment::{Identity, SAMPLE, Secret, Upstream};
use crate::metering::context::{Size, StackContext};

/// The header that carries the caller's key.
const KEY_HEADER: &str = "x-api-key";
/// What an upstream gets in place of the caller's key, which is the gateway's secret. A proxy
/// passes every header on; a mapping of the same name replaces the caller's. A fixed value is in
/// single quotes. It is not empty, because AWS does not document empty ones (API Gateway Developer
/// Guide, "Parameter mapping examples for REST APIs").
const WITHHELD: &str = "'withheld'";
/// The caller in a preflight, which no authorizer checks.
const NOBODY: &str = "'none'";

/// The resources of an upstream, each with the ids of its methods.
const RESOURCES: [(&str, &str, &str); 2] = [
    ("/", "UpstreamRoot", "UpstreamRootPreflight"),
    ("/{proxy+}", "Upstream", "UpstreamPreflight"),
];

/// Declares the routes; returns the sample's function if the sample is used.
pub(super) fn declare(
    context: &StackContext<'_>,
    stack: &mut Stack,
    api: &mut RestApi,
    gate: &Authorizer,
) -> Result<Option<Function>, SynthError> {
    let preflight = context.environment.cors.as_ref().map(browsers::preflight);
    if let Some(upstream) = &context.environment.upstream {
        proxy(stack, api, gate, upstream, preflight.as_ref());
        return Ok(None);
    }
    let sample = deadlines(context, stack)?;
    let (verb, path) = (Verb::Get, SAMPLE);
    let answers = Integration::Function(&sample);
    api.route(
        stack,
        "Deadlines",
        (verb, path),
        answers,
        Access::Authorized(gate),
    );
    if let Some(preflight) = &preflight {
        let answers = Integration::Preflight(preflight);
        let route = (Verb::Options, path);
        api.route(stack, "DeadlinesPreflight", route, answers, Access::Open);
    }
    Ok(Some(sample))
}

/// Forwards everything to the upstream, except preflights if the file configures them.
fn proxy(
    stack: &mut Stack,
    api: &mut RestApi,
    gate: &Authorizer,
    upstream: &Upstream,
    preflight: Option<&crate::constructs::Preflight>,
) {
    let address = upstream.url.as_str();
    let known = headers(upstream, |of| format!("context.authorizer.{of}"));
    let unknown = headers(upstream, |_| NOBODY.to_owned());
    for (path, method, asked) in RESOURCES {
        let answers = Integration::Upstream(Passage {
            address,
            headers: &known,
        });
        let access = Access::Authorized(gate);
        api.route(stack, method, (Verb::Any, path), answers, access);
        let answers = preflight.map_or(
            Integration::Upstream(Passage {
                address,
                headers: &unknown,
            }),
            Integration::Preflight,
        );
        api.route(stack, asked, (Verb::Options, path), answers, Access::Open);
    }
}

/// The headers that the upstream gets besides the caller's; `who` returns the gateway's variables
/// about the caller.
fn headers(upstream: &Upstream, who: impl Fn(&str) -> String) -> BTreeMap<String, String> {
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
        headers.insert(KEY_HEADER.to_owned(), WITHHELD.to_owned());
    }
    if let Some(secret) = &upstream.secret {
        headers.insert(
            secret.header.to_string(),
            format!("'{}'", reference(secret)),
        );
    }
    headers
}

/// The reference that CloudFormation replaces by the secret while it deploys: a template never
/// holds the secret
/// (<https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references-secretsmanager.html>).
fn reference(secret: &Secret) -> String {
    let name = &secret.secrets_manager;
    match &secret.key {
        Some(key) => format!("{{{{resolve:secretsmanager:{name}:SecretString:{key}}}}}"),
        None => format!("{{{{resolve:secretsmanager:{name}:SecretString}}}}"),
    }
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
