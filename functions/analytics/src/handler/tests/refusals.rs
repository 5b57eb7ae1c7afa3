//! Refused requests and their messages.

use super::*;
use crate::testing::ready;
use proptest::prelude::*;
use proptest::sample::select;
use std::rc::Rc;

thread_local! {
    static WORLD: Rc<World> = Rc::new(folded());
}

#[tokio::test]
async fn without_a_token_nothing_is_shown() {
    let bench = Bench::of(&folded());
    for path in DATA {
        // Nor does the response mention anything else that is wrong.
        let response = bench.respond(path, &[("secret", "1")], None).await;
        assert_eq!(response.status_code, 401, "{path}");
        assert_eq!(header(&response, "www-authenticate"), Some("Bearer"));
        let body: Value = serde_json::from_str(&text(&response)).unwrap();
        assert_eq!(body["error"], "unauthorized");
        let mut expired = claims("ann@example.com", now());
        expired["exp"] = json!(now().seconds());
        let response = bench
            .respond(path, &[], Some(&bench.bearer(&expired)))
            .await;
        assert_eq!(response.status_code, 401, "{path}");
        assert_eq!(
            header(&response, "www-authenticate"),
            Some(
                r#"Bearer error="invalid_token", error_description="the bearer token is expired""#
            ),
        );
    }
}

#[tokio::test]
async fn anothers_data_takes_the_scope() {
    let bench = Bench::of(&folded());
    let query = [("email", "bob@example.com")];
    for path in [TIMESERIES, USER_STATS, ENDPOINTS, FORECAST, ANOMALIES] {
        let (status, body) = bench
            .ask(path, &query, &bench.user("ann@example.com"))
            .await;
        assert_eq!(
            (status, &body["error"]),
            (403, &json!("forbidden")),
            "{path}"
        );
        assert!(!body.to_string().contains("parameter"), "{body}");
        let (status, _) = bench.ask(path, &query, &bench.admin()).await;
        assert_eq!(status, 200, "{path}");
    }
}

#[tokio::test]
async fn bad_parameters_are_named() {
    let bench = Bench::of(&folded());
    let cases = [
        (REALTIME, "email=ann@example.com", "email"),
        (USER_STATS, "user=ann@example.com", "user"),
        (
            USER_STATS,
            "email=ann@example.com&email=ann@example.com",
            "email",
        ),
        (USER_STATS, "email=", "email"),
        (USER_STATS, "email=ann", "email"),
        (USER_STATS, "email=ip:192.0.2.7", "email"),
        (TIMESERIES, "Granularity=hour", "Granularity"),
        (TIMESERIES, "granularity=second", "granularity"),
        (TIMESERIES, "granularity=", "granularity"),
        (
            TIMESERIES,
            "granularity=hour&granularity=day",
            "granularity",
        ),
        (TIMESERIES, "duration=0h", "duration"),
        (TIMESERIES, "duration=-1h", "duration"),
        (TIMESERIES, "duration=+1h", "duration"),
        (TIMESERIES, "duration=1.5h", "duration"),
        (TIMESERIES, "duration=24", "duration"),
        (TIMESERIES, "duration=h", "duration"),
        (TIMESERIES, "duration=1w", "duration"),
        (TIMESERIES, "duration=1é", "duration"),
        (TIMESERIES, "duration=4294967296d", "duration"),
        (TIMESERIES, "duration=4294967295d", "duration"),
        (TIMESERIES, "duration=1500m&granularity=minute", "duration"),
        (
            TIMESERIES,
            "duration=1h&from=2026-11-22T00:00:00Z",
            "duration",
        ),
        (TIMESERIES, "to=2026-11-22T00:00:00Z", "from"),
        (TIMESERIES, "from=yesterday", "from"),
        (TIMESERIES, "from=2026-11-23T00:00:00Z", "from"),
        (
            TIMESERIES,
            "from=2026-11-22T00:00:00Z&to=2026-11-22T00:00:00Z",
            "from",
        ),
        (TIMESERIES, "from=2026-11-21T00:00:00Z&to=1795363445", "to"),
        (
            TIMESERIES,
            "from=2026-01-01T00:00:00Z&to=2026-11-22T00:00:00Z",
            "from",
        ),
        (TIMESERIES, "groupBy=user", "groupBy"),
        (TIMESERIES, "timezone=Mars/Olympus", "timezone"),
        (TIMESERIES, "format=xml", "format"),
        (ENDPOINTS, "groupBy=type", "groupBy"),
        (FORECAST, "duration=1d", "duration"),
        (ANOMALIES, "duration=8d", "duration"),
        (ENDPOINTS, "limit=0", "limit"),
        (ENDPOINTS, "limit=1001", "limit"),
        (ENDPOINTS, "limit=+1", "limit"),
        (ENDPOINTS, "cursor=7", "cursor"),
    ];
    for (path, query, parameter) in cases {
        for token in [bench.admin(), bench.user("ann@example.com")] {
            let query = gateway::parameters(query);
            let (status, body) = bench.ask(path, &query, &token).await;
            assert_eq!(status, 400, "{path} {query:?}: {body}");
            assert_eq!(body["error"], "invalidParameter");
            assert_eq!(body["parameter"], parameter, "{path} {query:?}: {body}");
            assert!(body["message"].as_str().unwrap().len() > 10, "{body}");
        }
    }
}

#[tokio::test]
async fn the_list_of_users_is_for_administrators() {
    let bench = Bench::of(&folded());
    let ann = bench.user("ann@example.com");
    let (status, body) = bench.ask(USERS, &[], &ann).await;
    assert_eq!((status, &body["error"]), (403, &json!("forbidden")));
    for (query, parameter) in [
        ("email=ann@example.com", "email"),
        ("sort=name", "sort"),
        ("duration=8d", "duration"),
        ("limit=x", "limit"),
        ("cursor=x", "cursor"),
    ] {
        let query = gateway::parameters(query);
        let (status, body) = bench.ask(USERS, &query, &bench.admin()).await;
        assert_eq!(
            (status, &body["parameter"]),
            (400, &json!(parameter)),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_token_that_names_no_user_must_say_whose_data() {
    let bench = Bench::of(&folded());
    let mut nobody = claims("", now());
    nobody.as_object_mut().unwrap().remove("email");
    let token = bench.bearer(&nobody);
    for path in [REALTIME, TIMESERIES, USER_STATS] {
        let (status, body) = bench.ask(path, &[], &token).await;
        assert_eq!(
            (status, &body["parameter"]),
            (400, &json!("email")),
            "{path}: {body}"
        );
    }
    nobody["scp"] = json!([ADMIN_SCOPE]);
    let token = bench.bearer(&nobody);
    for (path, expected) in [(REALTIME, 200), (TIMESERIES, 200), (USER_STATS, 400)] {
        let (status, body) = bench.ask(path, &[], &token).await;
        assert_eq!(status, expected, "{path}: {body}");
    }
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let bench = Bench::of(&World::default());
    for path in ["/v1/analytics/other", "/v1", "/"] {
        let (status, body) = bench.ask(path, &[], &bench.admin()).await;
        assert_eq!(
            (status, &body["error"]),
            (404, &json!("notFound")),
            "{path}"
        );
    }
    for method in ["POST", "DELETE", "HEAD", "get", "two words"] {
        let mut event = gateway::event(REALTIME, &[], None);
        event["httpMethod"] = json!(method);
        let request = serde_json::from_value(event).unwrap();
        let response = bench.api.respond(&request, now()).await;
        assert_eq!(response.status_code, 405, "{method}");
        assert_eq!(header(&response, "allow"), Some("GET"));
    }
}

/// Callers choose the headers. No header may make the function fail.
#[tokio::test]
async fn a_header_that_is_not_ascii_is_no_reason_to_fail() {
    let bench = Bench::of(&folded());
    for name in ["X-Team", "Authorization"] {
        let mut event = gateway::event(REALTIME, &[], Some(&bench.admin()));
        event["headers"][name] = json!("Grüße\u{0}");
        event["multiValueHeaders"][name] = json!(["Grüße\u{0}"]);
        let request = serde_json::from_value(event).unwrap();
        let response = bench.api.respond(&request, now()).await;
        let expected = if name == "Authorization" { 401 } else { 200 };
        assert_eq!(response.status_code, expected, "{name}");
    }
}

#[test]
fn the_error_for_an_unreadable_request_quotes_no_header() {
    let mut event = gateway::event(REALTIME, &[], Some("Bearer hidden"));
    event["httpMethod"] = json!(7);
    let error = serde_json::from_value::<Request>(event).err().unwrap();
    assert!(!error.to_string().contains("hidden"), "{error}");
}

#[tokio::test]
async fn a_table_that_is_missing_is_unavailable() {
    let world = folded();
    let there = Table::hooked(world.usage.clone(), || Ok(()));
    for bench in [
        Bench::over(there, Table::missing()),
        Bench::over(Table::missing(), Table::missing()),
    ] {
        for path in [REALTIME, TIMESERIES, USER_STATS] {
            let token = bench.user("ann@example.com");
            let (status, body) = bench.ask(path, &[], &token).await;
            assert_eq!(
                (status, &body["error"]),
                (503, &json!("unavailable")),
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn a_table_that_does_not_answer_is_said_without_its_cause() {
    let bench = Bench::over(Table::silent(), Table::silent());
    for path in [REALTIME, TIMESERIES, USER_STATS] {
        let response = bench
            .respond(path, &[], Some(&bench.user("ann@example.com")))
            .await;
        assert_eq!(response.status_code, 503, "{path}");
        assert_eq!(header(&response, "retry-after"), Some("1"));
        let body: Value = serde_json::from_str(&text(&response)).unwrap();
        assert_eq!(body["error"], "unavailable");
        assert!(!text(&response).contains("192.0.2.9"), "{body}");
    }
}

#[test]
fn a_response_that_lambda_would_not_take_is_refused() {
    let sized = |bytes: usize| fitting(table("0".repeat(bytes))).map(|content| content.body.len());
    assert_eq!(sized(LARGEST).ok(), Some(LARGEST));
    let refused = sized(LARGEST + 1).unwrap_err();
    assert_eq!(refused.body().parameter.as_deref(), Some("groupBy"));
}

/// Valid and invalid values of parameters.
const VALUES: [&str; 34] = [
    "",
    "0",
    "1",
    "7",
    "1000",
    "1001",
    "-1",
    "18446744073709551616",
    "hour",
    "day",
    "minute",
    "type",
    "method",
    "endpoint",
    "status",
    "json",
    "csv",
    "calls",
    "email",
    "lastSeen",
    "1h",
    "24h",
    "7d",
    "90d",
    "4294967295d",
    "2026-11-22T00:00:00Z",
    "2026-11-22T16:30:00+05:30",
    "1970-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "ann@example.com",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "9~ann@example.com",
    "\u{1f600}~\0",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever the parameters are, the response is data, or a refusal that names one of them.
    #[test]
    fn any_parameters_are_answered_or_refused(
        endpoint in select(Endpoint::ALL.to_vec()),
        given in proptest::collection::vec((0_usize..9, select(VALUES.to_vec())), 0..4),
        unknown in select(vec![false, false, false, true]),
        admin: bool,
    ) {
        let bench = Bench::of(&WORLD.with(Clone::clone));
        let token = if admin { bench.admin() } else { bench.user("ann@example.com") };
        let known = parameters::of(endpoint);
        let named = given.iter().filter_map(|(which, value)| Some((known.get(*which)?.name, *value)));
        let mut query: Vec<(&str, &str)> = named.collect();
        query.extend(unknown.then_some(("unknown", "1")));
        let response = ready(bench.respond(endpoint.path(), &query, Some(&token)));
        let body = text(&response);
        match response.status_code {
            200 => prop_assert!(!body.is_empty()),
            400 => {
                let body: Value = serde_json::from_str(&body).unwrap();
                let parameter = body["parameter"].as_str().unwrap();
                let is_one = known.iter().any(|known| known.name == parameter);
                prop_assert!(is_one || parameter == "unknown", "{query:?}: {body}");
            }
            status => prop_assert_eq!(status, 403, "{:?}: {}", query, body),
        }
    }
}

/// The names that the environment declares are listed with the others.
#[tokio::test]
async fn a_group_that_does_not_exist_is_refused_with_those_that_do() {
    let bench = Bench::of(&folded());
    let query = [("groupBy", "tenants")];
    let (status, body) = bench.ask(TIMESERIES, &query, &bench.admin()).await;
    assert_eq!((status, &body["parameter"]), (400, &json!("groupBy")));
    assert_eq!(
        body["message"],
        "expected `type`, `method`, `endpoint`, `status`, `key`, `tenant`, found `tenants`"
    );
    let query = [("groupBy", "tenant"), ("duration", "1h")];
    let (status, body) = bench.ask(TIMESERIES, &query, &bench.admin()).await;
    assert_eq!((status, &body["points"][0]["groups"]), (200, &json!([])));
}
