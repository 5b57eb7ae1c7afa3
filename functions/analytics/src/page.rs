//! The usage page: one document that contains its styles and scripts, and loads nothing but data
//! from this API.
//!
//! The function assembles it from `functions/analytics/page` on the first request. The
//! Content-Security-Policy (<https://www.w3.org/TR/CSP3/>) lists the digest of each script and
//! style, so a browser runs these and no others. The token stays in the memory of the page.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

/// The document, with placeholders for styles and scripts.
const TEMPLATE: &str = include_str!("../page/page.html");
const STYLES: [&str; 2] = [
    include_str!("../page/vendor/uPlot.min.css"),
    include_str!("../page/page.css"),
];
const CHARTS: &str = include_str!("../page/vendor/uPlot.iife.min.js");
/// One script in several files: each adds to the scope of the previous one.
const SCRIPTS: [&str; 7] = [
    include_str!("../page/state.js"),
    include_str!("../page/api.js"),
    include_str!("../page/format.js"),
    include_str!("../page/charts.js"),
    include_str!("../page/panels.js"),
    include_str!("../page/keys.js"),
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
    /// The page, assembled once.
    pub fn get() -> &'static Self {
        static PAGE: LazyLock<Page> = LazyLock::new(Page::assemble);
        &PAGE
    }

    fn assemble() -> Self {
        let style = STYLES.concat();
        let script = format!("'use strict';\n(() => {{\n{}}})();\n", SCRIPTS.concat());
        let html = TEMPLATE
            .replace("{style}", &style)
            .replace("{charts}", CHARTS)
            .replace("{script}", &script);
        let policy = format!(
            "default-src 'none'; script-src {} {}; style-src {}; connect-src 'self'; img-src data:; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            digest(CHARTS),
            digest(&script),
            digest(&style),
        );
        Self { html, policy }
    }
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
    fn contents(tag: &str) -> Vec<&'static str> {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        let parts = Page::get().html.split(open.as_str()).skip(1);
        parts
            .map(|part| part.split(close.as_str()).next().unwrap())
            .collect()
    }

    #[test]
    fn the_policy_names_each_script_and_style_of_the_page() {
        let policy = &Page::get().policy;
        let (styles, scripts) = (contents("style"), contents("script"));
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
        packed.write_all(Page::get().html.as_bytes()).unwrap();
        let bytes = packed.finish().unwrap().len();
        assert!(bytes < 60_000, "{bytes}");
    }
}
