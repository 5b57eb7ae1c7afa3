//! Successful responses.

use super::*;
use domain::alert::{Alert, Announced};
use domain::state;
use domain::table::ItemKey;

#[tokio::test]
async fn realtime_of_everybody_is_for_administrators() {
    let bench = Bench::of(&folded());
    let (status, body) = bench.ask(REALTIME, &[], &bench.admin()).await;
    assert_eq!(status, 200);
    insta::assert_json_snapshot!("realtime_admin", body);
}

#[tokio::test]
async fn realtime_of_a_user_is_their_own_and_needs_no_fold() {
    let world = World::default();
    world.call(&events());
    let bench = Bench::of(&world);
    let (status, body) = bench
        .ask(REALTIME, &[], &bench.user("ann@example.com"))
        .await;
    assert_eq!(status, 200);
    insta::assert_json_snapshot!("realtime_user", body);
}

#[tokio::test]
async fn timeseries_has_every_bucket_up_to_the_current_one() {
    let bench = Bench::of(&folded());
    let query = [("duration", "2h"), ("groupBy", "type")];
    let (status, body) = bench.ask(TIMESERIES, &query, &bench.admin()).await;
    assert_eq!(status, 200);
    insta::assert_json_snapshot!("timeseries_admin", body);
}

#[tokio::test]
async fn timeseries_of_a_user_is_their_own_unless_an_administrator_asks() {
    let bench = Bench::of(&folded());
    let calls = async |query: &[(&str, &str)], token: &str| {
        let (status, body) = bench.ask(TIMESERIES, query, token).await;
        assert_eq!(status, 200, "{body}");
        let points = body["points"].as_array().unwrap().clone();
        points
            .iter()
            .map(|point| point["totalCalls"].as_u64().unwrap())
            .sum::<u64>()
    };
    let (ann, admin) = (bench.user("ann@example.com"), bench.admin());
    assert_eq!(calls(&[], &ann).await, 5);
    assert_eq!(calls(&[("email", "ANN@example.com")], &ann).await, 5);
    assert_eq!(calls(&[("email", "bob@example.com")], &admin).await, 1);
    assert_eq!(calls(&[("email", "carl@example.com")], &admin).await, 0);
    assert_eq!(calls(&[], &admin).await, 6);
}

#[tokio::test]
async fn timeseries_is_a_table_where_one_is_asked_for() {
    let bench = Bench::of(&folded());
    let query = [("duration", "1h"), ("format", "csv")];
    let token = bench.user("ann@example.com");
    let response = bench.respond(TIMESERIES, &query, Some(&token)).await;
    assert_eq!(
        header(&response, "content-type"),
        Some("text/csv; charset=utf-8; header=present")
    );
    assert_eq!(
        text(&response),
        "start,totalCalls,totalUnits,authFailures,rateLimited,activeUsers\r\n\
         2026-11-22T15:00:00Z,1,1,0,0,1\r\n\
         2026-11-22T16:00:00Z,4,4,0,0,1\r\n",
    );
}

/// The plan's month begins at 18:30 UTC: calls at noon on 31 October belong to October.
#[tokio::test]
async fn user_stats_are_of_all_time_and_of_the_plans_own_month() {
    let bench = Bench::of(&folded());
    let (status, body) = bench
        .ask(USER_STATS, &[], &bench.user("ann@example.com"))
        .await;
    assert_eq!(status, 200);
    insta::assert_json_snapshot!("user_stats", body);
}

#[tokio::test]
async fn user_stats_hold_what_is_not_folded_yet() {
    let mut events = events();
    for hour in [18, 19, 20] {
        // In India these fall into November, and their UTC day is closed: its quarter hours hold
        // them.
        let time = format!("2026-10-31T{hour}:30:00Z").parse().unwrap();
        events.push(sample::event(
            900 + hour,
            "ann@example.com",
            EventType::ApiCall,
            time,
        ));
    }
    let world = World::default();
    world.live(&events, now());
    world.call(&[sample::event(
        999,
        "ann@example.com",
        EventType::ApiCall,
        now(),
    )]);
    let bench = Bench::of(&world);
    let (_, body) = bench
        .ask(USER_STATS, &[], &bench.user("ann@example.com"))
        .await;
    assert_eq!(body["totalCalls"], 7 + 3 + 1);
    assert_eq!(body["currentPeriod"]["calls"], 6 + 3 + 1);
    assert_eq!(body["lastSeen"], "2026-11-22T16:04:05.678Z");
}

/// A call of a tenant, some days ago; two of them are counted apart.
fn of_tenant(number: u64, tenant: &str, ago: i64) -> UsageEvent {
    let time = now().plus_days(-ago);
    let mut call = sample::event(number, "ann@example.com", EventType::ApiCall, time);
    call.data.units = 10;
    call.data.dimensions = vec![Label {
        name: "tenant".into(),
        value: tenant.to_owned().into(),
        values: 2,
    }];
    call
}

/// Days that are closed, hours that are not, and a minute that is not folded: the sum of all of
/// them is bounded, and nothing is before.
#[tokio::test]
async fn user_stats_hold_the_values_of_dimensions_with_most_calls_and_the_rest_as_other() {
    let world = World::default();
    let tenants = ["=acme", "globex", "initech"];
    let of_day = |(place, days): (u64, [u64; 3])| {
        let base = 100 * (place + 1);
        let ago = if place == 0 { 30 } else { 15 };
        let calls = tenants.iter().zip(days).enumerate();
        calls.flat_map(move |(tenant, (name, calls))| {
            let ids = (0..calls).map(move |call| base + 10 * tenant as u64 + call);
            ids.map(move |id| of_tenant(id, name, ago))
        })
    };
    let past: Vec<UsageEvent> = (0..)
        .zip([[2, 1, 0], [1, 3, 1]])
        .flat_map(of_day)
        .chain([sample::event(
            900,
            "ann@example.com",
            EventType::ApiCall,
            now().plus_days(-1),
        )])
        .collect();
    world.live(&past, now());
    world.call(&[of_tenant(999, "initech", 0), of_tenant(998, "=acme", 0)]);
    let bench = Bench::of(&world);
    let token = bench.user("ann@example.com");
    let (_, body) = bench.ask(USER_STATS, &[], &token).await;
    assert_eq!(
        (&body["totalCalls"], &body["totalUnits"]),
        (&json!(11), &json!(101))
    );
    assert_eq!(
        body["dimensions"],
        json!({"tenant": [
            {"value": "=acme", "calls": 4, "units": 40},
            {"value": "globex", "calls": 4, "units": 40},
            {"value": "other", "calls": 2, "units": 20},
        ]})
    );
    let query = [
        ("granularity", "day"),
        ("duration", "1d"),
        ("groupBy", "tenant"),
        ("format", "csv"),
    ];
    let response = bench.respond(TIMESERIES, &query, Some(&token)).await;
    // No cell begins like a formula; the call of yesterday has no tenant.
    assert_eq!(
        text(&response),
        "start,key,totalCalls\r\n\
         2026-11-22T00:00:00Z,'=acme,1\r\n\
         2026-11-22T00:00:00Z,initech,1\r\n",
    );
}

/// A closed day, an hour that is not closed, and a minute that is not folded.
#[tokio::test]
async fn calls_are_told_by_key_at_every_level_and_keys_are_one_users() {
    let call = |number: u64, key: &str, ago: i64| {
        let time = now().plus_days(-ago);
        let mut call = sample::event(number, "ann@example.com", EventType::ApiCall, time);
        call.data.key_id = Some(key.to_owned());
        call
    };
    let mut refused = call(7, "key_a", 1);
    refused.event_type = EventType::AuthFailed;
    let world = World::default();
    let old = [
        call(1, "key_a", 30),
        call(2, "key_b", 30),
        call(3, "key_a", 1),
        refused,
    ];
    world.live(&old, now());
    world.call(&[call(4, "key_b", 0), call(5, "key_b", 0)]);
    let bench = Bench::of(&world);
    let ann = bench.user("ann@example.com");
    let (_, body) = bench.ask(USER_STATS, &[], &ann).await;
    assert_eq!(
        body["keys"],
        json!([{"key": "key_b", "totalCalls": 3}, {"key": "key_a", "totalCalls": 2}])
    );
    let query = [
        ("granularity", "day"),
        ("duration", "1d"),
        ("groupBy", "key"),
    ];
    let (_, body) = bench.ask(TIMESERIES, &query, &ann).await;
    let groups = |day: usize| body["points"][day]["groups"].clone();
    assert_eq!(groups(0), json!([{"key": "key_a", "totalCalls": 1}]));
    assert_eq!(groups(1), json!([{"key": "key_b", "totalCalls": 2}]));
    let (status, body) = bench.ask(TIMESERIES, &query, &bench.admin()).await;
    assert_eq!(
        (status, &body["parameter"]),
        (400, &json!("email")),
        "{body}"
    );
}

#[tokio::test]
async fn user_stats_hold_the_alerts_of_the_current_period() {
    let world = folded();
    let user = "ann@example.com";
    let plant = |start: &str, percents: &[u8]| {
        let start = start.parse().unwrap();
        for percent in percents {
            let alert = Alert {
                user: user.to_owned(),
                plan: "free".to_owned(),
                percent: *percent,
                quota: 100,
                used: u64::from(*percent) + 1,
                start,
                end: now(),
                at: start.plus_days(i64::from(*percent) / 10),
            };
            let state = state::encode(&alert).unwrap();
            world.usage.plant(&ItemKey::alert(&alert.id()), 1, state);
        }
        let percent = *percents.last().unwrap();
        let announced = state::encode(&Announced { percent }).unwrap();
        world
            .usage
            .plant(&ItemKey::period(user, start), 5, announced);
    };
    plant("2026-09-30T18:30:00Z", &[50, 80, 100]);
    let bench = Bench::of(&world);
    let ann = bench.user(user);
    let (_, body) = bench.ask(USER_STATS, &[], &ann).await;
    assert_eq!(body["alerts"], json!([]));
    plant("2026-10-31T18:30:00Z", &[50, 80]);
    let (_, body) = bench.ask(USER_STATS, &[], &ann).await;
    assert_eq!(
        body["alerts"],
        json!([
            {"percent": 50, "used": 51, "quota": 100, "at": "2026-11-05T18:30:00Z"},
            {"percent": 80, "used": 81, "quota": 100, "at": "2026-11-08T18:30:00Z"},
        ])
    );
}

#[tokio::test]
async fn user_stats_follow_the_plan_that_was_named_last() {
    let world = folded();
    let mut call = sample::event(900, "ann@example.com", EventType::ApiCall, now());
    call.data.plan = Some("endless".to_owned());
    world.call(&[call]);
    let bench = Bench::of(&world);
    let (_, body) = bench
        .ask(USER_STATS, &[], &bench.user("ann@example.com"))
        .await;
    let period = &body["currentPeriod"];
    assert_eq!(period["start"], "2026-11-01T00:00:00Z");
    assert_eq!(period["calls"], 7);
    assert_eq!(
        (&period["quota"], &period["remaining"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn a_user_never_seen_has_zeros_and_nulls() {
    let bench = Bench::of(&folded());
    let query = [("email", "nobody@example.com")];
    let (status, body) = bench.ask(USER_STATS, &query, &bench.admin()).await;
    assert_eq!(status, 200);
    insta::assert_json_snapshot!("user_stats_unknown", body);
}

#[tokio::test]
async fn a_users_own_quota_is_the_one_shown() {
    let world = folded();
    let key = domain::table::ItemKey::settings("ann@example.com");
    let own = domain::state::encode(&Some(domain::key::Quota::Calls(7_000))).unwrap();
    world.usage.plant(&key, 1, own);
    let bench = Bench::of(&world);
    let token = bench.user("ann@example.com");
    let (_, stats) = bench.ask(USER_STATS, &[], &token).await;
    assert_eq!(stats["currentPeriod"]["quota"], 7_000, "{stats}");
    let (_, forecast) = bench.ask("/v1/analytics/forecast", &[], &token).await;
    assert_eq!(forecast["currentPeriod"]["quota"], 7_000, "{forecast}");
}

#[tokio::test]
async fn the_description_needs_no_token() {
    let bench = Bench::over(Table::missing(), Table::missing());
    let response = bench.respond(OPENAPI, &[], None).await;
    assert_eq!(response.status_code, 200);
    assert_eq!(header(&response, "content-type"), Some("application/json"));
    let document: Value = serde_json::from_str(&text(&response)).unwrap();
    assert_eq!(document["openapi"], "3.1.1");
}

#[tokio::test]
async fn the_page_needs_no_token_and_may_load_nothing_but_the_api() {
    let bench = Bench::over(Table::missing(), Table::missing());
    for path in ["/v1/analytics", "/v1/analytics/"] {
        let response = bench.respond(path, &[], None).await;
        assert_eq!(response.status_code, 200);
        let media_type = header(&response, "content-type");
        assert_eq!(media_type, Some("text/html; charset=utf-8"));
        let policy = header(&response, "content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(text(&response).starts_with("<!doctype html>"));
    }
}

/// A request of the open document with one header.
fn document_with(name: &str, value: &str) -> Request {
    let mut event = gateway::event(OPENAPI, &[], None);
    event["multiValueHeaders"] = json!({name: [value]});
    serde_json::from_value(event).unwrap()
}

#[tokio::test]
async fn a_document_travels_compressed_and_once() {
    let bench = Bench::over(Table::missing(), Table::missing());
    let whole = bench.respond(OPENAPI, &[], None).await;
    assert!(!whole.is_base64_encoded);
    assert_eq!(header(&whole, "vary"), Some("accept-encoding"));
    let tag = header(&whole, "etag").unwrap().to_owned();

    let packed = document_with("Accept-Encoding", "gzip, br");
    let packed = bench.api.respond(&packed, now()).await;
    assert_eq!(header(&packed, "content-encoding"), Some("gzip"));
    assert_eq!(header(&packed, "etag"), Some(tag.as_str()));
    let Some(Body::Binary(bytes)) = &packed.body else {
        panic!("not bytes: {:?}", packed.body)
    };
    assert!(packed.is_base64_encoded);
    assert!(bytes.len() * 4 < text(&whole).len(), "{}", bytes.len());

    let known = document_with("If-None-Match", &tag);
    let known = bench.api.respond(&known, now()).await;
    assert_eq!((known.status_code, text(&known)), (304, String::new()));
    assert_eq!(header(&known, "etag"), Some(tag.as_str()));
    let other = document_with("If-None-Match", "\"other\"");
    assert_eq!(bench.api.respond(&other, now()).await.status_code, 200);
}

#[tokio::test]
async fn data_is_compressed_too_and_never_kept() {
    let bench = Bench::of(&folded());
    let query = [("duration", "24h"), ("granularity", "minute")];
    let mut event = gateway::event(TIMESERIES, &query, Some(&bench.admin()));
    event["multiValueHeaders"]["accept-encoding"] = json!(["gzip"]);
    event["multiValueHeaders"]["if-none-match"] = json!(["*"]);
    let request = serde_json::from_value(event).unwrap();
    let response = bench.api.respond(&request, now()).await;
    assert_eq!(response.status_code, 200);
    assert_eq!(header(&response, "content-encoding"), Some("gzip"));
    assert_eq!(header(&response, "cache-control"), Some("no-store"));
    assert_eq!(header(&response, "etag"), None);
}

#[tokio::test]
async fn endpoints_are_listed_with_how_they_were_answered() {
    let bench = Bench::of(&folded());
    let query = [("duration", "3h"), ("limit", "1")];
    let (status, body) = bench.ask(ENDPOINTS, &query, &bench.admin()).await;
    assert_eq!(status, 200);
    insta::assert_json_snapshot!("endpoints", body);
    let query = [("duration", "3h"), ("format", "csv")];
    let token = bench.user("bob@example.com");
    let response = bench.respond(ENDPOINTS, &query, Some(&token)).await;
    assert_eq!(
        text(&response),
        "endpoint,totalCalls\r\n/v1/countries,1\r\n"
    );
}

#[tokio::test]
async fn users_are_listed_for_administrators() {
    let bench = Bench::of(&folded());
    let (status, body) = bench.ask(USERS, &[], &bench.admin()).await;
    assert_eq!(status, 200);
    insta::assert_json_snapshot!("users", body);
    let query = [("format", "csv"), ("search", "bob")];
    let response = bench.respond(USERS, &query, Some(&bench.admin())).await;
    assert_eq!(
        text(&response),
        "email,totalCalls,lastSeen\r\nbob@example.com,1,2026-11-22T16:01:00Z\r\n",
    );
}

#[tokio::test]
async fn calls_are_grouped_by_the_status_of_their_response() {
    let bench = Bench::of(&folded());
    let query = [("duration", "3h"), ("groupBy", "status")];
    let (_, body) = bench.ask(TIMESERIES, &query, &bench.admin()).await;
    let points = body["points"].as_array().unwrap();
    let groups: Vec<&Value> = points.iter().map(|point| &point["groups"]).collect();
    let of = |count: u64| json!([{"key": "200", "totalCalls": count}]);
    assert_eq!(groups, [&json!([]), &json!([]), &of(1), &of(5)]);
}

#[tokio::test]
async fn the_endpoint_is_found_behind_a_base_path_and_in_a_pattern() {
    let bench = Bench::of(&World::default());
    for (resource, path) in [
        (REALTIME, "/billing/v1/analytics/realtime"),
        ("/{proxy+}", "/v1/analytics/realtime/"),
    ] {
        let mut event = gateway::event(path, &[], Some(&bench.admin()));
        event["resource"] = json!(resource);
        let request = serde_json::from_value(event).unwrap();
        let response = bench.api.respond(&request, now()).await;
        assert_eq!(response.status_code, 200, "{path}");
    }
}

/// The journal does not record by which way an event arrived.
#[tokio::test]
async fn both_modes_are_answered_alike() {
    let stream = World::default();
    stream.call(&events());
    let synchronous = World::default();
    let mut events = events();
    for event in &mut events {
        event.data.mode = TrackingMode::Synchronous;
        synchronous.call(std::slice::from_ref(event));
    }
    for fold in [false, true] {
        if fold {
            stream.fold(now());
            synchronous.fold(now());
        }
        let (one, other) = (Bench::of(&stream), Bench::of(&synchronous));
        for path in [REALTIME, TIMESERIES, USER_STATS] {
            let admin = path != USER_STATS;
            let token = |bench: &Bench| {
                if admin {
                    bench.admin()
                } else {
                    bench.user("ann@example.com")
                }
            };
            let found = one.ask(path, &[], &token(&one)).await;
            assert_eq!(found, other.ask(path, &[], &token(&other)).await, "{path}");
            assert_eq!(found.0, 200);
        }
    }
}

#[tokio::test]
async fn an_event_with_two_different_reports_counts_once() {
    for fold in [false, true] {
        let world = World::default();
        let mut event = sample::event(1, "ann@example.com", EventType::ApiCall, now());
        world.call(std::slice::from_ref(&event));
        event.data.endpoint = "/v1/other".to_owned();
        world.call(std::slice::from_ref(&event));
        if fold {
            world.fold(now());
        }
        let bench = Bench::of(&world);
        let token = bench.user("ann@example.com");
        let (_, body) = bench.ask(USER_STATS, &[], &token).await;
        assert_eq!(body["totalCalls"], 1);
        let endpoints = json!([{"endpoint": "/v1/deadlines", "totalCalls": 1}]);
        assert_eq!(body["endpoints"], endpoints);
        let (_, body) = bench.ask(REALTIME, &[], &token).await;
        assert_eq!(
            (&body["totalCalls"], &body["topEndpoints"]),
            (&json!(1), &endpoints)
        );
    }
}

#[tokio::test]
async fn data_is_not_to_be_cached() {
    let bench = Bench::of(&World::default());
    let response = bench.respond(REALTIME, &[], Some(&bench.admin())).await;
    assert_eq!(header(&response, "cache-control"), Some("no-store"));
    assert_eq!(header(&response, "content-type"), Some("application/json"));
    let response = bench.respond(REALTIME, &[], None).await;
    assert_eq!(header(&response, "cache-control"), Some("no-store"));
}
