//! Another API behind the front: the requests that it receives, and the responses that a caller
//! receives. Paths and headers are sent byte by byte, because a client would correct them.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{Response, StatusCode},
};
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use crate::{
    aws::Deployed,
    host::{Running, format},
};

/// A request as the upstream received it.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) method: String,
    pub(crate) target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Bytes,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let values = self.headers(name);
        assert!(values.len() < 2, "{name}: {values:?}");
        values.first().copied()
    }

    pub(crate) fn headers(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(known, _)| known == name);
        named
            .map(|(_, value)| std::str::from_utf8(value).unwrap())
            .collect()
    }
}

/// An API that records what it receives.
#[derive(Clone)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
    /// Each lets `/api/parts` send one more part.
    next: Arc<Notify>,
}

/// The parts of `/api/parts`.
const PARTS: usize = 3;

pub(crate) const GZIP: &[u8] = b"\x1f\x8b\x08not really gzip\xff\xfe";

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let upstream = Self {
            address: listener.local_addr().unwrap(),
            got: Arc::default(),
            next: Arc::default(),
        };
        let router = Router::new().fallback(answer).with_state(upstream.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        upstream
    }

    pub(crate) fn last(&self) -> Got {
        self.got.lock().unwrap().last().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.got.lock().unwrap().len()
    }
}

async fn answer(State(upstream): State<Upstream>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let headers = parts.headers.iter();
    let headers = headers.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
    upstream.got.lock().unwrap().push(Got {
        method: parts.method.to_string(),
        target: parts.uri.path_and_query().unwrap().to_string(),
        headers: headers.collect(),
        body: body.clone(),
    });
    let response = Response::builder();
    match parts.uri.path() {
        "/api/redirect" => response
            .status(302)
            .header("location", "/elsewhere")
            .body(Body::empty()),
        "/api/gzip" => response
            .header("content-encoding", "gzip")
            .header("content-type", "text/plain")
            .body(Body::from(GZIP)),
        "/api/cookies" => response
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2")
            .header("server", "recording")
            .header("www-authenticate", "Basic")
            .header("x-own", "kept")
            .body(Body::from("{}")),
        "/api/slow" => {
            tokio::time::sleep(Duration::from_mins(1)).await;
            response.body(Body::empty())
        }
        "/api/teapot" => response.status(418).body(Body::from("short and stout")),
        "/api/fails" => response.status(503).body(Body::from("down")),
        "/api/echo" => response
            .header("content-type", "application/octet-stream")
            .body(Body::from(body)),
        "/api/parts" => {
            let parts = stream::unfold(upstream.next, |next| async move {
                next.notified().await;
                Some((Ok::<_, Infallible>("part\n"), next))
            });
            response.body(Body::from_stream(parts.take(PARTS)))
        }
        "/api/huge" => response.body(Body::from(vec![0; 11 * 1024 * 1024])),
        "/api/report" => response
            .header("content-length", "1234")
            .header("etag", "\"7\"")
            .body(Body::empty()),
        _ => response.status(StatusCode::OK).body(Body::from("{}")),
    }
    .unwrap()
}

/// The response.
#[derive(Debug)]
pub(crate) struct Back {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Back {
    pub(crate) fn headers(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(known, _)| known == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Sends these bytes, and reads until the connection ends.
pub(crate) async fn send(to: SocketAddr, head: &str, body: &[u8]) -> Back {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let mut request = format!("{head}\r\nHost: metered.example\r\nConnection: close\r\n");
    let length = match body.len() {
        0 => String::new(),
        length => format!("Content-Length: {length}\r\n"),
    };
    request.push_str(&length);
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    // A body that is too large is refused before it is read.
    let _ = stream.write_all(body).await;
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    let end = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let (head, body) = bytes.split_at(end + 4);
    let head = String::from_utf8(head.to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    Back {
        status: status.parse().unwrap(),
        headers: lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect(),
        body: body.to_vec(),
    }
}

/// The methods of a resource in front of an upstream, as the stacks declare them.
fn methods(uri: &str, millis: u64) -> Value {
    let mapped = |user: &str| {
        json!({
            "integration.request.path.proxy": "method.request.path.proxy",
            "integration.request.header.x-api-key": "'withheld'",
            "integration.request.header.x-usage-user": user,
            "integration.request.header.x-usage-secret":
                "'{{resolve:secretsmanager:upstream:SecretString:token}}'",
        })
    };
    let integration = |user| {
        json!({
            "type": "HTTP_PROXY", "uri": uri, "requestParameters": mapped(user),
            "timeoutInMillis": millis,
        })
    };
    json!({
        "ANY": {
            "authorizationType": "CUSTOM", "authorizerId": "gate",
            "methodIntegration": integration("context.authorizer.email"),
        },
        "OPTIONS": {"authorizationType": "NONE", "methodIntegration": integration("'none'")},
    })
}

/// A host with an upstream under `/api` of its address.
async fn running(more: Vec<Value>) -> (Running, Upstream) {
    started(more, false).await
}

/// The same; `streamed` says whether the responses of `/{proxy+}` are streamed.
async fn started(more: Vec<Value>, streamed: bool) -> (Running, Upstream) {
    let upstream = Upstream::start().await;
    let base = format!("http://{}/api", upstream.address);
    let mut resources = vec![
        json!({"id": "root", "path": "/", "resourceMethods": methods(&format!("{base}/"), 29_000)}),
        json!({"id": "all", "path": "/{proxy+}",
            "resourceMethods": methods(&format!("{base}/{{proxy}}"), 3_000)}),
    ];
    resources.extend(more);
    let streamed = if streamed {
        format!("{base}/{{proxy}}")
    } else {
        String::new()
    };
    let host = Running::start(Deployed {
        access_log_format: format(),
        resources,
        streamed,
        ..Deployed::default()
    })
    .await;
    (host, upstream)
}

/// A caller of a host, with what it has received so far.
struct Caller {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Caller {
    async fn get(host: &Running, path: &str) -> Self {
        let mut stream = TcpStream::connect(host.address).await.unwrap();
        let head = format!("GET /local/{path} HTTP/1.1\r\nHost: metered.example\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        Self {
            stream,
            received: Vec::new(),
        }
    }

    /// Reads until this many parts have come; `false` if the connection ends before.
    async fn parts(&mut self, parts: usize) -> bool {
        let count = |bytes: &[u8]| String::from_utf8_lossy(bytes).matches("part\n").count();
        while count(&self.received) < parts {
            if self.stream.read_buf(&mut self.received).await.unwrap() == 0 {
                return false;
            }
        }
        assert_eq!(count(&self.received), parts);
        true
    }
}

/// The lines of the access log, once there is one: the status, and the length of the response.
async fn only_line(host: &Running) -> (String, String) {
    host.eventually("the call is logged", async |host| {
        host.aws
            .with(|aws| aws.log_lines.get("/access").map_or(0, Vec::len))
            == 1
    })
    .await;
    let line = host.aws.with(|aws| aws.log_lines["/access"][0].clone());
    let line: Value = serde_json::from_str(&line).unwrap();
    let text = |of: &str| line[of].as_str().unwrap().to_owned();
    (text("status"), text("length"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_streamed_response_reaches_the_caller_part_by_part_and_is_logged_at_its_end() {
    let (host, upstream) = started(Vec::new(), true).await;
    let mut caller = Caller::get(&host, "parts").await;
    for part in 1..=PARTS {
        let lines = host.aws.with(|aws| aws.log_lines.len());
        assert_eq!(lines, 0, "the response has not ended");
        // The upstream sends no further part before the caller has this one.
        upstream.next.notify_one();
        assert!(caller.parts(part).await);
    }
    assert_eq!(only_line(&host).await, ("200".to_owned(), "15".to_owned()));
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_its_caller_leaves_is_logged_with_what_was_sent() {
    let (host, upstream) = started(Vec::new(), true).await;
    let mut caller = Caller::get(&host, "parts").await;
    upstream.next.notify_one();
    assert!(caller.parts(1).await);
    drop(caller);
    upstream.next.notify_one();
    upstream.next.notify_one();
    let (status, length) = only_line(&host).await;
    assert_eq!(status, "200");
    assert!(["5", "10", "15"].contains(&length.as_str()), "{length}");
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_may_be_larger_than_ten_megabytes_and_no_longer_than_its_timeout() {
    let (host, _upstream) = started(Vec::new(), true).await;
    let back = send(host.address, "GET /local/huge HTTP/1.1", b"").await;
    assert_eq!((back.status, back.body.len()), (200, 11 * 1024 * 1024));
    // The upstream sends no part: the status is sent, so the connection breaks off after the
    // three seconds of the integration.
    let mut caller = Caller::get(&host, "parts").await;
    assert!(!caller.parts(1).await);
    let head = String::from_utf8_lossy(&caller.received);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(!head.ends_with("0\r\n\r\n"), "{head}");
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_reaches_the_upstream_as_it_was_sent() {
    let (host, upstream) = running(Vec::new()).await;
    for (sent, got) in [
        ("/local", "/api/"),
        ("/local/", "/api/"),
        ("/local/users/7?a=1&b=2&a=3", "/api/users/7?a=1&b=2&a=3"),
        ("/local/a%20b/caf%C3%A9", "/api/a%20b/caf%C3%A9"),
        ("/local/a%2Fb", "/api/a/b"),
        ("/local/a%3Fb", "/api/a%3Fb"),
        ("/local/a//b/", "/api/a//b/"),
        ("/local/x/../y", "/api/x/../y"),
        ("/local/x?q=a%26b&empty=&flag", "/api/x?q=a%26b&empty=&flag"),
    ] {
        let back = send(host.address, &format!("GET {sent} HTTP/1.1"), b"").await;
        assert_eq!(back.status, 200, "{sent}: {back:?}");
        assert_eq!(upstream.last().target, got, "{sent}");
    }
    for method in ["DELETE", "PATCH", "POST", "PUT"] {
        let head = format!("{method} /local/echo HTTP/1.1");
        let back = send(host.address, &head, b"\x00\xff\xfe").await;
        assert_eq!(
            (back.status, back.body.as_slice()),
            (200, &b"\x00\xff\xfe"[..])
        );
        let got = upstream.last();
        assert_eq!(
            (got.method.as_str(), got.body.as_ref()),
            (method, &b"\x00\xff\xfe"[..])
        );
        assert_eq!(got.header("content-length"), Some("3"));
    }
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_pass_but_those_of_the_connection_and_those_that_the_gateway_sets() {
    let (host, upstream) = running(Vec::new()).await;
    let head = "GET /local/x HTTP/1.1\r\nX-Api-Key: complical_secret\r\nX-Usage-User: admin@b.c\r\n\
                Cookie: a=1; b=2\r\nX-Twice: 1\r\nX-Twice: 2\r\nAccept-Encoding: br, gzip\r\n\
                Authorization: Bearer mine\r\nTE: trailers\r\nUpgrade: websocket\r\n\
                Content-Encoding: gzip\r\nMax-Forwards: 3\r\nX-Forwarded-For: 6.6.6.6\r\n\
                User-Agent: test/1";
    send(host.address, head, b"").await;
    let got = upstream.last();
    assert_eq!(got.header("x-api-key"), Some("withheld"));
    assert_eq!(got.header("x-usage-user"), Some("a@b.c"));
    assert_eq!(got.header("x-usage-secret"), Some("s3cret"));
    assert_eq!(got.header("cookie"), Some("a=1; b=2"));
    assert_eq!(got.headers("x-twice"), ["1", "2"]);
    assert_eq!(got.header("accept-encoding"), Some("br, gzip"));
    assert_eq!(got.header("authorization"), Some("Bearer mine"));
    assert_eq!(got.header("user-agent"), Some("test/1"));
    assert_eq!(got.header("x-forwarded-for"), Some("6.6.6.6, 127.0.0.1"));
    assert!(
        got.header("x-amzn-trace-id")
            .unwrap()
            .starts_with("Root=1-")
    );
    assert_eq!(
        got.header("host"),
        Some(upstream.address.to_string().as_str())
    );
    for name in [
        "te",
        "upgrade",
        "content-encoding",
        "max-forwards",
        "transfer-encoding",
    ] {
        assert_eq!(got.header(name), None, "{name}");
    }
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_comes_back_as_it_is() {
    let (host, upstream) = running(Vec::new()).await;
    let get = async |path: &str| {
        let head = format!("GET /local/{path} HTTP/1.1\r\nAccept-Encoding: gzip");
        send(host.address, &head, b"").await
    };
    let back = get("redirect").await;
    assert_eq!(
        (back.status, back.headers("location")),
        (302, vec!["/elsewhere"])
    );
    assert_eq!(upstream.count(), 1, "no redirect is followed");

    let back = get("gzip").await;
    assert_eq!(back.body, GZIP);
    assert_eq!(back.headers("content-encoding"), ["gzip"]);
    assert_eq!(back.headers("content-type"), ["text/plain"]);

    let back = get("cookies").await;
    assert_eq!(back.headers("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(back.headers("x-own"), ["kept"]);
    assert_eq!(back.headers("x-amzn-remapped-server"), ["recording"]);
    assert_eq!(back.headers("x-amzn-remapped-www-authenticate"), ["Basic"]);
    assert_eq!(back.headers("x-amzn-remapped-date").len(), 1);
    assert_eq!(back.headers("content-type"), ["application/json"]);
    assert_eq!(back.headers("server"), [] as [&str; 0]);

    let back = get("teapot").await;
    assert_eq!(
        (back.status, back.body.as_slice()),
        (418, &b"short and stout"[..])
    );

    let back = send(host.address, "HEAD /local/report HTTP/1.1", b"").await;
    assert_eq!(back.headers("content-length"), ["1234"]);
    assert_eq!(back.headers("etag"), ["\"7\""]);
    assert_eq!(
        (upstream.last().method.as_str(), back.body.len()),
        ("HEAD", 0)
    );
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_megabytes_pass_and_more_is_refused_in_either_direction() {
    let (host, upstream) = running(Vec::new()).await;
    let most = vec![7; 10 * 1024 * 1024];
    let back = send(host.address, "POST /local/echo HTTP/1.1", &most).await;
    assert_eq!((back.status, back.body.len()), (200, most.len()));
    let calls = upstream.count();
    let over = vec![7; 10 * 1024 * 1024 + 1];
    let back = send(host.address, "POST /local/echo HTTP/1.1", &over).await;
    assert_eq!(back.status, 413);
    assert_eq!(upstream.count(), calls, "the upstream sees none of it");
    let back = send(host.address, "GET /local/huge HTTP/1.1", b"").await;
    assert_eq!(back.status, 504);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_fails_is_answered_for_in_json_and_logged_with_its_status() {
    let gone = json!({"id": "gone", "path": "/gone", "resourceMethods":
        methods("http://127.0.0.1:9/", 29_000)});
    let (host, _upstream) = running(vec![gone]).await;
    let message = |text: &str| json!({ "message": text });
    for (path, status, body) in [
        ("fails", 503, None),
        ("slow", 504, Some(message("Endpoint request timed out"))),
        (
            "gone",
            504,
            Some(message("Network error communicating with endpoint")),
        ),
    ] {
        let back = send(host.address, &format!("GET /local/{path} HTTP/1.1"), b"").await;
        assert_eq!(back.status, status, "{path}");
        if let Some(body) = body {
            assert_eq!(back.json(), body, "{path}");
        }
    }
    host.eventually("each is logged", async |host| {
        host.aws
            .with(|aws| aws.log_lines.get("/access").map_or(0, Vec::len))
            == 3
    })
    .await;
    let lines = host.aws.with(|aws| aws.log_lines["/access"].clone());
    let told: Vec<[String; 4]> = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|line| {
            ["status", "type", "eventId", "resource"]
                .map(|of| line[of].as_str().unwrap().to_owned())
        })
        .collect();
    let of = |status: &str, kind: &str, resource: &str| {
        [status, kind, "e-1", resource].map(str::to_owned)
    };
    assert_eq!(
        told,
        [
            of("503", "-", "/{proxy+}"),
            of("504", "INTEGRATION_TIMEOUT", "/{proxy+}"),
            of("504", "INTEGRATION_FAILURE", "/gone"),
        ]
    );
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_method_that_the_gateway_does_not_accept_reaches_nobody() {
    let (host, upstream) = running(Vec::new()).await;
    for method in ["BREW", "TRACE", "get"] {
        let back = send(host.address, &format!("{method} /local/x HTTP/1.1"), b"").await;
        assert_eq!(back.status, 403, "{method}");
        assert_eq!(
            back.json(),
            json!({"message": "Missing Authentication Token"})
        );
    }
    assert_eq!(upstream.count(), 0);
    host.stop();
}

/// A preflight as a browser sends it.
fn preflight(path: &str, origin: &str) -> String {
    format!(
        "OPTIONS {path} HTTP/1.1\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: GET\r\n\
         Access-Control-Request-Headers: x-api-key"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preflight_passes_to_the_upstream_and_asks_no_authorizer() {
    let (host, upstream) = running(Vec::new()).await;
    let head = preflight(
        "/local/users/7?decide=unauthorized",
        "https://app.example.com",
    );
    let back = send(host.address, &head, b"").await;
    assert_eq!(back.status, 200);
    let got = upstream.last();
    assert_eq!(got.method, "OPTIONS");
    assert_eq!(got.header("x-usage-user"), Some("none"));
    assert_eq!(got.header("origin"), Some("https://app.example.com"));
    host.eventually("it is logged", async |host| {
        host.aws.with(|aws| aws.log_lines.contains_key("/access"))
    })
    .await;
    let line = host.aws.with(|aws| aws.log_lines["/access"][0].clone());
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&line["asked"], &line["askedId"]),
        (&json!("- -"), &json!("-"))
    );
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_answers_preflights_names_the_origin_that_asks() {
    let template = "#set($origin=$input.params().header.get(\"origin\"))#if($origin==\"https://a.example\" || $origin==\"https://b.example\")#set($context.responseOverride.header.Access-Control-Allow-Origin=$origin)#end";
    let mock = json!({"id": "mock", "path": "/mock", "resourceMethods": {"OPTIONS": {
        "authorizationType": "NONE",
        "methodIntegration": {"type": "MOCK", "integrationResponses": {"204": {
            "responseParameters": {"method.response.header.Access-Control-Allow-Methods": "'GET,POST'"},
            "responseTemplates": {"application/json": template},
        }}},
    }}});
    let (host, upstream) = running(vec![mock]).await;
    for (origin, named) in [
        ("https://a.example", vec!["https://a.example"]),
        ("https://b.example", vec!["https://b.example"]),
        ("https://evil.example", vec![]),
    ] {
        let back = send(host.address, &preflight("/local/mock", origin), b"").await;
        assert_eq!(back.status, 204);
        assert_eq!(back.headers("access-control-allow-methods"), ["GET,POST"]);
        assert_eq!(back.headers("access-control-allow-origin"), named);
    }
    assert_eq!(upstream.count(), 0);
    host.stop();
}
