//! A call to AWS over HTTP: who signed it, its action as IAM names it, and the resources it is
//! about.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking"
)]

mod resources;

pub use resources::ACCOUNT;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use serde_json::Value;

/// The access key id of calls that no role limits: those of the function host and of tests.
pub const OWN_KEY: &str = "test";

/// A call that a proxy received.
#[derive(Debug, Clone)]
pub struct Call {
    /// The HTTP method.
    pub method: Method,
    /// The path, with the query.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// The response to a call.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, without those of the connection.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl From<Answer> for Response<Body> {
    fn from(answer: Answer) -> Self {
        let mut response = Self::new(Body::from(answer.body));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        response
    }
}

impl Call {
    /// Reads a request to its end.
    pub async fn read(request: Request) -> Self {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query();
        Self {
            method: parts.method,
            path: path.map_or("/", |path| path.as_str()).to_owned(),
            headers: parts.headers,
            body: to_bytes(body, usize::MAX).await.unwrap_or_default(),
        }
    }

    /// A call of a proxy's own.
    pub fn own(service: &str, content_type: &'static str, body: &str) -> Self {
        let scope = format!(
            "AWS4-HMAC-SHA256 Credential={OWN_KEY}/20260101/ap-south-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
        );
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, scope.parse().unwrap());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self {
            method: Method::POST,
            path: "/".to_owned(),
            headers,
            body: Bytes::from(body.to_owned()),
        }
    }

    /// The same call of an operation of a JSON protocol.
    #[must_use]
    pub fn about(mut self, target: &'static str) -> Self {
        let target = HeaderValue::from_static(target);
        self.headers.insert("x-amz-target", target);
        self
    }

    /// Sends the call to `aws`. `None` if nothing answers there.
    pub async fn forward(&self, client: &reqwest::Client, aws: &str) -> Option<Answer> {
        let mut headers = self.headers.clone();
        for own in [HOST, CONTENT_LENGTH, TRANSFER_ENCODING] {
            headers.remove(own);
        }
        let url = format!("{aws}{}", self.path);
        let request = client.request(self.method.clone(), url);
        let sent = request.headers(headers).body(self.body.clone()).send();
        let answer = sent.await.ok()?;
        let status = answer.status();
        let mut headers = answer.headers().clone();
        headers.remove(TRANSFER_ENCODING);
        if self.method != Method::HEAD {
            headers.remove(CONTENT_LENGTH);
        }
        let body = answer.bytes().await.ok()?;
        Some(Answer {
            status,
            headers,
            body,
        })
    }

    /// The text of a header, empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// A part of the credential scope: access key id, day, region, service.
    fn scope(&self, part: usize) -> Option<&str> {
        let signed = self.header(AUTHORIZATION.as_str());
        let (_, scope) = signed.split_once("Credential=")?;
        scope.split('/').nth(part)
    }

    /// The access key id that signed the call.
    pub fn access_key_id(&self) -> &str {
        self.scope(0).unwrap_or("unsigned")
    }

    fn region(&self) -> &str {
        self.scope(2).unwrap_or_default()
    }

    /// The service for which the call is signed, as IAM names it.
    pub fn service(&self) -> &str {
        match self.scope(3).unwrap_or("unsigned") {
            "monitoring" => "cloudwatch",
            other => other,
        }
    }

    /// The operation of `X-Amz-Target`, of a path, or of a form.
    fn operation(&self) -> String {
        if let Some((_, operation)) = self.header("x-amz-target").rsplit_once('.') {
            return operation.to_owned();
        }
        if let Some((_, operation)) = self.path.rsplit_once("/operation/") {
            return operation.to_owned();
        }
        match self.service() {
            "s3" => self.of_s3().to_owned(),
            "apigateway" => self.method.to_string(),
            "lambda" => self.of_lambda().to_owned(),
            _ => self.parameter("Action").unwrap_or_default(),
        }
    }

    /// The action, as IAM names it.
    pub fn action(&self) -> String {
        format!("{}:{}", self.service(), self.operation())
    }

    fn of_s3(&self) -> &'static str {
        let (path, query) = self.path.split_once('?').unwrap_or((&self.path, ""));
        let is_object = path.trim_matches('/').contains('/');
        let about = query.split(['=', '&']).next().unwrap_or_default();
        match (self.method.as_str(), about, is_object) {
            ("PUT", "encryption", _) => "PutEncryptionConfiguration",
            ("PUT", "publicAccessBlock", _) => "PutBucketPublicAccessBlock",
            ("PUT", "policy", _) => "PutBucketPolicy",
            ("PUT", "versioning", _) => "PutBucketVersioning",
            ("PUT", "lifecycle", _) => "PutLifecycleConfiguration",
            ("GET", "versions", _) => "ListBucketVersions",
            ("POST", "delete", _) => "DeleteObjectVersion",
            ("PUT", _, true) => "PutObject",
            ("PUT", _, false) => "CreateBucket",
            ("DELETE", _, false) => "DeleteBucket",
            ("GET" | "HEAD", _, true) => "GetObject",
            ("HEAD", _, false) => "ListBucket",
            _ => "?",
        }
    }

    fn of_lambda(&self) -> &'static str {
        let (path, _) = self.path.split_once('?').unwrap_or((&self.path, ""));
        let about = path.rsplit('/').next().unwrap_or_default();
        match (self.method.as_str(), about) {
            ("GET", "policy") => "GetPolicy",
            ("GET", "account-settings") => "GetAccountSettings",
            ("GET", "configuration") => "GetFunctionConfiguration",
            ("POST", "invocations") => "InvokeFunction",
            _ => "?",
        }
    }

    /// The parameters of the query protocol.
    pub fn form(&self) -> Vec<(String, String)> {
        let text = String::from_utf8_lossy(&self.body);
        let url = reqwest::Url::parse(&format!("http://form/?{text}"));
        let pairs = url.map(|url| url.query_pairs().into_owned().collect());
        pairs.unwrap_or_default()
    }

    /// A parameter of the query protocol.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let mut form = self.form().into_iter();
        form.find(|(found, _)| found == name)
            .map(|(_, value)| value)
    }

    /// The input of a JSON protocol.
    pub fn input(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A member of that input, empty if there is none.
    pub fn member(&self, name: &str) -> String {
        let input = self.input();
        let text = input.get(name).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    }
}

/// The texts of an element of an XML response.
pub fn elements<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    let end = format!("</{name}>");
    let parts: Vec<&str> = xml.split(&format!("<{name}>")).skip(1).collect();
    let texts = parts.into_iter();
    texts.map(move |part| part.split_once(&end).map_or(part, |(text, _)| text))
}
