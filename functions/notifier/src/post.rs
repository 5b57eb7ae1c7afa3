//! Deliveries over HTTP: to public addresses only, unless an endpoint may be private.
//!
//! The resolver that makes the connection filters the addresses, so a name that resolves
//! differently the second time cannot bypass the filter. No redirect is followed.

use std::error::Error;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use domain::webhook::{Endpoint, is_public};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Url, redirect};

/// How long an endpoint has to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a delivery failed.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// The address is not public.
    #[error("`{host}` is not a public address, and the endpoint does not set `allowPrivate`")]
    Private {
        /// The address.
        host: String,
    },
    /// The URL is invalid.
    #[error("the endpoint's URL is invalid")]
    Url,
    /// The endpoint refused it.
    #[error("the endpoint answered with status {status}")]
    Status {
        /// Its status.
        status: u16,
    },
    /// The endpoint did not answer.
    #[error("the endpoint did not answer")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
}

/// Posts deliveries.
pub trait Post: Send + Sync {
    /// Posts `body`; succeeds with any status of success.
    fn post(
        &self,
        endpoint: &Endpoint,
        headers: &[(&'static str, String)],
        body: String,
    ) -> impl Future<Output = Result<(), PostError>> + Send;
}

/// [`Post`] over HTTP.
#[derive(Debug, Clone)]
pub struct HttpPost {
    public: Client,
    any: Client,
}

impl HttpPost {
    /// Clients for endpoints that must be public and for those that need not.
    pub fn new() -> Result<Self, reqwest::Error> {
        let client = || {
            Client::builder()
                .timeout(PATIENCE)
                .redirect(redirect::Policy::none())
                .no_proxy()
        };
        Ok(Self {
            public: client()
                .https_only(true)
                .dns_resolver(Arc::new(PublicOnly))
                .build()?,
            any: client().build()?,
        })
    }
}

impl Post for HttpPost {
    async fn post(
        &self,
        endpoint: &Endpoint,
        headers: &[(&'static str, String)],
        body: String,
    ) -> Result<(), PostError> {
        let url = Url::parse(&endpoint.url).map_err(|_| PostError::Url)?;
        if !endpoint.allow_private {
            check_literal(&url)?;
        }
        let client = if endpoint.allow_private {
            &self.any
        } else {
            &self.public
        };
        let request = client
            .post(url)
            .header("content-type", endpoint.format.media_type());
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, value)
        });
        let sent = request.body(body).send().await;
        // A URL may be a secret, and errors are logged and stored.
        let unreachable =
            |error: reqwest::Error| PostError::Unreachable(error.without_url().into());
        let response = sent.map_err(unreachable)?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        Err(PostError::Status {
            status: status.as_u16(),
        })
    }
}

/// The resolver never sees an IP address in the URL itself, so it is checked here.
fn check_literal(url: &Url) -> Result<(), PostError> {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(address) if !is_public(address) => Err(PostError::Private {
            host: host.to_owned(),
        }),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Resolves names to public addresses alone.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                let host = name.as_str().to_owned();
                return Err(PostError::Private { host }.into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::webhook::Format;

    fn endpoint(url: &str, allow_private: bool) -> Endpoint {
        Endpoint {
            name: "test".to_owned(),
            url: url.to_owned(),
            format: Format::CloudEvents,
            allow_private,
            events: None,
        }
    }

    async fn why(url: &str, allow_private: bool) -> String {
        let post = HttpPost::new().unwrap();
        let endpoint = endpoint(url, allow_private);
        let error = post.post(&endpoint, &[], String::new()).await;
        let error = error.unwrap_err();
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        text
    }

    #[tokio::test]
    async fn private_addresses_are_refused_written_out_or_behind_a_name() {
        for url in [
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://[::1]/",
            "https://[::ffff:169.254.169.254]/latest/meta-data",
            "https://10.1.2.3:8443/hook",
            "https://localhost/",
        ] {
            let why = why(url, false).await;
            assert!(why.contains("is not a public address"), "{url}: {why}");
        }
        let why = why("http://example.com/", false).await;
        assert!(why.contains("scheme"), "{why}");
    }

    #[tokio::test]
    async fn no_error_repeats_the_url() {
        let (refused, invalid) = ("http://127.0.0.1:1/hidden", "http://hidden:port/");
        for (url, what) in [(refused, "did not answer"), (invalid, "URL is invalid")] {
            let why = why(url, true).await;
            assert!(why.contains(what) && !why.contains("hidden"), "{why}");
        }
    }

    #[tokio::test]
    async fn a_redirect_is_not_a_success_and_is_not_followed() {
        let router = axum::Router::new()
            .route(
                "/moved",
                axum::routing::post(|| async { axum::response::Redirect::temporary("/there") }),
            )
            .route("/there", axum::routing::post(|| async { "followed" }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let post = HttpPost::new().unwrap();
        let to = |path: &str| endpoint(&format!("http://{address}{path}"), true);
        let moved = post.post(&to("/moved"), &[], "{}".to_owned()).await;
        assert!(
            matches!(moved, Err(PostError::Status { status: 307 })),
            "{moved:?}"
        );
        let there = post.post(&to("/there"), &[], "{}".to_owned()).await;
        assert!(there.is_ok(), "{there:?}");
    }
}
