//! The issuer's client with which the usage page signs users in.

use schemars::JsonSchema;
use serde::Deserialize;

use super::address::IssuerAddress;
use super::text::Words;

/// The OIDC client of the usage page: a public one, for the authorization code flow with
/// PKCE. Its redirect URI is the page's address, `https://…/v1/analytics`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignIn {
    /// The client's id, which must be the `audience` as well: the page uses ID tokens.
    pub client_id: Words,
    /// Where users sign in: `authorization_endpoint` of the issuer's metadata.
    pub authorization_endpoint: IssuerAddress,
    /// Where the page exchanges the code for a token: `token_endpoint` of the issuer's metadata. It
    /// must allow requests from the page's origin (CORS).
    pub token_endpoint: IssuerAddress,
    /// The scopes to ask for, separated by spaces; by default `openid email`.
    pub scope: Option<Words>,
}

impl SignIn {
    /// Whether one of its endpoints is on the machine that reads it.
    pub(super) fn is_loopback(&self) -> bool {
        self.authorization_endpoint.is_loopback() || self.token_endpoint.is_loopback()
    }
}

impl From<&SignIn> for domain::sign_in::SignIn {
    fn from(settings: &SignIn) -> Self {
        Self {
            client_id: settings.client_id.as_str().to_owned(),
            authorization_endpoint: settings.authorization_endpoint.as_str().to_owned(),
            token_endpoint: settings.token_endpoint.as_str().to_owned(),
            scope: settings
                .scope
                .as_ref()
                .map_or("openid email", Words::as_str)
                .to_owned(),
        }
    }
}
