//! The findings of a check of an API: what is right and what is wrong. Pure.

use deployer::{ApiAuthorizer, ApiRoute, ApiStage, AttachedApi, Subscription};
use domain::gateway::{ANSWER, Gateway, POLICY};
use serde::Serialize;
use serde_json::Value;
use stacks::attach::Attachment;

use super::allowed::lets_invoke;

/// One thing that metering needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) name: String,
    pub(super) ok: bool,
    pub(super) detail: String,
}

impl Finding {
    fn new(name: impl Into<String>, ok: bool, detail: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ok,
            detail: detail.into(),
        }
    }

    fn right(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(name, true, detail)
    }

    fn wrong(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(name, false, detail)
    }
}

/// The finding that the API does not exist.
pub(super) fn no_api(gateway: Gateway) -> Finding {
    let kind = gateway.as_str().to_uppercase();
    Finding::wrong(
        "API",
        format!("no {kind} API of this id in this account and region"),
    )
}

/// The environment's requirements, and the resources around the API.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    pub(super) attachment: &'a Attachment<'a>,
    pub(super) api: &'a str,
    /// The policy of the authorizer's function; null if it has none.
    pub(super) policy: &'a Value,
    /// The subscriptions of the environment's access log.
    pub(super) subscriptions: &'a [Subscription],
}

impl Expected<'_> {
    /// Everything that metering needs, and whether the API has it.
    pub(super) fn findings(&self, found: &AttachedApi) -> Vec<Finding> {
        let uri = self.attachment.authorizer_uri();
        let mut authorizers = found.authorizers.iter();
        let ours = authorizers.find(|one| one.uri.as_deref() == Some(&uri));
        let mut findings = match ours {
            Some(authorizer) => self.of_authorizer(authorizer, found.stage.as_ref()),
            None => vec![Finding::wrong(
                "authorizer",
                format!("none invokes `{}`", self.attachment.authorizer_name()),
            )],
        };
        findings.extend(of_routes(&found.routes, ours));
        if self.attachment.gateway == Gateway::Rest {
            findings.push(of_denial(found.denied.as_deref()));
        }
        match &found.stage {
            Some(stage) => findings.extend(self.of_log(stage)),
            None => findings.push(Finding::wrong("stage", "the API has no stage of this name")),
        }
        findings.push(self.of_subscription());
        findings
    }

    fn of_authorizer(&self, authorizer: &ApiAuthorizer, stage: Option<&ApiStage>) -> Vec<Finding> {
        let ApiAuthorizer { id, kind, .. } = authorizer;
        let mut findings = vec![
            Finding::new(
                "authorizer",
                kind == "REQUEST",
                format!("`{id}` of type {kind}"),
            ),
            match authorizer.cache_seconds {
                0 => Finding::right("cache", "off"),
                seconds => Finding::wrong(
                    "cache",
                    format!(
                        "answers are cached for {seconds} s: calls in that time are not counted"
                    ),
                ),
            },
            match authorizer.identity_sources.as_slice() {
                [] => Finding::right("identity source", "every call reaches the authorizer"),
                sources => Finding::wrong(
                    "identity source",
                    format!(
                        "calls without {} are refused before the authorizer counts them",
                        sources.join(", ")
                    ),
                ),
            },
        ];
        if self.attachment.gateway == Gateway::Http {
            findings.push(of_payload(authorizer, stage));
        }
        findings.push(self.of_permission(authorizer));
        findings
    }

    fn of_permission(&self, authorizer: &ApiAuthorizer) -> Finding {
        let source = self.attachment.source(self.api, &authorizer.id);
        let account = self.attachment.account;
        match &authorizer.role {
            Some(role) => Finding::right("permission", format!("the gateway invokes as `{role}`")),
            None if lets_invoke(self.policy, &source, account) => {
                Finding::right("permission", "the gateway may invoke the authorizer")
            }
            None => Finding::wrong(
                "permission",
                format!(
                    "the authorizer's policy does not let `{source}` invoke it: name the API under `attached`"
                ),
            ),
        }
    }

    fn of_log(&self, stage: &ApiStage) -> [Finding; 2] {
        let expected = self.attachment.log();
        // API Gateway accepts the ARN of a group with and without the `:*` at the end.
        let given = stage.log.as_deref();
        let given = given.map(|arn| arn.strip_suffix(":*").unwrap_or(arn));
        let destination = match given {
            Some(arn) if arn == expected => Finding::right("access log", expected),
            Some(arn) => Finding::wrong(
                "access log",
                format!("goes to `{arn}`, expected `{expected}`"),
            ),
            None => Finding::wrong("access log", format!("is off, expected `{expected}`")),
        };
        let format = match stage.log_format.as_deref() {
            Some(format) => of_format(format, &self.attachment.log_format()),
            None => Finding::wrong("access log format", "is not set"),
        };
        [destination, format]
    }

    fn of_subscription(&self) -> Finding {
        let reconciler = self.attachment.reconciler();
        let mut subscriptions = self.subscriptions.iter();
        let ours = subscriptions.find(|one| one.destination == reconciler);
        match ours.map(|one| one.pattern.as_str()) {
            Some("") => Finding::right("subscription", "the reconciler reads the access log"),
            Some(pattern) => Finding::wrong(
                "subscription",
                format!("passes only lines that match `{pattern}`: deploy the environment again"),
            ),
            None => Finding::wrong(
                "subscription",
                "nothing reads the environment's access log: deploy the environment again",
            ),
        }
    }
}

/// Whether the authorizer answers in the form that the API expects.
fn of_payload(authorizer: &ApiAuthorizer, stage: Option<&ApiStage>) -> Finding {
    let asks_for_policies = stage
        .and_then(|stage| stage.variables.get(ANSWER))
        .is_some_and(|value| value == POLICY);
    let payload = authorizer.payload.as_deref().unwrap_or("none");
    let simple = authorizer.takes_simple_answers;
    match (payload, simple, asks_for_policies) {
        ("1.0", false, _) => Finding::right("payload", "1.0, answered with policies"),
        ("2.0", true, false) => Finding::right("payload", "2.0, answered with `isAuthorized`"),
        ("2.0", false, true) => Finding::right("payload", "2.0, answered with policies"),
        ("2.0", false, false) => Finding::wrong(
            "payload",
            format!(
                "2.0 is answered with `isAuthorized`: enable simple responses, or set the stage variable `{ANSWER}` to `{POLICY}`"
            ),
        ),
        ("2.0", true, true) => Finding::wrong(
            "payload",
            format!(
                "simple responses are enabled, but the stage variable `{ANSWER}` asks for policies"
            ),
        ),
        _ => Finding::wrong("payload", format!("{payload} is not supported")),
    }
}

/// Whether each route calls the authorizer. Preflights carry no key.
fn of_routes(routes: &[ApiRoute], ours: Option<&ApiAuthorizer>) -> Vec<Finding> {
    let asks = |route: &ApiRoute| {
        route.authorization == "CUSTOM"
            && ours.is_some_and(|ours| route.authorizer.as_ref() == Some(&ours.id))
    };
    let is_preflight = |route: &ApiRoute| route.name.starts_with("OPTIONS ");
    let (metered, others): (Vec<_>, Vec<_>) = routes.iter().partition(|route| asks(route));
    let mut findings = vec![Finding::new(
        "routes",
        metered.iter().any(|route| !is_preflight(route)),
        format!("{} of {} ask the authorizer", metered.len(), routes.len()),
    )];
    for route in metered.into_iter().filter(|route| is_preflight(route)) {
        let detail = "asks the authorizer, which refuses preflights: they carry no key";
        findings.push(Finding::wrong(&route.name, detail));
    }
    for route in others.into_iter().filter(|route| !is_preflight(route)) {
        let how = &route.authorization;
        findings.push(Finding::wrong(
            &route.name,
            format!("is not metered: its authorization is `{how}`"),
        ));
    }
    findings
}

/// Whether a call over its plan gets the documented answer.
fn of_denial(status: Option<&str>) -> Finding {
    match status {
        Some("429") => Finding::right("denied calls", "get 429"),
        other => Finding::wrong(
            "denied calls",
            format!(
                "get {}, expected 429: callers over their plan read it as forbidden",
                other.unwrap_or("403")
            ),
        ),
    }
}

/// The first member in which a format differs from the one that the reconciler reads.
fn of_format(given: &str, expected: &str) -> Finding {
    const NAME: &str = "access log format";
    if given == expected {
        return Finding::right(NAME, "as the reconciler reads it");
    }
    let given: Vec<&str> = given.split(',').collect();
    let differing = expected
        .split(',')
        .enumerate()
        .find(|(place, member)| given.get(*place) != Some(member));
    let detail = match differing {
        Some((place, member)) => format!(
            "member {} is `{}`, expected `{member}`",
            place + 1,
            given.get(place).unwrap_or(&"")
        ),
        None => "has more members than the reconciler reads".to_owned(),
    };
    Finding::wrong(NAME, detail)
}

#[cfg(test)]
mod tests;
