//! The keys that sign bearer tokens: a JSON Web Key Set (RFC 7517), given or fetched.
//!
//! A set that is fetched is kept, so that a request seldom waits for it and an issuer that is down
//! for a while locks nobody out.

use std::net::IpAddr;
use std::time::Duration;

use domain::time::UnixMillis;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use reqwest::{Client, StatusCode, Url, redirect};
use tokio::sync::Mutex;

/// How long an address has to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Largest key set that is read, in bytes.
const LARGEST: usize = 1 << 20;
/// How long a fetched set is used before it is fetched again, in milliseconds: a key that the
/// issuer withdrew is refused from then on.
const FRESH_FOR: i64 = 60 * 60_000;
/// How long after a fetch the next may follow, in milliseconds: tokens naming unknown keys cost the
/// issuer no more than that.
const FETCH_PAUSE: i64 = 60_000;

/// A key set that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// The text is no key set.
    #[error("the key set is not a JSON object with `keys`")]
    Form(#[source] serde_json::Error),
    /// The address may not be used.
    #[error(
        "the key set's address is `{given}`, allowed is `https://…`, and `http://…` on loopback"
    )]
    Address {
        /// The address.
        given: String,
    },
    /// The address did not give the set.
    #[error("the key set at `{url}` cannot be fetched")]
    Fetch {
        /// The address.
        url: Url,
        /// What went wrong.
        source: reqwest::Error,
    },
    /// The address answered with something else.
    #[error("the key set at `{url}` was answered with status {status}")]
    Status {
        /// The address.
        url: Url,
        /// The answer's status.
        status: StatusCode,
    },
    /// The answer is larger than any key set.
    #[error("the key set at `{url}` has more than {LARGEST} bytes")]
    Size {
        /// The address.
        url: Url,
    },
}

/// Keys by their id.
#[derive(Debug)]
pub struct KeySet(Source);

#[derive(Debug)]
enum Source {
    Given(JwkSet),
    Fetched {
        client: Client,
        url: Url,
        cache: Mutex<Cache>,
    },
}

#[derive(Debug, Default)]
struct Cache {
    keys: Option<JwkSet>,
    /// When the keys came.
    fresh_at: UnixMillis,
    /// When they were last asked for.
    asked_at: UnixMillis,
}

impl KeySet {
    /// The set in `json`; without it the one at `url`; without either a set of no keys.
    pub fn new(json: Option<&str>, url: Option<&str>) -> Result<Self, KeySetError> {
        match (json, url) {
            (Some(json), _) => Self::given(json),
            (None, Some(url)) => Self::at(url),
            (None, None) => Ok(Self(Source::Given(JwkSet::default()))),
        }
    }

    fn given(json: &str) -> Result<Self, KeySetError> {
        let keys = serde_json::from_str(json).map_err(KeySetError::Form)?;
        Ok(Self(Source::Given(keys)))
    }

    fn at(address: &str) -> Result<Self, KeySetError> {
        let refused = || KeySetError::Address {
            given: address.to_owned(),
        };
        let url = Url::parse(address).map_err(|_| refused())?;
        let local = is_loopback(&url);
        if url.scheme() != "https" && !(url.scheme() == "http" && local) {
            return Err(refused());
        }
        let client = Client::builder()
            .timeout(PATIENCE)
            .redirect(redirect::Policy::none())
            .https_only(!local)
            .build();
        let client = client.map_err(|source| KeySetError::Fetch {
            url: url.clone(),
            source,
        })?;
        Ok(Self(Source::Fetched {
            client,
            url,
            cache: Mutex::default(),
        }))
    }

    /// The keys under `kid`; several only where they are of different kinds.
    pub async fn find(&self, kid: &str, now: UnixMillis) -> Result<Vec<Jwk>, KeySetError> {
        match &self.0 {
            Source::Given(keys) => Ok(named(keys, kid)),
            Source::Fetched { client, url, cache } => {
                let mut cache = cache.lock().await;
                cache.find(client, url, kid, now).await
            }
        }
    }
}

impl Cache {
    async fn find(
        &mut self,
        client: &Client,
        url: &Url,
        kid: &str,
        now: UnixMillis,
    ) -> Result<Vec<Jwk>, KeySetError> {
        if self.is_due(kid, now) {
            self.asked_at = now;
            match fetch(client, url).await {
                Ok(keys) => {
                    self.keys = Some(keys);
                    self.fresh_at = now;
                }
                Err(error) if self.keys.is_none() => return Err(error),
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the key set as last fetched stays in use"
                ),
            }
        }
        let keys = self.keys.as_ref();
        Ok(keys.map(|keys| named(keys, kid)).unwrap_or_default())
    }

    fn is_due(&self, kid: &str, now: UnixMillis) -> bool {
        let Some(keys) = &self.keys else {
            return true;
        };
        let stale = now.since(self.fresh_at) >= FRESH_FOR;
        let paused = now.since(self.asked_at) < FETCH_PAUSE;
        (stale || keys.find(kid).is_none()) && !paused
    }
}

fn named(keys: &JwkSet, kid: &str) -> Vec<Jwk> {
    let keys = keys.keys.iter();
    keys.filter(|key| key.common.key_id.as_deref() == Some(kid))
        .cloned()
        .collect()
}

async fn fetch(client: &Client, url: &Url) -> Result<JwkSet, KeySetError> {
    let failed = |source: reqwest::Error| KeySetError::Fetch {
        url: url.clone(),
        source: source.without_url(),
    };
    let mut response = client.get(url.clone()).send().await.map_err(failed)?;
    if response.status() != StatusCode::OK {
        return Err(KeySetError::Status {
            url: url.clone(),
            status: response.status(),
        });
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        body.extend_from_slice(&chunk);
        if body.len() > LARGEST {
            return Err(KeySetError::Size { url: url.clone() });
        }
    }
    serde_json::from_slice(&body).map_err(KeySetError::Form)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let address: Option<IpAddr> = address.parse().ok();
    host == "localhost" || address.is_some_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::testing::signing::Signer;
    use axum::Router;
    use axum::http::StatusCode as Status;
    use axum::response::Redirect;
    use axum::routing::get;
    use serde_json::json;

    /// An issuer's server: what it answers can be changed, what it was asked is counted.
    #[derive(Clone, Default)]
    struct Issuer {
        answer: Arc<std::sync::Mutex<(u16, String)>>,
        asked: Arc<AtomicUsize>,
    }

    impl Issuer {
        async fn start(path: &str) -> (Self, KeySet) {
            let issuer = Self::default();
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/{path}", listener.local_addr().unwrap());
            let answering = issuer.clone();
            let answer = move || async move {
                answering.asked.fetch_add(1, Ordering::SeqCst);
                let (status, body) = answering.answer.lock().unwrap().clone();
                (Status::from_u16(status).unwrap(), body)
            };
            let router = Router::new()
                .route("/keys", get(answer))
                .route("/moved", get(async || Redirect::temporary("/keys")));
            tokio::spawn(async move { axum::serve(listener, router).await });
            (issuer, KeySet::new(None, Some(&url)).unwrap())
        }

        fn answers(&self, status: u16, keys: &[&Signer]) {
            let keys: Vec<_> = keys.iter().map(|signer| signer.jwk()).collect();
            *self.answer.lock().unwrap() = (status, json!({ "keys": keys }).to_string());
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::SeqCst)
        }
    }

    async fn knows(keys: &KeySet, kid: &str, seconds: i64) -> bool {
        let found = keys.find(kid, UnixMillis::from_seconds(1_800_000_000 + seconds));
        !found.await.unwrap().is_empty()
    }

    #[tokio::test]
    async fn a_set_is_fetched_once_and_again_at_most_each_minute_for_an_unknown_key() {
        let (issuer, keys) = Issuer::start("keys").await;
        let (one, two) = (Signer::es256("1"), Signer::es256("2"));
        issuer.answers(200, &[&one]);
        assert!(knows(&keys, "1", 0).await);
        assert!(knows(&keys, "1", 30).await);
        assert!(!knows(&keys, "2", 59).await);
        assert_eq!(issuer.asked(), 1);
        issuer.answers(200, &[&one, &two]);
        assert!(knows(&keys, "2", 60).await);
        assert_eq!(issuer.asked(), 2);
        assert!(!knows(&keys, "3", 119).await);
        assert_eq!(issuer.asked(), 2);
    }

    #[tokio::test]
    async fn a_withdrawn_key_is_known_for_an_hour_at_most() {
        let (issuer, keys) = Issuer::start("keys").await;
        let (one, two) = (Signer::es256("1"), Signer::es256("2"));
        issuer.answers(200, &[&one]);
        assert!(knows(&keys, "1", 0).await);
        issuer.answers(200, &[&two]);
        assert!(knows(&keys, "1", 3_599).await);
        assert!(!knows(&keys, "1", 3_600).await);
    }

    #[tokio::test]
    async fn a_set_stays_in_use_while_the_issuer_is_down() {
        let (issuer, keys) = Issuer::start("keys").await;
        let one = Signer::es256("1");
        issuer.answers(200, &[&one]);
        assert!(knows(&keys, "1", 0).await);
        issuer.answers(503, &[]);
        assert!(knows(&keys, "1", 4_000).await);
        assert!(knows(&keys, "1", 4_030).await);
        assert_eq!(issuer.asked(), 2);
    }

    #[tokio::test]
    async fn without_any_set_the_error_says_why() {
        let (issuer, keys) = Issuer::start("keys").await;
        let find = async || keys.find("1", UnixMillis(0)).await.unwrap_err();
        issuer.answers(404, &[]);
        assert!(matches!(find().await, KeySetError::Status { .. }));
        *issuer.answer.lock().unwrap() = (200, "<html>".to_owned());
        assert!(matches!(find().await, KeySetError::Form(_)));
        *issuer.answer.lock().unwrap() = (200, " ".repeat(LARGEST + 1));
        assert!(matches!(find().await, KeySetError::Size { .. }));
        let unused = KeySet::new(None, Some("http://127.0.0.1:9/keys")).unwrap();
        let refused = unused.find("1", UnixMillis(0)).await.unwrap_err();
        assert!(matches!(refused, KeySetError::Fetch { .. }));
    }

    /// Where an address leads next, nobody configured.
    #[tokio::test]
    async fn redirects_are_not_followed() {
        let (issuer, keys) = Issuer::start("moved").await;
        issuer.answers(200, &[&Signer::es256("1")]);
        let refused = keys.find("1", UnixMillis(0)).await.unwrap_err();
        assert!(matches!(refused, KeySetError::Status { .. }));
        assert_eq!(issuer.asked(), 0);
    }

    #[test]
    fn addresses_are_https_or_on_loopback() {
        for allowed in [
            "https://issuer.example/keys",
            "http://localhost:8080/keys",
            "http://127.0.0.1/keys",
            "http://[::1]:8080/keys",
        ] {
            assert!(KeySet::new(None, Some(allowed)).is_ok(), "{allowed}");
        }
        for refused in [
            "http://issuer.example/keys",
            "http://127.0.0.1.example/keys",
            "http://10.0.0.1/keys",
            "ftp://127.0.0.1/keys",
            "file:///etc/passwd",
            "issuer.example",
            "",
        ] {
            let error = KeySet::new(None, Some(refused)).unwrap_err();
            assert!(matches!(error, KeySetError::Address { .. }), "{refused}");
        }
    }

    #[tokio::test]
    async fn a_given_set_needs_no_address_and_no_set_has_no_keys() {
        let one = Signer::es256("1");
        let json = json!({ "keys": [one.jwk()] }).to_string();
        let keys = KeySet::new(Some(&json), Some("not looked at")).unwrap();
        assert!(knows(&keys, "1", 0).await);
        assert!(!knows(&keys, "2", 0).await);
        assert!(!knows(&KeySet::new(None, None).unwrap(), "1", 0).await);
        assert!(matches!(
            KeySet::new(Some("[]"), None),
            Err(KeySetError::Form(_))
        ));
    }
}
