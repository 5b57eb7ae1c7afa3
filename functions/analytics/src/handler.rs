//! The gateway's requests and their responses: routes, authenticates, and checks what a caller may
//! see. Each endpoint's module reads and shapes its data.

use aws_lambda_events::apigw::ApiGatewayProxyResponse;
use aws_lambda_events::encodings::Body;
use aws_lambda_events::http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use aws_lambda_events::http::{HeaderName, HeaderValue};
use domain::endpoint::Endpoint;
use domain::event::Subject;
use domain::plan::Plans;
use domain::time::UnixMillis;
use runtime::store::Store;
use serde::Serialize;

use crate::body::{Realtime, UserStats};
use crate::error::ApiError;
use crate::page::Page;
use crate::paging::Paging;
use crate::query::{Query, themselves};
use crate::reader::Tables;
use crate::timeseries::{self, Asked, Format, Retention};
use crate::{
    anomalies, csv, delivery, endpoints, forecast, openapi, parameters, realtime, user_stats, users,
};
use bearer::{Caller, Verifier};
use runtime::request::Request;
use runtime::response::{NO_STORE, failure};

/// Largest body of a response, in bytes: Lambda accepts 6 MB, in which every quote is escaped
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>).
const LARGEST: usize = 4_000_000;

/// The API over two tables.
#[derive(Debug)]
pub struct Api<S> {
    /// The usage table.
    pub usage: S,
    /// The analytics table.
    pub analytics: S,
    /// The plans.
    pub plans: Plans,
    /// The names of the dimensions.
    pub dimensions: Vec<String>,
    /// How long counts are kept.
    pub retention: Retention,
    /// Checks bearer tokens.
    pub verifier: Verifier,
    /// The usage page.
    pub page: Page,
}

/// The body of a response.
struct Content {
    media_type: &'static str,
    /// Whether anyone may read and keep it: it holds no data.
    is_open: bool,
    body: String,
    /// The Content-Security-Policy, if the body is a document.
    policy: Option<HeaderValue>,
}

impl<S: Store> Api<S> {
    /// Responds to a request.
    pub async fn respond(&self, request: &Request, now: UnixMillis) -> ApiGatewayProxyResponse {
        match self.decide(request, now).await {
            Ok(content) => delivered(request, content),
            Err(error) => {
                error.log();
                failure(request, error.status(), &error.body(), error.header())
            }
        }
    }

    async fn decide(&self, request: &Request, now: UnixMillis) -> Result<Content, ApiError> {
        let endpoint = route(request)?;
        if request.http_method != "GET" {
            let method = request.http_method.clone();
            return Err(ApiError::Method { method });
        }
        match endpoint {
            // An issuer that sends a user back adds parameters of its own.
            Endpoint::Page => return Ok(document(&self.page)),
            Endpoint::OpenApi => {
                Query::of(request, parameters::of(endpoint))?;
                return Ok(description());
            }
            _ => {}
        }
        let (caller, query) = self.admit(request, endpoint, now).await?;
        match endpoint {
            Endpoint::Page => Ok(document(&self.page)),
            Endpoint::OpenApi => Ok(description()),
            Endpoint::Realtime => Ok(json(&self.realtime(&caller, now).await?)),
            Endpoint::Timeseries => self.timeseries(&query, &caller, now).await,
            Endpoint::UserStats => Ok(json(&self.user_stats(&query, &caller, now).await?)),
            Endpoint::Endpoints => self.endpoints(&query, &caller, now).await,
            Endpoint::Users => self.users(&query, &caller, now).await,
            Endpoint::Forecast => {
                let subject = subject(&query, &caller)?;
                let (tables, plans) = (self.tables(), &self.plans);
                Ok(json(
                    &forecast::forecast(&tables, plans, &subject, now).await?,
                ))
            }
            Endpoint::Anomalies => {
                let asked = anomalies::Asked::of(&query, &caller, self.retention, now)?;
                Ok(json(
                    &anomalies::anomalies(&self.tables(), &asked, now).await?,
                ))
            }
        }
    }

    /// The caller and the parameters. A caller without a valid token learns nothing about the
    /// parameters.
    async fn admit(
        &self,
        request: &Request,
        endpoint: Endpoint,
        now: UnixMillis,
    ) -> Result<(Caller, Query), ApiError> {
        let caller = self
            .verifier
            .caller(&request.header("authorization"), now)
            .await?;
        Ok((caller, Query::of(request, parameters::of(endpoint))?))
    }

    async fn realtime(&self, caller: &Caller, now: UnixMillis) -> Result<Realtime, ApiError> {
        let last_minutes = if caller.admin {
            realtime::of_everybody(&self.tables(), now).await
        } else {
            realtime::of_user(&self.tables(), &themselves(caller)?, now).await
        };
        Ok(last_minutes?)
    }

    async fn timeseries(
        &self,
        query: &Query,
        caller: &Caller,
        now: UnixMillis,
    ) -> Result<Content, ApiError> {
        let asked = Asked::of(query, caller, &self.dimensions, now)?;
        asked.check_kept(self.retention, now)?;
        let series = timeseries::series(&self.tables(), &asked, now).await?;
        fitting(match asked.format {
            Format::Json => json(&series),
            Format::Csv => table(csv::series(&series)),
        })
    }

    async fn endpoints(
        &self,
        query: &Query,
        caller: &Caller,
        now: UnixMillis,
    ) -> Result<Content, ApiError> {
        let asked = Asked::of(query, caller, &self.dimensions, now)?.with_details();
        asked.check_kept(self.retention, now)?;
        let paging = Paging::of(query)?;
        let list = endpoints::endpoints(&self.tables(), &asked, &paging, now).await?;
        Ok(match asked.format {
            Format::Json => json(&list),
            Format::Csv => table(csv::endpoints(&list)),
        })
    }

    async fn users(
        &self,
        query: &Query,
        caller: &Caller,
        now: UnixMillis,
    ) -> Result<Content, ApiError> {
        if !caller.admin {
            return Err(ApiError::AdminsOnly);
        }
        let asked = users::Asked::of(query, self.retention.minutes, now)?;
        let list = users::users(&self.tables(), &asked, now).await?;
        Ok(match asked.format {
            Format::Json => json(&list),
            Format::Csv => table(csv::users(&list)),
        })
    }

    async fn user_stats(
        &self,
        query: &Query,
        caller: &Caller,
        now: UnixMillis,
    ) -> Result<UserStats, ApiError> {
        let subject = subject(query, caller)?;
        Ok(user_stats::stats(&self.tables(), &self.plans, &subject, now).await?)
    }

    const fn tables(&self) -> Tables<'_, S> {
        Tables {
            usage: &self.usage,
            analytics: &self.analytics,
        }
    }
}

/// The requested user; the caller, unless the request names another one.
fn subject(query: &Query, caller: &Caller) -> Result<Subject, ApiError> {
    match query.user(caller)? {
        Some(subject) => Ok(subject),
        None => themselves(caller),
    }
}

fn route(request: &Request) -> Result<Endpoint, ApiError> {
    Endpoint::at(request.route()).ok_or_else(|| ApiError::NoRoute {
        path: request.path().to_owned(),
    })
}

/// Only the number of groups can make a response too large.
fn fitting(content: Content) -> Result<Content, ApiError> {
    if content.body.len() <= LARGEST {
        return Ok(content);
    }
    let message = format!("the response exceeds {LARGEST} bytes: ask for a shorter span");
    Err(ApiError::parameter("groupBy", message))
}

fn document(page: &Page) -> Content {
    Content {
        media_type: "text/html; charset=utf-8",
        is_open: true,
        body: page.html.clone(),
        policy: Some(
            HeaderValue::from_str(&page.policy)
                .unwrap_or(HeaderValue::from_static("default-src 'none'")),
        ),
    }
}

fn description() -> Content {
    Content {
        media_type: "application/json",
        is_open: true,
        body: openapi::DOCUMENT.to_owned(),
        policy: None,
    }
}

fn json(content: &impl Serialize) -> Content {
    Content {
        media_type: "application/json",
        is_open: false,
        body: serde_json::to_string(content).unwrap_or_default(),
        policy: None,
    }
}

fn table(body: String) -> Content {
    Content {
        media_type: "text/csv; charset=utf-8; header=present",
        is_open: false,
        body,
        policy: None,
    }
}

/// The content as the caller accepts it.
fn delivered(request: &Request, mut content: Content) -> ApiGatewayProxyResponse {
    let tag = content.is_open.then(|| delivery::tag(&content.body));
    let is_known = tag.as_ref().is_some_and(|tag| delivery::has(request, tag));
    if is_known {
        content.body.clear();
    }
    let packed = delivery::compressed(request, &content.body);
    let tag = tag.map(|tag| ("etag", tag));
    let mut response = response(if is_known { 304 } else { 200 }, content, tag);
    let mut add = |name, value| {
        let (name, value) = (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
        response.headers.insert(name, value);
    };
    add("vary", "accept-encoding");
    if let Some(packed) = packed {
        add("content-encoding", "gzip");
        response.body = Some(Body::Binary(packed));
        response.is_base64_encoded = true;
    }
    response
}

fn response(
    status: u16,
    content: Content,
    header: Option<(&'static str, String)>,
) -> ApiGatewayProxyResponse {
    let caching = if content.is_open {
        "public, max-age=300"
    } else {
        NO_STORE
    };
    let kind = (content.media_type, caching);
    let mut response = runtime::response::text(status, kind, content.body, header);
    if let Some(policy) = content.policy {
        let referrer = HeaderValue::from_static("no-referrer");
        response.headers.insert(CONTENT_SECURITY_POLICY, policy);
        response.headers.insert(REFERRER_POLICY, referrer);
    }
    response
}

#[cfg(test)]
mod tests;
