//! An HTTP API behind the front: what functions, another API and callers receive, as AWS documents it
//! (API Gateway developer guide, "API Gateway HTTP APIs").

use serde_json::{Value, json};

use crate::aws::{Deployed, Http};
use crate::host::Running;
use crate::proxy::{GZIP, Upstream, send};

/// Variables that AWS documents for the access log of an HTTP API, and two of a REST API alone.
fn format() -> String {
    json!({
        "requestId": "$context.requestId", "routeKey": "$context.routeKey",
        "status": "$context.status", "eventId": "$context.authorizer.eventId",
        "error": "$context.authorizer.error", "integration": "$context.integration.status",
        "resource": "$context.resourcePath", "asked": "$context.authorizer.status",
    })
    .to_string()
}

/// A host whose HTTP API has an upstream under `/api` of its address.
async fn running(cors: Value) -> (Running, Upstream) {
    let upstream = Upstream::start().await;
    let integration = |id: &str, uri: String, user: &str| {
        json!({
            "integrationId": id, "integrationType": "HTTP_PROXY", "integrationUri": uri,
            "integrationMethod": "ANY", "payloadFormatVersion": "1.0", "timeoutInMillis": 3_000,
            "requestParameters": {
                "remove:header.x-api-key": "''",
                "overwrite:header.x-usage-user": user,
                "append:header.x-seen": "by the gateway",
                "overwrite:header.x-usage-secret":
                    "{{resolve:secretsmanager:upstream:SecretString:token}}",
            },
        })
    };
    let base = format!("http://{}/api", upstream.address);
    let known = "$context.authorizer.email";
    let integrations = vec![
        integration("root", format!("{base}/"), known),
        integration("all", format!("{base}/{{proxy}}"), known),
        integration("asked", format!("{base}/{{proxy}}"), "none"),
        integration("gone", "http://127.0.0.1:9/".to_owned(), known),
    ];
    let route = |key: &str, integration: &str, authorization: &str| {
        json!({
            "routeId": key, "routeKey": key, "target": format!("integrations/{integration}"),
            "authorizationType": authorization, "authorizerId": "gate",
        })
    };
    let routes = vec![
        route("ANY /", "root", "CUSTOM"),
        route("ANY /{proxy+}", "all", "CUSTOM"),
        route("OPTIONS /{proxy+}", "asked", "NONE"),
        route("GET /gone", "gone", "CUSTOM"),
        route("POST /open/{id}", "f", "NONE"),
    ];
    let host = Running::start(Deployed {
        http: Some(Http {
            integrations,
            routes,
            cors,
            access_log_format: format(),
        }),
        ..Deployed::default()
    })
    .await;
    (host, upstream)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_behind_an_http_api_receives_payload_2() {
    let (host, _upstream) = running(Value::Null).await;
    let head = "GET /http/v1/a%20b?p=1&p=2&q=x+y HTTP/1.1\r\nX-Twice: 1\r\nX-Twice: 2\r\n\
                Cookie: a=1; b=2\r\nUser-Agent: test/1";
    let event = send(host.address, head, b"").await.json();
    assert_eq!(event["version"], "2.0");
    assert_eq!(event["routeKey"], "GET /v1/{what}");
    assert_eq!(event["rawPath"], "/http/v1/a b");
    assert_eq!(event["rawQueryString"], "p=1&p=2&q=x+y");
    assert_eq!(
        event["queryStringParameters"],
        json!({"p": "1,2", "q": "x y"})
    );
    assert_eq!(event["cookies"], json!(["a=1", "b=2"]));
    assert_eq!(event["headers"]["x-twice"], "1,2");
    assert_eq!(event["headers"].get("cookie"), None);
    assert_eq!(event["pathParameters"], json!({"what": "a b"}));
    assert_eq!(event["isBase64Encoded"], false);
    assert_eq!(event.get("body"), None);
    let context = &event["requestContext"];
    assert_eq!(context["http"]["method"], "GET");
    assert_eq!(context["http"]["sourceIp"], "127.0.0.1");
    assert_eq!(context["stage"], "http");
    assert_eq!(context["authorizer"]["lambda"]["email"], "a@b.c");

    for (kind, sent, encoded) in [
        ("application/json", "{}", false),
        ("image/png", "e30=", true),
    ] {
        let head = format!("POST /http/open/7 HTTP/1.1\r\nContent-Type: {kind}");
        let event = send(host.address, &head, b"{}").await.json();
        assert_eq!(
            (&event["body"], &event["isBase64Encoded"]),
            (&json!(sent), &json!(encoded))
        );
    }
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http_api_refuses_in_its_own_words_and_logs_each_request() {
    let (host, upstream) = running(Value::Null).await;
    let of = |message: &str| json!({ "message": message });
    for (method, path, status, body) in [
        ("GET", "v1/x", 200, None),
        ("GET", "v1/x?decide=deny", 403, Some(of("Forbidden"))),
        (
            "GET",
            "v1/x?decide=unauthorized",
            500,
            Some(of("Internal Server Error")),
        ),
        (
            "GET",
            "v1/x?do=error",
            500,
            Some(of("Internal Server Error")),
        ),
        ("GET", "open/7?do=error", 200, None),
        ("BREW", "x", 404, Some(of("Not Found"))),
        ("GET", "gone", 503, Some(of("Service Unavailable"))),
        ("GET", "slow", 503, Some(of("Service Unavailable"))),
        ("GET", "fails", 503, None),
    ] {
        let back = send(
            host.address,
            &format!("{method} /http/{path} HTTP/1.1"),
            b"",
        )
        .await;
        assert_eq!(back.status, status, "{path}: {back:?}");
        assert_eq!(back.headers("apigw-requestid").len(), 1);
        assert_eq!(back.headers("x-amzn-requestid"), [] as [&str; 0]);
        if let Some(body) = body {
            assert_eq!(back.json(), body, "{path}");
            assert_eq!(back.headers("x-amzn-errortype"), [] as [&str; 0]);
        }
    }
    assert_eq!(upstream.last().target, "/api/fails");
    let logged = || {
        host.aws
            .with(|aws| aws.log_lines.get("/access-of-http").cloned())
    };
    host.eventually("each is logged", async |_| {
        logged().map_or(0, |lines| lines.len()) == 9
    })
    .await;
    let lines = logged().unwrap();
    let lines = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let said = lines.map(|line| {
        assert_eq!(
            (&line["resource"], &line["asked"]),
            (&json!("-"), &json!("-"))
        );
        assert_ne!(line["requestId"], "-");
        ["routeKey", "status", "eventId", "error", "integration"]
            .map(|of| line[of].as_str().unwrap().to_owned())
    });
    let said: Vec<[String; 5]> = said.collect();
    let expected = [
        ["GET /v1/{what}", "200", "e-1", "-", "200"],
        ["GET /v1/{what}", "403", "e-1", "-", "-"],
        ["GET /v1/{what}", "500", "-", "Unauthorized", "-"],
        ["GET /v1/{what}", "500", "e-1", "-", "-"],
        ["ANY /{proxy+}", "200", "e-1", "-", "200"],
        ["-", "404", "-", "-", "-"],
        ["GET /gone", "503", "e-1", "-", "-"],
        ["ANY /{proxy+}", "503", "e-1", "-", "-"],
        ["ANY /{proxy+}", "503", "e-1", "-", "503"],
    ];
    assert_eq!(said, expected.map(|line| line.map(str::to_owned)));
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http_api_passes_the_entire_request_and_response() {
    let (host, upstream) = running(Value::Null).await;
    for (sent, got) in [
        ("/http", "/api/"),
        ("/http/", "/api/"),
        ("/http/users/7?a=1&b=2&a=%33", "/api/users/7?a=1&b=2&a=%33"),
        ("/http/a%20b/caf%C3%A9", "/api/a%20b/caf%C3%A9"),
        ("/http/a//b/", "/api/a//b/"),
    ] {
        let back = send(host.address, &format!("GET {sent} HTTP/1.1"), b"").await;
        assert_eq!(back.status, 200, "{sent}: {back:?}");
        assert_eq!(upstream.last().target, got, "{sent}");
    }
    let head = "GET /http/cookies HTTP/1.1\r\nX-Api-Key: complical_secret\r\nX-Usage-User: admin@b.c\r\n\
                Content-Encoding: gzip\r\nMax-Forwards: 3\r\nX-Seen: by the caller\r\nTE: trailers\r\n\
                X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https";
    let back = send(host.address, head, b"").await;
    let got = upstream.last();
    assert_eq!(got.header("x-api-key"), None);
    assert_eq!(got.header("x-usage-user"), Some("a@b.c"));
    assert_eq!(got.header("x-usage-secret"), Some("s3cret"));
    assert_eq!(got.headers("x-seen"), ["by the caller", "by the gateway"]);
    assert_eq!(got.header("content-encoding"), Some("gzip"));
    assert_eq!(got.header("max-forwards"), Some("3"));
    assert_eq!(got.header("te"), None);
    assert_eq!(got.header("x-forwarded-for"), None);
    let forwarded = "for=6.6.6.6, for=127.0.0.1;host=metered.example;proto=http";
    assert_eq!(got.header("forwarded"), Some(forwarded));
    assert_eq!(back.headers("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(back.headers("server"), ["recording"]);
    assert_eq!(back.headers("www-authenticate"), ["Basic"]);

    let back = send(host.address, "GET /http/redirect HTTP/1.1", b"").await;
    assert_eq!(
        (back.status, back.headers("location")),
        (302, vec!["/elsewhere"])
    );
    let back = send(host.address, "GET /http/gzip HTTP/1.1", b"").await;
    assert_eq!(back.body, GZIP);
    let back = send(host.address, "OPTIONS /http/x HTTP/1.1", b"").await;
    assert_eq!(back.status, 200);
    assert_eq!(upstream.last().header("x-usage-user"), Some("none"));
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http_api_answers_preflights_of_the_pages_that_it_names() {
    let cors = json!({
        "AllowOrigins": ["https://a.example"], "AllowHeaders": ["x-api-key"],
        "AllowMethods": ["GET"], "AllowCredentials": true, "MaxAge": 600,
    });
    let (host, upstream) = running(cors).await;
    let preflight = async |origin: &str| {
        let head = format!(
            "OPTIONS /http/x HTTP/1.1\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: GET"
        );
        send(host.address, &head, b"").await
    };
    let back = preflight("https://a.example").await;
    assert_eq!((back.status, upstream.count()), (204, 0));
    for (name, value) in [
        ("access-control-allow-origin", "https://a.example"),
        ("access-control-allow-headers", "x-api-key"),
        ("access-control-allow-methods", "GET"),
        ("access-control-allow-credentials", "true"),
        ("access-control-max-age", "600"),
    ] {
        assert_eq!(back.headers(name), [value]);
    }
    let back = preflight("https://b.example").await;
    assert_eq!(back.headers("access-control-allow-origin"), [] as [&str; 0]);

    let head = "GET /http/x HTTP/1.1\r\nOrigin: https://a.example";
    let back = send(host.address, head, b"").await;
    assert_eq!(
        back.headers("access-control-allow-origin"),
        ["https://a.example"]
    );
    let refused = "GET /http/v1/x?decide=deny HTTP/1.1\r\nOrigin: https://a.example";
    let back = send(host.address, refused, b"").await;
    assert_eq!(back.status, 403);
    assert_eq!(back.headers("access-control-allow-origin"), [] as [&str; 0]);
    host.stop();
}
