//! The routes whose calls are counted: the user's own API, or the sample.
//!
//! An upstream is two resources to the gateway, `/` and `/{proxy+}`: the authorizer tells its routes
//! apart. As resources of the gateway they would be limited to 300, could not have two variables of
//! different names in one place, and would answer 404 for every path that no route lists.

use std::collections::BTreeMap;

use domain::names::{Function as Of, context as member};
use domain::route::Routes;

use super::browsers;
use crate::SynthError;
use crate::constructs::{Access, Authorizer, Function, Integration, Passage, RestApi, Stack, Verb};
use crate::context::{Context, Size};
use crate::environment::{Identity, SAMPLE, Secret, Upstream};

/// The header that carries the caller's key.
const KEY_HEADER: &str = "x-api-key";
/// What an upstream gets in place of the caller's key, which is the gateway's secret. A proxy passes
/// every header on; a mapping of the same name stands in for the caller's. A fixed value is in
/// single quotes, and is not empty for AWS documents no empty one (API Gateway Developer Guide,
/// "Parameter mapping examples for REST APIs").
const WITHHELD: &str = "'withheld'";
/// Who calls, where nobody is asked: in a preflight.
const NOBODY: &str = "'none'";

/// The resources of an upstream, each with the ids of its methods.
const RESOURCES: [(&str, &str, &str); 2] = [
    ("/", "UpstreamRoot", "UpstreamRootPreflight"),
    ("/{proxy+}", "Upstream", "UpstreamPreflight"),
];

/// Declares the routes; the sample's function where the sample answers.
pub(super) fn declare(
    context: &Context<'_>,
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

/// Everything goes to the upstream but preflights, where the file says how those are answered.
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

/// What the upstream gets beside what the caller sends; `who` gives what is said of the caller.
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

/// What CloudFormation replaces by the secret while it deploys: a template never holds it
/// (<https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references-secretsmanager.html>).
fn reference(secret: &Secret) -> String {
    let name = &secret.secrets_manager;
    match &secret.key {
        Some(key) => format!("{{{{resolve:secretsmanager:{name}:SecretString:{key}}}}}"),
        None => format!("{{{{resolve:secretsmanager:{name}:SecretString}}}}"),
    }
}

/// The routes under which calls are counted.
pub(super) fn routes(context: &Context<'_>) -> Result<Routes, SynthError> {
    let environment = context.environment;
    let routes = environment.routes().into_iter().map(|route| {
        let units = environment.units_of(Some(&route));
        (route, units)
    });
    // The sample is a resource of its own: only its units need a table.
    let routes = routes.filter(|(_, units)| environment.upstream.is_some() || *units != 1);
    Ok(Routes::new(routes, environment.units_of(None))?)
}

/// The headers that no call may bring, as the authorizer reads them.
pub(super) fn reserved(context: &Context<'_>) -> String {
    let upstream = context.environment.upstream.as_ref();
    let headers = upstream.map(Upstream::reserved_headers);
    headers.unwrap_or_default().join(" ")
}

/// The sample API, metered if the environment names no other.
fn deadlines(context: &Context<'_>, stack: &mut Stack) -> Result<Function, SynthError> {
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
