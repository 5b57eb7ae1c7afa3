//! An API that has everything, and the findings for one that lacks something.

use domain::names::Names;
use serde_json::json;

use super::*;

const API: &str = "a1b2c3d4e5";

/// An API, and the resources around it.
struct World {
    gateway: Gateway,
    found: AttachedApi,
    policy: Value,
    subscriptions: Vec<Subscription>,
}

impl World {
    /// Everything as `attach` prints it.
    fn complete(gateway: Gateway) -> Self {
        let names = Names::new("complical", "CompliCal", "test");
        let attachment = attachment(&names, gateway);
        let route = |name: &str, authorizer: Option<&str>| ApiRoute {
            name: name.to_owned(),
            authorization: authorizer.map_or("NONE", |_| "CUSTOM").to_owned(),
            authorizer: authorizer.map(str::to_owned),
        };
        Self {
            gateway,
            found: AttachedApi {
                routes: vec![
                    route("GET /orders/{id}", Some("x9")),
                    route("OPTIONS /orders/{id}", None),
                    route("POST /orders", Some("x9")),
                ],
                authorizers: vec![
                    ApiAuthorizer {
                        id: "of-another".to_owned(),
                        cache_seconds: 300,
                        ..ApiAuthorizer::default()
                    },
                    ApiAuthorizer {
                        id: "x9".to_owned(),
                        kind: "REQUEST".to_owned(),
                        uri: Some(attachment.authorizer_uri()),
                        payload: (gateway == Gateway::Http).then(|| "2.0".to_owned()),
                        takes_simple_answers: gateway == Gateway::Http,
                        ..ApiAuthorizer::default()
                    },
                ],
                stage: Some(ApiStage {
                    log: Some(format!("{}:*", attachment.log())),
                    log_format: Some(attachment.log_format()),
                    ..ApiStage::default()
                }),
                denied: (gateway == Gateway::Rest).then(|| "429".to_owned()),
            },
            policy: json!({"Statement": [{
                "Effect": "Allow",
                "Principal": {"Service": "apigateway.amazonaws.com"},
                "Action": "lambda:InvokeFunction",
                "Condition": {"ArnLike": {"AWS:SourceArn": attachment.source(API, "*")}},
            }]}),
            subscriptions: vec![Subscription {
                destination: attachment.reconciler(),
                pattern: String::new(),
            }],
        }
    }

    fn ours(&mut self) -> &mut ApiAuthorizer {
        self.found.authorizers.last_mut().unwrap()
    }

    fn stage(&mut self) -> &mut ApiStage {
        self.found.stage.as_mut().unwrap()
    }

    /// The names of the problems.
    fn wrong(&self) -> Vec<String> {
        let names = Names::new("complical", "CompliCal", "test");
        let expected = Expected {
            attachment: &attachment(&names, self.gateway),
            api: API,
            policy: &self.policy,
            subscriptions: &self.subscriptions,
        };
        let findings = expected.findings(&self.found).into_iter();
        let wrong = findings.filter(|finding| !finding.ok);
        wrong.map(|finding| finding.name).collect()
    }
}

fn attachment(names: &Names, gateway: Gateway) -> Attachment<'_> {
    Attachment {
        environment: "test",
        names,
        account: "123456789012",
        region: "ap-south-1",
        gateway,
    }
}

type Fault = (&'static str, fn(&mut World));

const OF_BOTH: [Fault; 13] = [
    ("cache", |world| world.ours().cache_seconds = 300),
    ("identity source", |world| {
        world.ours().identity_sources = vec!["$request.header.x-api-key".to_owned()];
    }),
    ("authorizer", |world| world.ours().kind = "TOKEN".to_owned()),
    ("permission", |world| world.policy = Value::Null),
    ("permission", |world| {
        world.policy["Statement"][0]["Condition"]["ArnLike"]["AWS:SourceArn"] = json!("arn:x");
    }),
    ("POST /orders", |world| {
        world.found.routes[2].authorizer = None;
    }),
    ("POST /orders", |world| {
        world.found.routes[2].authorizer = Some("of-another".to_owned());
    }),
    ("OPTIONS /orders/{id}", |world| {
        world.found.routes[1] = ApiRoute {
            name: "OPTIONS /orders/{id}".to_owned(),
            ..world.found.routes[0].clone()
        };
    }),
    ("access log", |world| {
        world.stage().log = Some("arn:x".to_owned());
    }),
    ("access log", |world| world.stage().log = None),
    ("access log format", |world| {
        let format = world.stage().log_format.as_mut().unwrap();
        *format = format.replace("$context.authorizer.units", "$context.units");
    }),
    ("access log format", |world| world.stage().log_format = None),
    ("stage", |world| world.found.stage = None),
];

#[test]
fn an_api_that_has_everything_is_attached() {
    for gateway in [Gateway::Rest, Gateway::Http] {
        let world = World::complete(gateway);
        assert_eq!(world.wrong(), [""; 0], "{gateway:?}");
    }
}

#[test]
fn each_fault_is_named_and_nothing_else() {
    for gateway in [Gateway::Rest, Gateway::Http] {
        for (name, fault) in OF_BOTH {
            let mut world = World::complete(gateway);
            fault(&mut world);
            assert_eq!(world.wrong(), [name], "{gateway:?}");
        }
    }
    let mut rest = World::complete(Gateway::Rest);
    rest.found.denied = None;
    assert_eq!(rest.wrong(), ["denied calls"]);
    for subscription in [None, Some("ERROR")] {
        let mut world = World::complete(Gateway::Rest);
        match subscription {
            None => world.subscriptions.clear(),
            Some(pattern) => pattern.clone_into(&mut world.subscriptions[0].pattern),
        }
        assert_eq!(world.wrong(), ["subscription"]);
    }
}

#[test]
fn an_api_without_our_authorizer_meters_nothing() {
    let mut world = World::complete(Gateway::Http);
    world.found.authorizers.pop();
    let wrong = world.wrong();
    assert_eq!(
        wrong,
        ["authorizer", "routes", "GET /orders/{id}", "POST /orders"]
    );
    world.found.routes.clear();
    assert_eq!(world.wrong(), ["authorizer", "routes"]);
}

#[test]
fn a_role_of_the_authorizers_is_a_permission() {
    let mut world = World::complete(Gateway::Rest);
    world.policy = Value::Null;
    world.ours().role = Some("arn:aws:iam::123456789012:role/gateway".to_owned());
    assert_eq!(world.wrong(), [""; 0]);
}

#[test]
fn an_http_api_takes_what_the_authorizer_answers() {
    for (payload, simple, variable, is_right) in [
        ("2.0", true, None, true),
        ("2.0", false, Some(POLICY), true),
        ("1.0", false, None, true),
        ("2.0", false, None, false),
        ("2.0", true, Some(POLICY), false),
        ("3.0", true, None, false),
    ] {
        let mut world = World::complete(Gateway::Http);
        world.ours().payload = Some(payload.to_owned());
        world.ours().takes_simple_answers = simple;
        let variables = variable.map(|value| (ANSWER.to_owned(), value.to_owned()));
        world.stage().variables = variables.into_iter().collect();
        let expected: &[&str] = if is_right { &[] } else { &["payload"] };
        assert_eq!(world.wrong(), expected, "{payload} {simple} {variable:?}");
    }
}

#[test]
fn a_format_is_compared_member_by_member() {
    let expected = r#"{"a":"$context.a","b":"$context.b"}"#;
    let detail = |given: &str| of_format(given, expected).detail;
    assert_eq!(detail(expected), "as the reconciler reads it");
    assert_eq!(
        detail(r#"{"a":"$context.a","b":"$context.c"}"#),
        r#"member 2 is `"b":"$context.c"}`, expected `"b":"$context.b"}`"#
    );
    assert!(detail(r#"{"a":"$context.a""#).starts_with("member 2 is ``"));
    assert_eq!(
        detail(&format!("{expected},")),
        "has more members than the reconciler reads"
    );
}
