//! How a body travels: compressed if the caller accepts that, and not at all if the caller has it.
//!
//! `ETag` and `If-None-Match` follow RFC 9110, sections 8.8.3 and 13.1.2; `Accept-Encoding` follows
//! section 12.5.3. Tags are weak: one tag stands for a body and its compressed form.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use runtime::request::Request;

/// Smaller bodies fit into a packet or two: compressing them saves nothing.
const WORTHWHILE: usize = 1_400;

/// The tag of a body.
pub(crate) fn tag(body: &str) -> String {
    let digest = Sha256::digest(body);
    let hex = digest.iter().take(12).map(|byte| format!("{byte:02x}"));
    format!("W/\"{}\"", hex.collect::<String>())
}

/// Whether the caller has the body with this tag.
pub(crate) fn has(request: &Request, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let known = request.header("if-none-match");
    let mut known = known.into_iter().flat_map(|list| list.split(','));
    known.any(|known| known.trim() == "*" || opaque(known) == opaque(tag))
}

/// The body compressed with gzip, if it is long enough and the caller accepts that.
pub(crate) fn compressed(request: &Request, body: &str) -> Option<Vec<u8>> {
    if body.len() < WORTHWHILE || !accepts_gzip(&request.header("accept-encoding")) {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body.as_bytes()).ok()?;
    encoder.finish().ok()
}

/// Whether `gzip` is accepted: by its name, or by `*` if it is not named.
fn accepts_gzip(lists: &[&str]) -> bool {
    let codings = lists.iter().flat_map(|list| list.split(','));
    let mut any = false;
    for coding in codings {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = parameters.trim().strip_prefix("q=");
        let is_accepted = weight.is_none_or(|weight| {
            let zeros = weight.trim().trim_end_matches('0');
            !matches!(zeros, "" | "0.")
        });
        match name.trim() {
            name if name.eq_ignore_ascii_case("gzip") => return is_accepted,
            "*" => any = is_accepted,
            _ => {}
        }
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    use flate2::read::GzDecoder;
    use serde_json::json;

    fn with(name: &str, value: &str) -> Request {
        serde_json::from_value(json!({"headers": {name: value}})).unwrap()
    }

    #[test]
    fn gzip_is_used_where_it_is_accepted_and_worth_it() {
        let long = "0123456789".repeat(200);
        for accepted in ["gzip", "br, GZIP;q=0.5", "*", "deflate, gzip", "gzip;q=1.0"] {
            let packed = compressed(&with("Accept-Encoding", accepted), &long).unwrap();
            let mut read = String::new();
            GzDecoder::new(packed.as_slice())
                .read_to_string(&mut read)
                .unwrap();
            assert_eq!(read, long, "{accepted}");
            assert_eq!(
                compressed(&with("Accept-Encoding", accepted), "short"),
                None
            );
        }
        for refused in [
            "",
            "br",
            "gzip;q=0",
            "gzip; q=0.000, *",
            "*;q=0",
            "identity",
        ] {
            let packed = compressed(&with("accept-encoding", refused), &long);
            assert_eq!(packed, None, "{refused}");
        }
        assert_eq!(compressed(&Request::default(), &long), None);
    }

    #[test]
    fn a_body_that_the_caller_has_is_known_by_its_tag() {
        let tag = tag("body");
        assert!(tag.starts_with("W/\"") && tag.ends_with('"'), "{tag}");
        assert_ne!(tag, super::tag("another"));
        let strong = tag.trim_start_matches("W/");
        for known in [&tag, strong, "*", &format!("\"x\" , {tag}")] {
            assert!(has(&with("If-None-Match", known), &tag), "{known}");
        }
        for known in ["", "\"x\"", "W/\"\""] {
            assert!(!has(&with("If-None-Match", known), &tag), "{known}");
        }
        assert!(!has(&Request::default(), &tag));
    }
}
