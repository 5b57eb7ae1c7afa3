//! Paths and queries as API Gateway forwards them.
//!
//! A REST API decodes request parameters before it passes them to an integration, and encodes the
//! percent sign again ("Amazon API Gateway important notes for REST APIs", API Gateway Developer
//! Guide). So `%2F` within `{proxy+}` becomes a slash. Characters that a request line cannot hold
//! are encoded; AWS does not document how, but an upstream that decodes sees the same.

use std::fmt::Write as _;

use percent_encoding::percent_decode_str;

/// The bytes that percent-encoded text stands for; invalid encodings stay as they are.
pub(crate) fn decoded(text: &str) -> Vec<u8> {
    percent_decode_str(text).collect()
}

/// A path parameter as an upstream receives it.
pub(crate) fn passed(parameter: &str) -> String {
    encoded(&decoded(parameter), b"?#")
}

/// A query as an upstream receives it: the same parameters in the same order.
pub(crate) fn passed_query(query: &str) -> String {
    let part = |text: &str| {
        let bytes = decoded(text);
        // A plus that was encoded is not a space.
        let keeps_plus = !text.contains('%');
        encoded(&bytes, if keeps_plus { b"&=#" } else { b"&=#+" })
    };
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) => format!("{}={}", part(name), part(value)),
        None => part(pair),
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// Encodes the characters that a request line cannot hold, and those in `reserved`.
fn encoded(bytes: &[u8], reserved: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let plain =
            byte.is_ascii_graphic() && !b"%\"<>\\^`{|}".contains(byte) && !reserved.contains(byte);
        if plain {
            text.push(char::from(*byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_decoded_and_encodes_what_a_request_line_cannot_hold() {
        for (sent, got) in [
            ("users/7", "users/7"),
            ("a%20b", "a%20b"),
            ("a%2Fb", "a/b"),
            ("a%3Fb%23c", "a%3Fb%23c"),
            ("100%25", "100%25"),
            ("100%", "100%25"),
            ("caf%C3%A9", "caf%C3%A9"),
            ("café", "caf%C3%A9"),
            ("%41%7e", "A~"),
            ("a;b=c,d@e:f!$&'()*+", "a;b=c,d@e:f!$&'()*+"),
            ("a//b/", "a//b/"),
            ("a/../b", "a/../b"),
        ] {
            assert_eq!(passed(sent), got);
        }
    }

    #[test]
    fn a_query_keeps_its_parameters_their_order_and_their_values() {
        for (sent, got) in [
            ("a=1&b=2&a=3", "a=1&b=2&a=3"),
            ("a=1%262", "a=1%262"),
            ("a=b%3Dc", "a=b%3Dc"),
            ("a=x+y", "a=x+y"),
            ("a=x%2By", "a=x%2By"),
            ("a=caf%C3%A9", "a=caf%C3%A9"),
            ("flag&=empty&x=", "flag&=empty&x="),
            ("a=/?:@", "a=/?:@"),
        ] {
            assert_eq!(passed_query(sent), got);
        }
    }
}
