//! An OIDC issuer with one user, who is signed in already: the part of it that the usage
//! page calls. It holds the page to the authorization code flow with PKCE (RFC 6749, RFC 7636).

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking"
)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, LOCATION};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bearer::signing::Signer;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The id of the page at the issuer.
pub const CLIENT: &str = "complical-analytics";
const NAME: &str = "https://auth.complical.local";
const CODE: &str = "4/P7q7W91a";

type Parameters = HashMap<String, String>;

/// Parameters of a query or a form.
fn parameters(encoded: &str) -> Parameters {
    let url = reqwest::Url::parse(&format!("http://localhost?{encoded}")).unwrap();
    url.query_pairs().into_owned().collect()
}

/// The issuer, while it runs.
#[derive(Clone)]
pub struct Issuer {
    address: String,
    email: &'static str,
    signer: Arc<Signer>,
    /// The request that was redirected last.
    asked: Arc<Mutex<Parameters>>,
}

impl Issuer {
    /// Starts an issuer whose user has this email.
    pub async fn start(email: &'static str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = Self {
            address: format!("http://{}", listener.local_addr().unwrap()),
            email,
            signer: Arc::new(Signer::es256("issuer")),
            asked: Arc::default(),
        };
        let router = Router::new()
            .route("/authorize", get(authorize))
            .route("/token", post(token))
            .with_state(issuer.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        issuer
    }

    /// Where it runs.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The section `auth` of an environment file that trusts it and lets the page sign users in.
    pub fn auth(&self) -> String {
        let Self {
            address, signer, ..
        } = self;
        let keys = json!({"keys": [signer.jwk()]});
        let sign_in = json!({
            "clientId": CLIENT,
            "authorizationEndpoint": format!("{address}/authorize"),
            "tokenEndpoint": format!("{address}/token"),
        });
        format!(
            "auth:\n  issuer: {NAME}\n  audience: {CLIENT}\n  jwks: {keys}\n  signIn: {sign_in}\n"
        )
    }

    fn id_token(&self, nonce: &str) -> String {
        let now = runtime::clock::now().seconds();
        self.signer.sign(&json!({
            "iss": NAME, "aud": CLIENT, "sub": "1", "email": self.email, "email_verified": true,
            "nonce": nonce, "iat": now, "exp": now + 3_600,
        }))
    }
}

/// The user is signed in, so the browser goes back at once.
async fn authorize(State(issuer): State<Issuer>, RawQuery(asked): RawQuery) -> Response {
    let asked = parameters(&asked.unwrap_or_default());
    let expected = [
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("scope", "openid email"),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in expected {
        assert_eq!(asked[name], value, "{asked:?}");
    }
    let back = format!(
        "{}?code={}&state={}&iss=x",
        asked["redirect_uri"],
        CODE.replace('/', "%2F"),
        asked["state"]
    );
    *issuer.asked.lock().unwrap() = asked;
    (StatusCode::FOUND, [(LOCATION, back)]).into_response()
}

async fn token(State(issuer): State<Issuer>, body: String) -> impl IntoResponse {
    let given = parameters(&body);
    let asked = std::mem::take(&mut *issuer.asked.lock().unwrap());
    let digest = Sha256::digest(given["code_verifier"].as_bytes());
    let is_right = asked.get("code_challenge") == Some(&BASE64_URL_SAFE_NO_PAD.encode(digest))
        && asked.get("redirect_uri") == given.get("redirect_uri")
        && given["client_id"] == CLIENT
        && given["grant_type"] == "authorization_code"
        && given["code"] == CODE;
    let (status, body): (_, Value) = if is_right {
        let token = issuer.id_token(&asked["nonce"]);
        (
            StatusCode::OK,
            json!({"id_token": token, "token_type": "Bearer"}),
        )
    } else {
        (StatusCode::BAD_REQUEST, json!({"error": "invalid_grant"}))
    };
    (status, [(ACCESS_CONTROL_ALLOW_ORIGIN, "*")], Json(body))
}
