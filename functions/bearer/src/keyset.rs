//! The keys that verify bearer tokens: a JSON Web Key Set (RFC 7517), configured or fetched.
//!
//! A fetched set is kept, so that a request rarely waits for it and an issuer's short outage locks
//! nobody out. It is kept for a day at most: an issuer withdraws a key by no longer listing it, and
//! an issuer that is down looks the same as one whose responses are blocked.

use std::net::IpAddr;
use std::time::Duration;

use domain::time::UnixMillis;
use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use reqwest::{Client, StatusCode, Url, redirect};
use tokio::sync::Mutex;

/// Timeout for a fetch.
const PATIENCE: Duration = Duration::from_secs(3);
/// Largest accepted key set, in bytes.
const LARGEST: usize = 1 << 20;
/// How long a fetched set is used before it is fetched again, in milliseconds: a key that the
/// issuer withdrew is refused from then on.
const FRESH_FOR: i64 = 60 * 60_000;
/// How long a fetched set is used at most while it cannot be fetched again, in milliseconds.
const USABLE_FOR: i64 = 24 * 60 * 60_000;
/// Minimum time between fetches, in milliseconds: tokens that name unknown keys cost the issuer no
/// more than that.
const FETCH_PAUSE: i64 = 60_000;
/// The same while there is no set to use: requests during that time fail at once instead of each
/// waiting for an issuer that does not respond.
const FIRST_FETCH_PAUSE: i64 = 5_000;

/// Why a key set is unavailable.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// The text is not a key set.
    #[error("the key set is not a JSON object with `keys`")]
    Form(#[source] serde_json::Error),
    /// The URL is not permitted.
    #[error("the key set's address is `{given}`, expected `https://…`, or `http://…` on loopback")]
    Address {
        /// The URL.
        given: String,
    },
    /// The fetch failed.
    #[error("the key set at `{url}` cannot be fetched")]
    Fetch {
        /// The URL.
        url: Url,
        /// The cause.
        source: reqwest::Error,
    },
    /// A recent fetch failed, and the next one is not due yet.
    #[error("the key set at `{url}` could not be fetched a moment ago")]
    Paused {
        /// The URL.
        url: Url,
    },
    /// The response has another status.
    #[error("the key set at `{url}` returned status {status}")]
    Status {
        /// The URL.
        url: Url,
        /// The response's status.
        status: StatusCode,
    },
    /// The response is larger than any key set.
    #[error("the key set at `{url}` has more than {LARGEST} bytes")]
    Size {
        /// The URL.
        url: Url,
    },
}

/// The trusted keys: configured ones, and those at a URL.
#[derive(Debug)]
pub struct KeySet {
    given: JwkSet,
    fetched: Option<Fetched>,
}

/// A key set at a URL.
#[derive(Debug)]
struct Fetched {
    client: Client,
    url: Url,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    keys: Option<JwkSet>,
    /// When the keys were fetched.
    fresh_at: UnixMillis,
    /// When the last fetch began.
    asked_at: Option<UnixMillis>,
}

impl KeySet {
    /// The keys in `json` and those at `url`; without either, no keys.
    pub fn new(json: Option<&str>, url: Option<&str>) -> Result<Self, KeySetError> {
        let given = json.map(serde_json::from_str).transpose();
        Ok(Self {
            given: given.map_err(KeySetError::Form)?.unwrap_or_default(),
            fetched: url.map(Fetched::at).transpose()?,
        })
    }

    /// The key for a token that uses `algorithm` and names `kid`, or no key.
    pub async fn find(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        now: UnixMillis,
    ) -> Result<Option<Jwk>, KeySetError> {
        let found = key_of(&self.given, kid, algorithm);
        match &self.fetched {
            Some(fetched) if found.is_none() => fetched.find(kid, algorithm, now).await,
            _ => Ok(found),
        }
    }
}

impl Fetched {
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
        Ok(Self {
            client,
            url,
            cache: Mutex::default(),
        })
    }

    async fn find(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        now: UnixMillis,
    ) -> Result<Option<Jwk>, KeySetError> {
        let mut cache = self.cache.lock().await;
        cache.drop_unusable(now);
        if cache.is_due(kid, algorithm, now) {
            cache.asked_at = Some(now);
            match fetch(&self.client, &self.url).await {
                Ok(keys) => {
                    cache.keys = Some(keys);
                    cache.fresh_at = now;
                }
                Err(error) if cache.keys.is_none() => return Err(error),
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the key set as last fetched stays in use"
                ),
            }
        }
        match &cache.keys {
            Some(keys) => Ok(key_of(keys, kid, algorithm)),
            None => Err(KeySetError::Paused {
                url: self.url.clone(),
            }),
        }
    }
}

impl Cache {
    fn drop_unusable(&mut self, now: UnixMillis) {
        if now.since(self.fresh_at) >= USABLE_FOR {
            self.keys = None;
        }
    }

    fn is_due(&self, kid: Option<&str>, algorithm: Algorithm, now: UnixMillis) -> bool {
        let pause = if self.keys.is_some() {
            FETCH_PAUSE
        } else {
            FIRST_FETCH_PAUSE
        };
        let paused = self.asked_at.is_some_and(|at| now.since(at) < pause);
        let wanting = self.keys.as_ref().is_none_or(|keys| {
            now.since(self.fresh_at) >= FRESH_FOR || key_of(keys, kid, algorithm).is_none()
        });
        wanting && !paused
    }
}

/// The key of the set with which a token for `algorithm` was signed: the one that the token names.
/// The name is optional on both sides if exactly one key of the set fits.
fn key_of(keys: &JwkSet, kid: Option<&str>, algorithm: Algorithm) -> Option<Jwk> {
    let keys = keys.keys.iter();
    let fitting: Vec<&Jwk> = keys.filter(|key| fits(key, algorithm)).collect();
    let named = |key: &Jwk| kid.is_some() && key.common.key_id.as_deref() == kid;
    if let Some(named) = fitting.iter().find(|key| named(key)) {
        return Some((*named).clone());
    }
    match fitting.as_slice() {
        [only] if kid.is_none() || only.common.key_id.is_none() => Some((*only).clone()),
        _ => None,
    }
}

/// Whether the key is for signatures of that algorithm. The key decides, not the token: an RSA key
/// never verifies an HMAC, even if the token claims one.
fn fits(key: &Jwk, algorithm: Algorithm) -> bool {
    let kind = match &key.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(_) => Algorithm::ES256,
        _ => return false,
    };
    let stated = key.common.key_algorithm;
    let used_for = key.common.public_key_use.as_ref();
    kind == algorithm
        && stated.is_none_or(|stated| stated == KeyAlgorithm::from(algorithm))
        && used_for.is_none_or(|used_for| *used_for == PublicKeyUse::Signature)
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
    use crate::signing::Signer;
    use axum::Router;
    use axum::http::StatusCode as Status;
    use axum::response::Redirect;
    use axum::routing::get;
    use serde_json::json;

    /// An issuer's server: the test sets its responses and counts its requests.
    #[derive(Clone, Default)]
    struct Issuer {
        address: Arc<std::sync::Mutex<String>>,
        answer: Arc<std::sync::Mutex<(u16, String)>>,
        asked: Arc<AtomicUsize>,
    }

    impl Issuer {
        async fn start(path: &str) -> (Self, KeySet) {
            let issuer = Self::default();
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            *issuer.address.lock().unwrap() = listener.local_addr().unwrap().to_string();
            let url = issuer.url(path);
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

        fn url(&self, path: &str) -> String {
            format!("http://{}/{path}", self.address.lock().unwrap())
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
        let at = UnixMillis::from_seconds(1_800_000_000 + seconds);
        let found = keys.find(Some(kid), Algorithm::ES256, at).await;
        found.unwrap().is_some()
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

    /// An issuer whose responses are blocked cannot keep a withdrawn key alive.
    #[tokio::test]
    async fn a_set_that_cannot_be_fetched_again_is_used_for_a_day_at_most() {
        let (issuer, keys) = Issuer::start("keys").await;
        let one = Signer::es256("1");
        issuer.answers(200, &[&one]);
        assert!(knows(&keys, "1", 0).await);
        issuer.answers(503, &[]);
        assert!(knows(&keys, "1", 86_399).await);
        let later = UnixMillis::from_seconds(1_800_000_000 + 86_400);
        let refused = keys.find(Some("1"), Algorithm::ES256, later).await;
        assert!(
            matches!(refused, Err(KeySetError::Paused { .. })),
            "{refused:?}"
        );
        issuer.answers(200, &[&one]);
        assert!(knows(&keys, "1", 86_460).await);
    }

    #[tokio::test]
    async fn without_any_set_the_error_says_why() {
        let (issuer, keys) = Issuer::start("keys").await;
        let find = async |seconds| {
            let at = UnixMillis::from_seconds(seconds);
            let found = keys.find(Some("1"), Algorithm::ES256, at).await;
            found.unwrap_err()
        };
        issuer.answers(404, &[]);
        assert!(matches!(find(0).await, KeySetError::Status { .. }));
        *issuer.answer.lock().unwrap() = (200, "<html>".to_owned());
        assert!(matches!(find(5).await, KeySetError::Form(_)));
        *issuer.answer.lock().unwrap() = (200, " ".repeat(LARGEST + 1));
        assert!(matches!(find(10).await, KeySetError::Size { .. }));
        let unused = KeySet::new(None, Some("http://127.0.0.1:9/keys")).unwrap();
        let refused = unused
            .find(Some("1"), Algorithm::ES256, UnixMillis(0))
            .await;
        assert!(matches!(refused, Err(KeySetError::Fetch { .. })));
    }

    #[tokio::test]
    async fn without_any_set_requests_do_not_each_fetch() {
        let (issuer, keys) = Issuer::start("keys").await;
        issuer.answers(503, &[]);
        for millis in [0, 1, 2_000, 4_999] {
            let found = keys.find(Some("1"), Algorithm::ES256, UnixMillis(millis));
            found.await.unwrap_err();
        }
        assert_eq!(issuer.asked(), 1);
        issuer.answers(200, &[&Signer::es256("1")]);
        let found = keys.find(Some("1"), Algorithm::ES256, UnixMillis(5_000));
        assert!(found.await.unwrap().is_some());
        assert_eq!(issuer.asked(), 2);
    }

    #[tokio::test]
    async fn a_given_key_is_trusted_beside_those_at_an_address() {
        let (given, there) = (Signer::es256("given"), Signer::es256("there"));
        let (issuer, _) = Issuer::start("keys").await;
        issuer.answers(503, &[]);
        let json = json!({ "keys": [given.jwk()] }).to_string();
        let keys = KeySet::new(Some(&json), Some(&issuer.url("keys"))).unwrap();
        assert!(knows(&keys, "given", 0).await);
        assert_eq!(issuer.asked(), 0);
        issuer.answers(200, &[&there]);
        assert!(knows(&keys, "there", 1).await);
        assert!(knows(&keys, "given", 2).await);
    }

    /// RFC 7517, section 4.5: `kid` is optional.
    #[tokio::test]
    async fn a_name_is_optional_where_exactly_one_key_fits() {
        let (one, two, rsa) = (Signer::es256("1"), Signer::es256("2"), Signer::rs256("3"));
        let nameless = |signer: &Signer| {
            let mut jwk = signer.jwk();
            jwk.as_object_mut().unwrap().remove("kid");
            jwk
        };
        let cases = [
            (vec![one.jwk(), rsa.jwk()], None, true),
            (vec![one.jwk(), two.jwk()], None, false),
            (vec![one.jwk(), rsa.jwk()], Some("2"), false),
            (vec![nameless(&one), rsa.jwk()], None, true),
            (vec![nameless(&one), rsa.jwk()], Some("2"), true),
            (vec![nameless(&one), two.jwk()], Some("1"), false),
            (vec![nameless(&one), two.jwk()], Some("2"), true),
        ];
        for (given, kid, expected) in cases {
            let json = json!({ "keys": given }).to_string();
            let keys = KeySet::new(Some(&json), None).unwrap();
            let found = keys
                .find(kid, Algorithm::ES256, UnixMillis(0))
                .await
                .unwrap();
            assert_eq!(found.is_some(), expected, "{kid:?} among {given:?}");
        }
    }

    /// The target of a redirect is not configured, so it is not trusted.
    #[tokio::test]
    async fn redirects_are_not_followed() {
        let (issuer, keys) = Issuer::start("moved").await;
        issuer.answers(200, &[&Signer::es256("1")]);
        let refused = keys.find(Some("1"), Algorithm::ES256, UnixMillis(0)).await;
        assert!(matches!(refused, Err(KeySetError::Status { .. })));
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
        let keys = KeySet::new(Some(&json), None).unwrap();
        assert!(knows(&keys, "1", 0).await);
        assert!(!knows(&keys, "2", 0).await);
        assert!(!knows(&KeySet::new(None, None).unwrap(), "1", 0).await);
        assert!(matches!(
            KeySet::new(Some("[]"), None),
            Err(KeySetError::Form(_))
        ));
    }
}
