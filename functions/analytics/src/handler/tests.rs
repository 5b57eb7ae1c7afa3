mod answers;
mod refusals;

use super::*;
use crate::testing::{Table, World, gateway};
use bearer::signing::{Signer, claims, verifier};
use domain::dimension::Label;
use domain::event::{EventType, UsageEvent};
use domain::names::{ADMIN_SCOPE, TrackingMode};
use domain::sample;
use runtime::memory::MemoryStore;
use serde_json::{Value, json};

const REALTIME: &str = "/v1/analytics/realtime";
const TIMESERIES: &str = "/v1/analytics/timeseries";
const USER_STATS: &str = "/v1/analytics/user-stats";
const ENDPOINTS: &str = "/v1/analytics/endpoints";
const USERS: &str = "/v1/analytics/users";
const FORECAST: &str = "/v1/analytics/forecast";
const ANOMALIES: &str = "/v1/analytics/anomalies";
const OPENAPI: &str = "/v1/analytics/openapi.json";
/// The endpoints that serve data.
const DATA: [&str; 7] = [
    REALTIME, TIMESERIES, USER_STATS, ENDPOINTS, USERS, FORECAST, ANOMALIES,
];

fn now() -> UnixMillis {
    "2026-11-22T16:04:05.678Z".parse().unwrap()
}

/// The API over some tables, and the signer of its tokens.
struct Bench {
    api: Api<Table>,
    signer: Signer,
}

impl Bench {
    fn over(usage: Table, analytics: Table) -> Self {
        let signer = Signer::es256("1");
        let plans = json!({
            "free": {"ratePerSecond": 5, "burst": 10, "monthlyQuota": 100, "alertsPercent": [50, 80, 100], "timezone": "Asia/Kolkata"},
            "endless": {"ratePerSecond": 5, "burst": 10},
        });
        let api = Api {
            usage,
            analytics,
            plans: serde_json::from_value(plans).unwrap(),
            dimensions: vec!["tenant".to_owned()],
            retention: Retention {
                minutes: 7,
                hours: 90,
            },
            verifier: verifier(&[signer.jwk()]),
            page: Page::new(None, &[]),
        };
        Self { api, signer }
    }

    fn of(world: &World) -> Self {
        let table = |store: &MemoryStore| Table::hooked(store.clone(), || Ok(()));
        Self::over(table(&world.usage), table(&world.analytics))
    }

    fn bearer(&self, claims: &Value) -> String {
        format!("Bearer {}", self.signer.sign(claims))
    }

    fn admin(&self) -> String {
        let mut claims = claims("root@example.com", now());
        claims["scope"] = json!(ADMIN_SCOPE);
        self.bearer(&claims)
    }

    fn user(&self, email: &str) -> String {
        self.bearer(&claims(email, now()))
    }

    async fn respond(
        &self,
        path: &str,
        query: &[(&str, &str)],
        token: Option<&str>,
    ) -> ApiGatewayProxyResponse {
        let request = gateway::request(path, query, token);
        self.api.respond(&request, now()).await
    }

    async fn ask(&self, path: &str, query: &[(&str, &str)], token: &str) -> (i64, Value) {
        let response = self.respond(path, query, Some(token)).await;
        let body = serde_json::from_str(&text(&response)).unwrap();
        (response.status_code, body)
    }
}

fn text(response: &ApiGatewayProxyResponse) -> String {
    match &response.body {
        Some(Body::Text(text)) => text.clone(),
        other => panic!("not a text: {other:?}"),
    }
}

fn header<'a>(response: &'a ApiGatewayProxyResponse, name: &str) -> Option<&'a str> {
    response
        .headers
        .get(name)
        .map(|value| value.to_str().unwrap())
}

/// Two users and a stranger, in the last hours.
fn events() -> Vec<UsageEvent> {
    let mut events = Vec::new();
    let mut add = |subject: &str, event_type, at: &str, endpoint: &str| {
        let number = events.len() as u64;
        let mut event = sample::event(number, subject, event_type, at.parse().unwrap());
        event.data.endpoint = endpoint.to_owned();
        event.data.ip = "192.0.2.7".to_owned();
        event.data.key_id = Some(format!("key_{}", number % 3));
        events.push(event);
    };
    let (ann, bob) = ("ann@example.com", "bob@example.com");
    add(
        ann,
        EventType::ApiCall,
        "2026-10-31T12:00:00Z",
        "/v1/deadlines",
    );
    add(
        ann,
        EventType::ApiCall,
        "2026-11-20T12:00:00Z",
        "/v1/deadlines",
    );
    add(
        ann,
        EventType::ApiCall,
        "2026-11-22T15:10:00Z",
        "/v1/deadlines",
    );
    for minute in ["16:00:01", "16:02:30", "16:02:31", "16:04:02"] {
        add(
            ann,
            EventType::ApiCall,
            &format!("2026-11-22T{minute}Z"),
            "/v1/deadlines",
        );
    }
    add(
        bob,
        EventType::ApiCall,
        "2026-11-22T16:01:00Z",
        "/v1/countries",
    );
    add(
        bob,
        EventType::RateLimited,
        "2026-11-22T16:01:01Z",
        "/v1/countries",
    );
    for minute in [
        "14:59:59", "15:04:59", "15:05:00", "15:30:00", "15:31:00", "16:03:00",
    ] {
        let at = format!("2026-11-22T{minute}Z");
        add("ip:192.0.2.7", EventType::AuthFailed, &at, "/v1/deadlines");
    }
    events
}

fn folded() -> World {
    let world = World::default();
    world.live(&events(), now());
    world
}
