//! Tokens: key sets, issuers, and how the page signs in.

use super::{URL, accepted, refused, refused_with};

#[test]
fn a_page_whose_sign_in_could_not_work_is_refused() {
    const AT: &str = "https://login.example.com";
    let sign_in = |client: &str, authorize: &str, token: &str| {
        format!(
            "  signIn:\n    clientId: {client}\n    authorizationEndpoint: {authorize}\n    tokenEndpoint: {token}\n\nlogs:"
        )
    };
    let page = "complical-analytics";
    let accepted = accepted("\nlogs:", &sign_in(page, AT, AT)).auth.sign_in;
    let client = domain::sign_in::SignIn::from(&accepted.unwrap());
    assert_eq!(
        (client.client_id.as_str(), client.scope.as_str()),
        (page, "openid email")
    );
    let refused = |client, authorize, token, why| {
        refused_with("\nlogs:", &sign_in(client, authorize, token), why);
    };
    refused(
        "other",
        AT,
        AT,
        "54:15: auth.signIn.clientId: is not the `audience`",
    );
    refused(
        page,
        "http://login.example.com",
        AT,
        "55:28: auth.signIn.authorizationEndpoint: `http://login.example.com` is not `https`",
    );
    refused(
        page,
        AT,
        "http://127.0.0.1:9/token",
        "53:3: `auth.signIn` is on this machine, which AWS cannot reach",
    );
}

const EC: &str = "kty: EC, crv: P-256, alg: ES256, x: AAAA, y: AAAA";

#[test]
fn key_sets_that_verify_no_token_are_refused() {
    for (keys, why) in [
        (String::new(), "there are no keys"),
        (
            format!("{{{EC}, d: AAAA, kid: a}}"),
            "key 1: `d` belongs to a private or shared key",
        ),
        (
            "{kty: oct, k: AAAA, kid: a}".to_owned(),
            "key 1: `k` belongs to a private or shared key",
        ),
        (
            "{kty: OKP, crv: Ed25519, x: AAAA, kid: a}".to_owned(),
            "key 1: `kty` must be `RSA` or `EC`",
        ),
        (
            "{kty: EC, crv: P-384, x: A, y: A, kid: a}".to_owned(),
            "key 1: `crv` must be `P-256`",
        ),
        (
            "{kty: RSA, n: AAAA, kid: a}".to_owned(),
            "key 1: `e` is missing or not base64url",
        ),
        (
            "{kty: RSA, n: 'A+A=', e: AQAB, kid: a}".to_owned(),
            "key 1: `n` is missing or not base64url",
        ),
        (
            "{kty: RSA, n: AAAA, e: AQAB, alg: RS512, kid: a}".to_owned(),
            "key 1: `alg` must be `RS256`",
        ),
        (
            format!("{{{EC}, use: enc, kid: a}}"),
            "key 1: `use` must be `sig`",
        ),
        (format!("{{{EC}, kid: 7}}"), "key 1: `kid` is not a string"),
        (
            format!("{{{EC}, kid: a}}, {{{EC}}}"),
            "key 2: `kid` is missing, and another key is `EC` too",
        ),
        (
            format!("{{{EC}, kid: a}}, {{{EC}, kid: a}}"),
            "key 2: another `EC` key has the `kid` `a` too",
        ),
    ] {
        let error = refused(URL, &format!("  jwks: {{keys: [{keys}]}}\n"));
        let start = "stacks/environments/test.yaml:52:9: auth.jwks: ";
        assert!(error.starts_with(start), "{error}");
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn a_key_needs_no_name_where_no_other_is_of_its_type() {
    let rsa = "{kty: RSA, n: AAAA, e: AQAB}";
    let environment = accepted(URL, &format!("  jwks: {{keys: [{{{EC}}}, {rsa}]}}\n"));
    assert_eq!(environment.auth.jwks.unwrap().keys.len(), 2);
}

#[test]
fn an_issuer_or_audience_of_nothing_is_refused() {
    refused_with(
        "issuer: https://auth.test.example.com",
        "issuer: \"\"",
        "50:11: auth.issuer: an empty text is given",
    );
    refused_with(
        "audience: complical-analytics",
        "audience: \"  \"",
        "51:13: auth.audience: an empty text is given",
    );
}
