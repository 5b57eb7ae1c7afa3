//! Requests of the gateway and their responses: routes, authenticates, and checks what a caller may
//! see. The module of each endpoint reads and shapes its data.

use aws_lambda_events::apigw::ApiGatewayProxyResponse;
use aws_lambda_events::encodings::Body;
use aws_lambda_events::http::{HeaderMap, HeaderName, HeaderValue};
use domain::plan::Plans;
use domain::time::UnixMillis;
use runtime::store::Store;
use serde::Serialize;

use crate::auth::{Caller, Verifier};
use crate::body::{Realtime, UserStats};
use crate::csv;
use crate::error::ApiError;
use crate::query::{EMAIL, Query, themselves};
use crate::reader::Tables;
use crate::request::Request;
use crate::timeseries::{self, Asked, Format, Retention};
use crate::{openapi, realtime, user_stats};

/// Largest body of a response, in bytes: Lambda takes 6 MB, in which every quote is escaped
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>).
const LARGEST: usize = 4_000_000;

/// The endpoints by path.
pub const ROUTES: [(&str, Endpoint); 4] = [
    ("/v1/analytics/realtime", Endpoint::Realtime),
    ("/v1/analytics/timeseries", Endpoint::Timeseries),
    ("/v1/analytics/user-stats", Endpoint::UserStats),
    ("/v1/analytics/openapi.json", Endpoint::OpenApi),
];

/// An endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// The last five minutes.
    Realtime,
    /// Counts over time.
    Timeseries,
    /// One user's usage.
    UserStats,
    /// The `OpenAPI` document.
    OpenApi,
}

impl Endpoint {
    /// The parameters of the endpoint.
    pub const fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Timeseries => &timeseries::PARAMETERS,
            Self::UserStats => &[EMAIL],
            Self::Realtime | Self::OpenApi => &[],
        }
    }
}

/// The API over two tables.
#[derive(Debug)]
pub struct Api<S> {
    /// The usage table.
    pub usage: S,
    /// The analytics table.
    pub analytics: S,
    /// The plans.
    pub plans: Plans,
    /// How long counts are kept.
    pub retention: Retention,
    /// Checks bearer tokens.
    pub verifier: Verifier,
}

/// The body of a response.
struct Content {
    media_type: &'static str,
    cached: &'static str,
    body: String,
}

impl<S: Store> Api<S> {
    /// Responds to a request.
    pub async fn respond(&self, request: &Request, now: UnixMillis) -> ApiGatewayProxyResponse {
        match self.decide(request, now).await {
            Ok(content) => response(200, content, None),
            Err(error) => {
                error.log();
                let (status, header) = (error.status(), error.header());
                response(status, json(&error.body()), header)
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
            Endpoint::OpenApi => {
                Query::of(request, endpoint.parameters())?;
                Ok(Content {
                    media_type: "application/json",
                    cached: "public, max-age=300",
                    body: openapi::DOCUMENT.to_owned(),
                })
            }
            Endpoint::Realtime => {
                let (caller, _) = self.admit(request, endpoint, now).await?;
                Ok(json(&self.realtime(&caller, now).await?))
            }
            Endpoint::Timeseries => {
                let (caller, query) = self.admit(request, endpoint, now).await?;
                self.timeseries(&query, &caller, now).await
            }
            Endpoint::UserStats => {
                let (caller, query) = self.admit(request, endpoint, now).await?;
                Ok(json(&self.user_stats(&query, &caller, now).await?))
            }
        }
    }

    /// The caller and the parameters. A caller without a valid token learns nothing of the parameters.
    async fn admit(
        &self,
        request: &Request,
        endpoint: Endpoint,
        now: UnixMillis,
    ) -> Result<(Caller, Query), ApiError> {
        let caller = self.verifier.caller(&request.authorization(), now).await?;
        Ok((caller, Query::of(request, endpoint.parameters())?))
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
        let asked = Asked::of(query, caller, now)?;
        asked.check_kept(self.retention, now)?;
        let series = timeseries::series(&self.tables(), &asked, now).await?;
        let content = match asked.format {
            Format::Json => json(&series),
            Format::Csv => Content {
                media_type: "text/csv; charset=utf-8; header=present",
                cached: "no-store",
                body: csv::table(&series),
            },
        };
        fitting(content)
    }

    async fn user_stats(
        &self,
        query: &Query,
        caller: &Caller,
        now: UnixMillis,
    ) -> Result<UserStats, ApiError> {
        let subject = match query.user(caller)? {
            Some(subject) => subject,
            None => themselves(caller)?,
        };
        Ok(user_stats::stats(&self.tables(), &self.plans, &subject, now).await?)
    }

    const fn tables(&self) -> Tables<'_, S> {
        Tables {
            usage: &self.usage,
            analytics: &self.analytics,
        }
    }
}

fn route(request: &Request) -> Result<Endpoint, ApiError> {
    let asked = request.route();
    let found = ROUTES.iter().find(|(known, _)| *known == asked);
    found
        .map(|(_, endpoint)| *endpoint)
        .ok_or_else(|| ApiError::NoRoute {
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

fn json(content: &impl Serialize) -> Content {
    Content {
        media_type: "application/json",
        cached: "no-store",
        body: serde_json::to_string(content).unwrap_or_default(),
    }
}

fn response(
    status: u16,
    content: Content,
    header: Option<(&'static str, String)>,
) -> ApiGatewayProxyResponse {
    let mut headers = HeaderMap::new();
    let fixed = [
        ("content-type", content.media_type),
        ("cache-control", content.cached),
        ("x-content-type-options", "nosniff"),
    ];
    for (name, value) in fixed {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    if let Some((name, value)) = header
        && let Ok(value) = HeaderValue::from_str(&value)
    {
        headers.insert(HeaderName::from_static(name), value);
    }
    let mut response = ApiGatewayProxyResponse::default();
    response.status_code = status.into();
    response.headers = headers;
    response.body = Some(Body::Text(content.body));
    response
}

#[cfg(test)]
mod tests;
