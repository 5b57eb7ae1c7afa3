//! The OIDC client with which the usage page signs users in.
//!
//! The page uses the authorization code flow with PKCE (RFC 7636): it is a public client, so nothing
//! here is secret.

use serde::{Deserialize, Serialize};

/// What the page needs to know of the issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignIn {
    /// The page's id at the issuer, which is also the audience of its tokens.
    pub client_id: String,
    /// Where the user signs in.
    pub authorization_endpoint: String,
    /// Where the page exchanges the code for an ID token.
    pub token_endpoint: String,
    /// The scopes to ask for, separated by spaces.
    pub scope: String,
}

impl SignIn {
    /// Scheme, host and port of the token endpoint: the one other server that the page calls.
    pub fn token_origin(&self) -> &str {
        let url = self.token_endpoint.as_str();
        let host = url.find("://").map_or(0, |at| at + 3);
        let end = url[host..]
            .find(['/', '?'])
            .map_or(url.len(), |at| host + at);
        &url[..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_ends_before_the_path() {
        for (url, origin) in [
            (
                "https://id.example.com/oauth2/token",
                "https://id.example.com",
            ),
            ("http://127.0.0.1:9000/token?x=/y", "http://127.0.0.1:9000"),
            ("https://id.example.com?tenant=1", "https://id.example.com"),
            ("https://id.example.com", "https://id.example.com"),
        ] {
            let sign_in = SignIn {
                client_id: "page".to_owned(),
                authorization_endpoint: String::new(),
                token_endpoint: url.to_owned(),
                scope: "openid".to_owned(),
            };
            assert_eq!(sign_in.token_origin(), origin);
        }
    }
}
