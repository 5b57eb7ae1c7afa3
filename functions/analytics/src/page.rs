//! The usage page: one document that contains its styles and scripts, and loads nothing but data
//! from this API.
//!
//! The function assembles it from `functions/analytics/page` when it starts. The
//! Content-Security-Policy (<https://www.w3.org/TR/CSP3/>) lists the digest of each script and
//! style, so a browser runs these and no others. The page calls this API and, if users can sign in
//! at their issuer, the issuer's token endpoint. The token stays in the memory of the page.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use domain::sign_in::SignIn;
use sha2::{Digest, Sha256};

/// The document, with placeholders for styles and scripts.
const TEMPLATE: &str = include_str!("../page/page.html");
const STYLES: [&str; 2] = [
    include_str!("../page/vendor/uPlot.min.css"),
    include_str!("../page/page.css"),
];
const CHARTS: &str = include_str!("../page/vendor/uPlot.iife.min.js");
/// One script in several files: each adds to the scope of the previous one.
const SCRIPTS: [&str; 10] = [
    include_str!("../page/state.js"),
    include_str!("../page/api.js"),
    include_str!("../page/format.js"),
    include_str!("../page/charts.js"),
    include_str!("../page/groups.js"),
    include_str!("../page/panels.js"),
    include_str!("../page/keys.js"),
    include_str!("../page/blocks.js"),
    include_str!("../page/sign-in.js"),
    include_str!("../page/page.js"),
];

/// The page as it is served.
#[derive(Debug)]
pub struct Page {
    /// The document.
    pub html: String,
    /// Its Content-Security-Policy.
    pub policy: String,
}

impl Page {
    /// The page, with a button for signing in at the issuer if there is one, and a choice of groups
    /// with the names of the dimensions.
    pub fn new(sign_in: Option<&SignIn>, dimensions: &[String]) -> Self {
        let style = STYLES.concat();
        let script = format!("'use strict';\n(() => {{\n{}}})();\n", SCRIPTS.concat());
        let issuer = sign_in.map(|sign_in| serde_json::to_string(sign_in).unwrap_or_default());
        let html = TEMPLATE
            .replace("{style}", &style)
            .replace("{charts}", CHARTS)
            .replace("{script}", &script)
            .replace("{issuer}", &attribute(&issuer.unwrap_or_default()))
            .replace("{dimensions}", &attribute(&dimensions.join(" ")));
        let issuer = sign_in.map_or("", SignIn::token_origin);
        let policy = format!(
            "default-src 'none'; script-src {} {}; style-src {}; connect-src 'self' {issuer}; \
             img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            digest(CHARTS),
            digest(&script),
            digest(&style),
        );
        Self { html, policy }
    }
}

/// A text as the value of an attribute between double quotes.
fn attribute(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('<', "&lt;")
}

/// A source of the policy: the digest of the content of a pair of tags.
fn digest(content: &str) -> String {
    let digest = BASE64_STANDARD.encode(Sha256::digest(content));
    format!("'sha256-{digest}'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    /// The content of each pair of such tags.
    fn contents<'a>(page: &'a Page, tag: &str) -> Vec<&'a str> {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        let parts = page.html.split(open.as_str()).skip(1);
        parts
            .map(|part| part.split(close.as_str()).next().unwrap())
            .collect()
    }

    #[test]
    fn the_page_knows_its_issuer_and_may_call_its_token_endpoint_alone() {
        let sign_in = SignIn {
            client_id: "a\"<b>&c".to_owned(),
            authorization_endpoint: "https://login.example.com/authorize".to_owned(),
            token_endpoint: "https://id.example.com/oauth2/token".to_owned(),
            scope: "openid email".to_owned(),
        };
        let page = Page::new(Some(&sign_in), &["tenant".to_owned(), "region".to_owned()]);
        assert!(page.html.contains("data-dimensions=\"tenant region\""));
        assert!(
            page.policy
                .contains("connect-src 'self' https://id.example.com;"),
            "{}",
            page.policy
        );
        let start = page.html.split("data-issuer=\"").nth(1).unwrap();
        let escaped = start.split('"').next().unwrap();
        assert!(!escaped.contains('<'), "{escaped}");
        let json = escaped.replace("&quot;", "\"").replace("&lt;", "<");
        let read: SignIn = serde_json::from_str(&json.replace("&amp;", "&")).unwrap();
        assert_eq!(read, sign_in);
        let page = Page::new(None, &[]);
        assert!(page.html.contains("data-issuer=\"\""));
        assert!(
            page.policy.contains("connect-src 'self' ;"),
            "{}",
            page.policy
        );
    }

    #[test]
    fn the_policy_names_each_script_and_style_of_the_page() {
        let page = Page::new(None, &[]);
        let policy = &page.policy;
        let (styles, scripts) = (contents(&page, "style"), contents(&page, "script"));
        assert_eq!((styles.len(), scripts.len()), (1, 2));
        for content in styles.into_iter().chain(scripts) {
            assert!(content.len() > 1_000);
            assert!(policy.contains(&digest(content)), "{policy}");
            // A browser would hash a line feed in its place.
            assert!(!content.contains('\r'));
        }
        assert!(!policy.contains("unsafe"), "{policy}");
    }

    #[test]
    fn nothing_in_the_page_is_styled_or_scripted_apart_from_them() {
        let tags = TEMPLATE.split('<').skip(1);
        for tag in tags.map(|tag| tag.split('>').next().unwrap()) {
            assert!(!tag.contains(" style=") && !tag.contains(" on"), "{tag}");
            assert!(!tag.contains("src=") && !tag.contains("http"), "{tag}");
        }
    }

    #[test]
    fn the_page_is_small() {
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed
            .write_all(Page::new(None, &[]).html.as_bytes())
            .unwrap();
        let bytes = packed.finish().unwrap().len();
        assert!(bytes < 60_000, "{bytes}");
    }
}
