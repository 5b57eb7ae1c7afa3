use super::*;
use crate::signing::{Signer, claims, forge, verifier};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::json;

fn now() -> UnixMillis {
    "2026-11-22T16:04:05Z".parse().unwrap()
}

fn ann() -> Value {
    claims("ann@example.com", now())
}

fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut claims = ann();
    change(&mut claims);
    claims
}

async fn asks(verifier: &Verifier, token: &str) -> Result<Caller, String> {
    let header = format!("Bearer {token}");
    let caller = verifier.caller(&[&header], now()).await;
    caller.map_err(|error| error.to_string())
}

#[tokio::test]
async fn tokens_of_both_algorithms_are_accepted() {
    let (ec, rsa) = (Signer::es256("ec"), Signer::rs256("rsa"));
    let verifier = verifier(&[ec.jwk(), rsa.jwk()]);
    for signer in [&ec, &rsa] {
        let caller = asks(&verifier, &signer.sign(&ann())).await.unwrap();
        assert_eq!(caller.email.as_deref(), Some("ann@example.com"));
        assert!(!caller.admin);
    }
}

#[tokio::test]
async fn claims_that_are_not_accepted_are_named() {
    let signer = Signer::es256("1");
    let verifier = verifier(&[signer.jwk()]);
    let at = now().seconds();
    let cases: [(Value, &str); 12] = [
        (with(|claims| claims["exp"] = json!(at)), "is expired"),
        (
            with(|claims| claims["exp"] = json!(at - 3_600)),
            "is expired",
        ),
        (
            with(|claims| claims["exp"] = json!("never")),
            "is malformed",
        ),
        (
            with(|claims| claims["exp"] = Value::Null),
            "lacks a usable `exp`, `iss` or `aud`",
        ),
        (
            with(|claims| claims["exp"] = json!(1e300)),
            "lacks a usable `exp`, `iss` or `aud`",
        ),
        (
            with(|claims| claims["nbf"] = json!(at + 61)),
            "is not valid yet",
        ),
        (
            with(|claims| claims["iss"] = json!("https://other.example")),
            "is of another issuer",
        ),
        (
            with(|claims| claims["iss"] = Value::Null),
            "lacks a usable `exp`, `iss` or `aud`",
        ),
        (
            with(|claims| claims["aud"] = json!("others")),
            "is for another audience",
        ),
        (
            with(|claims| claims["aud"] = json!(["others"])),
            "is for another audience",
        ),
        (
            with(|claims| claims["aud"] = Value::Null),
            "lacks a usable `exp`, `iss` or `aud`",
        ),
        (with(|claims| claims["email"] = json!(7)), "is malformed"),
    ];
    for (claims, reason) in cases {
        let refused = asks(&verifier, &signer.sign(&claims)).await.unwrap_err();
        assert!(refused.starts_with("the bearer token "), "{refused}");
        assert!(refused.ends_with(reason), "{claims}: {refused}");
    }
    let mut without = ann();
    without.as_object_mut().unwrap().remove("exp");
    let refused = asks(&verifier, &signer.sign(&without)).await.unwrap_err();
    assert!(
        refused.ends_with("lacks a usable `exp`, `iss` or `aud`"),
        "{refused}"
    );
}

#[tokio::test]
async fn times_at_their_limits_are_accepted() {
    let signer = Signer::es256("1");
    let verifier = verifier(&[signer.jwk()]);
    let at = now().seconds();
    for claims in [
        with(|claims| claims["exp"] = json!(at + 1)),
        with(|claims| claims["exp"] = Value::from(f64::from(u32::try_from(at).unwrap()) + 1.5)),
        with(|claims| claims["nbf"] = json!(at + 60)),
        with(|claims| claims["aud"] = json!(["others", "metering"])),
    ] {
        assert!(
            asks(&verifier, &signer.sign(&claims)).await.is_ok(),
            "{claims}"
        );
    }
}

#[tokio::test]
async fn unsigned_and_wrongly_signed_tokens_are_refused() {
    let (ec, rsa, stranger) = (
        Signer::es256("ec"),
        Signer::rs256("rsa"),
        Signer::es256("ec"),
    );
    let verifier = verifier(&[ec.jwk(), rsa.jwk()]);
    let good = ec.sign(&ann());
    let (signed, _) = good.rsplit_once('.').unwrap();
    let none = json!({"alg": "none", "kid": "ec"});
    let mut renamed = ec.header();
    renamed.kid = Some("rsa".to_owned());
    let mut nameless = ec.header();
    nameless.kid = None;
    let mut critical = ec.header();
    critical.crit = Some(vec!["b64".to_owned()]);
    let cases = [
        (forge(&none, &ann(), b""), "is malformed"),
        (
            forge(&json!({"alg": "None", "kid": "ec"}), &ann(), b""),
            "is malformed",
        ),
        (format!("{signed}."), "is not signed with the key it names"),
        (
            format!("{signed}.AAAA"),
            "is not signed with the key it names",
        ),
        (stranger.sign(&ann()), "is not signed with the key it names"),
        (
            ec.sign_under(&renamed, &ann()),
            "is signed with an unknown key",
        ),
        (
            stranger.sign_under(&nameless, &ann()),
            "is not signed with the key it names",
        ),
        (
            ec.sign_under(&critical, &ann()),
            "demands extensions that are not known",
        ),
        (
            Signer::es256("other").sign(&ann()),
            "is signed with an unknown key",
        ),
        ("a.b".to_owned(), "is malformed"),
        ("a.b.c".to_owned(), "is malformed"),
    ];
    for (token, reason) in cases {
        let refused = asks(&verifier, &token).await.unwrap_err();
        assert!(refused.ends_with(reason), "{reason}: {refused}");
    }
}

/// The public key is not secret: a caller who signs an HMAC with it has proved nothing.
#[tokio::test]
async fn an_hmac_under_the_public_key_is_refused() {
    let rsa = Signer::rs256("rsa");
    let jwk = rsa.jwk();
    let header = json!({"alg": "HS256", "kid": "rsa", "typ": "JWT"});
    let unsigned = forge(&header, &ann(), b"");
    let message = unsigned.trim_end_matches('.');
    let modulus = jwk["n"].as_str().unwrap();
    let secrets = [
        modulus.as_bytes().to_vec(),
        BASE64_URL_SAFE_NO_PAD.decode(modulus).unwrap(),
    ];
    for secret in secrets {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let tag = hmac::sign(&key, message.as_bytes());
        let token = forge(&header, &ann(), tag.as_ref());
        let refused = asks(&verifier(std::slice::from_ref(&jwk)), &token)
            .await
            .unwrap_err();
        assert!(
            refused.ends_with("is not signed with RS256 or ES256"),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn a_key_checks_only_what_it_is_made_for() {
    let signer = Signer::es256("1");
    let token = signer.sign(&ann());
    let changed = |name: &str, value: Value| {
        let mut jwk = signer.jwk();
        jwk[name] = value;
        verifier(&[jwk])
    };
    for (name, value) in [
        ("use", json!("enc")),
        ("alg", json!("ES384")),
        ("kid", json!("2")),
    ] {
        let refused = asks(&changed(name, value), &token).await.unwrap_err();
        assert!(
            refused.ends_with("is signed with an unknown key"),
            "{name}: {refused}"
        );
    }
    assert!(asks(&changed("use", json!("sig")), &token).await.is_ok());
    let without = verifier(&[]);
    assert!(asks(&without, &token).await.is_err());
}

#[tokio::test]
async fn the_header_holds_one_bearer_token() {
    let signer = Signer::es256("1");
    let verifier = verifier(&[signer.jwk()]);
    let token = signer.sign(&ann());
    let (bearer, lower) = (format!("Bearer {token}"), format!("bearer  {token} "));
    let basic = format!("Basic {token}");
    for accepted in [[bearer.as_str()], [lower.as_str()]] {
        assert!(
            verifier.caller(&accepted, now()).await.is_ok(),
            "{accepted:?}"
        );
    }
    let refused: [&[&str]; 5] = [&[], &[&bearer, &bearer], &[&basic], &[&token], &["Bearer"]];
    for refused in refused {
        let error = verifier.caller(refused, now()).await.unwrap_err();
        assert!(matches!(error, AuthError::Missing), "{refused:?}: {error}");
    }
}

#[tokio::test]
async fn scopes_are_read_in_each_form() {
    let signer = Signer::es256("1");
    let verifier = verifier(&[signer.jwk()]);
    let cases = [
        (json!({"scope": "openid metering:admin"}), true),
        (json!({"scp": ["openid", "metering:admin"]}), true),
        (json!({"scp": "metering:admin"}), true),
        (json!({"scope": "metering:administrator"}), false),
        (json!({"scp": ["metering", "admin"]}), false),
        (json!({"scope": ""}), false),
    ];
    for (scopes, admin) in cases {
        let claims = with(|claims| {
            let members = scopes.as_object().unwrap().clone();
            claims.as_object_mut().unwrap().extend(members);
        });
        let caller = asks(&verifier, &signer.sign(&claims)).await.unwrap();
        assert_eq!(caller.admin, admin, "{scopes}");
    }
}

#[tokio::test]
async fn a_token_that_names_no_key_is_refused_where_several_fit() {
    let (one, two) = (Signer::es256("1"), Signer::es256("2"));
    let mut nameless = one.header();
    nameless.kid = None;
    let token = one.sign_under(&nameless, &ann());
    assert!(asks(&verifier(&[one.jwk()]), &token).await.is_ok());
    let both = verifier(&[one.jwk(), two.jwk()]);
    let refused = asks(&both, &token).await.unwrap_err();
    assert!(
        refused.ends_with("names no key, and not exactly one fits"),
        "{refused}"
    );
}

#[tokio::test]
async fn an_email_identifies_only_where_it_can() {
    let signer = Signer::es256("1");
    let ann = "ann@example.com";
    // The token's claims, and whom it identifies by default and if the file says `always`.
    let cases = [
        (
            json!({"email": "Ann@Example.COM", "email_verified": true}),
            [true, true],
        ),
        (
            json!({"email": ann, "email_verified": "true"}),
            [true, true],
        ),
        (json!({"email": ann}), [false, true]),
        (json!({"email": ann, "email_verified": null}), [false, true]),
        (
            json!({"email": ann, "email_verified": false}),
            [false, false],
        ),
        (
            json!({"email": ann, "email_verified": "false"}),
            [false, false],
        ),
        (json!({"email": ann, "email_verified": 1}), [false, false]),
        (
            json!({"email": "ip:192.0.2.1", "email_verified": true}),
            [false, false],
        ),
        (
            json!({"email": "ip:ann@example.com", "email_verified": true}),
            [false, false],
        ),
        (
            json!({"email": null, "email_verified": true}),
            [false, false],
        ),
    ];
    for (identity, expected) in cases {
        let claims = with(|claims| {
            let claims = claims.as_object_mut().unwrap();
            claims.remove("email_verified");
            claims.extend(identity.as_object().unwrap().clone());
        });
        let both = [EmailIsVerified::Claimed, EmailIsVerified::Always];
        for (when, identified) in both.into_iter().zip(expected) {
            let verifier = Verifier {
                email_is_verified: when,
                ..verifier(&[signer.jwk()])
            };
            let caller = asks(&verifier, &signer.sign(&claims)).await.unwrap();
            let expected = identified.then_some(ann);
            assert_eq!(caller.email.as_deref(), expected, "{identity} {when:?}");
        }
    }
}
